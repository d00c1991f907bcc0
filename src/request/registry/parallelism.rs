//! Inputs of section `parallelism`: the sizes of the mesh.

use super::{EngineId, FormGroup, Input, InputId, InputKind, Section};

const MEGATRON: &[EngineId] = &[EngineId::MegatronLm, EngineId::MegatronDeepspeed];
const MODEL_PARALLEL: &[EngineId] = &[
    EngineId::MegatronLm,
    EngineId::MegatronDeepspeed,
    EngineId::Deepspeed,
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

pub(super) static DATA: Input = size(
    InputId::DataParallelSize,
    "parallelism.data_parallel_size",
    "--data-parallel-size",
    "dp",
    "Data parallel",
)
.derived("GPUs divided by the product of the other sizes")
.help("Replicas that each see their own data. FSDP divides weights, gradients and optimizer states among them; DDP copies them.");

pub(super) static TENSOR: Input = size(
    InputId::TensorParallelSize,
    "parallelism.tensor_parallel_size",
    "--tensor-parallel-size",
    "tp",
    "Tensor parallel",
)
.only(MODEL_PARALLEL)
.help("Ranks that share each matrix. Must divide the attention heads. PyTorch DDP and FSDP are answered with 1.");

pub(super) static PIPELINE: Input = size(
    InputId::PipelineParallelSize,
    "parallelism.pipeline_parallel_size",
    "--pipeline-parallel-size",
    "pp",
    "Pipeline parallel",
)
.only(MODEL_PARALLEL)
.help("Stages into which the layers are divided. PyTorch DDP and FSDP are answered with 1.");

pub(super) static VIRTUAL_PIPELINE: Input = size(
    InputId::VirtualPipelineSize,
    "parallelism.virtual_pipeline_size",
    "--virtual-pipeline-size",
    "vp",
    "Virtual pipeline stages",
)
.only(MEGATRON)
.advanced()
.help("Chunks of layers per pipeline stage (interleaved schedule). Keeps more micro-batches in flight.");

pub(super) static CONTEXT: Input = size(
    InputId::ContextParallelSize,
    "parallelism.context_parallel_size",
    "--context-parallel-size",
    "cp",
    "Context parallel",
)
.only(MEGATRON)
.advanced()
.help("Ranks that share one sequence. Divides activations and logits. The sequence must be divisible by twice this size.");

pub(super) static SEQUENCE: Input = Input::new(
    InputId::SequenceParallel,
    (Section::Parallelism, FormGroup::Parallelism),
    "parallelism.sequence_parallel",
    "--sequence-parallel",
    "sp",
    "Sequence parallel",
    InputKind::Toggle,
)
.fixed("false")
.only(MEGATRON)
.advanced()
.help("With tensor parallelism, the parts between the matrices are divided along the sequence as well. Without it, it is switched off with a warning.");

pub(super) static EXPERT: Input = size(
    InputId::ExpertParallelSize,
    "parallelism.expert_parallel_size",
    "--expert-parallel-size",
    "ep",
    "Expert parallel",
)
.only(MODEL_PARALLEL)
.advanced()
.help("Ranks among which the routed experts are dealt out. Must divide the number of experts.");

pub(super) static EXPERT_TENSOR: Input = size(
    InputId::ExpertTensorParallelSize,
    "parallelism.expert_tensor_parallel_size",
    "--expert-tensor-parallel-size",
    "etp",
    "Expert tensor parallel",
)
.only(MEGATRON)
.advanced()
.help("Ranks that share each expert's matrices.");
