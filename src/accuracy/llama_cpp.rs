//! From a log of llama.cpp or ik_llama.cpp (`serving.jsonl`) to a start on paper, and from that to what the log prints: bytes of
//! the file, keys and values, compute buffers by device. Settings that a log does not print have their defaults.

use std::sync::Arc;

use serde_json::Value;

use super::gguf_files;
use super::names;
use super::quantity::{Measurement, Quantity};
use super::record::Record;
use super::statistics::{Line, Predicted};
use crate::inference::engines::Engine;
use crate::inference::engines::llama_cpp::mix::Mix;
use crate::inference::engines::llama_cpp::pattern::Pattern;
use crate::inference::engines::llama_cpp::placement::{Device as Place, PlaceChoice, SplitMode};
use crate::inference::engines::llama_cpp::start::{Held, Prepared, Start, start};
use crate::inference::engines::llama_cpp::tensors::{FileChoice, LatentTensors, tensors};
use crate::inference::engines::llama_cpp::types::{F16, F32, GgmlType};
use crate::inference::engines::llama_cpp::{Latent, Options};
use crate::inference::job::{CacheType, Device, InferenceJob};
use crate::inference::weights::Quantisation;
use crate::memory::Interval;
use crate::model::catalogue;
use crate::units::{Bytes, DType};

/// Part of a name in a log, and the model of the catalogue.
const MODELS: &[(&str, &str)] = &[
    ("DeepSeek-Coder-V2-Lite", "deepseek-v2-lite"),
    ("DeepSeek V3.1", "deepseek-v3.1"),
    ("DeepSeek V3", "deepseek-v3"),
    ("Deepseek-V3", "deepseek-v3"),
    ("DeepSeek R1", "deepseek-r1"),
    ("DeepSeek-R1", "deepseek-r1"),
    ("GLM 4.7 Flash", "glm-4.7-flash"),
    ("Gemma 3 27b", "gemma-3-27b"),
    ("gemma-2-2b", "gemma-2-2b"),
    ("Kimi K2.5", "kimi-k2"),
    ("Kimi-K2", "kimi-k2"),
    ("Kimi K2", "kimi-k2"),
    ("LLaMA v2", "llama-2-13b"),
    ("Llama 3.1 8B", "llama-3.1-8b"),
    ("Llama_3.1_8b", "llama-3.1-8b"),
    ("Qwen1.5-72B", "qwen1.5-72b"),
    ("Qwen2.5-1.5B", "qwen2.5-1.5b"),
    ("Qwen2.5-3B", "qwen2.5-3b"),
    ("Qwen3 4B", "qwen3-4b"),
    ("Qwen3-32B", "qwen3-32b"),
    ("Qwen3 VL 235B", "qwen3-235b-a22b"),
    ("Qwen3 235B", "qwen3-235b-a22b"),
    ("Qwen3-235B", "qwen3-235b-a22b"),
    ("Qwen3 30B", "qwen3-30b-a3b"),
    ("Qwen3-30B", "qwen3-30b-a3b"),
];

/// One line per printed figure that a start on paper predicts.
pub fn lines(record: &Record, measured: &[Measurement]) -> Result<Vec<Line>, String> {
    let name = record.text("model").unwrap_or_default();
    let unknown = "the architecture is not in the catalogue";
    let listed = MODELS.iter().find(|(part, _)| name.contains(part));
    let entry = match listed {
        Some((_, id)) => catalogue::find(id),
        None => names::named(name),
    };
    let network = entry.and_then(catalogue::Entry::network).ok_or(unknown)?;
    let network = Arc::new(network);
    let log = Log { record };
    if log.described().starts_with("K^R") {
        return Err("two caches at once, in a build that was not read".into());
    }
    let options = log.options(&network)?;
    let context = log.context().ok_or("the context is not printed")?;
    let known = log.known_file(&network, &options);
    let job = InferenceJob {
        network: Arc::clone(&network),
        engine: Engine::LlamaCpp(Box::new(options.clone())),
        weights: Quantisation::none(),
        compute: DType::Fp16,
        cache: CacheType::Compute,
        sequences: log.number("n_seq_max").unwrap_or(1).max(1),
        prompt: context.saturating_sub(1).max(1),
        new_tokens: 1,
        shared_prefix: 0,
        tensor: 1,
        pipeline: options.place.gpus as u64,
        device: Device {
            name: record.text("gpu").unwrap_or_default().into(),
            total: Interval::exact(Bytes::MAX),
            driver: Bytes::MAX,
            usable: Bytes::MAX,
            capability: 86,
            nvidia: true,
            unified: false,
        },
    };
    let found = start(&job, &options, &Prepared::new(&network, &options));
    let lines: Vec<Line> = measured
        .iter()
        .filter_map(|one| {
            let predicted = log.predicted(one.quantity, &found, known)?;
            Some(Line::new(record, one, predicted))
        })
        .collect();
    match lines.is_empty() {
        true => Err("nothing that was measured is predicted".into()),
        false => Ok(lines),
    }
}

