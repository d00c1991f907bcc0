//! Inputs of section `inference` that decide speed and the number of machines, and nothing about memory.

use super::{FormGroup, Input, InputId, InputKind, Section, ServerId};
use crate::cite::{Citation, Evidence};

const fn traffic(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    Input::new(
        id,
        (Section::Inference, FormGroup::Traffic),
        key,
        flag,
        url,
        label,
        kind,
    )
    .serving(ON_CARDS)
}

/// Engines whose copies run on cards alone.
const ON_CARDS: &[ServerId] = &[
    ServerId::Huggingface,
    ServerId::Vllm,
    ServerId::Tgi,
    ServerId::TensorRtLlm,
    ServerId::Sglang,
];

const fn number(max: f64) -> InputKind {
    InputKind::Number {
        min: 0.0,
        max,
        positive: true,
    }
}

const TOKENS: InputKind = InputKind::Integer {
    min: 1,
    max: 1_073_741_824,
};

pub(super) const REQUESTS_PER_SECOND: Input = traffic(
    InputId::RequestsPerSecond,
    "inference.requests_per_second",
    "--requests-per-second",
    "irs",
    "Requests per second",
    number(1e9),
)
.help("Traffic to serve. It gives the copies and GPUs that a roofline needs.");

pub(super) const CONCURRENT_USERS: Input = traffic(
    InputId::ConcurrentUsers,
    "inference.concurrent_users",
    "--concurrent-users",
    "icu",
    "Requests at the same time",
    InputKind::Integer {
        min: 1,
        max: 1_000_000_000,
    },
)
.help("Requests that are answered at once. Beside requests per second the larger need counts.");

pub(super) const P95_PROMPT_TOKENS: Input = traffic(
    InputId::P95PromptTokens,
    "inference.p95_prompt_tokens",
    "--p95-prompt-tokens",
    "ipl",
    "Long prompt (p95)",
    TOKENS,
)
.derived("the prompt as it is asked")
.unit("tokens")
.help(
    "95 of 100 prompts are no longer. Sequences at once and the time to the first token are judged with it.",
);

pub(super) const P95_NEW_TOKENS: Input = traffic(
    InputId::P95NewTokens,
    "inference.p95_new_tokens",
    "--p95-new-tokens",
    "ipn",
    "Long answer (p95)",
    TOKENS,
)
.derived("the answer as it is asked")
.unit("tokens")
.help("95 of 100 answers are no longer. Sequences at once are judged with it.");

pub(super) const MAX_TTFT: Input = traffic(
    InputId::MaxTtft,
    "inference.max_ttft_ms",
    "--max-ttft-ms",
    "itt",
    "Time to first token, at most",
    number(1e9),
)
.unit("ms")
.help("A prompt of the p95 length that waits for nobody must be read within it.");

pub(super) const MAX_TPOT: Input = traffic(
    InputId::MaxTpot,
    "inference.max_tpot_ms",
    "--max-tpot-ms",
    "ito",
    "Time per token, at most",
    number(1e9),
)
.unit("ms")
.help("Limits how many sequences a copy serves at once.");

pub(super) const BANDWIDTH_EFFICIENCY: Input = traffic(
    InputId::BandwidthEfficiency,
    "inference.bandwidth_efficiency",
    "--bandwidth-efficiency",
    "ibe",
    "Efficiency of memory",
    number(1.0),
)
.derived("80 to 92 % of the nominal bandwidth")
.help("The share of the memory's bandwidth that a step reaches. A typed value holds without a range.")
.cite(Citation::new(
    Evidence::Published,
    "ai-dynamo/aiconfigurator@095f58a51: 80 %",
));
