//! The temporaries of one step of the answer, at its last token: growing the cache, attention, experts, and the head with
//! the choice of the token (transformers 5.23.0 `generation/utils.py`, `cache_utils.py`, `integrations/moe.py`).

use super::super::super::job::{CacheType, InferenceJob};
use super::prefill::gathered;
use super::shape::{Pass, WORKSPACE, heads, mixture};
use super::store::LayerStore;
use super::{Attention, CacheKind, Experts, Options, Sampling};
use crate::model::Layer;

/// Bytes of a layer at its fullest moment.
pub fn layer(job: &InferenceJob, options: &Options, of: &Layer, store: LayerStore, pass: Pass) -> u64 {
    let growth = match (options.cache, job.cache) {
        (CacheKind::Static | CacheKind::None, _) => 0,
        (_, CacheType::Fp8) => store.per_token.saturating_mul(store.kept).saturating_mul(6),
        (_, CacheType::Grouped(_)) => store
            .per_token
            .saturating_mul(store.kept)
            .saturating_mul(2 * pass.w),
        (_, CacheType::Compute) => {
            let both = store.per_token.saturating_mul(store.kept).saturating_mul(pass.w);
            let windowed = heads(of, pass.ranks).is_some_and(|heads| heads.window.is_some());
            if windowed { both } else { both / 2 }
        }
    };
    let repeated = match heads(of, pass.ranks) {
        Some(heads) if heads.grouped && options.attention != Attention::Flash => {
            let keys = 2 * pass.w * heads.q;
            let eager = options.attention == Attention::Eager || options.padding;
            if eager {
                keys.saturating_mul(pass.rows)
                    .saturating_mul(store.kept)
                    .saturating_add(WORKSPACE)
            } else {
                0
            }
        }
        _ => 0,
    };
    let copied = match (mixture(of), options.experts) {
        (Some(moe), Experts::Batched) => gathered(moe, pass, pass.rows),
        (Some(moe), Experts::Default) if options.beams <= 1 => gathered(moe, pass, pass.rows),
        _ => 0,
    };
    growth.max(repeated).max(copied).max(WORKSPACE)
}

/// Bytes of head and choice. The fp32 scores of the previous step stay referenced.
pub fn head(job: &InferenceJob, options: &Options, pass: Pass) -> u64 {
    let scores = pass.rows.saturating_mul(job.network.vocabulary);
    let kept = if options.output_scores {
        scores.saturating_mul(4).saturating_mul(job.new_tokens)
    } else {
        0
    };
    let product = scores
        .saturating_mul(pass.w)
        .saturating_add(WORKSPACE)
        .saturating_add(scores.saturating_mul(4));
    let choice = if options.beams > 1 {
        18
    } else {
        match options.sampling {
            Sampling::Greedy => 0,
            Sampling::Plain => 28,
            Sampling::Filtered => 62,
        }
    };
    product.max(scores.saturating_mul(choice)).saturating_add(kept)
}
