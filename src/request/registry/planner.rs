//! Inputs of section `hybrid`: what a search for plans may try, and what counts as better. The first six are those of the
//! original's hybrid optimizer.

use super::{Choice, FormGroup, Input, InputId, InputKind, Section};

const fn option(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    Input::new(
        id,
        (Section::Hybrid, FormGroup::Planner),
        key,
        flag,
        url,
        label,
        kind,
    )
}

const fn limit(
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
    option(id, key, flag, url, label, kind)
}

pub(super) const AUTO: Input = option(
    InputId::AutoOptimize,
    "hybrid.auto_optimize",
    "--auto-optimize",
    "hao",
    "Search for plans",
    InputKind::Toggle,
)
.aliases(&["optimize_strategy"])
.derived("on where plans are asked for, off in a multi-node question")
.advanced()
.help("Off, the question's own way of dividing the job is the only plan. On in a multi-node question, its answer has the best plans too.");

pub(super) const UTILIZATION: Input = option(
    InputId::TargetUtilization,
    "hybrid.target_gpu_utilization",
    "--target-utilization",
    "htu",
    "Memory that a plan may need",
    InputKind::Number {
        min: 0.0,
        max: 1.0,
        positive: true,
    },
)
.derived("0.85 in training; in serving what each engine takes of a card")
.help("The expected need may be this share of what a program gets of the card; the rest is the margin.");

pub(super) const BATCH: Input = option(
    InputId::GlobalBatchTokens,
    "hybrid.global_batch_tokens",
    "--global-batch-tokens",
    "hgb",
    "Tokens per step",
    InputKind::Count {
        min: 1,
        max: 1_000_000_000_000,
    },
)
.derived("the batch of the question where it is typed, else 4 Mi tokens")
.unit("tokens")
.help("The global batch, over all GPUs: every plan trains on as many, in whole sequences.");

pub(super) const ENGINES: Input = option(
    InputId::PlanEngines,
    "hybrid.engines",
    "--engines",
    "hen",
    "Engines to try",
    InputKind::List { max_len: 8 },
)
.derived("every engine that is built")
.help("Names of engines, such as megatron_lm, fsdp; for serving vllm, sglang.");

pub(super) const PRECISIONS: Input = option(
    InputId::PlanPrecisions,
    "hybrid.precisions",
    "--precisions",
    "hpr",
    "Precision of plans",
    InputKind::Choice(&[
        Choice::new(
            "asked",
            "As asked",
            &[],
            "Only the precision of the question, or the usual one of each engine; of serving its formats.",
        ),
        Choice::new(
            "any",
            "Any",
            &[],
            "Training without fp32 master weights, too: small updates are lost in rounding. Serving with quantised weights and caches.",
        ),
    ]),
)
.derived("as asked in training, any in serving")
.help("Whether plans may round otherwise than the question says: weights of training, weights and cache of serving.");

pub(super) const OFFLOAD: Input = option(
    InputId::PlanOffload,
    "hybrid.allow_offload",
    "--allow-offload",
    "hof",
    "Plans may offload",
    InputKind::Toggle,
)
.fixed("true")
.help("Whether states may wait in the memory of the host.");

pub(super) const TENSOR: Input = limit(
    InputId::MaxTensorParallel,
    "hybrid.max_tensor_parallel",
    "--max-tensor-parallel",
    "hmt",
    "Largest tensor parallel size",
)
.derived("the GPUs of a node")
.advanced()
.help("Tensor parallelism talks in every layer, so it stays inside a node unless more is allowed here.");

pub(super) const PIPELINE: Input = limit(
    InputId::MaxPipelineParallel,
    "hybrid.max_pipeline_parallel",
    "--max-pipeline-parallel",
    "hmp",
    "Largest pipeline",
)
.derived("the layers of the model")
.advanced()
.help("The planner tries no more pipeline ranks than this.");

pub(super) const CONTEXT: Input = limit(
    InputId::MaxContextParallel,
    "hybrid.max_context_parallel",
    "--max-context-parallel",
    "hmc",
    "Largest context parallel size",
)
.derived("the GPUs")
.advanced()
.help("The planner tries no more context-parallel ranks than this.");

pub(super) const CHUNKS: Input = limit(
    InputId::MaxPipelineChunks,
    "hybrid.max_pipeline_chunks",
    "--max-pipeline-chunks",
    "hmk",
    "Most chunks per pipeline rank",
)
.derived("the layers of the model")
.advanced()
.help("Virtual stages at most: chunks of layers that a pipeline rank holds.");

pub(super) const MICRO_BATCH: Input = limit(
    InputId::MaxMicroBatch,
    "hybrid.max_micro_batch",
    "--max-micro-batch",
    "hmb",
    "Largest micro-batch",
)
.derived("the sequences of the global batch")
.advanced()
.help("Sequences per micro-batch and data-parallel rank at most.");

pub(super) const SEQUENCE_PARALLEL: Input = option(
    InputId::EnableSequenceParallel,
    "hybrid.enable_sequence_parallel",
    "--enable-sequence-parallel",
    "hsp",
    "Plans may use sequence parallelism",
    InputKind::Toggle,
)
.fixed("true")
.advanced()
.help("Off is final: no plan divides the parts between the matrices along the sequence.");

pub(super) const THRESHOLD: Input = option(
    InputId::SequenceParallelThreshold,
    "hybrid.sequence_parallel_threshold",
    "--sequence-parallel-threshold",
    "hst",
    "Sequence parallelism from",
    InputKind::Integer {
        min: 1,
        max: 100_000_000,
    },
)
.fixed("4096")
.unit("tokens")
.advanced()
.help("Sequences this long or longer may be divided by sequence parallelism; it needs tensor parallelism.");

pub(super) const PREFER_PIPELINE: Input = option(
    InputId::PreferPipeline,
    "hybrid.prefer_pipeline_parallel",
    "--prefer-pipeline-parallel",
    "hpp",
    "Prefer pipelines across nodes",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.help("Of plans that are as fast to a hundredth, the one with the longer pipeline across nodes comes first.");

pub(super) const RANK: Input = option(
    InputId::PlanRank,
    "hybrid.rank_by",
    "--rank-by",
    "hrb",
    "Best is",
    InputKind::Choice(&[
        Choice::new(
            "speed",
            "the fastest",
            &["throughput"],
            "Training: the shortest step. Serving: the most new tokens per second and GPU.",
        ),
        Choice::new(
            "capacity",
            "the roomiest",
            &["memory"],
            "Training: the least memory per GPU. Serving: the most requests at once.",
        ),
    ]),
)
.fixed("speed")
.help("By what plans are sorted; the others stand behind, and the front has both.");

pub(super) const COUNT: Input = option(
    InputId::PlanCount,
    "hybrid.plans",
    "--plans",
    "hnr",
    "Plans to list",
    InputKind::Integer { min: 1, max: 100 },
)
.fixed("10")
.advanced()
.help("How many of the best plans are told.");
