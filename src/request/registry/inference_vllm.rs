//! Inputs of section `inference` that vLLM reads, and which of them others read, too. Their names are vLLM's arguments.

use super::{Choice, FormGroup, Input, InputId, InputKind, Section, ServerId};
use crate::cite::{Citation, Evidence};

const VLLM: &[ServerId] = &[ServerId::Vllm];
/// Arguments that SGLang has under the same or another name.
const BOTH: &[ServerId] = &[ServerId::Vllm, ServerId::Sglang];
/// Engines beside which a smaller model drafts.
const DRAFTED: &[ServerId] = &[ServerId::Vllm, ServerId::Sglang, ServerId::LlamaCpp];
/// Arguments that TensorRT-LLM has, too.
const THREE: &[ServerId] = &[ServerId::Vllm, ServerId::Sglang, ServerId::TensorRtLlm];
/// What every engine with a pool can be told.
const POOLED: &[ServerId] = &[
    ServerId::Vllm,
    ServerId::Sglang,
    ServerId::TensorRtLlm,
    ServerId::Tgi,
];

const ARGUMENTS: Citation = Citation::new(
    Evidence::Source,
    "vllm-project/vllm 0.6.6 to 0.33.0 engine/arg_utils.py, config",
);

const fn input(
    id: InputId,
    group: FormGroup,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    Input::new(id, (Section::Inference, group), key, flag, url, label, kind)
        .serving(VLLM)
        .cite(ARGUMENTS)
}

const fn setting(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    input(id, FormGroup::ServerSettings, key, flag, url, label, kind)
}

const COUNT: InputKind = InputKind::Integer {
    min: 1,
    max: 1_073_741_824,
};

pub(super) const ENTRY_POINT: Input = setting(
    InputId::EntryPoint,
    "inference.entry_point",
    "--entry-point",
    "vep",
    "Started as",
    InputKind::Choice(&[
        Choice::new("server", "vllm serve", &["serve", "api"], "The API server."),
        Choice::new(
            "library",
            "class LLM",
            &["llm", "offline"],
            "The class LLM in a program of your own.",
        ),
    ]),
)
.fixed("server")
.advanced()
.help("The class LLM has larger defaults for the tokens of one pass.");

pub(super) const GENERATION: Input = setting(
    InputId::VllmGeneration,
    "inference.engine_generation",
    "--engine-generation",
    "vgn",
    "Engine generation",
    InputKind::Choice(&[
        Choice::new("v0", "V0", &["0"], "The first engine, to 0.10."),
        Choice::new(
            "v1",
            "V1",
            &["1"],
            "The engine from 0.8 on, with its first model runner.",
        ),
        Choice::new(
            "v2_runner",
            "V1, newer runner",
            &["v2"],
            "V1 with the model runner that is the default of 0.33: it keeps counts of sampled tokens for every sequence.",
        ),
    ]),
)
.derived("the newer runner from 0.33 on, V1 from 0.8 on, V0 before")
.advanced()
.help("VLLM_USE_V1: versions 0.7 to 0.10 have both engines. VLLM_USE_V2_MODEL_RUNNER: from 0.33 on V1 has two model runners.");

pub(super) const MAX_MODEL_LEN: Input = setting(
    InputId::MaxModelLen,
    "inference.max_model_len",
    "--max-model-len",
    "vml",
    "Longest context",
    COUNT,
)
.derived("tokens per sequence")
.unit("tokens")
.advanced()
.serving(BOTH)
.help(
    "max_model_len: the engine refuses to start where one sequence of this length does not fit in its cache.",
);

pub(super) const MAX_NUM_BATCHED_TOKENS: Input = setting(
    InputId::MaxBatchedTokens,
    "inference.max_num_batched_tokens",
    "--max-num-batched-tokens",
    "vbt",
    "Tokens of one pass",
    COUNT,
)
.derived("by version, size of the GPU and entry point")
.unit("tokens")
.help("Tokens of one forward pass. The activation peak grows with it, and the cache shrinks by as much.");

pub(super) const MAX_NUM_SEQS: Input = setting(
    InputId::MaxSequences,
    "inference.max_num_seqs",
    "--max-num-seqs",
    "vms",
    "Most sequences",
    COUNT,
)
.derived("by version and size of the GPU")
.help("Sequences in one step. The sampler holds one row of logits for each, which is most of the activation peak of a small model.");

