//! Inputs of section `engine`: which engine, its version and its settings.

use super::{Choice, EngineId, FormGroup, Input, InputId, InputKind, Section};
use crate::cite::{Citation, Evidence};

const DDP: &[EngineId] = &[EngineId::PytorchDdp];
const FSDP: &[EngineId] = &[EngineId::Fsdp];
const ZERO: &[EngineId] = &[EngineId::Deepspeed, EngineId::MegatronDeepspeed];
const MEGATRON: &[EngineId] = &[EngineId::MegatronLm, EngineId::MegatronDeepspeed];

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
        (Section::Engine, FormGroup::EngineSettings),
        key,
        flag,
        url,
        label,
        kind,
    )
    .advanced()
}

/// A buffer size of DeepSpeed, in elements.
const fn elements(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
) -> Input {
    input(
        id,
        key,
        flag,
        url,
        label,
        InputKind::Integer {
            min: 0,
            max: super::model::MAX_COUNT,
        },
    )
    .unit("elements")
    .only(ZERO)
    .cite(Citation::new(
        Evidence::Source,
        "deepspeedai/DeepSpeed deepspeed/runtime/zero/config.py",
    ))
}

pub(super) const TYPE: Input = Input::new(
    InputId::EngineType,
    (Section::Engine, FormGroup::Engine),
    "engine.type",
    "--engine",
    "en",
    "Engine",
    InputKind::Choice(&[
        Choice::new(
            "pytorch_ddp",
            "PyTorch (one GPU, DDP on more)",
            &["pytorch", "ddp", "single"],
            "Every GPU holds a full copy of weights, gradients and optimizer states.",
        ),
        Choice::new(
            "fsdp",
            "PyTorch FSDP",
            &["fsdp2", "fully_shard"],
            "Weights, gradients and optimizer states are divided among the GPUs; a layer is gathered while it runs.",
        ),
        Choice::new(
            "deepspeed",
            "DeepSpeed ZeRO",
            &["zero"],
            "Optimizer states, gradients and weights are divided by stage.",
        ),
        Choice::new(
            "megatron_lm",
            "Megatron-LM",
            &["megatron", "megatron-lm"],
            "Matrices, layers, sequences and experts are divided among GPUs, each by a size of its own; the answer is of the fullest pipeline stage.",
        ),
        Choice::new(
            "megatron_deepspeed",
            "Megatron-DeepSpeed",
            &["megatron-deepspeed"],
            "Megatron's layout under DeepSpeed's pipeline, with ZeRO on the data-parallel group; the answer is of the fullest pipeline stage.",
        ),
    ]),
)
.fixed("pytorch_ddp")
.help("The framework that holds the states. It decides what is copied, what is divided among the GPUs, and which buffers come on top.");

pub(super) const VERSION: Input = Input::new(
    InputId::EngineVersion,
    (Section::Engine, FormGroup::Engine),
    "engine.version",
    "--torch-version",
    "tv",
    "PyTorch version",
    InputKind::Text { max_len: 40 },
)
.aliases(&["engine.engine_version", "engine.torch_version"])
.fixed("2.15")
.advanced()
.help("Version of torch, as 2.15 or 2.8.1. Up to 2.14 the matrix-product workspaces stay allocated (64 MiB on Hopper); from 2.8 on the fused optimizer is the default of transformers' Trainer.")
.cite(Citation::new(
    Evidence::Source,
    "pytorch/pytorch aten/src/ATen/cuda/CublasHandlePool.cpp",
));

pub(super) const TRANSFORMERS_VERSION: Input = Input::new(
    InputId::TransformersVersion,
    (Section::Engine, FormGroup::Engine),
    "engine.transformers_version",
    "--transformers-version",
    "hv",
    "Transformers version",
    InputKind::Text { max_len: 40 },
)
.fixed("5.23")
.advanced()
.help("Version of Hugging Face transformers, as 5.23. Before version 5 the loss copies the shifted fp32 logits once more; up to 4.45 the models let go of the 16-bit logits.");

pub(super) const GRADIENT_AS_BUCKET_VIEW: Input = input(
    InputId::GradientAsBucketView,
    "engine.gradient_as_bucket_view",
    "--gradient-as-bucket-view",
    "bv",
    "Gradients are views of the buckets",
    InputKind::Toggle,
)
.fixed("false")
.only(DDP)
.help("DDP keeps a flat copy of all gradients in buckets. With this on, gradients live in the buckets and the copy is saved.")
.cite(Citation::new(
    Evidence::Source,
    "pytorch/pytorch torch/nn/parallel/distributed.py",
));

pub(super) const BUCKET_CAP_MB: Input = input(
    InputId::BucketCapMb,
    "engine.bucket_cap_mb",
    "--bucket-cap-mb",
    "bc",
    "Bucket size",
    InputKind::Number {
        min: 0.0,
        max: 1e6,
        positive: true,
    },
)
.fixed("25")
.unit("MiB")
.only(DDP)
.exports_only()
.help("Size of DDP's buckets. All buckets together are as large as the gradients, so the size does not change the total.");

