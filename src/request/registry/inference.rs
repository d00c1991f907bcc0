//! Inputs of section `inference` that more than one engine reads: engine, requests, formats, sharding, budget.

use super::{Choice, FormGroup, Input, InputId, InputKind, Section, ServerId};
use crate::cite::{Citation, Evidence};

const GENERATION: Citation = Citation::new(
    Evidence::Source,
    "huggingface/transformers 5.23.0 generation/configuration_utils.py",
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
}

const TOKENS: InputKind = InputKind::Integer {
    min: 1,
    max: 1_073_741_824,
};

/// Engines that read a checkpoint of the hub; the others read a file in types of its own.
const CHECKPOINTS: &[ServerId] = &[
    ServerId::Huggingface,
    ServerId::Vllm,
    ServerId::Tgi,
    ServerId::TensorRtLlm,
    ServerId::Sglang,
];

const RANKS: InputKind = InputKind::Integer { min: 1, max: 1_024 };

pub(super) const ENGINE_TYPE: Input = input(
    InputId::ServerType,
    FormGroup::Server,
    "inference.engine_type",
    "--inference-engine",
    "iet",
    "Inference engine",
    InputKind::Choice(&[
        Choice::new(
            "huggingface",
            "HF Transformers",
            &["transformers", "hf"],
            "generate() of Hugging Face Transformers: a cache that grows with the answer, nothing reserved.",
        ),
        Choice::new(
            "vllm",
            "vLLM",
            &[],
            "Takes a share of the card, measures what it needs, and makes the rest one pool of cache blocks.",
        ),
        Choice::new(
            "tgi",
            "TGI",
            &[],
            "Text Generation Inference: runs a prefill of the most tokens, and makes what is free after it the cache.",
        ),
        Choice::new(
            "tensorrt_llm",
            "TensorRT-LLM",
            &["trtllm", "tensorrt-llm"],
            "NVIDIA's engine: limits are frozen at a build or profiled, and the cache is a fraction of what is free after loading.",
        ),
        Choice::new(
            "sglang",
            "SGLang",
            &[],
            "Takes a share of what is free before loading for weights and pools, and leaves the rest to activations and graphs.",
        ),
        Choice::new("llama_cpp", "llama.cpp", &["llama.cpp"], "GGUF files on GPUs and host: everything that context, batch and layers ask for is reserved at the start."),
    ]),
)
.fixed("huggingface")
.help("The program that serves the model. It decides what is reserved, what grows with the requests, and the defaults of everything else.");

pub(super) const ENGINE_VERSION: Input = input(
    InputId::ServerVersion,
    FormGroup::Server,
    "inference.engine_version",
    "--inference-engine-version",
    "iev",
    "Engine version",
    InputKind::Text { max_len: 40 },
)
.derived("the newest version that the engine was read in")
.advanced()
.help("Version of the inference engine, for example 5.23.0. Versions differ in what is kept in memory; one that was not read is answered as the nearest that was.");

pub(super) const BATCH_SIZE: Input = input(
    InputId::Sequences,
    FormGroup::Requests,
    "inference.batch_size",
    "--inference-batch-size",
    "ibs",
    "Sequences at once",
    InputKind::Integer {
        min: 1,
        max: 1_048_576,
    },
)
.fixed("1")
.help("Requests that run at the same time. Each has its own keys and values in the cache.");

pub(super) const MAX_SEQ_LEN: Input = input(
    InputId::TotalTokens,
    FormGroup::Requests,
    "inference.max_seq_len",
    "--inference-max-seq-len",
    "iml",
    "Tokens per sequence",
    TOKENS,
)
.derived("the longest context of the model")
.unit("tokens")
.help("Prompt and answer together. It decides the cache of each sequence; a longer one than the model is made for is reported.");

pub(super) const PROMPT_TOKENS: Input = input(
    InputId::PromptTokens,
    FormGroup::Requests,
    "inference.prompt_tokens",
    "--prompt-tokens",
    "ipt",
    "Prompt tokens",
    TOKENS,
)
.derived("tokens per sequence less new tokens")
.unit("tokens")
.advanced()
.help("Length of the prompt. All of it is computed at once, so it decides the activation peak of an engine that does not chunk it.");

pub(super) const NEW_TOKENS: Input = input(
    InputId::NewTokens,
    FormGroup::Requests,
    "inference.new_tokens",
    "--new-tokens",
    "int",
    "New tokens",
    TOKENS,
)
.derived("20, the length that generate() adds when nothing is said, or half of a shorter sequence")
.unit("tokens")
.advanced()
.help("Length of the answer. Each token adds one position to the cache; the last one is never cached.")
.cite(GENERATION);

