//! From a log of SGLang to a start on paper, and from that to what the log prints. Settings that it does not print have the
//! defaults of its release, which its date tells where no version is printed.

use super::quantity::{Measurement, Quantity};
use super::record::Record;
use super::serving::{self, flags, measured as printed};
use super::statistics::{Line, Predicted};
use crate::inference::Version;
use crate::inference::engines::sglang::Options;
use crate::inference::engines::sglang::pools::pools;
use crate::inference::engines::sglang::release::{Release, release};
use crate::inference::engines::sglang::settings::Backend;
use crate::inference::engines::sglang::start::{Start, budget, load};
use crate::inference::job::CacheType;
use crate::inference::{Engine, InferenceJob};
use crate::units::Bytes;

/// One line per measured quantity that a start on paper predicts.
pub fn lines(record: &Record, measured: &[Measurement]) -> Result<Vec<Line>, String> {
    let options = options(record)?;
    let mut job = serving::job(record, Engine::Sglang(options.clone()), cache(record)?)?;
    if let (None, Some(size)) = (serving::card(record), sized(record)) {
        job.device.driver = size;
    }
    let loaded = load(&job, &options);
    let found = budget(&job, &options, &loaded);
    let lines: Vec<Line> = measured
        .iter()
        .filter_map(|one| {
            Some(Line::new(
                record,
                one,
                predicted(record, one.quantity, &found, &job, &options)?,
            ))
        })
        .collect();
    if lines.is_empty() {
        return Err(missing(record).into());
    }
    Ok(lines)
}

/// What a record without a predicted quantity does not print.
fn missing(record: &Record) -> &'static str {
    let printed = printed(record);
    match (printed.whole("kv_tokens"), printed.number("kv_gib")) {
        (Some(_), None) => "the log lacks the size of the pool in GiB, or the free memory",
        (None, _) if printed.number("avail_after_load_gib").is_some() => {
            "the log lacks the free memory before loading, or the tokens of the pool"
        }
        _ => "the log lacks every quantity that a start predicts",
    }
}

fn predicted(
    record: &Record,
    quantity: Quantity,
    found: &Start,
    job: &InferenceJob,
    options: &Options,
) -> Option<Predicted> {
    Some(match quantity {
        // With large-scale expert parallelism the ranks that share the experts are more than the printed ones.
        Quantity::Weights if serving::states_its_weights(record) && !scattered(record) => {
            found.weights.into()
        }
        Quantity::KvBytesPerToken => {
            // Keys and values are printed apart, each to two decimals.
            let printed = printed(record)
                .number("kv_gib")
                .map_or(0.0, |gib| 0.01 / gib.max(0.01));
            let bytes = Bytes::new(found.cells.all());
            Predicted::within(bytes, 0.005 + printed)
        }
        Quantity::KvTokens => tokens(record, found, job, options)?,
        Quantity::KvCache if known_share(record) && serving::card(record).is_some() && whole(record) => {
            let [low, expected, high] = &found.pools;
            let decimal = Bytes::from_gib(0.01);
            Predicted {
                low: low.kept.saturating_sub(decimal),
                expected: expected.kept,
                high: high.kept + decimal,
            }
        }
        Quantity::CudaGraph => found.graphs.into(),
        _ => return None,
    })
}

/// Whether experts are divided among more ranks than the printed ones.
fn scattered(record: &Record) -> bool {
    record
        .text("note")
        .is_some_and(|note| note.contains("large-scale EP"))
}

/// Whether the card held nothing else, and the checkpoint is the catalogue's.
fn whole(record: &Record) -> bool {
    serving::states_its_weights(record)
        && !record.text("gpu").is_some_and(|gpu| gpu.contains("partly used"))
        && !scattered(record)
}

/// Whether `mem_fraction_static` is printed or follows from what is known: up to 0.5.2 from the ranks, later from the card.
fn known_share(record: &Record) -> bool {
    flags(record).number("mem_fraction_static").is_some() || !scattered(record) && follows(record)
}

