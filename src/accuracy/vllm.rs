//! From a log of vLLM (`vllm.jsonl`) to a start of the engine on paper, and from that to the quantities that the log prints.
//! Settings that a log does not print have the release's defaults.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::names;
use super::quantity::{Measurement, Quantity};
use super::record::Record;
use super::statistics::{Line, Predicted};
use crate::hardware;
use crate::inference::Version;
use crate::inference::vllm::format::{Mxfp4Kernel, WeightFormat};
use crate::inference::vllm::{
    CacheFormat, Device, Job, Release, SamplerKernel, Start, release, releases, start,
};
use crate::inference::weights::quantisation::KEPT_BY_NVFP4;
use crate::memory::Interval;
use crate::model::Network;
use crate::model::catalogue;
use crate::model::import::network_from_config;
use crate::units::{Bytes, DType};

/// The model of a record, with the rows of its rotary table where the checkpoint differs from the catalogue's.
const MODELS: &[(&str, &str, Option<u64>)] = &[
    (
        "DS-R1-Distill-Qwen-7B",
        "deepseek-r1-distill-qwen-7b",
        Some(131_072),
    ),
    (
        "DS-R1-Distill-Qwen-14B",
        "deepseek-r1-distill-qwen-14b",
        Some(131_072),
    ),
    (
        "DS-R1-Distill-Qwen-32B",
        "deepseek-r1-distill-qwen-32b",
        Some(131_072),
    ),
    ("Llama-2-7B", "llama-2-7b", None),
    ("Llama-3-8B", "llama-3-8b", None),
    ("Llama-3.1-405B", "llama-3.1-405b", None),
    ("Llama-3.1-70B", "llama-3.1-70b", None),
    ("Llama-3.1-8B", "llama-3.1-8b", None),
    ("Miqu-70B", "llama-2-70b", Some(32_764)),
    ("Mixtral-8x7B", "mixtral-8x7b", None),
    ("OPT-125m", "opt-125m", None),
    ("Qwen2.5-0.5B", "qwen2.5-0.5b", Some(32_768)),
    ("Qwen2.5-1.5B", "qwen2.5-1.5b", Some(32_768)),
    ("Qwen2.5-3B", "qwen2.5-3b", Some(32_768)),
    ("Qwen2.5-7B", "qwen2.5-7b", Some(32_768)),
    ("Qwen2.5-14B", "qwen2.5-14b", Some(32_768)),
    ("Qwen2.5-32B", "qwen2.5-32b", Some(32_768)),
    ("TinyLlama-1.1B", "tinyllama-1.1b", None),
    ("gpt-oss-120b", "gpt-oss-120b", None),
    ("gpt-oss-20b", "gpt-oss-20b", None),
    ("DeepSeek-R1", "deepseek-r1", None),
    ("DeepSeek-V2-Lite", "deepseek-v2-lite", None),
    ("Qwen3.5-122B-A10B", "qwen3.5-122b-a10b", None),
    ("Qwen3.5-27B", "qwen3.5-27b", None),
    ("Qwen3.6-35B-A3B", "qwen3.6-35b-a3b", None),
    ("Qwen3.6-27B", "qwen3.6-27b", None),
    // The same layers as its predecessor, by its published configuration.
    ("Qwen3.8-27B", "qwen3.6-27b", None),
    ("Nemotron-3-Nano-30B-A3B", "nemotron-3-nano-30b-a3b", None),
    ("Nemotron-3-Super-120B-A12B", "nemotron-3-super-120b-a12b", None),
];

/// Part of a device's name in a log, and the card of the table.
const CARDS: &[(&str, &str)] = &[
    ("A100 40GB", "a100-sxm-40gb"),
    ("A100-SXM4-40GB", "a100-sxm-40gb"),
    ("A100", "a100-sxm-80gb"),
    ("H100 NVL", "h100-nvl-94gb"),
    ("H100", "h100-sxm-80gb"),
    ("H200", "h200-sxm-141gb"),
    ("MI300X", "instinct-mi300x"),
    ("GB10", "dgx-spark-gb10"),
    ("T4", "t4"),
    ("A10G", "a10g"),
    ("RTX A6000", "rtx-a6000"),
    ("RTX 4090", "rtx-4090"),
    ("RTX 3090", "rtx-3090"),
    ("L20", "l20"),
    ("V100-SXM2-32GB", "v100-sxm2-32gb"),
];

