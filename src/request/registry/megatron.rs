//! Inputs of section `engine` that Megatron-LM alone has: schedule and layout of its pipeline, what it recomputes, loss,
//! experts. The sizes of its mesh are in `parallelism`.

use super::{Choice, EngineId, FormGroup, Input, InputId, InputKind, Section};
use crate::cite::{Citation, Evidence};

const MEGATRON: &[EngineId] = &[EngineId::MegatronLm];
/// Engines with a pipeline whose schedule and layout can be chosen.
pub(super) const PIPELINES: &[EngineId] = &[EngineId::MegatronLm, EngineId::Fsdp];
/// What its fork with DeepSpeed has as well.
const BOTH: &[EngineId] = &[EngineId::MegatronLm, EngineId::MegatronDeepspeed];

pub(super) const fn input(
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
    .only(MEGATRON)
    .advanced()
    .cite(Citation::new(
        Evidence::Source,
        "NVIDIA/Megatron-LM megatron/training/arguments.py",
    ))
}

const fn layers(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
) -> Input {
    let kind = InputKind::Integer { min: 0, max: 10_000 };
    input(id, key, flag, url, label, kind).unit("layers")
}

pub(super) const PIPELINE_SCHEDULE: Input = input(
    InputId::PipelineSchedule,
    "engine.pipeline_schedule",
    "--pipeline-schedule",
    "psch",
    "Pipeline schedule",
    InputKind::Choice(&[
        Choice::new(
            "1f1b",
            "one forward, one backward",
            &["interleaved"],
            "Megatron's own: the first rank has as many micro-batches in flight as there are stages; with virtual stages it is interleaved and has more.",
        ),
        Choice::new(
            "gpipe",
            "all forward, then all backward",
            &[],
            "Every micro-batch of a step is in flight at once.",
        ),
        Choice::new(
            "zero_bubble",
            "zero bubble",
            &["zb1p", "zb-h1"],
            "Gradients of weights are computed later, so that every rank has as many micro-batches in flight as there are stages.",
        ),
        Choice::new(
            "zero_bubble_v",
            "zero bubble, V",
            &["zbv", "zb-v"],
            "Two chunks per rank laid as a V: twice as many chunks in flight as ranks, on every rank.",
        ),
        Choice::new(
            "dualpipe",
            "DualPipe",
            &[],
            "Micro-batches from both ends: every rank holds the weights of two stages.",
        ),
        Choice::new(
            "dualpipe_v",
            "DualPipe, V",
            &["dualpipev"],
            "Two chunks per rank laid as a V, one chunk more in flight than with the zero-bubble V.",
        ),
    ]),
)
.fixed("1f1b")
.only(PIPELINES)
.help("In which order a pipeline rank runs forward and backward passes, and so how many micro-batches it has in flight. Only the first is in Megatron-LM itself; the others are answered as their authors' code runs them.")
.cite(Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM core/pipeline_parallel/schedules.py; torch 2.15 distributed/pipelining/schedules.py; deepseek-ai/DualPipe",
));

pub(super) const MICROBATCH_GROUP: Input = input(
    InputId::MicrobatchGroup,
    "engine.microbatch_group_size",
    "--microbatch-group-size",
    "mbg",
    "Micro-batches per chunk's turn",
    InputKind::Integer {
        min: 1,
        max: 1_048_576,
    },
)
.derived("the pipeline parallel size")
.help("With virtual stages: micro-batches that pass a chunk before the next chunk has its turn (microbatch_group_size_per_virtual_pipeline_stage). More keeps more in flight.");

pub(super) const FIRST_STAGE_LAYERS: Input = layers(
    InputId::FirstStageLayers,
    "engine.first_pipeline_layers",
    "--first-pipeline-layers",
    "fpl",
    "Layers of the first stage",
)
.derived("as many as every other stage")
.help("Layers of the first pipeline rank, where it has not as many as the others (decoder-first-pipeline-num-layers).");

