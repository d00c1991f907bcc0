//! Inputs of section `inference` that only llama.cpp reads. Their names are those of its arguments.

use super::{Choice, FormGroup, Input, InputId, InputKind, Section, ServerId};
use crate::cite::{Citation, Evidence};

const LLAMA_CPP: &[ServerId] = &[ServerId::LlamaCpp];

const ARGUMENTS: Citation = Citation::new(
    Evidence::Source,
    "ggml-org/llama.cpp common/arg.cpp, include/llama.h (August 2026)",
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
        .serving(LLAMA_CPP)
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

const fn mix(value: &'static str, label: &'static str, help: &'static str) -> Choice {
    Choice::new(value, label, &[], help)
}

pub(super) const GGUF_TYPE: Input = input(
    InputId::GgufType,
    FormGroup::Formats,
    "inference.gguf_type",
    "--gguf-type",
    "lgt",
    "Type of the file",
    InputKind::Choice(&[
        mix("F32", "F32", "32 bits."),
        mix("F16", "F16", "16 bits; norms and routers in 32."),
        mix("BF16", "BF16", "16 bits with the exponent of 32; norms and routers in 32."),
        mix("Q8_0", "Q8_0", "8.5 bits per weight."),
        mix("Q6_K", "Q6_K", "6.5625 bits per weight."),
        mix("Q5_K_M", "Q5_K_M", "5.5 bits; part of the values and downs in 6.5625."),
        mix("Q5_K_S", "Q5_K_S", "5.5 bits."),
        mix("Q5_1", "Q5_1", "6 bits."),
        mix("Q5_0", "Q5_0", "5.5 bits."),
        mix("Q4_K_M", "Q4_K_M", "4.5 bits; part of the values and downs in 6.5625."),
        mix("Q4_K_S", "Q4_K_S", "4.5 bits; the first values and downs in 5.5."),
        mix("Q4_1", "Q4_1", "5 bits."),
        mix("Q4_0", "Q4_0", "4.5 bits."),
        mix("IQ4_NL", "IQ4_NL", "4.5 bits, not linear."),
        mix("IQ4_XS", "IQ4_XS", "4.25 bits, not linear."),
        mix("Q3_K_L", "Q3_K_L", "3.4375 bits; values, outputs and downs in 5.5."),
        mix("Q3_K_M", "Q3_K_M", "3.4375 bits; values, outputs and downs in 4.5 and 5.5."),
        mix("Q3_K_S", "Q3_K_S", "3.4375 bits."),
        mix("IQ3_M", "IQ3_M", "3.4375 bits; values and outputs in 4.5."),
        mix("IQ3_S", "IQ3_S", "3.4375 bits."),
        mix("IQ3_XS", "IQ3_XS", "Between 3.0625 and 3.4375 bits."),
        mix("IQ3_XXS", "IQ3_XXS", "3.0625 bits; queries and keys in 2.5625."),
        mix("Q2_K", "Q2_K", "2.625 bits; values in 4.5, outputs and downs in 3.4375."),
        mix("Q2_K_S", "Q2_K_S", "2.625 bits; the first downs in 4.5."),
        mix("IQ2_M", "IQ2_M", "2.5625 bits."),
        mix("IQ2_S", "IQ2_S", "2.3125 bits; outputs in 3.4375."),
        mix("IQ2_XS", "IQ2_XS", "2.3125 bits."),
        mix("IQ2_XXS", "IQ2_XXS", "2.0625 bits."),
        mix("IQ1_M", "IQ1_M", "1.75 bits."),
        mix("IQ1_S", "IQ1_S", "1.5625 bits."),
        mix("TQ1_0", "TQ1_0", "1.6875 bits, ternary."),
        mix("TQ2_0", "TQ2_0", "2.0625 bits, ternary."),
        mix("MXFP4_MOE", "MXFP4, experts", "Experts in 4.25 bits (gpt-oss), everything else in 8.5."),
    ]),
)
.derived("Q4_K_M, which -hf downloads where nothing is said")
.help("The named mix of llama-quantize: a base type, and rules for the tensors that get more bits. Publishers' own mixes (UD, XL) follow no rule: give their tensors by name.");

pub(super) const TENSOR_TYPES: Input = input(
    InputId::TensorTypes,
    FormGroup::Formats,
    "inference.tensor_types",
    "--tensor-types",
    "ltt",
    "Types by tensor",
    InputKind::List { max_len: 64 },
)
.advanced()
.help("Types of single tensors as --tensor-type takes them, the first that matches: ffn_down_exps=q6_K, attn_v=q8_0, token_embd=q8_0. All types of ggml and of ik_llama.cpp.");

pub(super) const GGUF_TENSORS: Input = input(
    InputId::GgufTensors,
    FormGroup::Formats,
    "inference.gguf_tensors",
    "--gguf-tensors",
    "lgl",
    "Tensors of the file",
    InputKind::List { max_len: 1_024 },
)
.advanced()
.help("What the header of a GGUF file lists, a line for each name, type and shape with its layers: q4_k 4096x4096 attn_q.weight 0-15+20. Reading a file writes it. It replaces the named mix, and the weights are exact.");

pub(super) const IMATRIX: Input = input(
    InputId::Imatrix,
    FormGroup::Formats,
    "inference.imatrix",
    "--imatrix",
    "lim",
    "Importance matrix",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.help("Whether the file was quantised with an importance matrix: some mixes then give fewer bits to values and downs.");

pub(super) const MMPROJ: Input = input(
    InputId::Mmproj,
    FormGroup::Formats,
    "inference.mmproj",
    "--mmproj",
    "lmp",
    "Vision tower",
    InputKind::Choice(&[
        Choice::new("none", "none", &[], "Text alone."),
        Choice::new("f16", "F16", &["fp16"], "A file of the tower in 16 bits."),
        Choice::new("bf16", "BF16", &[], "A file of the tower in 16 bits with the exponent of 32."),
        Choice::new("f32", "F32", &["fp32"], "A file of the tower in 32 bits."),
        Choice::new("q8_0", "Q8_0", &[], "A file of the tower in 8.5 bits."),
    ]),
)
.fixed("none")
.advanced()
.help("--mmproj: the file with the vision tower, by its type. It lies on the first GPU with a compute buffer of its own. -hf downloads one where there is one.");

pub(super) const LATENT_TENSORS: Input = input(
    InputId::LatentTensors,
    FormGroup::Formats,
    "inference.latent_tensors",
    "--latent-tensors",
    "llt",
    "Latent projections",
    InputKind::Choice(&[
        Choice::new("joint", "attn_kv_b", &[], "One tensor, as files had it until April 2025."),
        Choice::new("split", "attn_k_b and attn_v_b", &[], "Two tensors."),
        Choice::new("both", "all three", &[], "All three, as the fork's converter made them."),
    ]),
)
.derived("two tensors from build 5121 on, one before")
.advanced()
.help("How a file holds the projections of latent attention (DeepSeek, Kimi-K2, GLM-4.7-Flash): the kinds differ by about 1 GiB.");

const CACHE_TYPES: InputKind = InputKind::Choice(&[
    Choice::new("f16", "f16", &["fp16"], "16 bits."),
    Choice::new("bf16", "bf16", &[], "16 bits."),
    Choice::new("f32", "f32", &["fp32"], "32 bits."),
    Choice::new("q8_0", "q8_0", &[], "8.5 bits."),
    Choice::new("q5_1", "q5_1", &[], "6 bits."),
    Choice::new("q5_0", "q5_0", &[], "5.5 bits."),
    Choice::new("q4_1", "q4_1", &[], "5 bits."),
    Choice::new("q4_0", "q4_0", &[], "4.5 bits."),
    Choice::new("iq4_nl", "iq4_nl", &[], "4.5 bits, not linear."),
]);

pub(super) const CACHE_TYPE_K: Input = input(
    InputId::CacheTypeK,
    FormGroup::Formats,
    "inference.cache_type_k",
    "--cache-type-k",
    "lck",
    "Type of cached keys",
    CACHE_TYPES,
)
.fixed("f16")
.help("-ctk: type of the keys in the cache.");

pub(super) const CACHE_TYPE_V: Input = input(
    InputId::CacheTypeV,
    FormGroup::Formats,
    "inference.cache_type_v",
    "--cache-type-v",
    "lcv",
    "Type of cached values",
    CACHE_TYPES,
)
.fixed("f16")
.help("-ctv: type of the values in the cache. Less than 16 bits need flash attention.");

pub(super) const CONTEXT_SIZE: Input = setting(
    InputId::ContextSize,
    "inference.ctx_size",
    "--ctx-size",
    "lcs",
    "Context size",
    COUNT,
)
.derived("sequences times tokens per sequence")
.unit("tokens")
.help("-c: cells of the cache for all sequences together. It is allocated at the start, used or not.");

pub(super) const LOGICAL_BATCH: Input = setting(
    InputId::LogicalBatch,
    "inference.n_batch",
    "--logical-batch",
    "lnb",
    "Logical batch",
    COUNT,
)
.fixed("2048")
.unit("tokens")
.advanced()
.help("-b: tokens that are handed over at once. A physical batch is never larger.");

pub(super) const PHYSICAL_BATCH: Input = setting(
    InputId::PhysicalBatch,
    "inference.n_ubatch",
    "--ubatch-size",
    "lub",
    "Physical batch",
    COUNT,
)
.fixed("512")
.unit("tokens")
.help("-ub: tokens that are computed at once. The compute buffer grows with it: 4 bytes per token and row of the vocabulary alone.");

pub(super) const OUTPUTS_MAX: Input = setting(
    InputId::OutputsMax,
    "inference.n_outputs_max",
    "--outputs-max",
    "lom",
    "Most logits of a batch",
    COUNT,
)
.derived("one per sequence and drafted token; before build 9450, and in the fork, every token of a physical batch")
.unit("tokens")
.advanced()
.help("n_outputs_max of newer builds: for so many tokens of a batch there is room for logits, instead of for all of them.");

pub(super) const FLASH_ATTENTION: Input = setting(
    InputId::FlashAttention,
    "inference.flash_attn",
    "--flash-attn",
    "lfa",
    "Flash attention",
    InputKind::Choice(&[
        Choice::new(
            "auto",
            "auto",
            &["-1"],
            "On where the backend has it, from build 6325 on; off before.",
        ),
        Choice::new(
            "on",
            "on",
            &["1", "true"],
            "No scores in memory; a cache in fewer bits for the values, too.",
        ),
        Choice::new("off", "off", &["0", "false"], "All scores of a batch in memory."),
    ]),
)
.fixed("auto")
.help("-fa: without it the scores of every head, token of the batch and cell are in the compute buffer.");

pub(super) const KV_UNIFIED: Input = setting(
    InputId::KvUnified,
    "inference.kv_unified",
    "--kv-unified",
    "lku",
    "One cache for all",
    InputKind::Toggle,
)
.derived("on before build 5912, and with one sequence; off else")
.advanced()
.help("-kvu: all sequences share the cells of one cache; else each has its part.");

pub(super) const SWA_FULL: Input = setting(
    InputId::SwaFull,
    "inference.swa_full",
    "--swa-full",
    "lsf",
    "Whole cache for windows",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.help("Layers with a sliding window get as many cells as the others, so that prompts can be reused.");

pub(super) const KV_OFFLOAD: Input = setting(
    InputId::KvOffload,
    "inference.kv_offload",
    "--kv-offload",
    "lko",
    "Cache on the GPUs",
    InputKind::Toggle,
)
.fixed("true")
.advanced()
.help("The cache of a layer is where the layer is. Without (-nkvo) all of it is on the host.");

pub(super) const GPU_LAYERS: Input = setting(
    InputId::GpuLayers,
    "inference.n_gpu_layers",
    "--n-gpu-layers",
    "lng",
    "Layers on GPUs",
    InputKind::Integer { min: 0, max: 100_000 },
)
.derived("all, the output among them")
.help("-ngl: how many layers are offloaded, from the last one on; the output counts as one. The rest is computed on the host.");

pub(super) const SPLIT_MODE: Input = setting(
    InputId::SplitMode,
    "inference.split_mode",
    "--split-mode",
    "lsm",
    "Split mode",
    InputKind::Choice(&[
        Choice::new(
            "layer",
            "layer",
            &[],
            "Whole layers with their cache on each GPU.",
        ),
        Choice::new(
            "row",
            "row",
            &[],
            "Rows of each matrix on every GPU; cache and scratch on the first.",
        ),
        Choice::new("none", "none", &[], "Only the first GPU is used."),
    ]),
)
.fixed("layer")
.help("-sm: how the model is divided among several GPUs.");

pub(super) const TENSOR_SPLIT: Input = setting(
    InputId::TensorSplit,
    "inference.tensor_split",
    "--tensor-split",
    "lts",
    "Shares of the GPUs",
    InputKind::List { max_len: 128 },
)
.advanced()
.help("-ts: the share of each GPU, separated by commas, as in 3,1. Without it layers are divided by free memory, equally on equal cards.");

pub(super) const CPU_MOE: Input = setting(
    InputId::CpuMoe,
    "inference.n_cpu_moe",
    "--n-cpu-moe",
    "lcm",
    "Layers with experts on the host",
    InputKind::Integer { min: 0, max: 100_000 },
)
.fixed("0")
.help("-ncmoe: the routed experts of so many first layers stay on the host; attention and shared experts are offloaded.");

pub(super) const OVERRIDE_TENSOR: Input = setting(
    InputId::OverrideTensor,
    "inference.override_tensor",
    "--override-tensor",
    "lot",
    "Places by tensor",
    InputKind::List { max_len: 64 },
)
.advanced()
.help(
    "-ot: places of single tensors by pattern, the first that matches: exps=CPU, blk\\.(3|4)\\.ffn_.*=CUDA1.",
);

pub(super) const MMAP: Input = setting(
    InputId::Mmap,
    "inference.mmap",
    "--mmap",
    "lmm",
    "Map the file",
    InputKind::Toggle,
)
.fixed("true")
.advanced()
.help("Weights of the host are pages of the mapped file. Without (--no-mmap) they are allocated.");

pub(super) const LLAMA_FORK: Input = input(
    InputId::LlamaFork,
    FormGroup::Server,
    "inference.llama_fork",
    "--llama-fork",
    "lfk",
    "Which llama.cpp",
    InputKind::Choice(&[
        Choice::new("ggml_org", "llama.cpp", &["mainline"], "ggml-org/llama.cpp."),
        Choice::new(
            "ik",
            "ik_llama.cpp",
            &["ik_llama.cpp"],
            "ikawrakow/ik_llama.cpp: more types, latent attention by -mla, no caches of windows.",
        ),
    ]),
)
.fixed("ggml_org")
.advanced()
.help("The project, or its fork with types and kernels of its own.");

pub(super) const MLA: Input = setting(
    InputId::Mla,
    "inference.mla",
    "--mla",
    "lml",
    "Latent attention mode",
    InputKind::Integer { min: 0, max: 3 },
)
.derived("3")
.advanced()
.help("-mla of ik_llama.cpp: 0 caches keys and values of every head, 1 the latent (twice without flash attention), 2 and 3 the latent, with keys and values of all heads made anew for prompts.");

pub(super) const ATTENTION_SLICE: Input = setting(
    InputId::AttentionSlice,
    "inference.attn_max_batch",
    "--attn-max-batch",
    "lam",
    "Slices of attention",
    InputKind::Integer { min: 0, max: 1_048_576 },
)
.fixed("0")
.unit("MiB")
.advanced()
.help("-amb of ik_llama.cpp: keys and values of all heads are made in slices of so many MiB; 0 makes them at once.");
