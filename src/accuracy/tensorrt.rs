//! From a log of TensorRT-LLM to a start on paper, and from that to what the log prints. Limits that it does not print have the
//! defaults of its release; a run without a version is taken for one of its backend's time.

use super::quantity::{Measurement, Quantity};
use super::record::Record;
use super::serving::{self, flags, measured as printed};
use super::statistics::{Line, Predicted};
use crate::inference::Engine;
use crate::inference::Version;
use crate::inference::engines::tensorrt_llm::release::{Release, release};
use crate::inference::engines::tensorrt_llm::start::{Start, blocks, budget, load};
use crate::inference::engines::tensorrt_llm::{Backend, Options};
use crate::inference::job::CacheType;
use crate::units::Bytes;

/// One line per measured quantity that a start on paper predicts.
pub fn lines(record: &Record, measured: &[Measurement]) -> Result<Vec<Line>, String> {
    let options = options(record)?;
    let job = serving::job(record, Engine::TensorRtLlm(options.clone()), cache(record))?;
    let loaded = load(&job, &options);
    let found = budget(&job, &options, &loaded);
    let lines: Vec<Line> = measured
        .iter()
        .filter_map(|one| Some(Line::new(record, one, predicted(record, one.quantity, &found)?)))
        .collect();
    if lines.is_empty() {
        return Err("the log lacks the free memory, the pool, or the size of the engine".into());
    }
    Ok(lines)
}

fn predicted(record: &Record, quantity: Quantity, found: &Start) -> Option<Predicted> {
    Some(match quantity {
        Quantity::Weights if stated(record) => found.weights.into(),
        Quantity::ActivationPeak => found.activations.into(),
        Quantity::KvBytesPerToken => {
            let bytes = Bytes::new(found.cell);
            Predicted::within(bytes, 0.005)
        }
        Quantity::KvTokens => tokens(record, found)?,
        // The budget that the PyTorch backend prints beside the peak of its pass.
        Quantity::KvCache if printed(record).number("peak_profiling_gib").is_some() => {
            let free = free(record)?;
            let of = |free: f64| Bytes::from_gib(free.max(0.0)).scaled(found.settings.fraction);
            // It has two decimals itself.
            let decimal = Bytes::from_gib(0.005);
            Predicted {
                low: of(free - 0.01).saturating_sub(decimal),
                expected: of(free),
                high: of(free + 0.01) + decimal,
            }
        }
        Quantity::FreeForPool if stated(record) && known_card(record) => Predicted::from(found.free),
        _ => return None,
    })
}

/// Whether model and format say which bytes the weights have.
fn stated(record: &Record) -> bool {
    let named = record.text("quantization").is_some();
    named && serving::states_its_weights(record) || record.text("backend") == Some("autodeploy")
}

fn known_card(record: &Record) -> bool {
    record.number("gpu_total_gib").is_some() || serving::card(record).is_some()
}

/// What is free when the pool is sized, as the log prints it.
fn free(record: &Record) -> Option<f64> {
    let printed = printed(record);
    let peak = printed.number("peak_profiling_gib");
    let left = peak.and_then(|peak| Some(record.number("gpu_total_gib")? - peak));
    printed.number("avail_before_kv_gib").or(left)
}

/// Tokens from the printed free memory; end to end where the card is named and nothing else is printed.
fn tokens(record: &Record, found: &Start) -> Option<Predicted> {
    let settings = &found.settings;
    let Some(free) = free(record) else {
        if !stated(record) || !known_card(record) || share(record).is_none() {
            return None;
        }
        return Some(Predicted::from(found.tokens().map(Bytes::new)));
    };
    let of = |free: f64| {
        let blocks = blocks(
            Bytes::from_gib(free.max(0.0)),
            settings.fraction,
            found.cell,
            settings.block,
            None,
        );
        Bytes::new(blocks.saturating_mul(settings.block))
    };
    Some(Predicted {
        low: of(free - 0.006),
        expected: of(free),
        high: of(free + 0.006),
    })
}

fn share(record: &Record) -> Option<f64> {
    let flags = flags(record);
    let older = flags.number("kv_cache_free_gpu_mem_fraction");
    flags.number("free_gpu_memory_fraction").or(older)
}

fn cache(record: &Record) -> CacheType {
    let stated = flags(record)
        .text("kv_cache_dtype")
        .is_some_and(|text| text.starts_with("fp8"));
    if stated {
        CacheType::Fp8
    } else {
        CacheType::Compute
    }
}

fn row(record: &Record) -> Option<&'static Release> {
    let version = record.text("version").and_then(Version::parse);
    release(version.unwrap_or(match record.text("backend") {
        Some("tensorrt") => Version(0, 12, 0),
        _ => Version(1, 0, 0),
    }))
}

fn options(record: &Record) -> Result<Options, String> {
    let row = row(record).ok_or("a version that is not known")?;
    let flags = flags(record);
    let mut options = Options::new(row);
    options.backend = Some(match record.text("backend") {
        Some("tensorrt") => Backend::TensorRt,
        _ => Backend::PyTorch,
    });
    options.fraction = share(record);
    options.block = flags.whole("tokens_per_block");
    options.batch = flags.whole("max_batch_size");
    options.input = flags.whole("max_input_len");
    let input = flags
        .whole("max_input_len")
        .or(Some(row.input).filter(|input| *input > 0));
    let sequence = input.zip(flags.whole("max_output_len"));
    options.length = flags
        .whole("max_seq_len")
        .or(sequence.map(|(input, output)| input.saturating_add(output)));
    // A batch of one takes no more tokens than its longest sequence.
    let one = options
        .batch
        .zip(options.length)
        .map(|(batch, length)| batch.saturating_mul(length));
    options.tokens = flags
        .whole("max_num_tokens")
        .or(one.filter(|all| *all < row.tokens));
    options.beams = flags.whole("max_beam_width").unwrap_or(1);
    options.packed = !record.text("note").is_some_and(|note| note.contains("padded"));
    Ok(options)
}
