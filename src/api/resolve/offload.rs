//! What the settings of gathering, of DeepSpeed's buffers and of offload mean to a job: why a given value changes nothing.

use super::super::given::Given;
use super::Report;
use crate::request::{EngineId, InputId};

/// Notes what was never traced together.
pub fn note(given: &Given, report: &mut Report) {
    let away = given
        .choice(InputId::ActivationOffload)
        .is_some_and(|place| place != "none");
    if away && given.differs_from_default(InputId::Objective) {
        let place = given.choice(InputId::ActivationOffload).unwrap_or_default();
        report.unproven(InputId::ActivationOffload, place, "preference training");
    }
}

/// Why a given input changes nothing; `None` where it does.
pub fn usage(id: InputId, given: &Given, engine: EngineId) -> Option<&'static str> {
    let stage = given.integer(InputId::ZeroStage).unwrap_or(0);
    let first = given.choice(InputId::FsdpVersion) == Some("1");
    // What another engine would offload is not away with this one.
    let place = |id: InputId| {
        let read = id.input().engines.to(engine);
        given.choice(id).filter(|place| read && *place != "none")
    };
    let away = |id| place(id).is_some();
    let unless = |used: bool, why: &'static str| (!used).then_some(why);
    match id {
        InputId::ReshardRanks if first => {
            Some("Version 1 divides gathered weights among all ranks or not at all.")
        }
        InputId::ReshardRanks => unless(
            !given
                .choice(InputId::ShardingStrategy)
                .is_some_and(|strategy| matches!(strategy, "shard_grad_op" | "hybrid_shard_zero2"))
                && given.toggle(InputId::ReshardAfterForward) != Some(false),
            "Gathered weights stay gathered after the forward pass, so they are not divided again.",
        ),
        InputId::BackwardPrefetch if first => unless(
            given.choice(InputId::ShardingStrategy) != Some("no_shard"),
            "Weights that are not divided are not gathered.",
        ),
        InputId::BackwardPrefetch | InputId::LimitAllGathers if !first => {
            Some("Only version 1 has this setting.")
        }
        InputId::ForwardPrefetch
            if first && matches!(given.choice(InputId::Adapter), Some("lora" | "dora")) =>
        {
            Some("Frozen units have no gradients that could be flattened later.")
        }
        InputId::ForwardPrefetch if first => unless(
            given.choice(InputId::ShardingStrategy) != Some("no_shard"),
            "Weights that are not divided are not gathered.",
        ),
        InputId::ForwardPrefetch | InputId::UseOrigParams if !first => {
            Some("Only version 1 has this setting.")
        }
        InputId::ContiguousGradients => match stage {
            0 => Some("Stage 0 reduces without a bucket of its own."),
            1 | 2 if away(InputId::OffloadOptimizer) => {
                Some("With optimizer offload stages 1 and 2 always copy gradients into the bucket.")
            }
            _ => None,
        },
        InputId::HpzPartitionSize => unless(stage == 3, "Only stage 3 divides the weights."),
        InputId::PrefetchBucketSize if stage != 3 => Some("Only stage 3 gathers weights."),
        InputId::PrefetchBucketSize => unless(
            given.integer(InputId::PrefetchBucketSize) == Some(0),
            "Above zero, stage 3 gathers ahead until the most live parameters are there, a larger or a smaller step at a time.",
        ),
        InputId::OffloadRatio => unless(
            stage == 3 && away(InputId::OffloadOptimizer),
            "Only an optimizer that stage 3 offloads can be offloaded in part.",
        ),
        InputId::ZeroInit => unless(stage == 3, "Only stage 3 can build the model divided."),
        InputId::HostDiskGb => unless(
            [InputId::OffloadOptimizer, InputId::OffloadParam]
                .iter()
                .any(|id| place(*id) == Some("nvme")),
            "Nothing is offloaded to disk.",
        ),
        InputId::HostMemoryGb => unless(
            [
                InputId::OffloadOptimizer,
                InputId::OffloadParam,
                InputId::FsdpCpuOffload,
                InputId::ActivationOffload,
            ]
            .iter()
            .any(|id| away(*id))
                || (stage == 3
                    && engine == EngineId::Deepspeed
                    && given.toggle(InputId::ZeroInit) == Some(false)),
            "Nothing is offloaded to the host.",
        ),
        _ => None,
    }
}