/// One line per measured quantity that a start on paper predicts.
pub fn lines(record: &Record, measured: &[Measurement]) -> Result<Vec<Line>, String> {
    let network = network(record)?;
    let job = job(record, &network)?;
    let found = start(&job);
    let known_card = record.number("total_gpu_memory_gib").is_some() || card(record).is_some();
    let flags = known_card && record.number("gpu_memory_utilization").is_some();
    let stated = states_its_weights(record);
    let rows_known = !record
        .text("notes")
        .is_some_and(|notes| notes.contains("max_num_seqs not printed"));
    Ok(measured
        .iter()
        .filter(|one| match one.quantity {
            Quantity::KvCache => flags && stated && rows_known,
            Quantity::ActivationPeak => rows_known,
            Quantity::Weights => stated,
            _ => true,
        })
        .filter_map(|one| Some(Line::new(record, one, predicted(one.quantity, &found, &job)?)))
        .collect())
}

/// Whether format and model say which tensors are quantised. Mixed checkpoints list what they leave out, and the logs do not
/// repeat the list, but for one producer's, who leaves out what is usual; GGUF mixes have a type per tensor; a tower beside the text is
/// not in the catalogue.
fn states_its_weights(record: &Record) -> bool {
    let format = record.text("quantization").unwrap_or_default();
    let name = record.text("model").unwrap_or_default();
    let own = name.contains("NVFP4") && !name.starts_with("RedHatAI/");
    !(format.starts_with("modelopt") || format == "gguf" || own || name.contains("llava"))
}

fn predicted(quantity: Quantity, found: &Start, job: &Job<'_>) -> Option<Predicted> {
    let positive = |bytes: i64| Bytes::new(u64::try_from(bytes).unwrap_or(0));
    Some(match quantity {
        // The first rank of a pipeline prints its own stage, and a log shows one of them.
        Quantity::Weights => match found.stages.as_slice() {
            [first, _, ..] => Predicted {
                low: found.stages.iter().copied().min()?.scaled(0.9995),
                expected: *first,
                high: found.stages.iter().copied().max()?.scaled(1.0005)
                    + (found.weights.high.saturating_sub(found.weights.expected)),
            },
            _ => found.weights.into(),
        },
        Quantity::ActivationPeak => found.profile.peak.into(),
        Quantity::NonTorch => found.non_torch.into(),
        Quantity::CudaGraph => found.graphs.into(),
        Quantity::KvCache => Predicted::from(found.cache.map(positive)),
        Quantity::KvBytesPerToken => {
            // Two printed decimals of the pool and whole blocks.
            let bytes = Bytes::new(1 << 20)
                .scaled(found.layout.bytes_per_token(job))
                .get()
                >> 20;
            let bytes = Bytes::new(bytes);
            Predicted::within(bytes, 0.005)
        }
        _ => return None,
    })
}

fn entry_of(record: &Record) -> Option<&'static (&'static str, &'static str, Option<u64>)> {
    let key = record.text("arch_key");
    let name = record.text("model").unwrap_or_default();
    MODELS.iter().find(|(known, ..)| match key {
        Some(key) => *known == key,
        None => name.contains(known),
    })
}

/// A network of the catalogue with some keys of its configuration changed, where a published one differs in nothing else.
fn changed(id: &str, change: impl Fn(&mut Map<String, Value>)) -> Result<Network, String> {
    let mut config = catalogue::find(id).ok_or("no such model")?.config.clone();
    let text = match config.get("text_config") {
        Some(_) => config.get_mut("text_config"),
        None => Some(&mut config),
    };
    if let Some(fields) = text.and_then(Value::as_object_mut) {
        change(fields);
    }
    imported(&config)
}

fn imported(config: &Value) -> Result<Network, String> {
    network_from_config(config)
        .map(|imported| imported.network)
        .map_err(|_| "its configuration is refused".into())
}

fn network(record: &Record) -> Result<Network, String> {
    let name = record.text("model").unwrap_or_default();
    if record.text("arch_key") == Some("gte-Qwen2-7B") {
        return changed("qwen2.5-7b", |fields| {
            fields.insert("vocab_size".into(), json!(151_646));
        });
    }
    if name.contains("llava-1.5-7b") {
        return changed("llama-2-7b", |fields| {
            fields.insert("vocab_size".into(), json!(32_064));
        });
    }
    // Width 4096, 16 heads of 256, 4 for keys and values, 12288 inside, by its published configuration.
    if name.contains("Qwen3.5-9B") {
        return changed("qwen3.5-27b", |fields| {
            for (key, value) in [
                ("hidden_size", 4096),
                ("intermediate_size", 12_288),
                ("num_hidden_layers", 32),
                ("num_attention_heads", 16),
                ("num_key_value_heads", 4),
                ("linear_num_value_heads", 32),
            ] {
                fields.insert(key.into(), json!(value));
            }
            if let Some(kinds) = fields.get_mut("layer_types").and_then(Value::as_array_mut) {
                kinds.truncate(32);
            }
        });
    }
    // 42 blocks of one mixer or feed-forward each, by its published configuration.
    if name.contains("Nemotron-3-Nano-4B") {
        return imported(
            &json!({"model_type": "nemotron_h", "hidden_size": 3136, "intermediate_size": 12_544,
            "vocab_size": 131_072, "num_hidden_layers": 42, "hybrid_override_pattern": "M-M-M-MM-M-M*-M-M*-M-M-M*-M-M-MM*-MMM-M-M-",
            "mamba_num_heads": 96, "mamba_head_dim": 80, "n_groups": 8, "ssm_state_size": 128, "conv_kernel": 4,
            "use_conv_bias": true, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128,
            "max_position_embeddings": 262_144, "tie_word_embeddings": false}),
        );
    }
    let unknown = "the architecture is not in the catalogue";
    let entry = match entry_of(record) {
        Some((_, id, _)) => catalogue::find(id),
        None => names::named(record.text("arch_key").unwrap_or(name)).or_else(|| names::named(name)),
    };
    entry.and_then(catalogue::Entry::network).ok_or(unknown.into())
}

