//! From a log of Text Generation Inference to a start on paper, and from that to the tokens of its pool and the reading of a
//! monitor. Where a log does not print the tokens of the warm-up's prefill, they are those of the release.

use super::quantity::{Measurement, Quantity};
use super::record::Record;
use super::serving::{self, flags, measured as printed};
use super::statistics::{Line, Predicted};
use crate::inference::Engine;
use crate::inference::Version;
use crate::inference::engines::tgi::Options;
use crate::inference::engines::tgi::release::{Release, release};
use crate::inference::engines::tgi::start::{Start, budget, load};
use crate::inference::job::CacheType;
use crate::units::Bytes;

/// One line per measured quantity that a start on paper predicts.
pub fn lines(record: &Record, measured: &[Measurement]) -> Result<Vec<Line>, String> {
    let options = options(record)?;
    if let Some(why) = missing(record) {
        return Err(why.into());
    }
    let mut job = serving::job(record, Engine::Tgi(options.clone()), CacheType::Compute)?;
    let before = printed(record).number("used_before_start_gb").unwrap_or(0.0);
    job.device.usable = job.device.total.expected.saturating_sub(Bytes::from_gib(before));
    let loaded = load(&job, &options);
    let found = budget(&job, &options, &loaded);
    let lines: Vec<Line> = measured
        .iter()
        .filter_map(|one| Some(Line::new(record, one, predicted(one.quantity, &found)?)))
        .collect();
    if lines.is_empty() {
        return Err("the log lacks the tokens of the pool".into());
    }
    Ok(lines)
}

/// The input without which neither weights nor free memory can be told.
fn missing(record: &Record) -> Option<&'static str> {
    if serving::network(record).is_err() {
        return Some("the model is not named, or its layers are not public");
    }
    if serving::card(record).is_none() {
        return Some("the card is not named");
    }
    if record.text("gpu").is_some_and(|gpu| gpu.contains('/')) {
        return Some("which of two cards it was");
    }
    if !serving::states_its_weights(record) {
        return Some("how the checkpoint is quantised");
    }
    None
}

fn predicted(quantity: Quantity, found: &Start) -> Option<Predicted> {
    let of = |tokens: [u64; 3]| Predicted::from(tokens.map(Bytes::new));
    Some(match quantity {
        Quantity::KvTokens => of(found.tokens),
        Quantity::Device => {
            let [low, expected, high] = found.tokens.map(|tokens| Bytes::new(found.cell) * tokens);
            let beside = found.weights + found.outside + found.graphs;
            // The peak of the warm-up is given back, and may be cached again.
            Predicted {
                low: beside.low + low,
                expected: beside.expected + expected,
                high: beside.high + high,
            }
        }
        _ => return None,
    })
}

/// The printed version; of "2.x" and "3.x" the first.
fn row(record: &Record) -> Option<&'static Release> {
    let text = record.text("version")?;
    let found = Version::parse(text).or_else(|| Version::parse(&text.replace('x', "0")))?;
    // The image of July 2023 called 0.9.2 infers its limit already.
    let infers = text.contains("already infers");
    release(if infers { Version(0, 9, 3) } else { found })
}

fn options(record: &Record) -> Result<Options, String> {
    let row = row(record).ok_or("a version that was not read")?;
    let flags = flags(record);
    let mut options = Options::new(row);
    options.prefill = flags.whole("max_batch_prefill_tokens");
    options.length = flags.whole("max_total_tokens");
    options.input = flags.whole("max_input_tokens");
    options.most_tokens = flags.whole("max_batch_total_tokens");
    options.block = printed(record).whole("block_size");
    Ok(options)
}
