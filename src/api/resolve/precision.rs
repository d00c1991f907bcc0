//! Types of weights, gradients, states and arithmetic, from compute type, mode and engine (training.md, section 1).

use super::super::given::Given;
use super::Report;
use crate::request::{EngineId, InputId};
use crate::training::Precision;
use crate::units::DType;
use crate::warn::Issue;

/// The element type that a value of a choice names.
fn dtype(name: Option<&str>) -> DType {
    match name {
        Some("fp32" | "tf32") => DType::Fp32,
        Some("fp16") => DType::Fp16,
        _ => DType::Bf16,
    }
}

/// The format of frozen weights that a compute type of whole numbers stands for: bitsandbytes multiplies in 16 bits.
pub fn base_of_type(given: &Given) -> Option<&'static str> {
    match given.choice(InputId::Dtype) {
        Some("int8") => Some("int8"),
        Some("int4") => Some("nf4"),
        _ => None,
    }
}

/// Whole numbers receive no gradients: they are a frozen base beside adapters, in a format of as many bits.
fn whole_numbers(given: &Given, report: &mut Report) {
    let Some(base) = base_of_type(given) else {
        return;
    };
    let name = given.choice(InputId::Dtype).unwrap_or(base);
    if !matches!(given.choice(InputId::Adapter), Some("lora" | "dora")) {
        report.add(
            Issue::error(
                "unsupported_combination",
                InputId::Dtype.key(),
                format!(
                    "Weights in {name} receive no gradients: they are a frozen base beside adapters, and without adapters nothing would train."
                ),
            )
            .with_value(name)
            .with_hint("Set training.adapter to lora, or train in bf16."),
        );
        return;
    }
    match given
        .get(InputId::BaseFormat)
        .and(given.choice(InputId::BaseFormat))
    {
        None => report.assume(InputId::BaseFormat, base, format!("the compute type {name}")),
        Some(format) if format.contains(name) || (name == "int4" && format.starts_with("nf4")) => {}
        Some(format) => report.add(
            Issue::error(
                "unsupported_combination",
                InputId::BaseFormat.key(),
                format!("The compute type {name} and frozen weights in {format} contradict each other."),
            )
            .with_value(format)
            .with_hint("Give only one of the two."),
        ),
    }
}

/// The precision recipe.
pub fn precision(given: &Given, engine: EngineId, report: &mut Report) -> Precision {
    whole_numbers(given, report);
    let compute = dtype(given.choice(InputId::Dtype));
    let reduce = given
        .get(InputId::ReduceDtype)
        .map(|_| dtype(given.choice(InputId::ReduceDtype)));
    let sharded = match engine {
        EngineId::Deepspeed => return deepspeed(given, compute, report),
        EngineId::Fsdp => true,
        EngineId::MegatronLm | EngineId::MegatronDeepspeed => {
            return super::megatron::precision(given, compute, report);
        }
        EngineId::PytorchDdp => false,
    };
    let default = if sharded { "mixed" } else { "autocast" };
    let stated = given.choice(InputId::PrecisionMode);
    if compute == DType::Fp32 {
        if stated.is_some_and(|mode| mode != "pure") {
            report.warn(
                "not_used",
                InputId::PrecisionMode,
                "With fp32 arithmetic everything is fp32; the precision mode has no effect.",
            );
        }
        return pure(compute, reduce.filter(|_| sharded));
    }
    let mode = stated.unwrap_or_else(|| {
        report.assume(
            InputId::PrecisionMode,
            default,
            format!("the usual mode of {}", engine.name()),
        );
        default
    });
    match (mode, sharded) {
        ("pure", true) => pure(compute, reduce),
        ("pure", false) => Precision::Pure(compute),
        ("autocast", _) => Precision::Autocast(compute),
        (_, true) => Precision::ShardedMixed {
            stored: DType::Fp32,
            compute,
            reduce: reduce.unwrap_or(DType::Fp32),
        },
        _ => Precision::Autocast(compute),
    }
}

/// DeepSpeed keeps fp32 master weights beside 16-bit ones.
fn deepspeed(given: &Given, compute: DType, report: &mut Report) -> Precision {
    let mode = given.choice(InputId::PrecisionMode);
    if mode == Some("autocast") && compute != DType::Fp32 {
        // DeepSpeed's own block "torch_autocast": everything at rest is fp32, as without a narrow type.
        return Precision::Autocast(compute);
    }
    if mode == Some("pure") && compute != DType::Fp32 {
        return bare(given, compute, report);
    }
    if mode.is_some_and(|mode| mode != "mixed" && mode != "pure") {
        report.error(
            "not_available_yet",
            InputId::PrecisionMode,
            "With DeepSpeed the mixed mode (weights in the compute type with fp32 master weights) and autocast over fp32 weights are built.",
        );
    } else if !given.has(InputId::PrecisionMode) {
        report.assume(
            InputId::PrecisionMode,
            "mixed",
            "DeepSpeed keeps fp32 master weights",
        );
    }
    Precision::Master(compute)
}

/// Master weights, gradients and moments in bf16: `bf16_master_weights_and_grads` with `bf16_optimizer_states` (DeepSpeed 0.19.8
/// runtime/config.py; base_optimizer.py, `_configure_master_weights`).
fn bare(given: &Given, compute: DType, report: &mut Report) -> Precision {
    if compute == DType::Fp16 {
        report.error(
            "unsupported_combination",
            InputId::PrecisionMode,
            "DeepSpeed keeps fp16 master weights only for its CPU optimizer, whose moments stay fp32: choose bf16, or the mixed mode.",
        );
    }
    if given.integer(InputId::ZeroStage).unwrap_or(0) == 0 {
        report.error(
            "unsupported_combination",
            InputId::PrecisionMode,
            "DeepSpeed has master weights and moments in bf16 at ZeRO stages 1 to 3 only.",
        );
    }
    if given
        .choice(InputId::OffloadOptimizer)
        .is_some_and(|place| place != "none")
    {
        report.unproven(InputId::PrecisionMode, "pure", "engine.offload_optimizer");
    }
    Precision::Pure(compute)
}

/// Everything in one type, but for a reduction in another: a policy of mixed precision that casts nothing else.
fn pure(compute: DType, reduce: Option<DType>) -> Precision {
    match reduce.filter(|reduce| *reduce != compute) {
        Some(reduce) => Precision::ShardedMixed {
            stored: compute,
            compute,
            reduce,
        },
        None => Precision::Pure(compute),
    }
}
