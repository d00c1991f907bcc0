//! Combinations that a framework refuses, checked whether or not the engine is built.

use super::super::given::Given;
use super::Report;
use crate::request::{EngineId, InputId};
use crate::warn::Issue;

/// What DeepSpeed's flat weights exclude, ZeRO stage, offload and pipeline stages.
pub fn zero(given: &Given, engine: EngineId, report: &mut Report) {
    if !InputId::ZeroStage.input().engines.to(engine) || given.has_failed(InputId::ZeroStage) {
        return;
    }
    let usual = u64::from(engine == EngineId::MegatronDeepspeed);
    let stage = given.integer(InputId::ZeroStage).unwrap_or(usual);
    let averaged = given
        .choice(InputId::MovingAverage)
        .is_some_and(|kind| kind != "none");
    if averaged && engine != EngineId::Deepspeed {
        report.error(
            "not_available_yet",
            InputId::MovingAverage,
            "A moving average beside Megatron-DeepSpeed is not built.",
        );
    } else if averaged && stage == 3 {
        let kind = given.choice(InputId::MovingAverage).unwrap_or_default();
        report.unproven(InputId::MovingAverage, kind, "engine.zero_stage=3");
    }
    let mut refuse = |id: InputId, message: &str, hint: &str| {
        report.add(Issue::error("unsupported_combination", id.key(), message).with_hint(hint));
    };
    if stage >= 2 && given.integer(InputId::PipelineParallelSize).unwrap_or(1) > 1 {
        refuse(
            InputId::ZeroStage,
            "DeepSpeed's pipeline engine refuses ZeRO stages 2 and 3.",
            "Use stage 1, or no pipeline stages.",
        );
    }
    match given.choice(InputId::OffloadOptimizer) {
        Some("nvme") if stage < 3 => refuse(
            InputId::OffloadOptimizer,
            "Optimizer states can be offloaded to NVMe at ZeRO stage 3 only.",
            "Use stage 3, or offload to the CPU.",
        ),
        Some("cpu") if stage == 0 => refuse(
            InputId::OffloadOptimizer,
            "Optimizer states can be offloaded at ZeRO stages 1 to 3 only.",
            "Use stage 1, 2 or 3.",
        ),
        _ => {}
    }
    if stage < 3
        && given
            .choice(InputId::OffloadParam)
            .is_some_and(|device| device != "none")
    {
        refuse(
            InputId::OffloadParam,
            "Parameters can be offloaded at ZeRO stage 3 only.",
            "Use stage 3.",
        );
    }
}
