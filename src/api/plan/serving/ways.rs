//! The engines that a search for ways of serving tries, each with the formats of weights and cache that it loads, as the inputs
//! that they set.

use serde_json::json;

use super::super::super::inference::{loaded, question};
use super::super::super::job::Strictness;
use super::super::ways::Set;
use super::Options;
use crate::inference::job::CacheType;
use crate::inference::{Engine, InferenceJob};
use crate::model::Network;
use crate::planner::{ServingWay, divisors};
use crate::request::{InputId, Request, ServerId};
use crate::warn::Issue;

/// A format of weights or cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Format {
    /// The inputs that make it.
    pub set: Set,
    /// For a person.
    pub name: String,
    /// Bits against those that are asked: how much is lost.
    pub effect: Effect,
}

/// What a format does to what the model says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing.
    #[default]
    None,
    /// Small differences: 8 bits.
    Numerics,
    /// Fewer than 8 bits.
    Quality,
}

impl Effect {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::None, Self::Numerics, Self::Quality];

    /// The word in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Numerics => "numerics",
            Self::Quality => "quality",
        }
    }

    /// Of so many bits where others were asked.
    const fn of(bits: u64, asked: u64) -> Self {
        match bits {
            bits if bits >= asked => Self::None,
            0..8 => Self::Quality,
            _ => Self::Numerics,
        }
    }
}

/// An engine with its formats.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// The engine.
    pub engine: ServerId,
    /// Formats of the weights, what is asked first.
    pub weights: Vec<Format>,
    /// Types of the cache, what is asked first.
    pub caches: Vec<Format>,
}

/// Inputs that plans of serving decide; what is typed for them is not kept, but for the formats that are asked.
pub const DECIDED: &[InputId] = &[
    InputId::ServerTensorParallel,
    InputId::ServerPipelineParallel,
    InputId::ServerDataParallel,
    InputId::ServerExpertParallel,
    InputId::DpAttention,
    InputId::TgiShards,
    InputId::TgiSharded,
    InputId::Sequences,
    InputId::WeightFormat,
    InputId::WeightGroup,
    InputId::VllmQuantization,
    InputId::TgiQuantize,
    InputId::GgufType,
    InputId::KvCacheType,
    InputId::CacheTypeK,
    InputId::CacheTypeV,
];

const OF_WEIGHTS: [InputId; 5] = [
    InputId::WeightFormat,
    InputId::WeightGroup,
    InputId::VllmQuantization,
    InputId::TgiQuantize,
    InputId::GgufType,
];
const OF_CACHE: [InputId; 3] = [InputId::KvCacheType, InputId::CacheTypeK, InputId::CacheTypeV];

/// Types of whole files that are tried: one of each number of bits.
const OF_FILES: [&str; 6] = ["BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ3_M"];

/// Formats that the asked release of an engine loads.
fn loads(engine: ServerId, base: &Request) -> Vec<&'static str> {
    if engine == ServerId::LlamaCpp {
        return OF_FILES.to_vec();
    }
    let typed = base
        .get(InputId::ServerVersion)
        .and_then(serde_json::Value::as_str);
    loaded::weights(engine, loaded::named(typed)).collect()
}

/// Formats that an engine widens before it multiplies, in kernels of their own or at once: they save memory, and the roofline,
/// which only reads their bytes, would call them faster than they are. Ranked by speed they are no plans.
fn is_timed(engine: ServerId, name: &str) -> bool {
    match engine {
        ServerId::Huggingface => matches!(name, "none" | "fp8_channel" | "fp8_block" | "gptq" | "awq"),
        _ => !matches!(name, "nf4" | "nf4_double" | "bnb_int8" | "hqq"),
    }
}