pub(super) const SHARED_PREFIX_TOKENS: Input = input(
    InputId::SharedPrefixTokens,
    FormGroup::Requests,
    "inference.shared_prefix_tokens",
    "--shared-prefix-tokens",
    "isp",
    "Shared prefix",
    InputKind::Integer {
        min: 0,
        max: 1_073_741_824,
    },
)
.fixed("0")
.unit("tokens")
.serving(&[
    ServerId::Vllm,
    ServerId::Sglang,
    ServerId::TensorRtLlm,
    ServerId::Tgi,
])
.advanced()
.help(
    "Tokens at the start that all sequences have in common. An engine that caches prefixes holds them once.",
);

pub(super) const WEIGHT_FORMAT: Input = input(
    InputId::WeightFormat,
    FormGroup::Formats,
    "inference.weight_format",
    "--weight-format",
    "iwf",
    "Weight format",
    InputKind::Choice(&[
        Choice::new("none", "not quantised", &["16bit", "plain"], "Every weight in the compute type."),
        Choice::new("fp8", "FP8", &["fp8_tensor"], "One scale per matrix, quantised at load."),
        Choice::new("fp8_channel", "FP8, per channel", &["fp8_dynamic"], "One scale per output channel."),
        Choice::new("fp8_block", "FP8, blocks of 128", &[], "One scale per block of 128 by 128 (DeepSeek)."),
        Choice::new("int8", "INT8, per channel", &["w8a8", "smoothquant"], "One scale per output channel."),
        Choice::new("bnb_int8", "bitsandbytes int8", &["llm_int8", "bitsandbytes_int8"], "LLM.int8 with row scales."),
        Choice::new("gptq", "GPTQ int4", &["gptq_marlin"], "Groups with fp16 scales and packed zeros."),
        Choice::new("gptq_int8", "GPTQ int8", &[], "The same in 8 bits."),
        Choice::new("awq", "AWQ int4", &["awq_marlin"], "Groups with fp16 scales and packed zeros."),
        Choice::new("w4a16", "compressed-tensors int4", &["compressed_tensors"], "Groups with fp16 scales, symmetric."),
        Choice::new("nf4", "NF4", &["fp4", "bnb_4bit", "bitsandbytes"], "bitsandbytes in 4 bits, blocks of 64 with fp32 scales."),
        Choice::new("nf4_double", "NF4, double quantisation", &["nf4_dq"], "bitsandbytes with 8-bit scales."),
        Choice::new("hqq", "HQQ int4", &["hqq_int4"], "Groups with 16-bit scale and zero."),
        Choice::new("hqq_int8", "HQQ int8", &[], "The same in 8 bits."),
        Choice::new("torchao_int4", "torchao int4", &["int4wo"], "Weight-only, groups with bf16 scale and zero."),
        Choice::new("torchao_int8", "torchao int8", &["int8wo"], "Weight-only, one scale per channel."),
        Choice::new("mxfp4", "MXFP4", &[], "Blocks of 32 with one-byte scales; the experts only (gpt-oss)."),
        Choice::new("mxfp8", "MXFP8", &[], "Blocks of 32 with one-byte scales, 8 bits."),
        Choice::new("nvfp4", "NVFP4", &["modelopt_fp4"], "Blocks of 16 with FP8 scales."),
    ]),
)
.derived("what quantization_config of the model says, else not quantised")
.serving(CHECKPOINTS)
.help("How the matrices are stored. Embeddings, head, norms and routers keep the compute type unless the format covers them.");

pub(super) const WEIGHT_GROUP: Input = input(
    InputId::WeightGroup,
    FormGroup::Formats,
    "inference.quantization_group_size",
    "--quantization-group-size",
    "iwg",
    "Group size",
    InputKind::Integer { min: 1, max: 65_536 },
)
.derived("what quantization_config says, else 128 (64 for HQQ)")
.serving(CHECKPOINTS)
.advanced()
.help(
    "Weights that share one scale in the grouped 4-bit and 8-bit formats. Smaller groups have more scales.",
);

pub(super) const DTYPE: Input = input(
    InputId::ServerDtype,
    FormGroup::Formats,
    "inference.dtype",
    "--inference-dtype",
    "idt",
    "Compute type",
    InputKind::Choice(&[
        Choice::new(
            "bf16",
            "bf16",
            &["bfloat16"],
            "16 bits with the exponent of fp32.",
        ),
        Choice::new("fp16", "fp16", &["float16", "half"], "16 bits."),
        Choice::new("fp32", "fp32", &["float32", "float"], "32 bits."),
    ]),
)
.derived("the type in which the model is published, else bf16")
.serving(CHECKPOINTS)
.help("Type of the arithmetic and of every weight that is not quantised.");