/// The release: the oldest row for versions before it, and the newest of an engine's generation where none is printed.
fn release_of(record: &Record) -> Result<&'static Release, String> {
    let rows = &releases().releases;
    let v1 = record.text("engine") == Some("V1");
    let number = record.text("version").and_then(Version::parse);
    let row = match number {
        Some(version) => release(version).or(rows.first()),
        None if v1 => release(Version(0, 11, 0)),
        // No release before 0.7 knew the model of 2025, and Marlin's kernels of experts came with 0.8 (vllm pull 14447).
        None if record.text("arch_key") == Some("DeepSeek-R1") => {
            let later = record
                .text("quantization")
                .is_some_and(|format| format.contains("wna16"));
            release(Version(0, if later { 8 } else { 7 }, 0))
        }
        None => release(Version(0, 6, 5)),
    };
    row.ok_or("no release is known".into())
}

fn name_of(record: &Record) -> &str {
    record.text("model").unwrap_or_default()
}

fn card(record: &Record) -> Option<&'static hardware::Gpu> {
    let name = record.text("gpu")?;
    match CARDS.iter().find(|(part, _)| name.contains(part)) {
        Some((_, id)) => hardware::find(id),
        None => names::card(name),
    }
}

fn device(record: &Record) -> Device {
    let card = card(record);
    let total = match (record.number("total_gpu_memory_gib"), card) {
        (Some(gib), _) => Interval::exact(Bytes::from_gib(gib)),
        (None, Some(gpu)) => {
            let capacity = gpu.capacity(&hardware::MemorySetup::default());
            Interval::new(capacity.low, capacity.expected, capacity.high)
        }
        // Weights and bytes per token do not depend on it.
        (None, None) => Interval::exact(Bytes::from_gib(80.0)),
    };
    match card {
        Some(gpu) => Device::of(gpu, total, Bytes::ZERO),
        None => Device {
            total,
            in_use: Bytes::ZERO,
            name: record.text("gpu").unwrap_or_default().to_ascii_lowercase(),
            capability: None,
            amd: false,
            unified: false,
        },
    }
}

fn job<'a>(record: &Record, network: &'a Network) -> Result<Job<'a>, String> {
    let version = release_of(record)?;
    let length = record
        .whole("max_model_len")
        .or(network.max_positions)
        .unwrap_or(8192);
    let mut job = Job::new(network, version, device(record), length);
    job.v1 = record.text("engine") == Some("V1");
    job.mesh.tensor = record.whole("tp").unwrap_or(1);
    job.mesh.pipeline = record.whole("pp").unwrap_or(1);
    job.mesh.data = record.whole("dp").unwrap_or(1);
    job.mesh.expert = record.flag("ep");
    job.dtype = match record.text("dtype") {
        Some("float16") => DType::Fp16,
        Some("float32") => DType::Fp32,
        _ => DType::Bf16,
    };
    job.weights = weights(record)?;
    if job.weights == WeightFormat::Nvfp4 {
        static KEPT: LazyLock<[String; 1]> = LazyLock::new(|| KEPT_BY_NVFP4.map(str::to_owned));
        job.left_out = KEPT.as_slice();
    }
    job.cache = cache(record);
    job.state_bytes = 4;
    job.positions = match entry_of(record) {
        Some((.., positions)) => *positions,
        // Tuned models of this generation state 32,768, the catalogue's untuned ones four times as many.
        None if name_of(record).contains("Qwen2.5") && name_of(record).contains("Instruct") => Some(32_768),
        None => None,
    };
    job.utilization = record.number("gpu_memory_utilization");
    let inferred = |key: &str| {
        let value = record.object("inferred").and_then(|fields| fields.get(key));
        value.and_then(Value::as_u64)
    };
    job.batched_tokens = record
        .whole("max_num_batched_tokens")
        .or(inferred("max_num_batched_tokens"));
    job.sequences = record.whole("max_num_seqs").or(inferred("max_num_seqs"));
    job.block_size = record.whole("block_size");
    job.eager = record.flag("enforce_eager");
    job.sampler = match record.text("sampler_logged") {
        Some("pytorch-native") => Some(SamplerKernel::Sort),
        Some("flashinfer") => Some(SamplerKernel::FlashInfer),
        // NVIDIA's images bring FlashInfer.
        _ if record.text("version").is_some_and(|text| text.contains(".nv")) => version.sampler_of_images,
        _ => None,
    };
    // Without towers the encoder's budget is not printed.
    job.encoder_tokens = record.whole("encoder_cache_budget_logged");
    speculation(record, &mut job)?;
    Ok(job)
}

