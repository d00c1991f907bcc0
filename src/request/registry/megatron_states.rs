//! Inputs of section `engine` about what Megatron-LM stores of weights, gradients and states beyond its defaults, and about
//! layers that its pipeline has beside the model's.

use super::megatron::input;
use super::{Choice, Input, InputId, InputKind};
use crate::cite::{Citation, Evidence};

pub(super) const PIPELINE_LAYOUT: Input = input(
    InputId::PipelineLayout,
    "engine.pipeline_layout",
    "--pipeline-layout",
    "ply",
    "Pipeline layout, written out",
    InputKind::Text { max_len: 2000 },
)
.derived("as many layers on every stage")
.only(super::megatron::PIPELINES)
.help("Every (virtual) stage in the order of the model, as pipeline-model-parallel-layout writes them: E embedding, t layer, m layer for further tokens, L loss; | ends a stage and (tt|)*6 repeats. \"Et*3|(tt|)*6mL\" has eight stages.")
.cite(Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM core/transformer/pipeline_parallel_layer_layout.py",
));

pub(super) const FURTHER_LAYERS: Input = input(
    InputId::FurtherLayers,
    "engine.mtp_num_layers",
    "--mtp-num-layers",
    "mtn",
    "Layers for further tokens",
    InputKind::Integer { min: 0, max: 64 },
)
.fixed("0")
.unit("layers")
.help("Multi-token prediction: each adds a layer like the last one to the last stage, with a projection before it and a loss of its own, whose logits wait for backward (mtp-num-layers).")
.cite(Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM core/transformer/multi_token_prediction.py",
));

pub(super) const NARROW_RECIPE: Input = input(
    InputId::NarrowRecipe,
    "engine.fp8_recipe",
    "--fp8-recipe",
    "f8r",
    "FP8 or FP4 recipe",
    InputKind::Choice(&[
        Choice::new("none", "none", &[], "Products of linear layers in the compute type."),
        Choice::new(
            "delayed",
            "FP8, delayed scaling",
            &[],
            "One scale per tensor, from a history of largest values.",
        ),
        Choice::new(
            "tensorwise",
            "FP8, current scaling",
            &["current"],
            "One scale per tensor, from the tensor at hand.",
        ),
        Choice::new("blockwise", "FP8, blocks of 128", &[], "An fp32 scale per block of 128."),
        Choice::new("mxfp8", "MXFP8", &[], "A scale of one byte per 32 values."),
        Choice::new("nvfp4", "NVFP4", &[], "Four bits, a scale of one byte per 16 values."),
    ]),
)
.fixed("none")
.help("Transformer Engine's narrow products: inputs of linear layers are saved in the narrow format, and unless the weights themselves are stored like that, each linear layer keeps a narrow copy of them over the micro-batches of a step, before Blackwell one for forward and one for backward.")
.cite(Citation::new(
    Evidence::Source,
    "NVIDIA/TransformerEngine transformer_engine/pytorch/module/linear.py, base.py; NVIDIA/Megatron-LM core/fp8_utils.py",
));

pub(super) const NARROW_PRIMARY: Input = input(
    InputId::NarrowPrimary,
    "engine.fp8_param_gather",
    "--fp8-param-gather",
    "f8p",
    "Weights stored in the narrow format",
    InputKind::Toggle,
)
.fixed("false")
.help("Linear layers store no 16-bit weights: the narrow ones are updated from the master weights and gathered as they are (fp8-param-gather).");

pub(super) const SHARDING: Input = input(
    InputId::MegatronSharding,
    "engine.data_parallel_sharding",
    "--data-parallel-sharding",
    "dps",
    "Megatron-FSDP divides",
    InputKind::Choice(&[
        Choice::new("none", "nothing", &["no_shard"], "Megatron-FSDP is not used."),
        Choice::new("optim", "optimizer states", &[], "ZeRO-1: master weights and moments."),
        Choice::new("optim_grads", "and gradients", &[], "ZeRO-2: main gradients as well."),
        Choice::new(
            "optim_grads_params",
            "and weights",
            &["fsdp"],
            "ZeRO-3: weights as well; a layer is gathered while it runs, and the next one ahead of it.",
        ),
    ]),
)
.fixed("none")
.help("What Megatron-FSDP (use-megatron-fsdp, data-parallel-sharding-strategy) divides among the data-parallel ranks.")
.cite(Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM core/distributed/fsdp/src/megatron_fsdp/param_and_grad_buffer.py",
));

pub(super) const OFFLOAD_FRACTION: Input = input(
    InputId::OffloadFraction,
    "engine.optimizer_offload_fraction",
    "--optimizer-offload-fraction",
    "oof",
    "Share of the optimizer on the host",
    InputKind::Number {
        min: 0.0,
        max: 1.0,
        positive: false,
    },
)
.fixed("0")
.help("Share of master weights and moments that is kept and updated on the host (optimizer-cpu-offload with optimizer-offload-fraction). Weights and main gradients stay on the GPU.")
.cite(Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM core/optimizer/cpu_offloading/hybrid_optimizer.py",
));

pub(super) const MOMENT_DTYPE: Input = input(
    InputId::MomentDtype,
    "engine.exp_avg_dtype",
    "--exp-avg-dtype",
    "ead",
    "Type of the moments",
    InputKind::Choice(&[
        Choice::new("fp32", "fp32", &[], "Four bytes each."),
        Choice::new("bf16", "bf16", &[], "Two bytes each."),
        Choice::new("fp16", "fp16", &[], "Two bytes each."),
        Choice::new("fp8", "fp8", &[], "One byte each."),
    ]),
)
.fixed("fp32")
.help("Element type of both moments with the precision-aware optimizer (use-precision-aware-optimizer, exp-avg-dtype and exp-avg-sq-dtype).")
.cite(Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM core/optimizer/optimizer_config.py",
));

pub(super) const LAYER_WISE_LAYOUT: Input = input(
    InputId::LayerWiseLayout,
    "engine.layer_wise_param_layout",
    "--layer-wise-param-layout",
    "lwl",
    "Muon's matrices laid out in shards",
    InputKind::Toggle,
)
.fixed("true")
.help("Muon with the distributed optimizer: matrices fill equal shards, and what Adam updates is divided by the element. Without it (no-use-layer-wise-param-layout, dist_muon) every tensor is dealt out whole, so one rank has all states of the embedding; the answer is of that rank.")
.cite(Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM core/optimizer/layer_wise_optimizer.py",
));