/// Types of the cache; those that are widened before use only where speed does not rank.
fn caches(engine: ServerId, by_capacity: bool, capability: u16) -> Vec<&'static str> {
    let all: &[&str] = match engine {
        ServerId::LlamaCpp => &["f16", "q8_0", "q4_0"],
        _ => &["none", "fp8", "fp4", "int8", "int4", "int2"],
    };
    let read = |name: &&&str| match **name {
        "none" => true,
        "fp8" => capability >= 89,
        "fp4" => capability >= 100,
        // Widened inside the kernel, like fp8 on a card without its arithmetic.
        "int8" => matches!(engine, ServerId::TensorRtLlm | ServerId::Vllm),
        _ => false,
    };
    all.iter()
        .filter(|name| by_capacity || read(name))
        .copied()
        .collect()
}

/// The question of an engine without what plans decide.
pub fn base(request: &Request, engine: ServerId, asked: Option<ServerId>) -> Request {
    let mut base = request.clone();
    for (id, _) in request.given() {
        let input = id.input();
        let other = asked != Some(engine) && id == InputId::ServerVersion;
        if other || DECIDED.contains(&id) || !input.engines.serves(engine) {
            base.clear(id);
        }
    }
    base.with(InputId::ServerType, engine.key())
}

/// An engine with its formats, or why it cannot be taken.
pub fn way(
    request: &Request,
    engine: ServerId,
    asked: Option<ServerId>,
    options: &Options,
) -> Result<Way, Issue> {
    let base = base(request, engine, asked);
    let typed = |ids: &[InputId]| -> Set {
        ids.iter()
            .filter(|id| id.input().engines.serves(engine))
            .filter_map(|id| Some((*id, request.get(*id)?.clone())))
            .collect()
    };
    let of = |set: &Set| -> Result<InferenceJob, Issue> {
        let mut own = base.clone();
        for (id, value) in set {
            own.set(*id, value.clone());
        }
        question(&own, Strictness::default())
            .map(|question| question.job)
            .map_err(first)
    };
    let as_asked = typed(&OF_WEIGHTS);
    let job = of(&as_asked)?;
    // A file's usual mix is no format that was asked for: it is compared with the checkpoint.
    let asked_bits = match (engine, as_asked.is_empty()) {
        (ServerId::LlamaCpp, true) => 16,
        _ => bits(&job),
    };
    let mut weights = vec![format(&job, as_asked, asked_bits)];
    let as_asked = typed(&OF_CACHE);
    let cached = of(&as_asked)?;
    let mut kinds = vec![cache(&cached, as_asked, 0)];
    if options.any_precision {
        let named = loads(engine, &base).into_iter();
        for name in named.filter(|name| options.by_capacity || is_timed(engine, name)) {
            let set = vec![match engine {
                ServerId::LlamaCpp => (InputId::GgufType, json!(name)),
                _ => (InputId::WeightFormat, json!(name)),
            }];
            // What this card or model cannot have is a part of the space all the same, and refused there.
            let found = of(&set).unwrap_or_else(|_| job.clone());
            let own = format(&found, set, asked_bits);
            if !weights
                .iter()
                .any(|known| known.name == own.name && known.effect == own.effect)
                && covers(&found)
            {
                weights.push(own);
            }
        }
        for name in caches(engine, options.by_capacity, job.device.capability) {
            let set = match engine {
                ServerId::LlamaCpp => vec![
                    (InputId::CacheTypeK, json!(name)),
                    (InputId::CacheTypeV, json!(name)),
                ],
                _ => vec![(InputId::KvCacheType, json!(name))],
            };
            let found = of(&set);
            let own = match &found {
                Ok(found) => cache(found, set, cache_bits(&cached)),
                Err(_) => unnamed(name, set),
            };
            if !kinds.iter().any(|known| known.name == own.name) {
                kinds.push(own);
            }
        }
    }
    Ok(Way {
        engine,
        weights,
        caches: kinds,
    })
}

fn first(issues: Vec<Issue>) -> Issue {
    let error = issues.into_iter().find(Issue::is_error);
    error.unwrap_or_else(|| Issue::error("unsupported_combination", "inference", "It is refused."))
}

