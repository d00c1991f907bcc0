//! What only vLLM reads, with the rules between its arguments.

use super::super::given::Given;
use super::super::resolve::{Model, Report};
use super::division::indivisible;
use super::settings::{draft_head, drafter, released};
use crate::inference::Version;
use crate::inference::engines::vllm::Options;
use crate::inference::vllm::{Adapters, EntryPoint, Release, SamplerKernel, releases};
use crate::model::Network;
use crate::model::draft_head::Kind;
use crate::request::InputId;
use crate::units::Bytes;

const KNOWN: (&str, &str) = (
    "the newest version that was read",
    "vLLM is known from 0.6 on; give a version like 0.11.0.",
);

/// The arguments of a start; `None` where the version is refused.
pub fn options(given: &Given, model: &Model, report: &mut Report) -> Option<Options> {
    let (release, version) = released(given, &releases().releases, KNOWN, report)?;
    let typed = |id| given.typed_integer(id);
    let toggled = |id| given.typed_toggle(id);
    let (v1, newer_runner) = generation(given, release, version, report);
    let network = &model.network;
    let options = Options {
        release,
        v1,
        newer_runner,
        entry: match given.choice(InputId::EntryPoint) {
            Some("library") => EntryPoint::Library,
            _ => EntryPoint::Server,
        },
        data: given.integer(InputId::ServerDataParallel).unwrap_or(1),
        context: given.integer(InputId::DecodeContextParallel).unwrap_or(1),
        expert: given.toggle(InputId::ServerExpertParallel) == Some(true),
        utilization: given.typed_number(InputId::GpuMemoryUtilization),
        cache_memory: given.typed_number(InputId::CacheMemory).map(Bytes::from_gib),
        max_model_len: typed(InputId::MaxModelLen),
        batched_tokens: typed(InputId::MaxBatchedTokens),
        sequences: typed(InputId::MaxSequences),
        block_size: typed(InputId::BlockSize),
        chunked_prefill: toggled(InputId::ChunkedPrefill),
        prefix_caching: toggled(InputId::PrefixCaching)
            .unwrap_or(v1 && (release.hybrid_prefix || !network.has_states())),
        eager: given.toggle(InputId::EnforceEager) == Some(true),
        sampler: match given.choice(InputId::SamplerKernel) {
            Some("sort") => Some(SamplerKernel::Sort),
            Some("flashinfer") => Some(SamplerKernel::FlashInfer),
            Some("triton") => Some(SamplerKernel::Triton),
            _ => None,
        },
        adapters: adapters(given),
        drafts: given.integer(InputId::SpeculativeTokens).unwrap_or(0),
        drafter: drafter(given, Some(network), report),
        state_bytes: match given.choice(InputId::StateDtype) {
            Some("float32") => 4,
            Some(_) => 2,
            None if asks_for_fp32_states(network) => 4,
            None => 2,
        },
    };
    assume(given, &options, report);
    check(given, &options, network, version, report);
    Some(options)
}

/// V1 or V0: both exist from 0.7 to 0.10; and whether V1 has the newer model runner.
fn generation(given: &Given, release: &Release, version: Version, report: &mut Report) -> (bool, bool) {
    let v1 = match given.choice(InputId::VllmGeneration) {
        Some("v2_runner") => {
            if version < Version(0, 33, 0) {
                report.error(
                    "not_supported_by_engine",
                    InputId::VllmGeneration,
                    "The newer model runner was read in vLLM 0.33; it is known from there on.",
                );
            }
            return (true, true);
        }
        Some("v0") if version >= Version(0, 11, 0) => {
            report.error(
                "not_supported_by_engine",
                InputId::VllmGeneration,
                "V0 was removed in vLLM 0.11.",
            );
            false
        }
        Some("v1") if version < Version(0, 7, 0) => {
            report.error(
                "not_supported_by_engine",
                InputId::VllmGeneration,
                "V1 came with vLLM 0.7.",
            );
            true
        }
        Some(name) => name == "v1",
        None => return (release.v1, release.newer_runner),
    };
    (v1, false)
}

