//! What a record measured: which field is which quantity, converted to bytes. The meters are never mixed.

use serde_json::{Map, Value};

use super::record::{Format, Record};
use crate::units::Bytes;

/// A meter or a part of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantity {
    /// Torch's `max_memory_allocated`: bytes of live blocks.
    MaxAllocated,
    /// Live blocks and blocks waiting for a stream.
    MaxActive,
    /// What the caching allocator took from the driver.
    MaxReserved,
    /// Allocated between two steps.
    StaticAllocated,
    /// What `nvidia-smi` prints as used.
    Device,
    /// The source does not say which meter: only the interval is judged.
    Unstated,
    /// Weights as loaded.
    Weights,
    /// The whole cache of keys and values.
    KvCache,
    /// The profiler's activation peak.
    ActivationPeak,
    /// Outside torch's allocator.
    NonTorch,
    /// Captured graphs.
    CudaGraph,
    /// Peak of the prompt phase.
    PrefillPeak,
    /// Peak of the generation phase.
    DecodePeak,
    /// Cache bytes per token and rank.
    KvBytesPerToken,
    /// Tokens of the pool: a count, compared as bytes are.
    KvTokens,
    /// Free memory when the pool is sized.
    FreeForPool,
    /// The compute buffer of one device of llama.cpp.
    ComputeBuffer,
}

impl Quantity {
    /// Every quantity.
    pub const ALL: [Self; 17] = [
        Self::MaxAllocated,
        Self::MaxActive,
        Self::MaxReserved,
        Self::StaticAllocated,
        Self::Device,
        Self::Unstated,
        Self::Weights,
        Self::KvCache,
        Self::ActivationPeak,
        Self::NonTorch,
        Self::CudaGraph,
        Self::PrefillPeak,
        Self::DecodePeak,
        Self::KvBytesPerToken,
        Self::KvTokens,
        Self::FreeForPool,
        Self::ComputeBuffer,
    ];

    /// The unit in which it is shown, and how many bytes (or tokens) one of it is.
    pub const fn unit(self) -> (&'static str, f64) {
        match self {
            Self::KvTokens => ("tokens", 1.0),
            Self::KvBytesPerToken => ("bytes", 1.0),
            _ => ("GiB", (1u64 << 30) as f64),
        }
    }

    /// The key used in tables and files.
    pub const fn key(self) -> &'static str {
        match self {
            Self::MaxAllocated => "max_allocated",
            Self::MaxActive => "max_active",
            Self::MaxReserved => "max_reserved",
            Self::StaticAllocated => "static_allocated",
            Self::Device => "device",
            Self::Unstated => "unstated",
            Self::Weights => "weights",
            Self::KvCache => "kv_cache",
            Self::ActivationPeak => "activation_peak",
            Self::NonTorch => "non_torch",
            Self::CudaGraph => "cuda_graph",
            Self::PrefillPeak => "prefill_peak",
            Self::DecodePeak => "decode_peak",
            Self::KvBytesPerToken => "kv_bytes_per_token",
            Self::KvTokens => "kv_tokens",
            Self::FreeForPool => "free_for_pool",
            Self::ComputeBuffer => "compute_buffer",
        }
    }

    /// The quantity of a `quantity` text of a published record.
    fn of_text(text: &str) -> Self {
        if text.starts_with("nvidia-smi") {
            Self::Device
        } else if text.starts_with("not stated") || text.contains("(not stated)") {
            Self::Unstated
        } else if text.starts_with("max_active") {
            Self::MaxActive
        } else if text.starts_with("max_reserved") {
            Self::MaxReserved
        } else {
            Self::MaxAllocated
        }
    }
}

/// One measured value; `None` for a run that failed for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// Which meter.
    pub quantity: Quantity,
    /// The value.
    pub bytes: Option<Bytes>,
}

