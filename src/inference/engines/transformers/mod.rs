//! `generate` of Hugging Face Transformers: weights, a cache that grows, one pass over the prompt, then one token a step. The
//! peak is the larger of both phases. huggingface/transformers 5.23.0 `generation/utils.py`, `cache_utils.py` and the
//! classes of the families; traces of the same version (tests/measured/transformers-inference-trace.jsonl).
//!
//! `stage` says what the fullest GPU holds of the weights, `store` the cache, `prefill` and `decode` the temporaries of the
//! two phases, `ledger` puts them together.

mod beside;
mod decode;
mod ledger;
mod prefill;
mod shape;
mod stage;
mod store;

use std::sync::Arc;

use super::super::estimate::Estimate;
use super::super::job::InferenceJob;
use crate::model::Network;

/// How attention is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// torch's fused kernels.
    Sdpa,
    /// All scores, in python.
    Eager,
    /// The flash-attn package.
    Flash,
    /// What SDPA does where no fused kernel takes the inputs.
    Math,
}

/// How the cache is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheKind {
    /// Grows by concatenation.
    Dynamic,
    /// All positions from the first step on.
    Static,
    /// In host memory but for the layers at work.
    Offloaded,
    /// None: every step computes all positions.
    None,
}

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// The likeliest.
    Greedy,
    /// Drawn from all.
    Plain,
    /// Drawn from a part, for which the scores are sorted.
    Filtered,
}

/// How experts are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Experts {
    /// Grouped for the prompt, batched in decoding.
    Default,
    /// Grouped in both phases.
    Grouped,
    /// Batched in both phases.
    Batched,
}

/// What only this engine reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How attention is computed.
    pub attention: Attention,
    /// Whether prompts differ in length.
    pub padding: bool,
    /// How the cache is kept.
    pub cache: CacheKind,
    /// Tokens of the prompt at once.
    pub chunk: Option<u64>,
    /// Whether logits of all positions are computed.
    pub all_logits: bool,
    /// Beams per request.
    pub beams: u64,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Whether the scores of all steps are kept.
    pub output_scores: bool,
    /// How experts are multiplied.
    pub experts: Experts,
    /// A smaller model that drafts.
    pub assistant: Option<Arc<Network>>,
}

/// What the fullest GPU holds.
pub fn evaluate(job: &InferenceJob, options: &Options) -> Estimate {
    ledger::estimate(job, options)
}