fn adapters(given: &Given) -> Option<Adapters> {
    let slots = given.integer(InputId::MaxLoras).unwrap_or(0);
    let rank = given.integer(InputId::MaxLoraRank).unwrap_or(16);
    (slots > 0).then_some(Adapters { slots, rank })
}

/// The published configurations of Qwen3.5 and later and of Nemotron 3 ask for fp32 (vllm `model_executor/models/config.py`).
fn asks_for_fp32_states(network: &Network) -> bool {
    let kind = network.model_type.as_str();
    kind.starts_with("qwen3_5") || kind == "nemotron_h" || kind == "kimi_linear"
}

fn assume(given: &Given, options: &Options, report: &mut Report) {
    if !given.has(InputId::GpuMemoryUtilization) {
        report.assume(
            InputId::GpuMemoryUtilization,
            options.release.utilization,
            "the default of this version",
        );
    }
}

/// What vLLM itself refuses, or what has no meaning in this combination.
fn check(given: &Given, options: &Options, network: &Network, version: Version, report: &mut Report) {
    let tensor = given.integer(InputId::ServerTensorParallel).unwrap_or(1);
    if !tensor.is_multiple_of(options.context.max(1)) {
        report.error(
            "not_divisible",
            InputId::DecodeContextParallel,
            "Decode context parallelism must divide the tensor parallel size.",
        );
    }
    if options.sampler == Some(SamplerKernel::Triton) && version < Version(0, 17, 0) {
        report.error(
            "not_supported_by_engine",
            InputId::SamplerKernel,
            "The Triton sampler came with vLLM 0.17.",
        );
    }
    if options.drafter.is_some() {
        let tensor = tensor.max(1);
        let odd = options
            .drafter
            .as_ref()
            .and_then(|drafter| indivisible(drafter, tensor, true));
        if let Some(why) = odd {
            report.error(
                "not_divisible",
                InputId::DraftModel,
                format!("The drafter: {why}"),
            );
        }
        if options.drafts == 0 {
            report.error(
                "missing",
                InputId::SpeculativeTokens,
                "A draft model needs the number of tokens that it drafts.",
            );
        }
        let known = match draft_head(given).map(|head| head.kind) {
            None if options.v1 => Some((Version(0, 15, 0), "V1 has no draft models up to 0.14.")),
            Some(Kind::Eagle | Kind::Eagle3) => {
                Some((Version(0, 8, 5), "EAGLE's heads are known from vLLM 0.8.5 on."))
            }
            Some(Kind::DFlash) => Some((Version(0, 20, 0), "DFlash is known from vLLM 0.20 on.")),
            None => None,
        };
        if let Some((_, why)) = known.filter(|(from, _)| version < *from) {
            report.error("not_supported_by_engine", InputId::DraftModel, why);
        }
    } else if options.drafts > 0 && network.next_token_tensors.is_empty() {
        report.error(
            "not_supported_by_model",
            InputId::SpeculativeTokens,
            "This model has no next-token layers that could draft.",
        );
    }
    if options.expert && network.kinds.iter().all(|layer| layer.moe().is_none()) {
        report.warn(
            "not_used",
            InputId::ServerExpertParallel,
            "The model has no experts to divide.",
        );
    }
    if given.has(InputId::MaxLoraRank) && options.adapters.is_none() {
        report.warn("not_used", InputId::MaxLoraRank, "There are no LoRA slots.");
    }
    if given.has(InputId::StateDtype) && !network.has_states() {
        report.warn(
            "not_used",
            InputId::StateDtype,
            "The model keeps no recurrent states.",
        );
    }
    if given.has(InputId::SharedPrefixTokens) && !options.prefix_caching {
        report.warn(
            "not_used",
            InputId::SharedPrefixTokens,
            "Without prefix caching every sequence holds its own copy.",
        );
    }
}