/// Every quantity that a record measured.
pub fn measurements(record: &Record) -> Vec<Measurement> {
    match record.format {
        Format::Training => published(record),
        Format::TorchTrace => bytes_of(
            &record.fields,
            &[
                ("value_bytes", Quantity::MaxAllocated),
                ("reserved_after", Quantity::MaxReserved),
                ("steady_allocated", Quantity::StaticAllocated),
            ],
        ),
        Format::DeepSpeedTrace | Format::TrainingExtras => bytes_of(
            &record.fields,
            &[
                ("value_bytes", Quantity::MaxAllocated),
                ("reserved", Quantity::MaxReserved),
                ("steady_allocated", Quantity::StaticAllocated),
                ("steady", Quantity::StaticAllocated),
            ],
        ),
        Format::TransformersInference => bytes_of(
            &record.fields,
            &[
                ("value_bytes", Quantity::MaxAllocated),
                ("reserved", Quantity::MaxReserved),
                ("weights_bytes", Quantity::Weights),
                ("cache_bytes", Quantity::KvCache),
                ("prefill_peak_bytes", Quantity::PrefillPeak),
                ("decode_peak_bytes", Quantity::DecodePeak),
            ],
        ),
        Format::Vllm => served(
            &record.fields,
            record
                .whole("num_gpu_blocks")
                .map(|blocks| blocks.saturating_mul(record.whole("block_size").unwrap_or(16))),
        ),
        Format::Serving => record
            .object("measured")
            .map(|measured| {
                let mut all = served(measured, None);
                all.extend(loaded(measured, &all));
                let block = record
                    .object("flags")
                    .and_then(|flags| flags.get("tokens_per_block"));
                all.extend(tokens(measured, block.and_then(Value::as_u64)));
                all.extend(built(record, measured));
                all.extend(buffers(measured));
                all
            })
            .unwrap_or_default(),
        Format::SavedActivations | Format::SmallestCard | Format::Speed | Format::Unknown => Vec::new(),
    }
}

fn bytes_of(fields: &Map<String, Value>, keys: &[(&str, Quantity)]) -> Vec<Measurement> {
    keys.iter()
        .filter_map(|(key, quantity)| {
            let bytes = fields.get(*key)?.as_u64()?;
            Some(Measurement {
                quantity: *quantity,
                bytes: Some(Bytes::new(bytes)),
            })
        })
        .collect()
}

fn gib_of(fields: &Map<String, Value>, keys: &[(&str, Quantity)]) -> Vec<Measurement> {
    keys.iter()
        .filter_map(|(key, quantity)| {
            let gib = fields.get(*key)?.as_f64()?;
            Some(Measurement {
                quantity: *quantity,
                bytes: Some(Bytes::from_gib(gib)),
            })
        })
        .collect()
}

/// A published training run: its own meter, the resting value, and further meters of the same run.
fn published(record: &Record) -> Vec<Measurement> {
    let own = Quantity::of_text(record.text("quantity").unwrap_or_default());
    if record.flag("oom") {
        return vec![Measurement {
            quantity: own,
            bytes: None,
        }];
    }
    let exact = (record.text("unit") == Some("bytes"))
        .then(|| record.whole("value_raw"))
        .flatten()
        .map(Bytes::new);
    let value = exact.or_else(|| record.number("value_gib").map(Bytes::from_gib));
    let mut all: Vec<Measurement> = value
        .map(|bytes| Measurement {
            quantity: own,
            bytes: Some(bytes),
        })
        .into_iter()
        .collect();
    all.extend(gib_of(
        &record.fields,
        &[("static_allocated_gib", Quantity::StaticAllocated)],
    ));
    if let Some(others) = record.object("other_measurements") {
        all.extend(gib_of(
            others,
            &[
                ("max_allocated_gib", Quantity::MaxAllocated),
                ("max_active_gib", Quantity::MaxActive),
                ("max_reserved_gib", Quantity::MaxReserved),
            ],
        ));
        if let Some(mib) = others
            .get("nvidia_smi_peak_mib_mean_over_gpus")
            .and_then(Value::as_f64)
        {
            all.push(Measurement {
                quantity: Quantity::Device,
                bytes: Some(Bytes::from_gib(mib / 1024.0)),
            });
        }
    }
    let mut seen = Vec::new();
    all.retain(|measurement| {
        let new = !seen.contains(&measurement.quantity);
        seen.push(measurement.quantity);
        new
    });
    all
}

