//! The temporaries of one step of the answer, at its last token: growing the cache, attention, experts, and the head with
//! the choice of the token (transformers 5.23.0 `generation/utils.py`, `cache_utils.py`, `integrations/moe.py`), confirmed
//! by the allocations of the traces.

use super::super::super::job::{CacheType, InferenceJob};
use super::prefill::{gathered, widened};
use super::shape::{Pass, WORKSPACE, dense, heads, mixture};
use super::store::LayerStore;
use super::{Attention, CacheKind, Experts, Options, Sampling};
use crate::model::Layer;

/// What appending to the cache of a layer takes.
pub fn growth(job: &InferenceJob, options: &Options, of: &Layer, store: LayerStore, pass: Pass) -> u64 {
    let elements = store.per_token.saturating_mul(store.kept);
    match (options.cache, job.cache) {
        (CacheKind::Static | CacheKind::None, _) => 0,
        // Widened through fp32, and the appended copy.
        (_, CacheType::Fp8 | CacheType::Fp4) => elements.saturating_mul(6),
        // Both tensors unpacked, shifted and scaled.
        (_, CacheType::Grouped(_)) => elements.saturating_mul(pass.w + 3).saturating_add(WORKSPACE),
        (_, CacheType::Compute) => {
            let both = elements.saturating_mul(pass.w);
            // New keys beside the old ones; in a layer with a window both new tensors, since the old are views.
            let windowed = heads(of, pass.ranks).is_some_and(|heads| heads.window.is_some());
            if windowed { both } else { both / 2 }
        }
    }
}

/// Bytes of a layer at its fullest moment.
pub fn layer(job: &InferenceJob, options: &Options, of: &Layer, store: LayerStore, pass: Pass) -> u64 {
    let growth = growth(job, options, of, store, pass);
    let scores = match heads(of, pass.ranks) {
        Some(heads) => {
            let keys = pass
                .w
                .saturating_mul(heads.q)
                .saturating_mul(pass.rows)
                .saturating_mul(store.kept);
            match options.attention {
                Attention::Eager if heads.grouped => keys.saturating_mul(2).saturating_add(WORKSPACE),
                // Repeated, scaled and transposed copies of keys and values (traced).
                Attention::Math => keys.saturating_mul(7).saturating_add(WORKSPACE),
                _ => 0,
            }
        }
        None => 0,
    };
    let copied = match (mixture(of), options.experts) {
        (Some(moe), Experts::Batched) => gathered(moe, pass, pass.rows),
        (Some(moe), Experts::Default) if options.beams <= 1 => gathered(moe, pass, pass.rows),
        _ => 0,
    };
    let expanded = dense(of).map_or(0, |dense| {
        let f = dense.width / pass.ranks;
        match widened(&job.weights, f, f, pass) {
            0 => 0,
            bytes => bytes.saturating_add(WORKSPACE),
        }
    });
    growth.max(scores).max(copied).max(expanded).max(WORKSPACE)
}

/// fp32 scores that stay referenced through a step: those of the step before, and in beam search the running ones.
pub fn referenced(job: &InferenceJob, options: &Options, pass: Pass) -> u64 {
    let scores = pass.rows.saturating_mul(job.network.vocabulary).saturating_mul(4);
    let steps = if options.output_scores {
        job.new_tokens.max(1)
    } else {
        1
    };
    let beams = if options.beams > 1 { 1 } else { 0 };
    scores.saturating_mul(steps.saturating_add(beams))
}

/// Bytes of head and choice, beside what stays referenced.
pub fn head(job: &InferenceJob, options: &Options, pass: Pass) -> u64 {
    let scores = pass.rows.saturating_mul(job.network.vocabulary);
    let product = scores.saturating_mul(pass.w).saturating_add(WORKSPACE);
    // The traces' sums over the vocabulary, less the 4 bytes that are counted as referenced: sorting makes values, indices
    // of 8 bytes and their workspace; beams the joint scores and their best.
    let choice = if options.beams > 1 {
        10
    } else {
        match options.sampling {
            Sampling::Greedy => 0,
            Sampling::Plain => 24,
            Sampling::Filtered => 52,
        }
    };
    product.max(scores.saturating_mul(choice))
}