fn weights(record: &Record) -> Result<WeightFormat, String> {
    let Some(text) = record.text("quantization") else {
        return Ok(WeightFormat::Native);
    };
    let name = record.text("model").unwrap_or_default();
    let int4 = WeightFormat::Int4 {
        group: 128,
        zeros: true,
    };
    let published_in_blocks = ["DeepSeek", "Qwen3"].iter().any(|part| name.contains(part));
    Ok(match text {
        "fp8" if published_in_blocks => WeightFormat::Fp8Block,
        "fp8" => WeightFormat::Fp8Tensor,
        "bitsandbytes" => WeightFormat::Nf4 { double: true },
        "gptq_marlin" => WeightFormat::Int4 {
            group: 128,
            zeros: false,
        },
        "mxfp4" => WeightFormat::Mxfp4(match record.text("gpu") {
            Some(gpu)
                if gpu.contains("H100") && !record.text("notes").unwrap_or_default().contains("Marlin") =>
            {
                Mxfp4Kernel::Triton
            }
            _ => Mxfp4Kernel::Marlin,
        }),
        // Q4_K_M has about 4.85 bits per weight.
        "gguf" => WeightFormat::Average { millibits: 4850 },
        "modelopt_fp4" | "modelopt_mixed" => WeightFormat::Nvfp4,
        text if text.contains("awq") || text == "4-bit" => int4,
        text if text.starts_with("compressed-tensors") => match (name, text) {
            _ if name.contains("NVFP4") => WeightFormat::Nvfp4,
            _ if name.contains("INT4") => WeightFormat::Int4 {
                group: 128,
                zeros: false,
            },
            _ if text.contains("int8") => WeightFormat::Int8Channel,
            _ => WeightFormat::Fp8Channel,
        },
        _ => return Err("the quantisation is not known".into()),
    })
}

/// The checkpoint of vllm-052 states FP8 for its cache, which `auto` follows.
fn cache(record: &Record) -> CacheFormat {
    let stated = record
        .text("kv_cache_dtype")
        .is_some_and(|text| text.starts_with("fp8"));
    let by_checkpoint = record.text("model") == Some("unsloth/Qwen3.8-27B-NVFP4");
    if stated || by_checkpoint {
        CacheFormat::Fp8
    } else {
        CacheFormat::Auto
    }
}

fn speculation(record: &Record, job: &mut Job<'_>) -> Result<(), String> {
    let Some(text) = record.text("spec_decode") else {
        return Ok(());
    };
    // Next-token layers are the model's own, n-grams need none, and V0 loads and prints a draft model apart (vllm-082).
    let apart = record.text("engine") == Some("V0") && text.contains("draft_model");
    if let Some(drafts) = text.strip_prefix("dflash k=") {
        return block_drafts(record, drafts, job);
    }
    if !text.contains("'mtp'") && !text.contains("ngram") && !apart {
        return Err("the drafter's layers are not public".into());
    }
    let tokens: Option<u64> = text
        .split_once("num_spec_tokens=")
        .and_then(|(_, rest)| rest.trim_end_matches(')').parse().ok());
    if text.contains("'mtp'") {
        job.speculation.tokens = tokens.unwrap_or(1);
        job.speculation.layers = 1;
    }
    Ok(())
}

/// A drafter of blocks of tokens (DFlash): eight layers of full attention with four heads for keys and values and embedding and
/// head of the model, by the configuration of z-lab/Qwen3.6-35B-A3B-DFlash.
fn block_drafts(record: &Record, drafts: &str, job: &mut Job<'_>) -> Result<(), String> {
    const LAYERS: u64 = 8;
    const KEPT: u64 = 2 * 4 * 128;
    if !name_of(record).contains("Qwen3.6-35B-A3B") {
        return Err("the drafter's layers are not public".into());
    }
    job.speculation.tokens = drafts.parse().map_err(|_| "how many tokens are drafted")?;
    // These logs print that prefixes are cached.
    job.aligned_states = true;
    job.speculation.own_layers = LAYERS;
    job.speculation.bytes_per_token = LAYERS * KEPT * job.element();
    Ok(())
}