/// What loading took, where only the free memory before and after it is printed.
fn loaded(fields: &Map<String, Value>, known: &[Measurement]) -> Option<Measurement> {
    if known.iter().any(|one| one.quantity == Quantity::Weights) {
        return None;
    }
    let gib = |key: &str| fields.get(key).and_then(Value::as_f64);
    let taken = gib("avail_before_load_gib")? - gib("avail_after_load_gib")?;
    Some(Measurement {
        quantity: Quantity::Weights,
        bytes: Some(Bytes::from_gib(taken)),
    })
}

/// The tokens of the pool, where a log prints them or its blocks.
fn tokens(fields: &Map<String, Value>, block: Option<u64>) -> Option<Measurement> {
    let whole = |key: &str| fields.get(key).and_then(Value::as_u64);
    let blocks = whole("kv_blocks").zip(block);
    let tokens = whole("kv_tokens")
        .or(whole("max_batch_total_tokens"))
        .or(blocks.map(|(blocks, block)| blocks.saturating_mul(block)))?;
    Some(Measurement {
        quantity: Quantity::KvTokens,
        bytes: Some(Bytes::new(tokens)),
    })
}

/// What TensorRT-LLM prints besides: the size of an engine, the memory of its execution context, what is free for the pool.
fn built(record: &Record, fields: &Map<String, Value>) -> Vec<Measurement> {
    let number = |key: &str| fields.get(key).and_then(Value::as_f64);
    let gib = |gib: f64| Some(Bytes::from_gib(gib));
    let mib = |mib: f64| gib(mib / 1024.0);
    let total = record.number("gpu_total_gib");
    let left = number("peak_profiling_gib")
        .zip(total)
        .map(|(peak, total)| total - peak);
    // AutoDeploy prints MB; the total is that of an H100 in MiB.
    let loaded = number("free_after_load_mb").map(|free| free / 1024.0);
    [
        (
            Quantity::Weights,
            number("engine_size_mib")
                .or(number("trt_gpu_after_load_mib"))
                .and_then(mib),
        ),
        (
            Quantity::ActivationPeak,
            number("execution_context_mib").and_then(mib),
        ),
        (
            Quantity::FreeForPool,
            number("avail_before_kv_gib").or(left).or(loaded).and_then(gib),
        ),
        (Quantity::KvCache, number("avail_kv_budget_gib").and_then(gib)),
        (
            Quantity::KvBytesPerToken,
            number("kv_bytes_per_token_logged").and_then(|bytes| gib(bytes / (1_u64 << 30) as f64)),
        ),
    ]
    .into_iter()
    .filter_map(|(quantity, bytes)| {
        Some(Measurement {
            quantity,
            bytes: Some(bytes?),
        })
    })
    .collect()
}

fn served(fields: &Map<String, Value>, block_tokens: Option<u64>) -> Vec<Measurement> {
    let mut all = gib_of(
        fields,
        &[
            ("weights_gib", Quantity::Weights),
            ("kv_cache_gib", Quantity::KvCache),
            ("kv_gib", Quantity::KvCache),
            ("activation_peak_gib", Quantity::ActivationPeak),
            ("non_torch_gib", Quantity::NonTorch),
            ("cuda_graph_gib", Quantity::CudaGraph),
            ("peak_allocated_gib", Quantity::MaxAllocated),
            // AutoAWQ's benchmark prints max_memory_allocated under this name.
            ("total_used_gib", Quantity::MaxAllocated),
        ],
    );
    let cache = all
        .iter()
        .find(|measurement| measurement.quantity == Quantity::KvCache)
        .and_then(|measurement| measurement.bytes);
    let tokens = fields.get("kv_tokens").and_then(Value::as_u64).or(block_tokens);
    if let (Some(cache), Some(tokens @ 1..)) = (cache, tokens) {
        all.push(Measurement {
            quantity: Quantity::KvBytesPerToken,
            bytes: Some(Bytes::new(cache.get() / tokens)),
        });
    }
    if let Some(mib) = fields.get("nvidia_smi_used_mib").and_then(Value::as_f64) {
        all.push(Measurement {
            quantity: Quantity::Device,
            bytes: Some(Bytes::from_gib(mib / 1024.0)),
        });
    }
    all
}

