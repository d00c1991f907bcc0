//! Adapters and the format of the frozen weights, and the objective that they often serve.

use super::super::given::Given;
use super::precision::base_of_type;
use super::{EngineChoice, Report};
use crate::model::Network;
use crate::request::{EngineId, InputId};
use crate::training::{
    Adapter, BaseFormat, LogProbabilities, Modules, Objective, Precision, Preference, Targets, Widened,
};
use crate::units::DType;

/// The adapters; `None` where all weights train.
pub fn adapter(
    given: &Given,
    engine: EngineChoice,
    precision: Precision,
    report: &mut Report,
) -> Option<Adapter> {
    let decomposed = match given.choice(InputId::Adapter) {
        Some("lora") => false,
        Some("dora") => true,
        _ => return None,
    };
    let group = given.integer(InputId::BaseGroupSize).unwrap_or(128);
    let stated = given
        .get(InputId::BaseFormat)
        .and(given.choice(InputId::BaseFormat));
    let base = match stated.or_else(|| base_of_type(given)) {
        Some("nf4") => BaseFormat::Nf4 { double: false },
        Some("nf4_double") => BaseFormat::Nf4 { double: true },
        Some("int8") => BaseFormat::Int8,
        Some("gptq_int4") => BaseFormat::Gptq { bits: 4, group },
        Some("gptq_int8") => BaseFormat::Gptq { bits: 8, group },
        Some("awq_int4") => BaseFormat::Awq { group },
        _ => BaseFormat::Plain,
    };
    refuse(given, engine.id, (base, decomposed), precision, report);
    let prepared = given.toggle(InputId::KbitPrepared).unwrap_or(false);
    let norms = given.toggle(InputId::KbitNormsOnly).unwrap_or(false);
    let bitsandbytes = matches!(base, BaseFormat::Nf4 { .. } | BaseFormat::Int8);
    Some(Adapter {
        rank: given.integer(InputId::LoraRank).unwrap_or(16),
        targets: match given.choice(InputId::LoraTargets) {
            Some("query_value") => Targets::QueryValue,
            Some("attention") => Targets::Attention,
            Some("mlp") => Targets::FeedForward,
            _ => Targets::AllLinear,
        },
        dropout: given.number(InputId::LoraDropout).unwrap_or(0.0),
        dtype: match given.choice(InputId::AdapterDtype) {
            Some("bf16") => DType::Bf16,
            Some("fp16") => DType::Fp16,
            _ => DType::Fp32,
        },
        base,
        // DeepSpeed casts the whole module to the compute type, whatever was fp32 before.
        widened: match (prepared && engine.id != EngineId::Deepspeed, norms) {
            (false, _) => Widened::Nothing,
            (true, false) => Widened::Everything,
            (true, true) => Widened::Norms,
        },
        decomposed,
        fused: base.is_quantised() && given.choice(InputId::FusedKernels) == Some("norm_rotary_adapter"),
        quantised_experts: !bitsandbytes || engine.transformers < (5, 0),
        modules: match given.choice(InputId::ModulesToSave) {
            Some("embedding") => modules(true, false),
            Some("head") => modules(false, true),
            Some("embedding_head") => modules(true, true),
            _ => Modules::default(),
        },
    })
}

const fn modules(embedding: bool, head: bool) -> Modules {
    Modules { embedding, head }
}

/// What is not built, or what the frameworks do not do.
fn refuse(
    given: &Given,
    engine: EngineId,
    (base, decomposed): (BaseFormat, bool),
    precision: Precision,
    report: &mut Report,
) {
    if base.is_quantised() && precision.compute() == DType::Fp32 {
        report.error(
            "unsupported_combination",
            InputId::BaseFormat,
            "Quantised weights are multiplied in 16 bits: choose bf16 or fp16 as the compute type.",
        );
    }
    let four_bits = matches!(base, BaseFormat::Nf4 { .. });
    if engine == EngineId::Deepspeed
        && base.is_quantised()
        && !four_bits
        && given.integer(InputId::ZeroStage) == Some(3)
    {
        buffers(given, base, "engine.zero_stage=3", report);
    }
    let version = given.choice(InputId::FsdpVersion);
    if engine == EngineId::Fsdp && base.is_quantised() && !four_bits && version != Some("1") {
        buffers(given, base, "engine.fsdp_version=2", report);
    }
    if engine == EngineId::Fsdp && base == BaseFormat::Int8 && version == Some("1") {
        report.error(
            "unsupported_combination",
            InputId::BaseFormat,
            "bitsandbytes' 8-bit weights cannot be flattened and divided by FSDP1; NF4 stored as 16-bit elements can.",
        );
    }
    if decomposed && matches!(base, BaseFormat::Gptq { .. } | BaseFormat::Awq { .. }) {
        report.error(
            "unsupported_combination",
            InputId::Adapter,
            "PEFT decomposes adapters beside plain and bitsandbytes weights only, not beside GPTQ or AWQ.",
        );
    }
}

