//! Inputs about what happens between two training steps: evaluation and checkpoints.

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
}

pub(super) const EVALUATION: Input = input(
    InputId::Evaluation,
    "training.evaluation",
    "--evaluation",
    "ev",
    "Evaluation between steps",
    InputKind::Choice(&[
        Choice::new("none", "none", &[], "No evaluation on these GPUs."),
        Choice::new("loss", "loss", &[], "Loss over all positions, without gradients."),
        Choice::new(
            "generate",
            "loss and generation",
            &["generation"],
            "Answers are generated with a cache of keys and values as well.",
        ),
    ]),
)
.fixed("none")
.help("Evaluation holds weights and optimizer states, the logits of its whole batch, and for generation the cache. With a large batch it can be the tightest instant.")
.cite(Citation::new(
    Evidence::Traced,
    "transformers 5.23, forward without gradients after a training step",
));

pub(super) const EVALUATION_BATCH_SIZE: Input = input(
    InputId::EvaluationBatchSize,
    "training.evaluation_batch_size",
    "--evaluation-batch-size",
    "eb",
    "Evaluation batch per GPU",
    InputKind::Integer {
        min: 1,
        max: 1_048_576,
    },
)
.aliases(&["training.per_device_eval_batch_size"])
.derived("the micro-batch")
.unit("sequences")
.help("Sequences that one GPU evaluates at once, of the training length. transformers' Trainer takes 8 where nothing is said.");

pub(super) const GENERATED_TOKENS: Input = input(
    InputId::GeneratedTokens,
    "training.generated_tokens",
    "--generated-tokens",
    "gtk",
    "Generated tokens",
    InputKind::Integer { min: 1, max: 1 << 24 },
)
.fixed("128")
.unit("tokens")
.help("New tokens per sequence in an evaluation with generation; the prompt has the training length.");

pub(super) const CHECKPOINT_SAVE: Input = input(
    InputId::CheckpointSave,
    "training.checkpoint_save",
    "--checkpoint-save",
    "cs",
    "Saving a checkpoint",
    InputKind::Choice(&[
        Choice::new("none", "not considered", &[], "No checkpoint is looked at."),
        Choice::new(
            "sharded",
            "sharded",
            &["sharded_state_dict"],
            "Each rank writes its part. Version 1 of FSDP gathers unit by unit and copies it.",
        ),
        Choice::new(
            "full",
            "whole, on the host",
            &["full_state_dict"],
            "Gathered piece by piece and moved to the host.",
        ),
        Choice::new(
            "full_on_device",
            "whole, on the GPU",
            &[],
            "Gathered on the GPU: all weights at once.",
        ),
    ]),
)
.fixed("none")
.help("A whole checkpoint of a sharded model gathers weights in the type in which they are stored: the largest tensor (FSDP2, ZeRO-3) or unit (FSDP1) at once, or all of them.")
.cite(Citation::new(
    Evidence::Source,
    "torch 2.15 distributed/checkpoint/state_dict.py: StateDictOptions(full_state_dict, cpu_offload)",
));
