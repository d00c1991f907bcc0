//! What drafting holds beside the model: the assistant's weights and cache, the scores of its draft, and the logits of all
//! drafted positions, which the model checks in one pass (transformers 5.23.0 `generation/utils.py` _assisted_decoding,
//! `generation/candidate_generator.py`), confirmed by tests/measured/assisted-trace.jsonl. Drafts have their full length: the
//! assistant stops earlier where it is not sure, which only takes less.
//!
//! One round: the assistant writes n tokens and keeps the fp32 scores of each, which are stacked; the model computes n + 1
//! positions; its logits, their fp32 form and a clone of it stay referenced until the next round replaces them one by one.

use std::sync::Arc;

use super::super::super::job::InferenceJob;
use super::super::super::weights::Quantisation;
use super::prepared::Assistant;
use super::shape::{Pass, WORKSPACE};
use super::{Options, decode, store};
use crate::units::Bytes;

/// What the assistant holds, in bytes; zero where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drafting {
    /// Its weights.
    pub weights: u64,
    /// Its cache after the first draft.
    pub first_cache: u64,
    /// Its cache at the end.
    pub last_cache: u64,
    /// Scores of a draft, held while the model checks it and until the next one is there.
    pub scores: u64,
    /// Beyond them: its last step, or its scores as they are stacked.
    pub last_head: u64,
    /// Beyond them: a layer in a step.
    pub layer: u64,
}

/// The logits of a check, in bytes; zero on a device without the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Logits {
    /// As they are made the first time.
    pub first_head: u64,
    /// Those of the round before, with their fp32 form and its clone.
    pub referenced: u64,
    /// Beyond them: as they are made again.
    pub last_head: u64,
}

/// Tokens of the first and of every full draft: an answer of one token is checked without any.
pub fn tokens(job: &InferenceJob, options: &Options) -> u64 {
    match options.assistant {
        Some(_) => options.drafts.min(job.new_tokens.saturating_sub(1)),
        None => 0,
    }
}

/// A job whose prompt already has a draft of so many tokens.
pub fn with_draft(job: &InferenceJob, tokens: u64) -> InferenceJob {
    InferenceJob {
        prompt: job.prompt.saturating_add(tokens),
        new_tokens: job.new_tokens.saturating_sub(tokens),
        ..job.clone()
    }
}

/// Bytes of so many rows of the vocabulary.
fn rows(job: &InferenceJob, count: u64, bytes: u64) -> u64 {
    let row = job.network.vocabulary.saturating_mul(bytes);
    row.saturating_mul(count)
}

/// The logits of a draft of so many tokens and of the one after it.
pub fn logits(job: &InferenceJob, draft: u64, output: bool) -> Logits {
    if !output {
        return Logits::default();
    }
    let checked = draft.saturating_add(1);
    let w = job.compute.bits() / 8;
    let made = rows(job, checked, w).saturating_add(WORKSPACE);
    let referenced = rows(job, checked, w.saturating_add(8));
    Logits {
        first_head: made.max(referenced),
        referenced,
        last_head: made.max(rows(job, checked, 4)),
    }
}

/// What the assistant of a question holds.
pub fn drafting(job: &InferenceJob, options: &Options, assistant: &Assistant<'_>) -> Drafting {
    let n = tokens(job, options);
    let w = job.compute.bits() / 8;
    // It caches neither the last token of a draft nor the one that the model adds.
    let draft = InferenceJob {
        network: Arc::clone(assistant.network),
        weights: Quantisation::none(),
        tensor: 1,
        pipeline: 1,
        prompt: job.prompt.saturating_add(n.saturating_sub(1)),
        new_tokens: job.new_tokens.saturating_sub(n),
        ..job.clone()
    };
    let step = Pass::new(&draft, options, 1, job.length().saturating_sub(2));
    let (mut first, mut last, mut layer) = (Bytes::ZERO, Bytes::ZERO, 0);
    for kind in &assistant.kinds {
        let kept = store::layer(&draft, options, kind.layer);
        first += (kept.prefill + kept.state) * kind.count;
        last += (kept.end + kept.state) * kind.count;
        layer = decode::layer(&draft, options, kind.layer, kept, step).max(layer);
    }
    let scores = rows(job, n, 4);
    let step_head = scores.saturating_add(rows(job, 1, w)).saturating_add(WORKSPACE);
    Drafting {
        weights: assistant.weights.get(),
        first_cache: first.get(),
        last_cache: last.get(),
        scores,
        last_head: step_head.max(scores.saturating_mul(2)),
        layer: layer.saturating_add(scores),
    }
}