pub(super) const BLOCK_SIZE: Input = setting(
    InputId::BlockSize,
    "inference.block_size",
    "--block-size",
    "vbs",
    "Block size",
    InputKind::Integer { min: 1, max: 65_536 },
)
.derived("vLLM: 16; 64 with latent attention; raised where a block must hold a state. SGLang: 1 or 64 by backend. TensorRT-LLM: 32 to 128 by version. TGI: 1, 16 or 256 by kernel")
.unit("tokens")
.advanced()
.serving(POOLED)
.help("Tokens of a block of the cache: each sequence rounds up to whole blocks.");

pub(super) const ENABLE_PREFIX_CACHING: Input = setting(
    InputId::PrefixCaching,
    "inference.enable_prefix_caching",
    "--enable-prefix-caching",
    "vpc",
    "Prefix caching",
    InputKind::Toggle,
)
.derived("on in V1, with recurrent states from 0.33 on; off in V0; on in TensorRT-LLM (enable_block_reuse)")
.serving(&[ServerId::Vllm, ServerId::TensorRtLlm])
.help("Blocks of a shared prefix are held once. With recurrent states each sequence holds one state more in vLLM; else it takes no memory of its own.");

pub(super) const ENFORCE_EAGER: Input = setting(
    InputId::EnforceEager,
    "inference.enforce_eager",
    "--enforce-eager",
    "vee",
    "No CUDA graphs",
    InputKind::Toggle,
)
.fixed("false")
.serving(POOLED)
.help("Captures no graphs: saves their memory and slows decoding.");

pub(super) const ENABLE_CHUNKED_PREFILL: Input = setting(
    InputId::ChunkedPrefill,
    "inference.enable_chunked_prefill",
    "--enable-chunked-prefill",
    "vcp",
    "Chunked prefill",
    InputKind::Toggle,
)
.derived("on in V1; in V0 on from 32768 tokens")
.advanced()
.help("Divides long prompts among passes. Without it a pass must take the longest context at once.");

pub(super) const SAMPLER: Input = setting(
    InputId::SamplerKernel,
    "inference.sampler",
    "--sampler",
    "vsk",
    "Sampler kernel",
    InputKind::Choice(&[
        Choice::new(
            "sort",
            "PyTorch sort",
            &["native", "pytorch"],
            "38.25 bytes per logit in 16 bits.",
        ),
        Choice::new("flashinfer", "FlashInfer", &[], "About 14.25 bytes per logit."),
        Choice::new(
            "triton",
            "Triton",
            &[],
            "About 14 bytes per logit and a buffer per multiprocessor (from 0.17).",
        ),
    ]),
)
.derived("by version: the log says which one runs")
.advanced()
.help("The kernel that filters and samples: it decides a factor of almost three in the activation peak.");

pub(super) const KV_CACHE_MEMORY_GB: Input = setting(
    InputId::CacheMemory,
    "inference.kv_cache_memory_gb",
    "--kv-cache-memory-gb",
    "vkm",
    "Cache memory",
    InputKind::Number {
        min: 0.0,
        max: 1_048_576.0,
        positive: true,
    },
)
.derived("what the share of the card leaves")
.unit("GiB")
.advanced()
.help("kv_cache_memory_bytes: fixes the cache and switches the accounting off.");

pub(super) const SWAP_SPACE_GB: Input = setting(
    InputId::SwapSpace,
    "inference.swap_space_gb",
    "--swap-space-gb",
    "vss",
    "Swap space",
    InputKind::Number {
        min: 0.0,
        max: 65_536.0,
        positive: false,
    },
)
.fixed("0")
.unit("GiB")
.advanced()
.exports_only()
.help("Host memory for preempted sequences of V0. It takes nothing of the GPU.");

pub(super) const DATA_PARALLEL_SIZE: Input = input(
    InputId::ServerDataParallel,
    FormGroup::Sharding,
    "inference.data_parallel_size",
    "--inference-data-parallel-size",
    "vdp",
    "Data parallel",
    InputKind::Integer { min: 1, max: 1_024 },
)
.fixed("1")
.advanced()
.serving(BOTH)
.help(
    "Whole engines with caches of their own; with expert parallelism they share the experts of each layer.",
);

