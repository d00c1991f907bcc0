//! Inputs of section `training` about the optimizer: which one, how its step runs, clipping, a moving average.

use super::training::input;
use super::{Choice, FormGroup, Input, InputId, InputKind};
use crate::cite::{Citation, Evidence};

pub(super) const OPTIMIZER: Input = input(
    InputId::Optimizer,
    FormGroup::Optimizer,
    "training.optimizer",
    "--optimizer",
    "o",
    "Optimizer",
    InputKind::Choice(&[
        Choice::new(
            "adamw",
            "AdamW",
            &["adamw_torch", "adamw_torch_fused"],
            "Two states per parameter, in its type.",
        ),
        Choice::new("adam", "Adam", &[], "Two states per parameter, in its type."),
        Choice::new(
            "sgd",
            "SGD",
            &[],
            "One state per parameter with momentum, none without.",
        ),
        Choice::new(
            "adamw_8bit",
            "AdamW 8-bit",
            &["adamw-8bit", "adam8bit", "adamw8bit", "adamw_bnb_8bit"],
            "Two block-wise quantised states: about 2 bytes per parameter (bitsandbytes).",
        ),
        Choice::new(
            "paged_adamw_32bit",
            "AdamW, paged",
            &["paged_adamw"],
            "Two fp32 states in managed memory, which the driver moves to the host when it is short (bitsandbytes).",
        ),
        Choice::new(
            "paged_adamw_8bit",
            "AdamW 8-bit, paged",
            &[],
            "Two 8-bit states in managed memory (bitsandbytes).",
        ),
        Choice::new(
            "adafactor",
            "Adafactor",
            &[],
            "A row and a column per matrix instead of a full second moment (torch, without momentum).",
        ),
        Choice::new("lion", "Lion", &["lion_32bit"], "One fp32 state per parameter (bitsandbytes)."),
        Choice::new(
            "lion_8bit",
            "Lion 8-bit",
            &[],
            "One block-wise quantised state: about 1 byte per parameter (bitsandbytes).",
        ),
        Choice::new(
            "paged_lion_8bit",
            "Lion 8-bit, paged",
            &[],
            "One 8-bit state in managed memory (bitsandbytes).",
        ),
        Choice::new(
            "ademamix",
            "AdEMAMix",
            &["ademamix_32bit"],
            "Three fp32 states per parameter (bitsandbytes).",
        ),
        Choice::new(
            "ademamix_8bit",
            "AdEMAMix 8-bit",
            &[],
            "Three block-wise quantised states (bitsandbytes).",
        ),
        Choice::new(
            "adamw_32bit",
            "AdamW with fp32 states",
            &["adamw_bnb_32bit"],
            "Two fp32 states per parameter, whatever the type of the weights (bitsandbytes).",
        ),
        Choice::new(
            "paged_lion_32bit",
            "Lion, paged",
            &["paged_lion"],
            "One fp32 state in managed memory (bitsandbytes).",
        ),
        Choice::new(
            "paged_ademamix",
            "AdEMAMix, paged",
            &["paged_ademamix_32bit"],
            "Three fp32 states in managed memory (bitsandbytes).",
        ),
        Choice::new(
            "paged_ademamix_8bit",
            "AdEMAMix 8-bit, paged",
            &[],
            "Three 8-bit states in managed memory (bitsandbytes).",
        ),
        Choice::new(
            "adamw_8bit_torchao",
            "AdamW 8-bit (torchao)",
            &["adamw_torch_8bit"],
            "Two 8-bit states in blocks of 256 (torchao).",
        ),
        Choice::new(
            "adamw_4bit_torchao",
            "AdamW 4-bit (torchao)",
            &["adamw_torch_4bit"],
            "Two 4-bit states in blocks of 128 (torchao).",
        ),
        Choice::new(
            "adamw_fp8_torchao",
            "AdamW fp8 (torchao)",
            &[],
            "Two fp8 states in blocks of 256 (torchao).",
        ),
        Choice::new(
            "adafactor_transformers",
            "Adafactor (transformers)",
            &["adafactor_hf"],
            "A row and a column per matrix in fp32, and fp32 copies of the weight at hand in its step (transformers).",
        ),
        Choice::new(
            "muon",
            "Muon",
            &[],
            "One momentum state for the matrices of the layers, AdamW for all other tensors (torch).",
        ),
        Choice::new(
            "galore",
            "GaLore AdamW",
            &["galore_adamw"],
            "AdamW whose states of the layers' matrices are projected to a rank (galore_torch).",
        ),
        Choice::new(
            "schedule_free",
            "schedule-free AdamW",
            &["schedule_free_adamw"],
            "A second moment and the averaged sequence (schedulefree).",
        ),
    ]),
)
.fixed("adamw")
.help("Its states stay in memory between steps: 8 bytes per parameter for AdamW on fp32 weights, 4 on bf16 weights, about 2 for the 8-bit variant.")
.cite(Citation::new(
    Evidence::Source,
    "pytorch/pytorch torch/optim; bitsandbytes-foundation/bitsandbytes bitsandbytes/optim/optimizer.py; pytorch/ao torchao/optim; jiaweizzhao/GaLore galore_torch; facebookresearch/schedule_free",
));