pub(super) const FSDP_VERSION: Input = input(
    InputId::FsdpVersion,
    "engine.fsdp_version",
    "--fsdp-version",
    "fv",
    "FSDP version",
    InputKind::Choice(&[
        Choice::new("2", "2 (fully_shard)", &[], "Shards every parameter by itself."),
        Choice::new(
            "1",
            "1 (FullyShardedDataParallel)",
            &[],
            "Shards flat parameters of a unit.",
        ),
    ]),
)
.fixed("2")
.only(FSDP)
.help("Version 2 (fully_shard) or 1 (FullyShardedDataParallel). They pad and gather differently.");

pub(super) const SHARDING_STRATEGY: Input = input(
    InputId::ShardingStrategy,
    "engine.sharding_strategy",
    "--sharding-strategy",
    "ss",
    "Sharding strategy",
    InputKind::Choice(&[
        Choice::new(
            "full_shard",
            "full shard",
            &["full"],
            "Everything is divided; gathered weights are freed after use.",
        ),
        Choice::new(
            "shard_grad_op",
            "gradients and states",
            &[],
            "Gathered weights stay from the forward pass to backward.",
        ),
        Choice::new(
            "no_shard",
            "no shard",
            &[],
            "As DDP, with a flat gradient per layer (version 1 only).",
        ),
        Choice::new(
            "hybrid_shard",
            "hybrid shard",
            &["hsdp"],
            "Divided inside a node, copied between nodes.",
        ),
        Choice::new(
            "hybrid_shard_zero2",
            "hybrid shard, gradients and states",
            &[],
            "As hybrid, with gathered weights kept.",
        ),
    ]),
)
.fixed("full_shard")
.only(FSDP)
.help("What FSDP divides among the GPUs. Keeping gathered weights until backward costs a full copy of the weights in the compute type.");

pub(super) const RESHARD_AFTER_FORWARD: Input = input(
    InputId::ReshardAfterForward,
    "engine.reshard_after_forward",
    "--reshard-after-forward",
    "rf",
    "Free gathered weights after forward",
    InputKind::Toggle,
)
.derived("true for full shard, false for shard_grad_op")
.only(FSDP)
.help("Whether the gathered weights of a layer are freed after its forward pass and gathered again in backward. Off keeps a full copy of the weights in the compute type.");

pub(super) const SYNC_EACH_MICRO_BATCH: Input = input(
    InputId::SyncEachMicroBatch,
    "engine.sync_each_micro_batch",
    "--sync-each-micro-batch",
    "sy",
    "Reduce gradients after every micro-batch",
    InputKind::Toggle,
)
.fixed("true")
.only(FSDP)
.help("Off is no_sync or set_requires_gradient_sync(False): with accumulation the gradients stay whole on every GPU until the last micro-batch, in the type of the reduction.")
.cite(Citation::new(
    Evidence::Source,
    "pytorch/pytorch torch/distributed/fsdp/_fully_shard/_fsdp_param_group.py",
));

pub(super) const REDUCE_DTYPE: Input = Input::new(
    InputId::ReduceDtype,
    (Section::Engine, FormGroup::Precision),
    "engine.reduce_dtype",
    "--reduce-dtype",
    "rd",
    "Type of gradient reduction",
    InputKind::Choice(&[
        Choice::new("fp32", "fp32", &["float32"], "Gradients are reduced in fp32."),
        Choice::new(
            "bf16",
            "bf16",
            &["bfloat16"],
            "Gradients are reduced in the compute type.",
        ),
        Choice::new(
            "fp16",
            "fp16",
            &["float16"],
            "Gradients are reduced in the compute type.",
        ),
    ]),
)
.derived("fp32 in mixed mode")
.only(FSDP)
.advanced()
.help("Type in which FSDP's mixed precision reduces gradients. fp32 doubles the buffers of the reduction.");

pub(super) const ZERO_STAGE: Input = input(
    InputId::ZeroStage,
    "engine.zero_stage",
    "--zero-stage",
    "z",
    "ZeRO stage",
    InputKind::Integer { min: 0, max: 3 },
)
.derived("0 for DeepSpeed, 1 for Megatron-DeepSpeed")
.only(ZERO)
.help("1 divides optimizer states among the GPUs, 2 gradients too, 3 weights too.");

const DEVICES: InputKind = InputKind::Choice(&[
    Choice::new("none", "none", &[], "Stays on the GPU."),
    Choice::new("cpu", "CPU", &[], "In host memory."),
    Choice::new("nvme", "NVMe", &[], "On disk, with host buffers."),
]);

