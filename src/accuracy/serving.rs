//! What records of other servers than vLLM have in common (`serving.jsonl`): the model, the card, the formats, and a question
//! to an engine with nothing set. Each engine's own file maps its flags.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::names;
use super::record::Record;
use crate::hardware::{self, Gpu, MemorySetup};
use crate::inference::job::CacheType;
use crate::inference::weights::{Quantisation, WeightFormat};
use crate::inference::{Device, Engine, InferenceJob};
use crate::memory::Interval;
use crate::model::Network;
use crate::model::catalogue;
use crate::units::{Bytes, DType};

/// Parts of a record's model name, and the model of the catalogue with the same layers; the first that fits.
const MODELS: &[(&str, &str)] = &[
    ("QwQ-32B", "qwq-32b"),
    ("Kimi-K2", "kimi-k2.5"),
    ("Qwen3-Omni-30B-A3B", "qwen3-30b-a3b"),
    ("Qwen3-30B-A3B", "qwen3-30b-a3b"),
    ("Qwen3-235B-A22B", "qwen3-235b-a22b"),
    ("Qwen3-0.6B", "qwen3-0.6b"),
    ("Qwen3-Reranker-0.6B", "qwen3-0.6b"),
    ("Qwen3-8B", "qwen3-8b"),
    ("Qwen3-14B", "qwen3-14b"),
    ("Qwen2.5-7B backbone", "qwen2.5-7b"),
    ("Qwen2.5-7B", "qwen2.5-7b"),
    ("Qwen2.5-Coder-0.5B", "qwen2.5-0.5b"),
    ("Qwen2.5-0.5B", "qwen2.5-0.5b"),
    ("Qwen2.5-1.5B", "qwen2.5-1.5b"),
    ("Qwen2-7B", "qwen2-7b"),
    ("Qwen1.5-7B", "qwen1.5-7b"),
    ("DeepSeek-R1-Distill-Llama-8B", "llama-3.1-8b"),
    ("DeepSeek-V3.2", "deepseek-v3.2"),
    ("DeepSeek", "deepseek-v3"),
    ("gemma-3-27b", "gemma-3-27b"),
    ("gemma-3-4b", "gemma-3-4b"),
    ("TinyLlama", "tinyllama-1.1b"),
    ("Llama-3.x-70B", "llama-3.1-70b"),
    ("Llama-3.1-70B", "llama-3.1-70b"),
    ("llama-3.3-70b", "llama-3.3-70b"),
    ("Llama-3.x-8B", "llama-3.1-8b"),
    ("Llama-3.1-8B", "llama-3.1-8b"),
    ("Meta-Llama-3-8B", "llama-3-8b"),
    ("Llama-3-8B", "llama-3-8b"),
    ("Llama-2-70b", "llama-2-70b"),
    ("llama-2-13b", "llama-2-13b"),
    ("Llama-2-13b", "llama-2-13b"),
    ("Swallow-7b", "llama-2-7b"),
    ("gemma-2b", "gemma-2b"),
    ("mistral7b", "mistral-7b-v0.1"),
    ("Llama-2-7", "llama-2-7b"),
    ("Llama-7B", "llama-7b"),
    ("llama-7b", "llama-7b"),
    ("7B-class LLM fp16", "llama-2-7b"),
    ("12 layers (KVCacheReuseChunked)", "gpt2"),
];

/// Parts of a device's name, and the card of the table; the first that fits.
const CARDS: &[(&str, &str)] = &[
    ("H100 NVL", "h100-nvl-94gb"),
    ("80GB GPU (H100/A100)", "h100-sxm-80gb"),
    ("H100", "h100-sxm-80gb"),
    ("H200", "h200-sxm-141gb"),
    ("B200", "b200-sxm"),
    ("B300", "gb300-nvl72-per-gpu"),
    ("MI300X", "instinct-mi300x"),
    ("MI355X", "instinct-mi355x"),
    ("A100-PCIE-40GB", "a100-pcie-40gb"),
    ("A100 40GB", "a100-sxm-40gb"),
    ("A100", "a100-sxm-80gb"),
    ("GB10", "dgx-spark-gb10"),
    ("RTX 5090", "rtx-5090"),
    ("RTX 3090", "rtx-3090"),
    ("RTX A4000", "rtx-a4000"),
    ("L4 24GB", "l4"),
    ("L40S", "l40s"),
    ("A40", "a40"),
    ("RTX A6000", "rtx-a6000"),
    ("MI250", "instinct-mi250-per-gcd-2-per-board"),
    ("A10G", "a10g"),
    ("A10", "a10"),
];

/// The entry of the catalogue with the same layers.
fn entry(record: &Record) -> Result<&'static catalogue::Entry, String> {
    let name = record.text("model").unwrap_or_default();
    let listed = MODELS.iter().find(|(part, _)| name.contains(part));
    let entry = match listed {
        Some((_, id)) => catalogue::find(id),
        None => names::named(name).or_else(|| names::backbone(name)),
    };
    entry.ok_or_else(|| "the model is not named, or its layers are not public".into())
}

/// The model, with the sizes that a published configuration of the same layers has.
pub fn network(record: &Record) -> Result<Arc<Network>, String> {
    entry(record)?
        .shared()
        .map(|shared| shared.network.clone())
        .ok_or_else(|| "the architecture is not in the catalogue".into())
}

