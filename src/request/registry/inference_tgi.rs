//! Inputs of section `inference` that only Text Generation Inference reads. Their names are those of its launcher.

use super::{Choice, FormGroup, Input, InputId, InputKind, Section, ServerId};
use crate::cite::{Citation, Evidence};

const ARGUMENTS: Citation = Citation::new(
    Evidence::Source,
    "huggingface/text-generation-inference @db931fc launcher/src/main.rs, docs/source/reference/launcher.md",
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
        .serving(&[ServerId::Tgi])
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

const TOKENS: InputKind = InputKind::Integer {
    min: 1,
    max: 1_073_741_824,
};

pub(super) const MAX_TOTAL_TOKENS: Input = setting(
    InputId::TgiMaxTotalTokens,
    "inference.max_total_tokens",
    "--max-total-tokens",
    "tmt",
    "Longest request",
    InputKind::Integer {
        min: 2,
        max: 1_073_741_824,
    },
)
.derived("the asked sequences, or the model's positions: at most 4096 up to 2.4")
.unit("tokens")
.help("Prompt and answer of one request. Where no tokens per sequence are given, sequences of this length are asked for.");

pub(super) const MAX_INPUT_TOKENS: Input = setting(
    InputId::TgiMaxInputTokens,
    "inference.max_input_tokens",
    "--max-input-tokens",
    "tmi",
    "Longest prompt",
    TOKENS,
)
.derived("the longest request less one")
.unit("tokens")
.help("Longest prompt; it must be shorter than the longest request. From 2.0 to 2.4 a warm-up prefill has 50 tokens more than it.");

pub(super) const MAX_BATCH_PREFILL_TOKENS: Input = setting(
    InputId::TgiPrefillTokens,
    "inference.max_batch_prefill_tokens",
    "--max-batch-prefill-tokens",
    "tmp",
    "Prefill tokens",
    TOKENS,
)
.derived("4096 up to 1.4; the longest prompt and 50 up to 2.4; from 3.0 on what card and model afford")
.unit("tokens")
.help("Tokens of the warm-up's prefill. What its peak takes is never given to the cache.");

pub(super) const MAX_BATCH_TOTAL_TOKENS: Input = setting(
    InputId::TgiBatchTotalTokens,
    "inference.max_batch_total_tokens",
    "--max-batch-total-tokens",
    "tmb",
    "Tokens of the pool",
    TOKENS,
)
.derived("what fits after the warm-up; 16000 up to 0.9.2")
.unit("tokens")
.help("Tokens of all running requests. Up to 0.9.2 so many are allocated without a look at the memory.");

pub(super) const WIGGLE_ROOM: Input = setting(
    InputId::TgiWiggleRoom,
    "inference.tgi_wiggle_room",
    "--tgi-wiggle-room",
    "twr",
    "Wiggle room",
    InputKind::Number {
        min: 0.0,
        max: 1.0,
        positive: true,
    },
)
.derived("by version: 0.9 to 1")
.advanced()
.help("What is taken of the free memory (up to 2.4) or of the card (from 3.0 on): the rest is a margin.");

pub(super) const ATTENTION: Input = setting(
    InputId::TgiAttention,
    "inference.tgi_attention",
    "--tgi-attention",
    "tat",
    "Attention kernels",
    InputKind::Choice(&[
        Choice::new(
            "paged",
            "paged",
            &[],
            "Blocks of 16 tokens; prefixes are not shared.",
        ),
        Choice::new(
            "flashdecoding",
            "flash-decoding",
            &["flash_decoding"],
            "Blocks of 256 tokens.",
        ),
        Choice::new("flashinfer", "FlashInfer", &[], "Single tokens."),
    ]),
)
.derived("FlashInfer from 2.3 on where the card has it, else paged")
.advanced()
.help("They decide the tokens of a block and whether prefixes are shared.");

pub(super) const QUANTIZE: Input = input(
    InputId::TgiQuantize,
    FormGroup::Formats,
    "inference.tgi_quantize",
    "--tgi-quantize",
    "tqu",
    "Argument --quantize",
    InputKind::Choice(&[
        Choice::new("none", "not given", &[], "What the checkpoint says."),
        Choice::new("awq", "awq", &[], "AWQ int4."),
        Choice::new("eetq", "eetq", &[], "INT8 with a scale per output."),
        Choice::new("exl2", "exl2", &[], "Bits differ between tensors."),
        Choice::new("gptq", "gptq", &[], "GPTQ int4."),
        Choice::new("marlin", "marlin", &[], "GPTQ int4 for Marlin."),
        Choice::new("bitsandbytes", "bitsandbytes", &[], "LLM.int8."),
        Choice::new("bitsandbytes-nf4", "bitsandbytes-nf4", &[], "NF4."),
        Choice::new("bitsandbytes-fp4", "bitsandbytes-fp4", &[], "FP4."),
        Choice::new("fp8", "fp8", &[], "FP8, one scale per matrix."),
    ]),
)
.fixed("none")
.advanced()
.help(
    "TGI's own argument. It says the same as the weight format, which comes before it where both are given.",
);

pub(super) const DTYPE: Input = input(
    InputId::TgiDtype,
    FormGroup::Formats,
    "inference.tgi_dtype",
    "--tgi-dtype",
    "tdt",
    "Argument --dtype",
    InputKind::Choice(&[
        Choice::new("float16", "float16", &["fp16"], "16 bits."),
        Choice::new(
            "bfloat16",
            "bfloat16",
            &["bf16"],
            "16 bits with the exponent of fp32.",
        ),
    ]),
)
.derived("the type in which the model is published")
.advanced()
.help(
    "TGI's own argument. It says the same as the compute type, which comes before it where both are given.",
);

pub(super) const SHARDED: Input = input(
    InputId::TgiSharded,
    FormGroup::Sharding,
    "inference.sharded",
    "--sharded",
    "tsh",
    "Sharded",
    InputKind::Toggle,
)
.derived("whether there is more than one shard")
.advanced()
.help("Whether the model is divided among GPUs. It must agree with the number of shards.");

pub(super) const NUM_SHARD: Input = input(
    InputId::TgiShards,
    FormGroup::Sharding,
    "inference.num_shard",
    "--num-shard",
    "tns",
    "Shards",
    InputKind::Integer { min: 1, max: 1_024 },
)
.derived("the tensor parallel size")
.advanced()
.help("GPUs that share each matrix: the same as tensor parallel.");