pub(super) const KV_CACHE_QUANTIZATION: Input = input(
    InputId::KvCacheType,
    FormGroup::Formats,
    "inference.kv_cache_quantization",
    "--kv-cache",
    "ikv",
    "Cache type",
    InputKind::Choice(&[
        Choice::new(
            "none",
            "compute type",
            &["auto", "fp16", "bf16"],
            "Keys and values in the compute type.",
        ),
        Choice::new("fp8", "fp8", &["fp8_e4m3", "fp8_e5m2"], "8 bits: half of 16."),
        Choice::new(
            "fp4",
            "fp4",
            &["fp4_e2m1"],
            "4-bit floats with a one-byte scale per 16 values (SGLang).",
        ),
        Choice::new(
            "int8",
            "int8",
            &[],
            "8 bits with a scale and a zero per group: a little more than half of 16.",
        ),
        Choice::new(
            "int4",
            "int4",
            &["quanto4"],
            "4 bits with a scale and a zero per group: between a quarter and a third of 16.",
        ),
        Choice::new(
            "int2",
            "int2",
            &["quanto2"],
            "2 bits with a scale and a zero per group.",
        ),
    ]),
)
.fixed("none")
.serving(CHECKPOINTS)
.help("Type of the cached keys and values. Which types there are depends on the engine.");

pub(super) const USE_KV_CACHE: Input = input(
    InputId::UseKvCache,
    FormGroup::Requests,
    "inference.use_kv_cache",
    "--use-kv-cache",
    "iuc",
    "Keep a cache",
    InputKind::Toggle,
)
.fixed("true")
.advanced()
.help("Without a cache every step computes all positions again. Only Transformers can run so.");

pub(super) const TENSOR_PARALLEL_SIZE: Input = input(
    InputId::ServerTensorParallel,
    FormGroup::Sharding,
    "inference.tensor_parallel_size",
    "--inference-tensor-parallel-size",
    "itp",
    "Tensor parallel",
    RANKS,
)
.fixed("1")
.serving(CHECKPOINTS)
.help("GPUs that share each matrix. Must divide the attention heads; key and value heads are copied beyond their number where the engine can.");

pub(super) const PIPELINE_PARALLEL_SIZE: Input = input(
    InputId::ServerPipelineParallel,
    FormGroup::Sharding,
    "inference.pipeline_parallel_size",
    "--inference-pipeline-parallel-size",
    "ipp",
    "Pipeline parallel",
    RANKS,
)
.fixed("1")
.advanced()
.help("GPUs among which whole layers are divided; with Transformers this is device_map=\"balanced\", with llama.cpp the visible GPUs. The answer is for the fullest one.");

pub(super) const OTHER_GPUS: Input = input(
    InputId::OtherGpus,
    FormGroup::Sharding,
    "inference.other_gpus",
    "--other-gpus",
    "iog",
    "Unlike GPUs",
    InputKind::List { max_len: 64 },
)
.advanced()
.serving(CHECKPOINTS)
.help("Those of the GPUs that are of another kind than the chosen one, separated by commas, as in rtx-3090 or 2 x l40s. Shards are equal, so the smallest card binds; the answer names it.");

pub(super) const GPU_MEMORY_UTILIZATION: Input = input(
    InputId::GpuMemoryUtilization,
    FormGroup::ServerSettings,
    "inference.gpu_memory_utilization",
    "--gpu-memory-utilization",
    "igu",
    "Share of memory",
    InputKind::Number {
        min: 0.0,
        max: 1.0,
        positive: true,
    },
)
.derived("the default of the engine's version")
.serving(&[
    ServerId::Vllm,
    ServerId::Sglang,
    ServerId::TensorRtLlm,
    ServerId::Tgi,
])
.aliases(&[
    "inference.mem_fraction_static",
    "inference.free_gpu_memory_fraction",
    "inference.cuda_memory_fraction",
])
.help("vLLM: share of the card's total for weights, activations and cache. SGLang (mem_fraction_static): share of what is free before loading, for weights and pools. TensorRT-LLM (free_gpu_memory_fraction): share of what is free after loading, for the cache. TGI (CUDA_MEMORY_FRACTION): share of the card that it may use.");

pub(super) const ENABLE_STREAMING: Input = input(
    InputId::EnableStreaming,
    FormGroup::Requests,
    "inference.enable_streaming",
    "--enable-streaming",
    "ist",
    "Streaming",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.exports_only()
.help("Sends tokens as they come. It changes nothing in the memory of the GPU.");
