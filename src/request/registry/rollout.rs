//! Inputs of section `training` about the engine that generates answers in reinforcement learning.

use super::{Choice, FormGroup, Input, InputId, InputKind, Section};
use crate::cite::{Citation, Evidence};

const fn input(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    Input::new(
        id,
        (Section::Training, FormGroup::Workload),
        key,
        flag,
        url,
        label,
        kind,
    )
    .advanced()
    .cite(Citation::new(
        Evidence::Source,
        "vllm-project/vllm vllm/config/cache.py, vllm/device_allocator/cumem.py; huggingface/trl trl/trainer/grpo_config.py",
    ))
}

pub(super) const ROLLOUT: Input = input(
    InputId::Rollout,
    "training.rollout",
    "--rollout",
    "ro",
    "Engine that generates answers",
    InputKind::Choice(&[
        Choice::new("separate", "on other GPUs", &["server"], "Nothing of it is on the GPUs of the trainer."),
        Choice::new(
            "colocated",
            "on the same GPUs",
            &["colocate"],
            "It takes its share of each card while answers are generated, and before that a tensor at a time is handed over.",
        ),
    ]),
)
.fixed("separate")
.help("Where answers are sampled. On the same GPUs generation, hand-over and step are instants of their own; with the engine awake all the time its share is alive at each.");

pub(super) const ROLLOUT_UTILIZATION: Input = input(
    InputId::RolloutUtilization,
    "training.rollout_memory_utilization",
    "--rollout-memory-utilization",
    "rou",
    "Engine's share of the card",
    InputKind::Number {
        min: 0.0,
        max: 1.0,
        positive: true,
    },
)
.fixed("0.3")
.help("Share of the card that the engine's weights, cache and activations take together (vLLM's gpu_memory_utilization).");

pub(super) const ROLLOUT_SLEEP: Input = input(
    InputId::RolloutSleep,
    "training.rollout_sleep",
    "--rollout-sleep",
    "ros",
    "Engine sleeps during the step",
    InputKind::Choice(&[
        Choice::new("none", "no", &[], "Weights and cache stay on the GPU."),
        Choice::new(
            "offload",
            "level 1",
            &["1"],
            "The cache is freed, weights wait in host memory.",
        ),
        Choice::new(
            "discard",
            "level 2",
            &["2"],
            "Cache and weights are dropped; new weights are handed over anyway.",
        ),
    ]),
)
.fixed("none")
.help(
    "vLLM's sleep mode: what the engine gives back while the trainer computes log-probabilities and steps.",
);

pub(super) const ROLLOUT_TENSOR: Input = input(
    InputId::RolloutTensor,
    "training.rollout_tensor_parallel_size",
    "--rollout-tensor-parallel-size",
    "rot",
    "Tensor-parallel ranks of the engine",
    InputKind::Integer { min: 1, max: 64 },
)
.fixed("1")
.help("GPUs that share the engine's weights, whatever divides the model that trains (vllm_tensor_parallel_size).");