/// What of quantised weights are parameters can be divided: GPTQ's and AWQ's are buffers and stay whole on every rank, LLM.int8()'s
/// are parameters whose scales are none, and lose them.
fn buffers(given: &Given, base: BaseFormat, with: &str, report: &mut Report) {
    match base {
        BaseFormat::Int8 => report.error(
            "not_available_yet",
            InputId::BaseFormat,
            "bitsandbytes keeps the scales of 8-bit weights beside the parameter, where dividing it leaves them behind: choose NF4, GPTQ or AWQ, or ZeRO up to stage 2, which leaves frozen weights whole.",
        ),
        _ => {
            let format = given.choice(InputId::BaseFormat).unwrap_or_default();
            report.unproven(InputId::BaseFormat, format, with);
        }
    }
}

/// The adapter where the family's linear layers are no class that bitsandbytes replaces: its weights stay plain.
pub fn replaceable(mut adapter: Adapter, network: &Network, report: &mut Report) -> Adapter {
    let bitsandbytes = matches!(adapter.base, BaseFormat::Nf4 { .. } | BaseFormat::Int8);
    if bitsandbytes && network.model_type == "falcon" {
        report.warn(
            "not_used",
            InputId::BaseFormat,
            "transformers replaces modules that are exactly linear layers; Falcon's are a class of their own, so nothing is quantised.",
        );
        adapter.base = BaseFormat::Plain;
    }
    adapter
}

/// What is trained for.
pub fn objective(given: &Given, engine: EngineId, report: &mut Report) -> Objective {
    let (pairs, reference) = match given.choice(InputId::Objective) {
        Some("preference") => (true, true),
        Some("preference_reference_free") => (true, false),
        Some("unpaired_preference" | "grpo" | "ppo") => (false, true),
        Some("grpo_reference_free") => (false, false),
        Some("reward") => {
            let tensor = given.integer(InputId::TensorParallelSize).unwrap_or(1) > 1;
            if engine != EngineId::MegatronLm && tensor {
                report.error(
                    "not_available_yet",
                    InputId::TensorParallelSize,
                    "Reward models with tensor parallelism are built with Megatron-LM; with the other engines they are not yet.",
                );
            }
            return Objective::Reward;
        }
        _ => return Objective::NextToken,
    };
    if reference && engine == EngineId::Deepspeed && given.integer(InputId::ZeroStage) == Some(3) {
        divided_reference(given, report);
    }
    let how = match given.choice(InputId::LogProbabilities) {
        Some("wide") => LogProbabilities::Wide,
        Some("narrow") => LogProbabilities::Narrow,
        _ => LogProbabilities::Rows,
    };
    Objective::Preference(Preference {
        how,
        pairs,
        reference,
    })
}

/// Notes what was not traced of a reference that is divided like the model that trains: its settings are taken over by a second
/// engine (TRL 1.16 models/utils.py, `prepare_deepspeed`), and adapters that are switched off leave the order of modules that
/// DeepSpeed has recorded, so that it gathers each when it is used.
fn divided_reference(given: &Given, report: &mut Report) {
    let adapters = given
        .choice(InputId::Adapter)
        .is_some_and(|adapter| adapter != "none");
    if adapters {
        let objective = given.choice(InputId::Objective).unwrap_or_default();
        return report.unproven(InputId::Objective, objective, "adapters at engine.zero_stage=3");
    }
    let away = given
        .choice(InputId::OffloadParam)
        .is_some_and(|device| device != "none");
    let second = given
        .integer(InputId::HpzPartitionSize)
        .is_some_and(|ranks| ranks > 1);
    for (input, _) in [(InputId::OffloadParam, away), (InputId::HpzPartitionSize, second)]
        .iter()
        .filter(|(_, used)| *used)
    {
        report.unproven(*input, "on", "a reference model at engine.zero_stage=3");
    }
}