pub(super) const ENABLE_EXPERT_PARALLEL: Input = input(
    InputId::ServerExpertParallel,
    FormGroup::Sharding,
    "inference.enable_expert_parallel",
    "--enable-expert-parallel",
    "vxp",
    "Expert parallel",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.serving(THREE)
.help("Each rank of the tensor and data groups holds whole experts instead of a slice of each.");

pub(super) const DECODE_CONTEXT_PARALLEL_SIZE: Input = input(
    InputId::DecodeContextParallel,
    FormGroup::Sharding,
    "inference.decode_context_parallel_size",
    "--decode-context-parallel-size",
    "vdc",
    "Decode context parallel",
    InputKind::Integer { min: 1, max: 1_024 },
)
.fixed("1")
.advanced()
.help("Ranks of a tensor group among which the tokens of the cache are divided. Must divide the tensor parallel size.");

pub(super) const MAX_LORAS: Input = setting(
    InputId::MaxLoras,
    "inference.max_loras",
    "--max-loras",
    "vlo",
    "LoRA slots",
    InputKind::Integer { min: 0, max: 4_096 },
)
.fixed("0")
.advanced()
.serving(BOTH)
.help("Adapters in one batch. Each slot is allocated beside every matrix, used or not.");

pub(super) const MAX_LORA_RANK: Input = setting(
    InputId::MaxLoraRank,
    "inference.max_lora_rank",
    "--max-lora-rank",
    "vlr",
    "Largest LoRA rank",
    InputKind::Integer { min: 1, max: 4_096 },
)
.fixed("16")
.advanced()
.serving(BOTH)
.help("Rank for which the slots are allocated.");

pub(super) const NUM_SPECULATIVE_TOKENS: Input = setting(
    InputId::SpeculativeTokens,
    "inference.num_speculative_tokens",
    "--num-speculative-tokens",
    "vst",
    "Speculative tokens",
    InputKind::Integer { min: 0, max: 64 },
)
.fixed("0")
.advanced()
.serving(DRAFTED)
.help("Tokens that are drafted: by the draft model, or by the model's own next-token layers (method mtp). Weights and cache of what drafts come on top, and states are kept for each draft.");

pub(super) const DRAFT_MODEL: Input = setting(
    InputId::DraftModel,
    "inference.draft_model",
    "--draft-model",
    "vdm",
    "Draft model",
    InputKind::Text { max_len: 200 },
)
.advanced()
.serving(DRAFTED)
.help("A smaller model of the catalogue that drafts (speculative decoding). Its weights are loaded beside the model's, and its layers have a part of every block of the cache; in llama.cpp (-md) a context of its own, with as many cells in 16 bits and a compute buffer. In vLLM and SGLang also a head on the model's hidden states: eagle, eagle3 or dflash, with layers and width of its feed-forward where they differ, as in dflash:5x12288.");

pub(super) const MAMBA_SSM_CACHE_DTYPE: Input = setting(
    InputId::StateDtype,
    "inference.mamba_ssm_cache_dtype",
    "--mamba-ssm-cache-dtype",
    "vsd",
    "State type",
    InputKind::Choice(&[
        Choice::new("compute", "compute type", &["model"], "As the arithmetic."),
        Choice::new("float32", "fp32", &["fp32"], "Four bytes per element."),
    ]),
)
.derived("fp32 where the published configuration asks for it (Qwen3.5 and later, Nemotron 3), else the compute type")
.advanced()
.serving(BOTH)
.help("Type of the recurrent state of linear attention and state-space layers.");

pub(super) const VLLM_QUANTIZATION: Input = input(
    InputId::VllmQuantization,
    FormGroup::Formats,
    "inference.vllm_quantization",
    "--vllm-quantization",
    "vqu",
    "Argument --quantization",
    InputKind::Choice(&[
        Choice::new("none", "not given", &[], "What the checkpoint says."),
        Choice::new("awq", "awq", &["awq_marlin"], "AWQ int4."),
        Choice::new("gptq", "gptq", &["gptq_marlin"], "GPTQ int4."),
        Choice::new("squeezellm", "squeezellm", &[], "Removed from vLLM in 0.6."),
        Choice::new("fp8", "fp8", &[], "FP8, one scale per matrix, quantised at load."),
        Choice::new(
            "bitsandbytes",
            "bitsandbytes",
            &[],
            "NF4 with double quantisation.",
        ),
    ]),
)
.fixed("none")
.advanced()
.help(
    "vLLM's own argument. It says the same as the weight format, which comes before it where both are given.",
);

pub(super) const OTHER_ENGINES: Input = input(
    InputId::OtherEngines,
    FormGroup::Sharding,
    "inference.other_engines",
    "--other-engines",
    "voe",
    "Other engines on the GPU",
    InputKind::List { max_len: 16 },
)
.advanced()
.help("Engines that share each GPU with this one, separated by commas: a model of the catalogue in vLLM, with sequences and tokens of each as in qwen2.5-7b@8x4096; in llama.cpp as Q4_K_M, as in llama.cpp:qwen2.5-7b@8x4096; or the size of a budget as in 20 GiB. The answer says which share each must be given and in which order they start.");
