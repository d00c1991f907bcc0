//! Inputs of section `inference` that only Transformers' `generate` reads.

use super::{Choice, FormGroup, Input, InputId, InputKind, Section, ServerId};
use crate::cite::{Citation, Evidence};

const TRANSFORMERS: &[ServerId] = &[ServerId::Huggingface];

const CACHES: Citation = Citation::new(Evidence::Source, "huggingface/transformers 5.23.0 cache_utils.py");
const GENERATION: Citation = Citation::new(
    Evidence::Source,
    "huggingface/transformers 5.23.0 generation/utils.py",
);

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
        (Section::Inference, FormGroup::ServerSettings),
        key,
        flag,
        url,
        label,
        kind,
    )
    .serving(TRANSFORMERS)
}

pub(super) const ATTENTION: Input = input(
    InputId::ServerAttention,
    "inference.attention",
    "--inference-attention",
    "iat",
    "Attention",
    InputKind::Choice(&[
        Choice::new("sdpa", "SDPA", &[], "torch's fused kernel: no scores in memory."),
        Choice::new(
            "eager",
            "eager",
            &[],
            "All scores in memory, several copies of them.",
        ),
        Choice::new(
            "flash_attention_2",
            "FlashAttention 2",
            &["flash"],
            "The flash-attn package: no scores, no masks, no repeated keys.",
        ),
        Choice::new(
            "math",
            "SDPA, math kernel",
            &[],
            "What SDPA falls back to where no fused kernel takes the inputs: all scores in memory.",
        ),
    ]),
)
.derived("SDPA where the model has it, else eager")
.help("How attention is computed. Gemma 2 and gpt-oss only have the eager way by default.");

pub(super) const PADDING: Input = input(
    InputId::Padding,
    "inference.padding",
    "--padding",
    "ipd",
    "Prompts of different lengths",
    InputKind::Toggle,
)
.fixed("false")
.help("Shorter prompts are padded to the longest, and the fused kernel then needs a mask over all pairs of positions.");

pub(super) const CACHE_IMPLEMENTATION: Input = input(
    InputId::CacheImplementation,
    "inference.cache_implementation",
    "--cache-implementation",
    "ici",
    "Cache",
    InputKind::Choice(&[
        Choice::new(
            "dynamic",
            "dynamic",
            &[],
            "Grows by concatenation with every token.",
        ),
        Choice::new("static", "static", &[], "All positions from the first step on."),
        Choice::new(
            "offloaded",
            "offloaded",
            &[],
            "In host memory but for one or two layers.",
        ),
    ]),
)
.fixed("dynamic")
.help("How the cache of keys and values is kept between the steps.")
.cite(CACHES);

pub(super) const PREFILL_CHUNK: Input = input(
    InputId::PrefillChunk,
    "inference.prefill_chunk_size",
    "--prefill-chunk-size",
    "ipc",
    "Prompt in chunks of",
    InputKind::Integer {
        min: 1,
        max: 1_073_741_824,
    },
)
.derived("the whole prompt at once")
.unit("tokens")
.advanced()
.help("Tokens of the prompt that are computed at once. Smaller chunks have smaller temporaries.")
.cite(GENERATION);

pub(super) const ALL_LOGITS: Input = input(
    InputId::AllLogits,
    "inference.all_logits",
    "--all-logits",
    "ial",
    "Logits of all positions",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.help("A plain forward, or an old version, computes logits of every position of the prompt; generate() only those of the last.")
.cite(GENERATION);

pub(super) const NUM_BEAMS: Input = input(
    InputId::NumBeams,
    "inference.num_beams",
    "--num-beams",
    "inb",
    "Beams",
    InputKind::Integer { min: 1, max: 1_024 },
)
.fixed("1")
.advanced()
.help("Beam search runs so many sequences per request, each with its own cache.")
.cite(GENERATION);

pub(super) const DO_SAMPLE: Input = input(
    InputId::DoSample,
    "inference.do_sample",
    "--do-sample",
    "ids",
    "Sample",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.help("Draws the next token instead of taking the likeliest; sorting the scores takes memory with large vocabularies.")
.cite(GENERATION);

pub(super) const TOP_K: Input = input(
    InputId::SamplingTopK,
    "inference.top_k",
    "--sampling-top-k",
    "itk",
    "Top k",
    InputKind::Integer {
        min: 0,
        max: 1_048_576,
    },
)
.fixed("50")
.advanced()
.help("Sampling keeps so many of the likeliest tokens; 0 keeps all.")
.cite(GENERATION);

pub(super) const TOP_P: Input = input(
    InputId::SamplingTopP,
    "inference.top_p",
    "--sampling-top-p",
    "itq",
    "Top p",
    InputKind::Number {
        min: 0.0,
        max: 1.0,
        positive: true,
    },
)
.fixed("1")
.advanced()
.help("Sampling keeps the likeliest tokens up to this probability; below 1 all scores are sorted.")
.cite(GENERATION);

pub(super) const OUTPUT_SCORES: Input = input(
    InputId::OutputScores,
    "inference.output_scores",
    "--output-scores",
    "ios",
    "Keep scores",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.help("Returns the fp32 scores of every step, which then stay in memory until the end.")
.cite(GENERATION);

pub(super) const EXPERTS_IMPLEMENTATION: Input = input(
    InputId::ExpertsImplementation,
    "inference.experts_implementation",
    "--experts-implementation",
    "iex",
    "Experts",
    InputKind::Choice(&[
        Choice::new(
            "default",
            "as generate() chooses",
            &["auto"],
            "Grouped products for the prompt; copies of the chosen experts' weights in decoding.",
        ),
        Choice::new(
            "grouped_mm",
            "grouped products",
            &[],
            "Grouped products in both phases.",
        ),
        Choice::new(
            "batched_mm",
            "batched products",
            &[],
            "Copies of the chosen experts' weights for every token, in both phases.",
        ),
    ]),
)
.fixed("default")
.advanced()
.help("How the experts of a mixture are multiplied.")
.cite(Citation::new(
    Evidence::Source,
    "huggingface/transformers 5.23.0 integrations/moe.py",
));

pub(super) const ASSISTANT_MODEL: Input = input(
    InputId::AssistantModel,
    "inference.assistant_model",
    "--assistant-model",
    "iam",
    "Assistant model",
    InputKind::Text { max_len: 200 },
)
.advanced()
.help("A smaller model of the catalogue that drafts tokens (assisted decoding). Its weights and its own cache come on top.")
.cite(GENERATION);

pub(super) const NUM_ASSISTANT_TOKENS: Input = input(
    InputId::AssistantTokens,
    "inference.num_assistant_tokens",
    "--num-assistant-tokens",
    "ina",
    "Tokens of a draft",
    InputKind::Integer { min: 1, max: 1_024 },
)
.fixed("20")
.unit("tokens")
.advanced()
.help("Tokens that the assistant model drafts at most before they are checked. The logits of all of them are held at once.")
.cite(Citation::new(
    Evidence::Source,
    "huggingface/transformers 5.23.0 generation/candidate_generator.py",
));
