//! `generate` of Hugging Face Transformers: weights, a cache that grows, one pass over the prompt, then one token a step. The
//! peak is the larger of both phases. huggingface/transformers 5.23.0 `generation/utils.py`, `cache_utils.py` and the
//! classes of the families; traces of the same version (tests/measured/transformers-inference-trace.jsonl).
//!
//! `stage` says what the fullest GPU holds of the weights, `store` the cache, `prefill` and `decode` the temporaries of the
//! two phases, `assisted` what a model that drafts adds, `held` puts them together by instant. `prepared` keeps what sequences and lengths do not change, `ledger` makes
//! the rows.

mod assisted;
mod beside;
mod decode;
mod held;
mod ledger;
mod prefill;
mod prepared;
mod shape;
mod stage;
mod store;

use std::sync::Arc;

use super::super::capacity::{Capacity, LONGEST, MOST_SEQUENCES, SIZES, largest, least};
use super::super::estimate::Estimate;
use super::super::job::InferenceJob;
use crate::memory::meters::Fit;
use crate::model::Network;
use crate::units::Bytes;
use prepared::Prepared;

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
    /// Tokens of a draft (`num_assistant_tokens`).
    pub drafts: u64,
}

/// What the fullest GPU holds.
pub fn evaluate(job: &InferenceJob, options: &Options) -> Estimate {
    ledger::estimate(job, options)
}

/// What fits on the card: the weights are prepared once for all trials.
pub fn capacity(
    job: &InferenceJob,
    options: &Options,
    limit: Option<u64>,
    shardable: impl Fn(u64) -> bool,
) -> Capacity {
    let bounds = ledger::bounds(job, options);
    let fits = |prepared: &Prepared<'_>, trial: &InferenceJob| {
        let peak = prepared.peak(trial, options);
        ledger::judge(peak, bounds, job.device.usable).fit != Fit::DoesNotFit
    };
    let prepared = Prepared::new(job, options);
    let mut trial = job.clone();
    let sequences = largest(MOST_SEQUENCES, |count| {
        trial.sequences = count;
        fits(&prepared, &trial)
    });
    trial.sequences = job.sequences;
    let longest = limit.unwrap_or(LONGEST).max(2);
    // A sequence has a prompt and an answer: the shortest has two tokens.
    let length = match largest(longest.saturating_sub(1), |length| {
        (trial.prompt, trial.new_tokens) = job.lengths_within(length.saturating_add(1));
        fits(&prepared, &trial)
    }) {
        0 => 0,
        most => most.saturating_add(1),
    };
    let held: Bytes = prepared.devices.iter().map(|device| device.exact).sum();
    let gpus = SIZES
        .into_iter()
        .filter(|size| {
            shardable(*size) && least(held, job.tensor, *size).scaled(1.0 - bounds.0) <= job.device.usable
        })
        .find(|size| {
            let mut divided = job.clone();
            divided.tensor = *size;
            divided.pipeline = 1;
            fits(&Prepared::new(&divided, options), &divided)
        });
    Capacity {
        sequences,
        length,
        gpus,
    }
}