pub(super) const OFFLOAD_OPTIMIZER: Input = input(
    InputId::OffloadOptimizer,
    "engine.offload_optimizer",
    "--offload-optimizer",
    "oo",
    "Optimizer offload",
    DEVICES,
)
.fixed("none")
.only(ZERO)
.help("Moves optimizer states and step to the host (stages 1 to 3) or to disk (stage 3).");

pub(super) const OFFLOAD_PARAM: Input = input(
    InputId::OffloadParam,
    "engine.offload_param",
    "--offload-param",
    "op",
    "Parameter offload",
    DEVICES,
)
.fixed("none")
.only(ZERO)
.help("Moves the weight shards to the host or to disk (stage 3 only).");

pub(super) const OFFLOAD_RATIO: Input = input(
    InputId::OffloadRatio,
    "engine.offload_ratio",
    "--offload-ratio",
    "or",
    "Offloaded share",
    InputKind::Number {
        min: 0.0,
        max: 1.0,
        positive: false,
    },
)
.fixed("1")
.only(ZERO)
.help("Share of the optimizer's sub-groups (a billion elements of a rank each) that is offloaded at stage 3; the first ones stay on the GPU.")
.cite(Citation::new(
    Evidence::Source,
    "deepspeedai/DeepSpeed deepspeed/runtime/zero/stage3.py: _create_fp32_partitions",
));

pub(super) const ZERO_INIT: Input = input(
    InputId::ZeroInit,
    "engine.zero_init",
    "--zero-init",
    "zi",
    "Build the model sharded",
    InputKind::Toggle,
)
.fixed("true")
.only(ZERO)
.help("Without it each process builds the whole model in host memory before stage 3 divides it.");

pub(super) const REDUCE_BUCKET_SIZE: Input = elements(
    InputId::ReduceBucketSize,
    "engine.reduce_bucket_size",
    "--reduce-bucket-size",
    "rb",
    "Reduce bucket",
)
.fixed("500000000")
.help("Elements that DeepSpeed reduces at once. The bucket is allocated in full.");

pub(super) const OVERLAP_COMM: Input = input(
    InputId::OverlapComm,
    "engine.overlap_comm",
    "--overlap-comm",
    "oc",
    "Overlap reduction with backward",
    InputKind::Toggle,
)
.derived("true for stage 3, false otherwise")
.only(ZERO)
.help("With it stages 1 and 2 have a second bucket.")
.cite(Citation::new(
    Evidence::Source,
    "deepspeedai/DeepSpeed deepspeed/runtime/zero/stage_1_and_2.py",
));

pub(super) const ALLGATHER_BUCKET_SIZE: Input = elements(
    InputId::AllgatherBucketSize,
    "engine.allgather_bucket_size",
    "--allgather-bucket-size",
    "gb",
    "All-gather bucket",
)
.fixed("500000000")
.exports_only()
.help("Elements that DeepSpeed gathers at once after the step (stages 1 and 2). The gathering is in place, so the size does not change the total.");

pub(super) const PREFETCH_BUCKET_SIZE: Input = elements(
    InputId::PrefetchBucketSize,
    "engine.prefetch_bucket_size",
    "--prefetch-bucket-size",
    "pb",
    "Prefetch bucket",
)
.fixed("50000000")
.help("Elements that stage 3 gathers ahead at each module. Above zero it runs ahead until the most live parameters are there; zero gathers only what runs and keeps what is used again soon.")
.cite(Citation::new(
    Evidence::Source,
    "deepspeedai/DeepSpeed deepspeed/runtime/zero/partitioned_param_coordinator.py",
));

pub(super) const MAX_LIVE_PARAMETERS: Input = elements(
    InputId::MaxLiveParameters,
    "engine.max_live_parameters",
    "--max-live-parameters",
    "ml",
    "Most live parameters",
)
.fixed("1000000000")
.help("Gathered elements that stage 3 allows at once.");

pub(super) const PARAM_PERSISTENCE_THRESHOLD: Input = elements(
    InputId::ParamPersistenceThreshold,
    "engine.param_persistence_threshold",
    "--param-persistence-threshold",
    "pt",
    "Persistence threshold",
)
.fixed("100000")
.help("Parameters up to this many elements are never divided in stage 3.");

pub(super) const USE_DISTRIBUTED_OPTIMIZER: Input = input(
    InputId::UseDistributedOptimizer,
    "engine.use_distributed_optimizer",
    "--use-distributed-optimizer",
    "do",
    "Distributed optimizer",
    InputKind::Toggle,
)
.fixed("false")
.only(MEGATRON)
.help("Divides Megatron's optimizer states among the data-parallel ranks.");

pub(super) const NUM_MICRO_BATCHES: Input = input(
    InputId::NumMicroBatches,
    "engine.num_micro_batches",
    "--num-micro-batches",
    "mb",
    "Micro-batches in the pipeline",
    InputKind::Integer {
        min: 1,
        max: 1_048_576,
    },
)
.derived("the gradient accumulation steps")
.only(MEGATRON)
.help("Micro-batches that pass through the pipeline per step.");