/// The card where the record names it.
pub fn card(record: &Record) -> Option<&'static Gpu> {
    let name = record.text("gpu")?;
    match CARDS.iter().find(|(part, _)| name.contains(part)) {
        Some((_, id)) => hardware::find(id),
        None => names::card(name),
    }
}

/// The device as engines see it. Without a named card it is 80 GiB, which weights and bytes per token do not depend on.
pub fn device(record: &Record) -> Device {
    let gpu = card(record);
    let capacity = gpu.map(|gpu| gpu.capacity(&MemorySetup::default()));
    let unknown = Bytes::from_gib(80.0);
    let mut total = capacity.map_or(Interval::exact(unknown), |capacity| {
        Interval::new(capacity.low, capacity.expected, capacity.high)
    });
    if let Some(gib) = record.number("gpu_total_gib") {
        total = Interval::exact(Bytes::from_gib(gib));
    }
    let driver = gpu.and_then(|gpu| gpu.driver_visible_with_ecc(gpu.ecc.is_none_or(|ecc| ecc.usual)));
    Device {
        name: gpu.map_or_else(String::new, |gpu| gpu.name.clone()),
        total,
        driver: driver.unwrap_or(total.expected),
        usable: total.expected,
        capability: gpu.and_then(Gpu::capability_times_ten).unwrap_or(80),
        nvidia: gpu.is_none_or(|gpu| gpu.vendor != "AMD"),
        unified: gpu.is_some_and(|gpu| gpu.unified),
    }
}

/// How the weights are stored, where the record says it.
pub fn weights(record: &Record) -> Result<Quantisation, String> {
    let name = record.text("model").unwrap_or_default();
    let format = match record.text("quantization") {
        None | Some("none") => return Ok(Quantisation::none()),
        Some("fp8") if name.contains("DeepSeek") || name.contains("Qwen3") => WeightFormat::Fp8Block,
        Some("fp8") => WeightFormat::Fp8Tensor { static_inputs: true },
        // What the published checkpoint says.
        Some("int4") => {
            let config = &entry(record)?.config;
            let inner = config.pointer("/text_config/quantization_config");
            let released = inner.or_else(|| config.get("quantization_config"));
            return Quantisation::from_config(released.ok_or("how the checkpoint is quantised")?);
        }
        Some("int4-awq" | "awq-int4") => WeightFormat::Awq { group: 128 },
        Some("int8" | "sq-int8") => WeightFormat::Int8Channel,
        // A scale per output: one in a group as long as the inputs.
        Some("int4-wo") => WeightFormat::Compressed {
            group: 4096,
            asymmetric: false,
        },
        Some("bnb-nf4") => WeightFormat::BitsAndBytes4 { double: true },
        Some(_) => return Err("how the checkpoint is quantised".into()),
    };
    Ok(Quantisation::by_default(format))
}

/// A question to an engine with the model, card, formats and division of a record, for one short sequence.
pub fn job(record: &Record, engine: Engine, cache: CacheType) -> Result<InferenceJob, String> {
    let network = network(record)?;
    Ok(InferenceJob {
        network,
        engine,
        weights: weights(record).unwrap_or_else(|_| Quantisation::none()),
        compute: match record.text("dtype") {
            Some("fp16") => DType::Fp16,
            _ => DType::Bf16,
        },
        cache,
        sequences: 1,
        prompt: 1,
        new_tokens: 1,
        shared_prefix: 0,
        tensor: record.whole("tp").unwrap_or(1),
        pipeline: record.whole("pp").unwrap_or(1),
        device: device(record),
    })
}

/// The flags that were printed or given.
pub fn flags(record: &Record) -> Flags<'_> {
    Flags(record.object("flags"))
}

/// What the log printed.
pub fn measured(record: &Record) -> Flags<'_> {
    Flags(record.object("measured"))
}

/// Fields of an object that may not be there.
#[derive(Clone, Copy, Debug)]
pub struct Flags<'a>(Option<&'a Map<String, Value>>);

impl<'a> Flags<'a> {
    fn get(self, key: &str) -> Option<&'a Value> {
        self.0?.get(key)
    }

    /// A number.
    pub fn number(self, key: &str) -> Option<f64> {
        self.get(key)?.as_f64()
    }

    /// A whole number.
    pub fn whole(self, key: &str) -> Option<u64> {
        self.get(key)?.as_u64()
    }

    /// A text.
    pub fn text(self, key: &str) -> Option<&'a str> {
        self.get(key)?.as_str()
    }

    /// Whether it is true.
    pub fn flag(self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool) == Some(true)
    }
}

/// Whether the record's checkpoint holds what the catalogue's model holds: no experts on the host, no tower beside the text,
/// no adapters.
pub fn states_its_weights(record: &Record) -> bool {
    let name = record.text("model").unwrap_or_default();
    let format = record.text("quantization").unwrap_or_default();
    let elsewhere = [
        "Omni", "VL", "Vision", "Audio", "LoRA", "experts", "backbone", "FP4",
    ];
    !format.contains("cpu") && weights(record).is_ok() && !elsewhere.iter().any(|part| name.contains(part))
}
