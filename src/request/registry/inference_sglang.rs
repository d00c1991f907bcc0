//! Inputs of section `inference` that only SGLang reads. Their names are those of its arguments.

use super::{Choice, FormGroup, Input, InputId, InputKind, Section, ServerId};
use crate::cite::{Citation, Evidence};

const SGLANG: &[ServerId] = &[ServerId::Sglang];

const ARGUMENTS: Citation = Citation::new(
    Evidence::Source,
    "kvcache-ai/sglang @04653fa python/sglang/srt/server_args.py",
);

const fn setting(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    Input::new(
        id,
        (Section::Inference, FormGroup::ServerSettings),
        key,
        flag,
        url,
        label,
        kind,
    )
    .serving(SGLANG)
    .cite(ARGUMENTS)
}

const COUNT: InputKind = InputKind::Integer {
    min: 1,
    max: 1_073_741_824,
};

const SHARE: InputKind = InputKind::Number {
    min: 0.0,
    max: 1_000.0,
    positive: true,
};

pub(super) const CHUNK_SIZE: Input = setting(
    InputId::ChunkSize,
    "inference.chunk_size",
    "--chunked-prefill-size",
    "gcs",
    "Chunk of a prefill",
    InputKind::Integer {
        min: 0,
        max: 1_073_741_824,
    },
)
.derived("by size of the GPU: 2048 to 16384; 0 switches it off (SGLang's -1)")
.aliases(&["inference.chunked_prefill_size"])
.unit("tokens")
.help("Tokens of a prompt that are computed at once. Activations grow with it, and so does what the engine leaves outside its pools.");

pub(super) const MAX_RUNNING_REQUESTS: Input = setting(
    InputId::MaxRunningRequests,
    "inference.max_running_requests",
    "--max-running-requests",
    "gmr",
    "Most running requests",
    InputKind::Integer {
        min: 1,
        max: 1_048_576,
    },
)
.derived("512 times the tokens of the pool over the longest context, between 2048 and 4096")
.help("Bounds the batch and the request table, which has four bytes for each position of each request.");

pub(super) const MAX_PREFILL_TOKENS: Input = setting(
    InputId::MaxPrefillTokens,
    "inference.max_prefill_tokens",
    "--max-prefill-tokens",
    "gmp",
    "Most prefill tokens",
    COUNT,
)
.fixed("16384")
.unit("tokens")
.advanced()
.help("Tokens of one prefill batch where prompts are not divided into chunks.");

pub(super) const DISABLE_RADIX_CACHE: Input = setting(
    InputId::DisableRadixCache,
    "inference.disable_radix_cache",
    "--disable-radix-cache",
    "gdr",
    "No tree of prefixes",
    InputKind::Toggle,
)
.fixed("false")
.help("Without RadixAttention every sequence holds its own copy of a shared prefix. It changes how many tokens are held, never the bytes of a token.");

pub(super) const ATTENTION_BACKEND: Input = setting(
    InputId::AttentionBackend,
    "inference.attention_backend",
    "--attention-backend",
    "gab",
    "Attention backend",
    InputKind::Choice(&[
        Choice::new("flashinfer", "FlashInfer", &[], "A workspace of half a GiB."),
        Choice::new("triton", "Triton", &[], "Almost no workspace."),
        Choice::new("torch", "torch", &["torch_native", "flex_attention"], "Almost no workspace."),
        Choice::new("fa3", "FlashAttention 3", &["flash_attention_3", "fa4"], "Hopper; a small workspace."),
        Choice::new("flashmla", "FlashMLA", &["cutlass_mla"], "Latent attention on Hopper; pages of 64 tokens."),
        Choice::new("trtllm", "TRT-LLM kernels", &["trtllm_mha", "trtllm_mla"], "Blackwell; pages of 64 tokens."),
        Choice::new("aiter", "AITER", &[], "AMD; more than 5 GiB of workspace."),
    ]),
)
.derived("by version and GPU: FlashInfer; FlashAttention 3 on Hopper and TRT-LLM kernels on Blackwell from 0.5.3 on; AITER on AMD")
.help("The kernels of attention. They differ in the workspace that they take after the pools are made, and in the size of a page.");

pub(super) const CUDA_GRAPH_MAX_BS: Input = setting(
    InputId::CudaGraphMaxBatch,
    "inference.cuda_graph_max_bs",
    "--cuda-graph-max-bs",
    "ggb",
    "Largest captured batch",
    InputKind::Integer { min: 1, max: 65_536 },
)
.derived("by size of the GPU and tensor parallel ranks: 8 to 512")
.advanced()
.help("Decoding is captured for batches up to this one. The default share of the card leaves 2 MiB for each of them.");

pub(super) const PIECEWISE_CUDA_GRAPH: Input = setting(
    InputId::PiecewiseCudaGraph,
    "inference.enable_piecewise_cuda_graph",
    "--enable-piecewise-cuda-graph",
    "gpg",
    "Capture prefill piecewise",
    InputKind::Toggle,
)
.derived("on from 0.5.10 on")
.advanced()
.help("Captures prefills of many lengths in pieces: 2.3 GiB for 74 lengths.");

