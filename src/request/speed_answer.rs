//! How fast a copy can serve, and how many machines a traffic needs: rooflines of an inference answer.

use serde::Serialize;

use super::network_answer::Figures;

/// Machines for a traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sizing {
    /// Sequences at once per copy, at most.
    pub sequences_per_copy: Figures,
    /// Requests per second of a copy.
    pub requests_per_second_per_copy: Figures,
    /// Copies; the lowest number belongs to the fastest case.
    pub replicas: Figures,
    /// GPUs.
    pub gpus: Figures,
    /// What limits a copy: `kv_cache`, `time_per_token`, `bandwidth`, `compute`, `network`.
    pub limit: &'static str,
}

/// How fast a copy can serve: a roofline, labelled as such.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServingSpeed {
    /// `roofline`.
    pub kind: &'static str,
    /// Time to the first token of a prompt that waits for nobody, in milliseconds.
    pub ttft_ms: Figures,
    /// Time per token of the asked sequences.
    pub tpot_ms: Figures,
    /// Prompt tokens per second of a copy.
    pub prefill_tokens_per_second: Figures,
    /// New tokens per second of one sequence.
    pub decode_tokens_per_second_per_sequence: Figures,
    /// New tokens per second of all asked sequences, prompts apart.
    pub decode_tokens_per_second: Figures,
    /// New tokens per second while so many sequences are served all the time, prompts included; of one copy.
    pub output_tokens_per_second: Figures,
    /// Cost of a million new tokens at that rate, where a price of the GPU is typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_per_million_tokens: Option<Figures>,
    /// What binds the pass over the prompt: `bandwidth`, `compute`, `network`.
    pub prefill_bound: &'static str,
    /// What binds a step.
    pub decode_bound: &'static str,
    /// Machines for the asked traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sizing: Option<Sizing>,
    /// Why the asked traffic cannot be served within its limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sizing_missing: Option<String>,
}
