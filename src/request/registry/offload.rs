//! Inputs that move memory off the GPU: offload of activations and of FSDP's states;
//! and the finer settings of FSDP, DDP and DeepSpeed. Their sections are `training` and `engine`.

use super::{Choice, EngineId, FormGroup, Input, InputId, InputKind, Section};
use crate::cite::{Citation, Evidence};

const DDP: &[EngineId] = &[EngineId::PytorchDdp];
const FSDP: &[EngineId] = &[EngineId::Fsdp];
const ZERO: &[EngineId] = &[EngineId::Deepspeed, EngineId::MegatronDeepspeed];

const fn training(
    (id, key): (InputId, &'static str),
    (flag, url): (&'static str, &'static str),
    label: &'static str,
    kind: InputKind,
) -> Input {
    let place = (Section::Training, FormGroup::Activations);
    Input::new(id, place, key, flag, url, label, kind).advanced()
}

const fn engine(
    (id, key): (InputId, &'static str),
    (flag, url): (&'static str, &'static str),
    label: &'static str,
    kind: InputKind,
) -> Input {
    let place = (Section::Engine, FormGroup::EngineSettings);
    Input::new(id, place, key, flag, url, label, kind).advanced()
}

const FSDP1: Citation = Citation::new(
    Evidence::Source,
    "pytorch/pytorch torch/distributed/fsdp/fully_sharded_data_parallel.py, _runtime_utils.py",
);

pub(super) const ACTIVATION_OFFLOAD: Input = training(
    (InputId::ActivationOffload, "training.activation_offload"),
    ("--activation-offload", "ao"),
    "Activation offload",
    InputKind::Choice(&[
        Choice::new("none", "none", &[], "Saved activations stay on the GPU."),
        Choice::new(
            "pinned",
            "host, pinned",
            &["true", "cpu", "save_on_cpu"],
            "In page-locked host memory.",
        ),
        Choice::new("pageable", "host, pageable", &[], "In ordinary host memory."),
    ]),
)
.fixed("none")
.help("torch's save_on_cpu: what is saved for backward waits in host memory, and only what one operation needs comes back.")
.cite(Citation::new(
    Evidence::Source,
    "pytorch/pytorch torch/autograd/graph.py: save_on_cpu",
));

pub(super) const STATIC_GRAPH: Input = engine(
    (InputId::StaticGraph, "engine.static_graph"),
    ("--static-graph", "sg"),
    "Static graph",
    InputKind::Toggle,
)
.fixed("false")
.only(DDP)
.advanced()
.help("DDP records once which gradients come and in which order. Buckets are as large with it as without it; a counter per tensor comes on top.")
.cite(Citation::new(
    Evidence::Source,
    "pytorch/pytorch torch/csrc/distributed/c10d/reducer.cpp: initialize_local_used_map",
));

pub(super) const RESHARD_RANKS: Input = engine(
    (InputId::ReshardRanks, "engine.reshard_ranks"),
    ("--reshard-ranks", "rr"),
    "Ranks among which gathered weights are divided again",
    InputKind::Integer {
        min: 1,
        max: 1_048_576,
    },
)
.derived("all ranks that share the weights")
.only(FSDP)
.help("reshard_after_forward as a number: after its forward pass a layer keeps this share of its gathered weights, so that backward gathers among fewer ranks (version 2 only).")
.cite(Citation::new(
    Evidence::Source,
    "pytorch/pytorch torch/distributed/fsdp/_fully_shard/_fully_shard.py",
));

pub(super) const FSDP_CPU_OFFLOAD: Input = engine(
    (InputId::FsdpCpuOffload, "engine.cpu_offload"),
    ("--cpu-offload", "fo"),
    "CPU offload",
    InputKind::Choice(&[
        Choice::new("none", "none", &["false"], "Shards are on the GPU."),
        Choice::new(
            "pinned",
            "host, pinned",
            &["true", "cpu"],
            "Shards in page-locked host memory.",
        ),
        Choice::new("pageable", "host, pageable", &[], "Shards in ordinary host memory."),
    ]),
)
.fixed("none")
.only(FSDP)
.help("CPUOffloadPolicy or CPUOffload: shards of weights, gradients and optimizer states are on the host, and the optimizer runs there. The GPU holds gathered layers and reductions.")
.cite(Citation::new(
    Evidence::Source,
    "pytorch/pytorch torch/distributed/fsdp/_fully_shard/_fsdp_param.py, _fsdp_collectives.py; fsdp/_flat_param.py",
));

pub(super) const BACKWARD_PREFETCH: Input = engine(
    (InputId::BackwardPrefetch, "engine.backward_prefetch"),
    ("--backward-prefetch", "bp"),
    "Backward prefetch",
    InputKind::Choice(&[
        Choice::new(
            "backward_pre",
            "before",
            &["pre"],
            "The layer below is gathered before a layer's gradients are computed.",
        ),
        Choice::new(
            "backward_post",
            "after",
            &["post"],
            "It is gathered after the layer's weights are freed.",
        ),
        Choice::new(
            "none",
            "none",
            &["no_prefetch"],
            "It is gathered when its turn comes.",
        ),
    ]),
)
.fixed("backward_pre")
.only(FSDP)
.help("When version 1 gathers the next layer of backward. Before: two gathered layers are there at once.")
.cite(FSDP1);

pub(super) const FORWARD_PREFETCH: Input = engine(
    (InputId::ForwardPrefetch, "engine.forward_prefetch"),
    ("--forward-prefetch", "fp"),
    "Forward prefetch",
    InputKind::Toggle,
)
.fixed("false")
.only(FSDP)
.help("Version 1 gathers the next layer while one runs forward. Its views are made before the layer below runs, so backward flattens a layer's gradients one layer later: one more gathered layer and one more layer of gradients at once.")
.cite(FSDP1);

pub(super) const LIMIT_ALL_GATHERS: Input = engine(
    (InputId::LimitAllGathers, "engine.limit_all_gathers"),
    ("--limit-all-gathers", "la"),
    "Limit all-gathers",
    InputKind::Toggle,
)
.fixed("true")
.only(FSDP)
.help("Version 1 lets the host run at most two gathered layers ahead of the GPU. Off, it can run ahead of all of them: how far depends on the speed of both, so only the upper bound rises.")
.cite(Citation::new(
    Evidence::Source,
    "pytorch/pytorch torch/distributed/fsdp/_limiter_utils.py",
));

pub(super) const USE_ORIG_PARAMS: Input = engine(
    (InputId::UseOrigParams, "engine.use_orig_params"),
    ("--use-orig-params", "uo"),
    "Original parameters",
    InputKind::Toggle,
)
.fixed("true")
.only(FSDP)
.help("Version 1 shows the original parameters as views of the flat one. Flat gradients then stay until the next forward pass; without it they go after the step, and frozen weights need flat parameters of their own, as PEFT's wrapping policy gives them.")
.cite(FSDP1);

pub(super) const CONTIGUOUS_GRADIENTS: Input = engine(
    (InputId::ContiguousGradients, "engine.contiguous_gradients"),
    ("--contiguous-gradients", "cg"),
    "Contiguous gradients",
    InputKind::Toggle,
)
.fixed("true")
.only(ZERO)
.help("Gradients are copied into the bucket as they come. Off, there is no bucket: they wait where they are, and are copied when they are reduced.")
.cite(Citation::new(
    Evidence::Source,
    "deepspeedai/DeepSpeed deepspeed/runtime/zero/stage_1_and_2.py",
));

pub(super) const HPZ_PARTITION_SIZE: Input = engine(
    (InputId::HpzPartitionSize, "engine.zero_hpz_partition_size"),
    ("--zero-hpz-partition-size", "hz"),
    "Secondary partition (hpZ)",
    InputKind::Integer {
        min: 1,
        max: 1_048_576,
    },
)
.fixed("1")
.unit("ranks")
.only(ZERO)
.help("ZeRO++: so many ranks, those of a node as a rule, share a second copy of the 16-bit weights from which backward gathers (stage 3). It costs 2 bytes per weight divided by their number.")
.cite(Citation::new(
    Evidence::Source,
    "deepspeedai/DeepSpeed deepspeed/runtime/zero/partition_parameters.py: ds_secondary_tensor",
));
