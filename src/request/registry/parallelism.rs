//! Inputs of section `parallelism`: the sizes of the mesh.

use super::{Choice, EngineId, FormGroup, Input, InputId, InputKind, Section};
use crate::cite::{Citation, Evidence};

const MEGATRON: &[EngineId] = &[EngineId::MegatronLm, EngineId::MegatronDeepspeed];

/// PyTorch's engines, which divide matrices by DTensor.
const PYTORCH: &[EngineId] = &[EngineId::PytorchDdp, EngineId::Fsdp];
const TENSOR_PARALLEL: &[EngineId] = &[
    EngineId::PytorchDdp,
    EngineId::Fsdp,
    EngineId::MegatronLm,
    EngineId::MegatronDeepspeed,
    EngineId::Deepspeed,
];
/// Engines whose layers are divided among stages, and with them chunks of a stage, sequences and experts.
const COMPOSED: &[EngineId] = &[EngineId::MegatronLm, EngineId::MegatronDeepspeed, EngineId::Fsdp];
const ALL_COMPOSED: &[EngineId] = &[
    EngineId::MegatronLm,
    EngineId::MegatronDeepspeed,
    EngineId::Deepspeed,
    EngineId::Fsdp,
];
const SEQUENCE_PARALLEL: &[EngineId] = &[
    EngineId::PytorchDdp,
    EngineId::Fsdp,
    EngineId::MegatronLm,
    EngineId::MegatronDeepspeed,
];

const fn size(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
) -> Input {
    let kind = InputKind::Integer {
        min: 1,
        max: 1_048_576,
    };
    Input::new(
        id,
        (Section::Parallelism, FormGroup::Parallelism),
        key,
        flag,
        url,
        label,
        kind,
    )
    .fixed("1")
}

pub(super) const DATA: Input = size(
    InputId::DataParallelSize,
    "parallelism.data_parallel_size",
    "--data-parallel-size",
    "dp",
    "Data parallel",
)
.derived("GPUs divided by the product of the other sizes")
.help("Replicas that each see their own data. FSDP divides weights, gradients and optimizer states among them; DDP copies them.");

pub(super) const TENSOR: Input = size(
    InputId::TensorParallelSize,
    "parallelism.tensor_parallel_size",
    "--tensor-parallel-size",
    "tp",
    "Tensor parallel",
)
.only(TENSOR_PARALLEL)
.help("Ranks that share each matrix. Must divide the attention heads, and in PyTorch the key/value heads. FSDP2 divides the shards again; DDP and FSDP1 are answered with 1.");

pub(super) const PLAN: Input = Input::new(
    InputId::TensorParallelPlan,
    (Section::Parallelism, FormGroup::Parallelism),
    "parallelism.tensor_parallel_plan",
    "--tensor-parallel-plan",
    "tpp",
    "Tensor parallel plan",
    InputKind::Choice(&[
        Choice::new(
            "transformers",
            "transformers (tp_plan)",
            &["hf", "auto"],
            "The plan of the model's family in transformers: hidden states and norms whole on every rank, logits gathered.",
        ),
        Choice::new(
            "torch",
            "torchtitan (parallelize_module)",
            &["torchtitan"],
            "torchtitan's plan for Llama: hidden states along the sequence and the loss over parts of the vocabulary where they are switched on.",
        ),
    ]),
)
.derived("torchtitan's where sequence or loss parallelism is on, else that of transformers")
.only(PYTORCH)
.advanced()
.help("Which matrices are divided by columns or rows, which tensors stay whole and which are gathered.")
.cite(Citation::new(
    Evidence::Source,
    "transformers 5.23 distributed/tensor_parallel.py; pytorch/torchtitan models/llama3/parallelize.py",
));

pub(super) const LOSS: Input = Input::new(
    InputId::LossParallel,
    (Section::Parallelism, FormGroup::Parallelism),
    "parallelism.loss_parallel",
    "--loss-parallel",
    "tlp",
    "Loss parallel",
    InputKind::Toggle,
)
.fixed("false")
.only(PYTORCH)
.advanced()
.help("With torchtitan's plan each rank computes the loss on its part of the vocabulary, so that no rank holds all logits. torchtitan's own default is on.")
.cite(Citation::new(
    Evidence::Source,
    "torch 2.15 distributed/tensor/parallel/loss.py",
));

pub(super) const PIPELINE: Input = size(
    InputId::PipelineParallelSize,
    "parallelism.pipeline_parallel_size",
    "--pipeline-parallel-size",
    "pp",
    "Pipeline parallel",
)
.only(ALL_COMPOSED)
.help("Stages into which the layers are divided. FSDP2 takes them as torchtitan does; PyTorch DDP and FSDP1 are answered with 1.");

pub(super) const VIRTUAL_PIPELINE: Input = size(
    InputId::VirtualPipelineSize,
    "parallelism.virtual_pipeline_size",
    "--virtual-pipeline-size",
    "vp",
    "Virtual pipeline stages",
)
.only(COMPOSED)
.advanced()
.help("Chunks of layers per pipeline stage (interleaved schedule). Keeps more micro-batches in flight.");

pub(super) const CONTEXT: Input = size(
    InputId::ContextParallelSize,
    "parallelism.context_parallel_size",
    "--context-parallel-size",
    "cp",
    "Context parallel",
)
.only(COMPOSED)
.advanced()
.help("Ranks that share one sequence. Divides activations and logits. The sequence must be divisible by twice this size.");

pub(super) const SEQUENCE: Input = Input::new(
    InputId::SequenceParallel,
    (Section::Parallelism, FormGroup::Parallelism),
    "parallelism.sequence_parallel",
    "--sequence-parallel",
    "sp",
    "Sequence parallel",
    InputKind::Toggle,
)
.fixed("false")
.only(SEQUENCE_PARALLEL)
.advanced()
.help("With tensor parallelism, the parts between the matrices are divided along the sequence as well (in PyTorch by torchtitan's plan). Without it, it is switched off with a warning.");

pub(super) const EXPERT: Input = size(
    InputId::ExpertParallelSize,
    "parallelism.expert_parallel_size",
    "--expert-parallel-size",
    "ep",
    "Expert parallel",
)
.only(ALL_COMPOSED)
.advanced()
.help("Ranks among which the routed experts are dealt out. Must divide the number of experts.");

pub(super) const EXPERT_TENSOR: Input = size(
    InputId::ExpertTensorParallelSize,
    "parallelism.expert_tensor_parallel_size",
    "--expert-tensor-parallel-size",
    "etp",
    "Expert tensor parallel",
)
.only(MEGATRON)
.advanced()
.help("Ranks that share each expert's matrices.");