/// What a log of llama.cpp prints: the file (GiB with two or three decimals), the cache of all devices, and the compute buffer
/// of the last GPU, which has the output; without GPUs that of the host.
fn buffers(fields: &Map<String, Value>) -> Vec<Measurement> {
    let number = |key: &str| fields.get(key).and_then(Value::as_f64);
    let file = fields
        .get("model_size")
        .and_then(Value::as_str)
        .and_then(|text| text.split_once(" GiB")?.0.parse::<f64>().ok());
    let compute = fields.get("compute_buffers_mib").and_then(Value::as_object);
    let of = |prefix: &str| {
        let gpus = compute.into_iter().flatten().filter_map(|(name, mib)| {
            let place: u64 = name.strip_prefix(prefix)?.parse().ok()?;
            Some((place, mib.as_f64()?))
        });
        gpus.max_by_key(|(place, _)| *place).map(|(_, mib)| mib)
    };
    let host = compute.and_then(|all| all.get("CPU")).and_then(Value::as_f64);
    let last = of("CUDA").or_else(|| of("Vulkan")).or(host);
    let cache = number("kv_self_mib").or_else(|| number("kv_total_mib"));
    [
        (Quantity::Weights, file),
        (Quantity::KvCache, cache.map(|mib| mib / 1024.0)),
        (Quantity::ComputeBuffer, last.map(|mib| mib / 1024.0)),
    ]
    .into_iter()
    .filter_map(|(quantity, gib)| {
        Some(Measurement {
            quantity,
            bytes: Some(Bytes::from_gib(gib?)),
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accuracy::record::read;

    #[track_caller]
    fn measured(line: &str) -> Vec<(&'static str, Option<u64>)> {
        let records = read(line).expect("readable");
        let record = records.first().expect("one record");
        measurements(record)
            .iter()
            .map(|measurement| (measurement.quantity.key(), measurement.bytes.map(Bytes::get)))
            .collect()
    }

    #[test]
    fn bytes_are_taken_exactly_and_gib_converted() {
        let line = r#"{"id":"a","source_group":"g","quantity":"max_allocated","unit":"bytes","value_raw":11267745280,
            "value_gib":10.4939,"oom":false,"static_allocated_gib":2.0,"other_measurements":{"nvidia_smi_peak_mib_mean_over_gpus":1024.0}}"#;
        assert_eq!(
            measured(&line.replace('\n', " ")),
            [
                ("max_allocated", Some(11_267_745_280)),
                ("static_allocated", Some(2 << 30)),
                ("device", Some(1 << 30))
            ]
        );
        let line = r#"{"id":"a","source_group":"g","quantity":"max_reserved","unit":"GiB","value_raw":1.5,"value_gib":1.5}"#;
        assert_eq!(measured(line), [("max_reserved", Some(3 << 29))]);
    }

    #[test]
    fn meters_that_are_not_stated_are_kept_apart() {
        for text in ["not stated", "max_active or max_allocated (not stated)"] {
            let line = format!(
                r#"{{"id":"a","source_group":"g","quantity":"{text}","unit":"GiB","value_gib":1.0}}"#
            );
            assert_eq!(measured(&line), [("unstated", Some(1 << 30))]);
        }
    }

    #[test]
    fn a_failed_run_has_no_value() {
        let line = r#"{"id":"a","source_group":"g","quantity":"max_reserved","unit":"GiB","value_gib":null,"oom":true,
            "other_measurements":{"nvidia_smi_peak_mib_mean_over_gpus":1024.0}}"#;
        assert_eq!(measured(&line.replace('\n', " ")), [("max_reserved", None)]);
    }

    #[test]
    fn a_server_gives_bytes_per_token() {
        let line = r#"{"id":"v","engine":"V1","arch_key":null,"weights_gib":2.0,"kv_cache_gib":1.0,"kv_tokens":1024}"#;
        assert_eq!(
            measured(line),
            [
                ("weights", Some(2 << 30)),
                ("kv_cache", Some(1 << 30)),
                ("kv_bytes_per_token", Some(1 << 20))
            ]
        );
    }
}