pub(super) const LAST_STAGE_LAYERS: Input = layers(
    InputId::LastStageLayers,
    "engine.last_pipeline_layers",
    "--last-pipeline-layers",
    "lpl",
    "Layers of the last stage",
)
.derived("as many as every other stage")
.help("Layers of the last pipeline rank, where it has not as many as the others (decoder-last-pipeline-num-layers).");

pub(super) const COUNT_EMBEDDING: Input = input(
    InputId::CountEmbedding,
    "engine.account_for_embedding",
    "--account-for-embedding",
    "afe",
    "Embedding counts as a layer",
    InputKind::Toggle,
)
.fixed("false")
.only(BOTH)
.help("The first stage has one layer less, in whose place the embedding counts (account-for-embedding-in-pipeline-split).");

pub(super) const COUNT_LOSS: Input = input(
    InputId::CountLoss,
    "engine.account_for_loss",
    "--account-for-loss",
    "afl",
    "Loss counts as a layer",
    InputKind::Toggle,
)
.fixed("false")
.only(BOTH)
.help("The last stage has one layer less, in whose place head and loss count (account-for-loss-in-pipeline-split).");

pub(super) const RECOMPUTE_METHOD: Input = input(
    InputId::RecomputeMethod,
    "engine.recompute_method",
    "--recompute-method",
    "rcm",
    "Method of full recomputation",
    InputKind::Choice(&[
        Choice::new(
            "uniform",
            "uniform",
            &[],
            "All layers, in groups of so many from the group's first input.",
        ),
        Choice::new(
            "block",
            "block",
            &[],
            "The first so many layers of a chunk, each from its own input; the others are saved.",
        ),
    ]),
)
.fixed("uniform")
.only(BOTH)
.help("Which layers full recomputation computes again.");

pub(super) const RECOMPUTE_LAYERS: Input = layers(
    InputId::RecomputeLayers,
    "engine.recompute_num_layers",
    "--recompute-num-layers",
    "rcl",
    "Layers of full recomputation",
)
.fixed("1")
.only(BOTH)
.help("With the uniform method the layers of a group, all of which are alive in its backward; with the block method the layers of a chunk that are computed again.");

pub(super) const RECOMPUTE_MODULES: Input = input(
    InputId::RecomputeModules,
    "engine.recompute_modules",
    "--recompute-modules",
    "rco",
    "Modules of selective recomputation",
    InputKind::List { max_len: 8 },
)
.derived("core_attn, with selective recomputation")
.help("Words among core_attn, layernorm, mlp, moe, moe_act, shared_experts, mla_up_proj: what selective recomputation computes again in every layer.");

pub(super) const CROSS_ENTROPY_FUSION: Input = input(
    InputId::CrossEntropyFusion,
    "engine.cross_entropy_fusion",
    "--cross-entropy-fusion",
    "cef",
    "Fused cross entropy",
    InputKind::Toggle,
)
.fixed("false")
.help("The native fusion of the loss over the divided vocabulary (cross-entropy-loss-fusion). It is faster, and holds one more fp32 copy of the logits.");

pub(super) const SOFTMAX_FUSION: Input = input(
    InputId::SoftmaxFusion,
    "engine.masked_softmax_fusion",
    "--masked-softmax-fusion",
    "msf",
    "Fused softmax of unfused attention",
    InputKind::Toggle,
)
.fixed("true")
.only(BOTH)
.help("Unfused attention scales, masks and normalises in one kernel. Without it (no-masked-softmax-fusion, with softmax in fp32) the probabilities are kept in fp32 as well.");

pub(super) const WGRAD_DEFERRAL: Input = input(
    InputId::WgradDeferral,
    "engine.wgrad_deferral_limit",
    "--wgrad-deferral-limit",
    "wdl",
    "Micro-batches whose head gradient waits",
    InputKind::Integer {
        min: 0,
        max: 1_048_576,
    },
)
.fixed("0")
.help("With defer-embedding-wgrad-compute the last stage computes the head's weight gradient of so many micro-batches when the pipeline drains, and until then keeps the gradients of their logits. Zero defers none.");