fn unnamed(name: &str, set: Set) -> Format {
    Format {
        set,
        name: name.to_owned(),
        effect: Effect::None,
    }
}

/// Whether a format changes any tensor of the model.
fn covers(job: &InferenceJob) -> bool {
    let plain = job.weights.format.name().is_none();
    let mut tensors = job.network.kinds.iter().flat_map(|layer| &layer.tensors);
    plain || tensors.any(|tensor| job.weights.covers(tensor))
}

fn bits(job: &InferenceJob) -> u64 {
    match &job.engine {
        Engine::LlamaCpp(options) => gguf_bits(options.file.mix.name),
        _ => job.weights.format.bits(job.compute),
    }
}

/// Bits of the matrices of a file's mix, by its name.
fn gguf_bits(name: &str) -> u64 {
    if name.starts_with("BF") || name.starts_with('F') {
        return 16;
    }
    let digit = name.chars().find_map(|letter| letter.to_digit(10));
    digit.map_or(16, u64::from)
}

fn format(job: &InferenceJob, set: Set, asked: u64) -> Format {
    let name = match &job.engine {
        Engine::LlamaCpp(options) => options.file.mix.name.to_string(),
        _ => {
            let chosen = set.iter().find(|(id, _)| *id == InputId::WeightFormat);
            let typed = chosen.and_then(|(_, value)| value.as_str());
            match (typed.filter(|word| *word != "none"), job.weights.format.name()) {
                (Some(word), Some(_)) => word.to_owned(),
                (None, Some(name)) => name.to_owned(),
                (_, None) => job.compute.name().to_owned(),
            }
        }
    };
    Format {
        effect: Effect::of(bits(job), asked),
        set,
        name,
    }
}

fn cache_bits(job: &InferenceJob) -> u64 {
    match job.cache {
        CacheType::Compute => job.compute.bits(),
        CacheType::Fp8 => 8,
        CacheType::Fp4 => 4,
        CacheType::Grouped(bits) => bits,
    }
}

fn cache(job: &InferenceJob, set: Set, asked: u64) -> Format {
    if let Engine::LlamaCpp(_) = &job.engine {
        let word = set.first().and_then(|(_, value)| value.as_str()).unwrap_or("f16");
        return Format {
            name: word.to_owned(),
            effect: match word {
                "f16" | "bf16" | "f32" => Effect::None,
                "q8_0" => Effect::of(8, asked.max(9)),
                _ => Effect::Quality,
            },
            set,
        };
    }
    Format {
        name: match job.cache {
            CacheType::Compute => job.compute.name(),
            other => other.name(),
        }
        .to_owned(),
        effect: Effect::of(cache_bits(job), asked),
        set,
    }
}

/// The dimensions of a way.
pub fn dimensions(way: &Way, network: &Network, gpus: u64, options: &Options) -> ServingWay {
    let most = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    let experts = network.has_experts();
    let (tensor, pipeline, data) = match way.engine {
        ServerId::LlamaCpp => (false, true, false),
        ServerId::Tgi => (true, false, false),
        ServerId::Vllm | ServerId::Sglang => (true, true, experts),
        ServerId::Huggingface | ServerId::TensorRtLlm => (true, true, false),
    };
    let sizes = |on: bool, limit: Option<u64>| if on { divisors(gpus, most(limit)) } else { vec![1] };
    let whole = experts && way_experts(way.engine);
    ServingWay {
        tensor: sizes(tensor, None),
        pipeline: sizes(pipeline, options.pipeline),
        data: sizes(data, None),
        experts: if whole { vec![false, true] } else { vec![false] },
        formats: way.weights.len(),
        caches: way.caches.len(),
        data_within: way.engine == ServerId::Sglang,
    }
}

const fn way_experts(engine: ServerId) -> bool {
    matches!(engine, ServerId::Vllm | ServerId::Sglang | ServerId::TensorRtLlm)
}