pub(super) const MAX_POOL_TOKENS: Input = setting(
    InputId::MaxPoolTokens,
    "inference.max_pool_tokens",
    "--max-pool-tokens",
    "gmt",
    "Most tokens of the pool",
    COUNT,
)
.derived("what the memory allows")
.unit("tokens")
.advanced()
.serving(&[ServerId::Sglang, ServerId::TensorRtLlm])
.help("max_total_tokens of SGLang, max_tokens of TensorRT-LLM's cache: bounds the pool.");

pub(super) const SWA_FULL_TOKENS_RATIO: Input = setting(
    InputId::WindowTokensRatio,
    "inference.swa_full_tokens_ratio",
    "--swa-full-tokens-ratio",
    "gsw",
    "Share of window tokens",
    InputKind::Number {
        min: 0.0,
        max: 1.0,
        positive: true,
    },
)
.derived("0.8; 0.1 for DeepSeek-V4")
.advanced()
.help("Tokens in the pool of layers with a window over those of the other layers. It is a fixed share, not the window times the sequences.");

pub(super) const DISABLE_HYBRID_SWA_MEMORY: Input = setting(
    InputId::DisableWindowPool,
    "inference.disable_hybrid_swa_memory",
    "--disable-hybrid-swa-memory",
    "gdw",
    "No pool for windows",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.help("Stores layers with a window at full length like all others.");

pub(super) const MAMBA_FULL_MEMORY_RATIO: Input = setting(
    InputId::StateMemoryRatio,
    "inference.mamba_full_memory_ratio",
    "--mamba-full-memory-ratio",
    "gsr",
    "States over keys and values",
    SHARE,
)
.fixed("0.9")
.advanced()
.help("How much memory states get for each byte of keys and values, in models with linear attention or state-space layers.");

pub(super) const MAX_MAMBA_CACHE_SIZE: Input = setting(
    InputId::StateSlots,
    "inference.max_mamba_cache_size",
    "--max-mamba-cache-size",
    "gss",
    "Slots of states",
    InputKind::Integer {
        min: 1,
        max: 1_048_576,
    },
)
.derived("by the ratio of states over keys and values; running requests without a tree of prefixes")
.advanced()
.help("States that are held. With a tree of prefixes each running request needs three.");

pub(super) const ENABLE_DP_ATTENTION: Input = setting(
    InputId::DpAttention,
    "inference.enable_dp_attention",
    "--enable-dp-attention",
    "gda",
    "Data parallel attention",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.help("Divides the tensor parallel ranks into as many copies of attention as data parallel says; feed-forwards stay divided among all. A latent cache is then not held by every rank for every sequence.");

pub(super) const SPECULATIVE_ALGO: Input = setting(
    InputId::SpeculativeAlgorithm,
    "inference.speculative_algo",
    "--speculative-algorithm",
    "gsa",
    "Speculative decoding",
    InputKind::Choice(&[
        Choice::new("default", "none", &["none"], "No drafting."),
        Choice::new("eagle", "EAGLE, next-token layers", &["eagle3", "nextn", "mtp"], "The model's own next-token layers, a draft model, or a head of one layer."),
        Choice::new("standalone", "draft model", &[], "A model of its own."),
        Choice::new("ngram", "n-gram", &[], "Looked up in what was said: no weights."),
        Choice::new("medusa", "Medusa", &[], "Not in SGLang."),
    ]),
)
.fixed("default")
.aliases(&["inference.speculative_algorithm"])
.advanced()
.help("Who drafts. A drafter has weights and a pool of as many tokens as the model's, outside the share of weights and pools.");

pub(super) const MULTI_LORA_ENABLED: Input = setting(
    InputId::MultiLora,
    "inference.multi_lora_enabled",
    "--multi-lora-enabled",
    "gml",
    "LoRA adapters",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.help("Keeps slots for adapters beside every matrix (enable_lora): eight unless their number is given.");

pub(super) const DISABLE_CUSTOM_ALL_REDUCE: Input = setting(
    InputId::DisableCustomAllReduce,
    "inference.disable_custom_all_reduce",
    "--disable-custom-all-reduce",
    "gdc",
    "No custom all-reduce",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.help("Leaves out the buffers of the custom all-reduce, 24 MiB on each of two to eight ranks.");

pub(super) const ENABLE_P2P: Input = setting(
    InputId::EnableP2p,
    "inference.enable_p2p",
    "--enable-p2p-check",
    "gp2",
    "Check peer access",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.exports_only()
.help("Checks at the start whether GPUs reach each other. It takes no memory.");

pub(super) const ENABLE_TORCH_COMPILE: Input = setting(
    InputId::ServerCompile,
    "inference.enable_torch_compile",
    "--enable-torch-compile",
    "gtc",
    "torch.compile",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.exports_only()
.help("Compiles the model for small batches. No effect on memory is published.");

pub(super) const RADIX_CACHE_MAX_SEQ_LEN: Input = setting(
    InputId::RadixCacheLength,
    "inference.radix_cache_max_seq_len",
    "--radix-cache-max-seq-len",
    "grl",
    "Longest cached prefix",
    COUNT,
)
.derived("no limit")
.unit("tokens")
.advanced()
.exports_only()
.help("SGLang has no such limit: the tree of prefixes uses the pool of the sequences.");