pub(super) const ACCUMULATION_FUSION: Input = input(
    InputId::AccumulationFusion,
    "engine.gradient_accumulation_fusion",
    "--gradient-accumulation-fusion",
    "gaf",
    "Gradients added by the product",
    InputKind::Toggle,
)
.fixed("true")
.help("Products of weight gradients add into the main gradients themselves. Without it the head's gradient is a tensor of its own for a moment.");

pub(super) const DETERMINISTIC: Input = input(
    InputId::DeterministicMode,
    "engine.deterministic_mode",
    "--deterministic-mode",
    "dtm",
    "Deterministic mode",
    InputKind::Toggle,
)
.fixed("false")
.help("Runs with CUBLAS_WORKSPACE_CONFIG=:4096:8, as Megatron's deterministic mode asks for: each cuBLAS workspace takes 32 MiB on every card.");

pub(super) const GROUPED_EXPERTS: Input = input(
    InputId::GroupedExperts,
    "engine.moe_grouped_gemm",
    "--moe-grouped-gemm",
    "mgg",
    "Grouped products of experts",
    InputKind::Toggle,
)
.fixed("false")
.help("All experts of a rank as one grouped product (moe-grouped-gemm), for which Transformer Engine keeps four more workspaces.");

pub(super) const TOKEN_DISPATCHER: Input = input(
    InputId::TokenDispatcher,
    "engine.moe_token_dispatcher_type",
    "--moe-token-dispatcher-type",
    "mtd",
    "Token dispatcher of the experts",
    InputKind::Choice(&[
        Choice::new(
            "allgather",
            "all-gather",
            &[],
            "Every rank gathers all tokens into a buffer that stays. Megatron's own default.",
        ),
        Choice::new(
            "alltoall",
            "all-to-all",
            &[],
            "Each row is sent to the rank of its expert.",
        ),
        Choice::new(
            "flex",
            "DeepEP (flex)",
            &["deepep"],
            "Tokens are sent once per rank through DeepEP's buffers, outside of torch's allocator.",
        ),
    ]),
)
.fixed("alltoall")
.help("How tokens come to the experts of other ranks (moe-token-dispatcher-type).")
.cite(Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM core/transformer/moe/token_dispatcher.py; deepseek-ai/DeepEP csrc/legacy/config.hpp",
));

pub(super) const VOCABULARY_MULTIPLE: Input = input(
    InputId::VocabularyMultiple,
    "engine.make_vocab_size_divisible_by",
    "--make-vocab-size-divisible-by",
    "vsm",
    "Vocabulary padded to a multiple of",
    InputKind::Integer {
        min: 1,
        max: 1_048_576,
    },
)
.fixed("128")
.only(BOTH)
.help("Rows of embedding and head are padded to a multiple of this times the tensor parallel size.");

pub(super) const EXPERT_CAPACITY: Input = input(
    InputId::ExpertCapacity,
    "engine.moe_expert_capacity_factor",
    "--moe-expert-capacity-factor",
    "mcf",
    "Capacity factor of the experts",
    InputKind::Number {
        min: 0.0,
        max: 1024.0,
        positive: false,
    },
)
.fixed("0")
.help("Rows that an expert takes at most, as a multiple of its even share; what comes beyond is dropped. Zero drops nothing, and nothing bounds what a rank gets.");

pub(super) const PAD_TO_CAPACITY: Input = input(
    InputId::PadToCapacity,
    "engine.moe_pad_expert_input_to_capacity",
    "--moe-pad-expert-input-to-capacity",
    "mpc",
    "Pad experts to their capacity",
    InputKind::Toggle,
)
.fixed("false")
.help("Every expert gets exactly its capacity, filled with empty rows: the memory no longer depends on routing.");

pub(super) const EXPERT_IMBALANCE: Input = input(
    InputId::ExpertImbalance,
    "engine.expert_imbalance",
    "--expert-imbalance",
    "eim",
    "Load of the fullest expert rank",
    InputKind::Number {
        min: 1.0,
        max: 1024.0,
        positive: true,
    },
)
.fixed("1")
.help("How many times its even share of the routed tokens the fullest expert-parallel rank gets. Without a capacity nothing bounds it: in Megatron's own tests ranks got between 0.85 and 1.23 times, which the interval covers.");