fn follows(record: &Record) -> bool {
    row(record)
        .is_some_and(|row| !row.fractions.is_empty() || !row.reserves.is_empty() && sized(record).is_some())
        || serving::card(record).is_some()
}

/// The size of a card that is named by nothing else ("24GB GPU").
fn sized(record: &Record) -> Option<Bytes> {
    let (size, _) = record.text("gpu")?.split_once("GB GPU")?;
    size.trim().parse().ok().map(Bytes::from_gib)
}

/// Tokens from the free memory that the log prints before and after loading: the rest of the start is predicted. Both have
/// two decimals, and what is made between the second reading and the pool (handles, workspaces) takes up to 0.02 GiB.
fn tokens(record: &Record, found: &Start, job: &InferenceJob, options: &Options) -> Option<Predicted> {
    let printed = printed(record);
    let weights = printed.number("weights_gib");
    if !known_share(record) {
        return None;
    }
    let after = printed.number("avail_after_load_gib");
    let before = printed
        .number("avail_before_load_gib")
        .or(after.zip(weights).map(|(after, weights)| after + weights));
    let (Some(after), Some(before)) = (after, before) else {
        // End to end, where the card is named.
        serving::card(record).filter(|_| whole(record))?;
        let [low, expected, high] = &found.pools;
        return Some(Predicted {
            low: Bytes::new(low.tokens),
            expected: Bytes::new(expected.tokens),
            high: Bytes::new(high.tokens),
        });
    };
    let rest = after - before * (1.0 - found.settings.fraction);
    let of = |rest: f64| {
        let bytes = i64::try_from(Bytes::from_gib(rest.max(0.0)).get()).unwrap_or(0);
        Bytes::new(pools(bytes, job, options, &found.settings, &found.cells).tokens)
    };
    Some(Predicted {
        low: of(rest - 0.035),
        expected: of(rest),
        high: of(rest + 0.015),
    })
}

fn cache(record: &Record) -> Result<CacheType, String> {
    Ok(match flags(record).text("kv_cache_dtype") {
        None | Some("auto" | "bf16") => CacheType::Compute,
        Some(text) if text.starts_with("fp8") => CacheType::Fp8,
        Some(text) if text.starts_with("fp4") => CacheType::Fp4,
        Some(_) => return Err("the type of the cache".into()),
    })
}

/// The release: the printed one, or the newest of the record's date.
fn row(record: &Record) -> Option<&'static Release> {
    let version = record.text("version").and_then(Version::parse);
    let date = record.text("date").unwrap_or_default();
    release(version.unwrap_or(match date {
        date if date < "2025-01" => Version(0, 3, 0),
        date if date < "2025-06-10" => Version(0, 4, 0),
        date if date < "2025-07" => Version(0, 4, 7),
        date if date < "2025-10" => Version(0, 5, 0),
        date if date < "2026-04" => Version(0, 5, 3),
        _ => Version(0, 5, 10),
    }))
}

fn options(record: &Record) -> Result<Options, String> {
    let row = row(record).ok_or("a version that was not read")?;
    let flags = flags(record);
    let mut options = Options::new(row);
    options.fraction = flags.number("mem_fraction_static");
    options.chunk = flags.whole("chunked_prefill_size");
    options.prefill = flags.whole("max_prefill_tokens");
    options.running = flags.whole("max_running_requests");
    options.most_tokens = flags.whole("max_total_tokens");
    options.context = flags.whole("context_len");
    options.page = flags.whole("page_size");
    options.eager = flags.flag("disable_cuda_graph");
    options.largest_graph =
        flags
            .whole("cuda_graph_max_bs")
            .or(match printed(record).whole("cuda_graph_sizes") {
                Some(3) => Some(4),
                Some(4) => Some(8),
                _ => None,
            });
    options.backend = match flags.text("attention_backend") {
        Some("aiter") => Some(Backend::Aiter),
        Some("triton") => Some(Backend::Triton),
        _ => None,
    };
    if flags.flag("enable_dp_attention") {
        options.attention_copies = record.whole("dp").unwrap_or(1);
    }
    Ok(options)
}