pub(super) const OPTIMIZER_IN_BACKWARD: Input = input(
    InputId::OptimizerInBackward,
    FormGroup::Optimizer,
    "training.optimizer_in_backward",
    "--optimizer-in-backward",
    "obw",
    "Optimizer step inside backward",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.help("Each weight is updated as soon as its gradient is there, and the gradient is freed. Neither accumulation nor clipping by the global norm is possible then.")
.cite(Citation::new(
    Evidence::Source,
    "pytorch/torchtune torchtune/training/memory.py: OptimizerInBackwardWrapper",
));

pub(super) const GALORE_RANK: Input = input(
    InputId::GaloreRank,
    FormGroup::Optimizer,
    "training.galore_rank",
    "--galore-rank",
    "glr",
    "Rank of GaLore",
    InputKind::Integer { min: 1, max: 65_536 },
)
.fixed("128")
.advanced()
.help("Rank to which GaLore projects the gradients of the layers' matrices. The states grow in proportion.")
.cite(Citation::new(
    Evidence::Source,
    "huggingface/transformers src/transformers/trainer.py: rank of GaLore's optim_args",
));

pub(super) const OPTIMIZER_IMPLEMENTATION: Input = input(
    InputId::OptimizerImplementation,
    FormGroup::Optimizer,
    "training.optimizer_implementation",
    "--optimizer-implementation",
    "oi",
    "Optimizer implementation",
    InputKind::Choice(&[
        Choice::new("fused", "fused", &[], "One kernel, no temporaries."),
        Choice::new(
            "foreach",
            "foreach",
            &["multi_tensor"],
            "All tensors at once, with a temporary as large as one state.",
        ),
        Choice::new(
            "loop",
            "loop",
            &["for_loop", "single_tensor"],
            "One tensor after another.",
        ),
    ]),
)
.derived("fused from torch 2.8 on, as transformers' Trainer does, foreach before; foreach for SGD")
.advanced()
.help("How torch runs the optimizer's step. foreach needs a temporary as large as one state at the optimizer's step, which often is the peak of large models.")
.cite(Citation::new(
    Evidence::Source,
    "huggingface/transformers src/transformers/training_args.py; pytorch/pytorch torch/optim/adam.py",
));

pub(super) const MOMENTUM: Input = input(
    InputId::Momentum,
    FormGroup::Optimizer,
    "training.momentum",
    "--momentum",
    "mo",
    "Momentum of SGD",
    InputKind::Number {
        min: 0.0,
        max: 1.0,
        positive: false,
    },
)
.fixed("0.9")
.advanced()
.help("Above zero, SGD keeps one state per parameter. Other optimizers do not use it.");

pub(super) const GRADIENT_CLIPPING: Input = input(
    InputId::GradientClipping,
    FormGroup::Optimizer,
    "training.gradient_clipping",
    "--gradient-clipping",
    "gc",
    "Gradient clipping",
    InputKind::Number {
        min: 0.0,
        max: 1e6,
        positive: false,
    },
)
.fixed("1.0")
.advanced()
.help("Largest global norm of the gradients, 0 for none. Clipping adds one small norm per tensor; its value does not change memory.");

pub(super) const MOVING_AVERAGE: Input = input(
    InputId::MovingAverage,
    FormGroup::Optimizer,
    "training.moving_average",
    "--moving-average",
    "ma",
    "Moving average of the weights",
    InputKind::Choice(&[
        Choice::new("none", "none", &[], "No copy."),
        Choice::new("fp32", "fp32 copy", &[], "4 bytes per weight."),
        Choice::new(
            "same",
            "copy in the weights' type",
            &["torch"],
            "As torch's AveragedModel keeps it.",
        ),
    ]),
)
.fixed("none")
.advanced()
.help("An exponential moving average keeps another copy of the weights on the GPU.")
.cite(Citation::new(
    Evidence::Source,
    "pytorch/pytorch torch/optim/swa_utils.py: AveragedModel",
));