/// A record as a log.
struct Log<'a> {
    record: &'a Record,
}

impl Log<'_> {
    fn flag(&self, key: &str) -> Option<&Value> {
        self.record
            .object("flags")?
            .get(key)
            .filter(|value| !value.is_null())
    }

    /// A number, which a log prints as text or not.
    fn number(&self, key: &str) -> Option<u64> {
        let value = self.flag(key)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    fn measured(&self, key: &str) -> Option<&Value> {
        self.record
            .object("measured")?
            .get(key)
            .filter(|value| !value.is_null())
    }

    /// Cells of the cache.
    fn context(&self) -> Option<u64> {
        self.number("n_ctx")
    }

    /// Names of the devices with a figure of this kind.
    fn devices(&self, key: &str) -> Vec<&str> {
        let found = self.measured(key).and_then(Value::as_object);
        found
            .into_iter()
            .flat_map(|fields| fields.keys().map(String::as_str))
            .collect()
    }

    /// GPUs by their number in a log.
    fn gpus(&self) -> usize {
        ["model_buffers_mib", "compute_buffers_mib"]
            .iter()
            .flat_map(|key| self.devices(key))
            .filter_map(number_of)
            .map(|number| number.saturating_add(1))
            .max()
            .unwrap_or(0)
    }

    fn fork(&self) -> bool {
        self.record
            .text("engine")
            .is_some_and(|engine| engine.starts_with("ik"))
    }

    /// How the log describes the cache.
    fn described(&self) -> &str {
        self.measured("kv_desc")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// What the log says that it caches of a latent.
    fn latent(&self) -> Latent {
        match self.described() {
            text if text.starts_with("c^KV") && text.contains("not used") => Latent::Alone,
            text if text.starts_with("c^KV") => Latent::WithValues,
            // One head of the latent's width.
            _ if self.arch("n_head_kv").as_deref() == Some("1") => Latent::WithValues,
            _ => Latent::PerHead,
        }
    }

    fn arch(&self, key: &str) -> Option<String> {
        let value = self.record.object("arch")?.get(key)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_string))
    }

    /// The printed number of tensors of each type.
    fn counts(&self) -> Vec<(GgmlType, u64)> {
        let found = self.record.object("tensor_types");
        found
            .into_iter()
            .flatten()
            .filter_map(|(name, count)| Some((GgmlType::find(name)?, count.as_u64()?)))
            .collect()
    }

    fn options(&self, network: &crate::model::Network) -> Result<Options, String> {
        let gpus = self.gpus();
        let all = network.depth().saturating_add(1);
        let offloaded: Option<u64> = self
            .flag("offloaded_layers")
            .and_then(Value::as_str)
            .and_then(|text| text.split_once('/')?.0.parse().ok());
        let text = |key: &str| {
            self.flag(key)
                .map(|value| value.as_str().unwrap_or_default().to_string())
        };
        let flash = match self.flag("flash_attn") {
            Some(Value::String(text)) => text.ends_with('1'),
            Some(other) => other.as_u64() == Some(1),
            None => false,
        };
        let kind = |key: &str| text(key).and_then(|name| GgmlType::find(&name)).unwrap_or(F16);
        let fork = self.fork();
        let (latent, mla) = (self.latent(), self.number("mla_attn").unwrap_or(0));
        Ok(Options {
            fork,
            // Logs of mainline print no build; all are of before July 2025, except one with a cache of windows.
            build: if self.flag("kv_unified").is_some() {
                6_400
            } else {
                5_200
            },
            file: FileChoice {
                mix: self.mix(),
                imatrix: false,
                types: Vec::new(),
                latent: self.latent_tensors(network),
                listed: None,
            },
            place: PlaceChoice {
                gpus,
                layers: Some(offloaded.unwrap_or(if gpus > 0 { all } else { 0 })),
                output_first: false,
                split: if self.devices("model_buffers_mib").contains(&"CUDA_Split") {
                    SplitMode::Row
                } else {
                    SplitMode::Layer
                },
                shares: self.shares(),
                cpu_moe: 0,
                overrides: self.overrides(network, gpus),
            },
            type_k: kind("type_k"),
            type_v: kind("type_v"),
            flash,
            context: self.context(),
            ubatch: self.number("n_ubatch").unwrap_or(512),
            batch: self
                .number("n_batch")
                .unwrap_or(2048)
                .max(self.number("n_ubatch").unwrap_or(512)),
            unified: true,
            apart: false,
            swa_full: self.flag("kv_unified").is_some(),
            offload_cache: true,
            mapped: true,
            latent,
            mla: if latent == Latent::Alone && mla == 0 {
                1
            } else {
                mla
            },
            slice: self.number("attn_max_b").unwrap_or(0),
            outputs: None,
            drafts: 0,
            drafter: None,
            projector: None,
        })
    }

    /// The share of each GPU, by the number of layers whose cache it holds: `--tensor-split` is not printed.
    fn shares(&self) -> Vec<f32> {
        let found = self.measured("kv_and_state_mib").and_then(Value::as_object);
        let mut shares = vec![0.0; self.gpus()];
        for (name, mib) in found.into_iter().flatten() {
            if let Some(slot) = number_of(name).and_then(|number| shares.get_mut(number)) {
                *slot = mib.to_string().parse().unwrap_or(0.0);
            }
        }
        shares
    }

    /// Experts on the host, where the log shows most of a model with experts there.
    fn overrides(&self, network: &crate::model::Network, gpus: usize) -> Vec<(Pattern, Place)> {
        let moe = network.has_experts();
        let mib = |name: &str| {
            let found = self.measured("model_buffers_mib").and_then(|all| all.get(name));
            found.and_then(Value::as_f64).unwrap_or(0.0)
        };
        let host = mib("CPU") + mib("CPU_Mapped") + mib("CUDA_Host");
        let on_gpus: f64 = (0..gpus).map(|number| mib(&format!("CUDA{number}"))).sum();
        let experts = moe && gpus > 0 && host > on_gpus;
        let pattern = experts.then(|| Pattern::read("_exps")).flatten();
        pattern
            .map(|pattern| (pattern, Place::Host))
            .into_iter()
            .collect()
    }

    /// The mix by its name in the log; one without rules of its own counts as its base.
    fn mix(&self) -> Mix {
        let file = self.record.text("file").unwrap_or_default().to_ascii_uppercase();
        let words = |text: &str| text.split([' ', '-', '.']).filter_map(Mix::find).next_back();
        let medium = self.record.text("quantization").map(|text| {
            text.replace(" - Medium", "_M")
                .replace(" - Small", "_S")
                .replace(" - Large", "_L")
        });
        words(&file)
            .or_else(|| medium.as_deref().and_then(words))
            .unwrap_or(Mix::USUAL)
    }

    /// By the number of tensors with blocks that the log prints: two more per layer with all three projections.
    fn latent_tensors(&self, network: &crate::model::Network) -> LatentTensors {
        let counts = self.counts();
        let printed: u64 = gguf_files::matrices(&counts).map(|(_, count)| count).sum();
        let choice = |latent| FileChoice {
            mix: Mix::USUAL,
            imatrix: false,
            types: Vec::new(),
            latent,
            listed: None,
        };
        [LatentTensors::Joint, LatentTensors::Split, LatentTensors::Both]
            .into_iter()
            .find(|latent| {
                let all = tensors(network, &choice(*latent));
                all.iter().filter(|tensor| tensor.kind != F32).count() as u64 == printed
            })
            .unwrap_or(LatentTensors::Split)
    }

    /// Least, likely and most bytes of the file, where the printed number of tensors of each type tells them.
    fn known_file(&self, network: &crate::model::Network, options: &Options) -> Option<[u64; 3]> {
        let counts = self.counts();
        if counts.is_empty() {
            return None;
        }
        gguf_files::bytes(&tensors(network, &options.file), &counts)
    }

    fn predicted(&self, quantity: Quantity, found: &Start, known: Option<[u64; 3]>) -> Option<Predicted> {
        let near = |bytes: u64, share: f64| Predicted::within(Bytes::new(bytes), share);
        Some(match quantity {
            Quantity::Weights => {
                let [least, likely, most] = known?;
                Predicted {
                    low: near(least, 0.001).low,
                    expected: Bytes::new(likely),
                    high: near(most, 0.001).high,
                }
            }
            Quantity::KvCache => {
                let (keys, values) = found.keys_values;
                let state: u64 = found
                    .gpus
                    .iter()
                    .chain([&found.host])
                    .map(|held| held.state)
                    .sum();
                near(keys.saturating_add(values).saturating_add(state), 0.0005)
            }
            Quantity::ComputeBuffer => Predicted::from(self.last_device(found)?.compute),
            _ => return None,
        })
    }

    /// The device whose buffer is compared: the last GPU that has one; without GPUs the host.
    fn last_device(&self, found: &Start) -> Option<Held> {
        let printed = self.devices("compute_buffers_mib");
        match printed.into_iter().filter_map(number_of).max() {
            Some(number) => found.gpus.get(number).copied(),
            None => Some(found.host),
        }
    }
}

/// The number of a GPU in a name such as `CUDA3`.
fn number_of(name: &str) -> Option<usize> {
    ["CUDA", "Vulkan", "ROCm"]
        .iter()
        .find_map(|backend| name.strip_prefix(backend)?.parse().ok())
}
