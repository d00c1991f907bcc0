//! What lives beside the layers of a pass: rotary tables and masks; and the second pass over the prompt that Phi-3 makes.

use super::super::super::job::InferenceJob;
use super::shape::{Kind, Pass, attention, heads, rotated};
use super::{Attention, CacheKind, Options, prefill, store};
use crate::model::{Layer, NormKind, QkNorm};
use crate::units::Bytes;

/// Cosines and sines of every position, one pair per width and base: Gemma 3 has two bases, one for layers with a window.
pub fn rotary(layers: &[Kind<'_>], pass: Pass) -> u64 {
    let mut kinds: Vec<(u64, bool)> = Vec::new();
    let two_bases = layers.iter().any(|kind| has_two_bases(kind.layer));
    for layer in layers.iter().map(|kind| kind.layer) {
        let windowed = heads(layer, 1).is_some_and(|heads| heads.window.is_some());
        let kind = (rotated(layer), windowed && two_bases);
        if kind.0 > 0 && !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let width: u64 = kinds.iter().map(|kind| kind.0).sum();
    pass.each(width.saturating_mul(2))
}

/// Whether layers with and without window have rotary bases of their own: Gemma 3, which norms its queries per head with
/// (1 + weight).
fn has_two_bases(layer: &Layer) -> bool {
    attention(layer).is_some_and(|attention| attention.qk_norm == QkNorm::PerHead(NormKind::RmsPlusOne))
}

/// Phi-3 changes its rotary scaling beyond 4096 positions: when the sequence crosses them, `generate` drops the cache and
/// computes everything again, while the old cache is still referenced (transformers 5.23.0 `models/phi3/modeling_phi3.py`,
/// prepare_inputs_for_generation; 4096 is `original_max_position_embeddings` of the family). Returns new cache and
/// temporaries.
pub fn dropped(job: &InferenceJob, options: &Options, layers: &[Kind<'_>]) -> u64 {
    const ORIGINAL: u64 = 4096;
    let crosses = job.prompt <= ORIGINAL && job.length().saturating_sub(1) > ORIGINAL;
    if job.network.model_type != "phi3" || !crosses || options.cache == CacheKind::None {
        return 0;
    }
    let again = InferenceJob {
        prompt: ORIGINAL.saturating_add(1),
        ..job.clone()
    };
    let pass = Pass::new(job, options, again.prompt, again.prompt);
    let (mask, masked) = masks(job, options, pass);
    let cache: Bytes = layers
        .iter()
        .map(|kind| store::layer(&again, options, kind.layer).prefill * kind.count)
        .sum();
    let most = layers
        .iter()
        .map(|kind| {
            prefill::feed_forward(job, options, &job.weights, kind, pass)
                .max(prefill::attention(job, options, kind.layer, pass, masked))
        })
        .max()
        .unwrap_or(0);
    cache
        .get()
        .saturating_add(mask)
        .saturating_add(rotary(layers, pass))
        .saturating_add(most)
}

/// Bytes of the masks, and whether the fused kernel gets one.
pub fn masks(job: &InferenceJob, options: &Options, pass: Pass) -> (u64, bool) {
    let network = &job.network;
    // Without padding a static cache has one mask for all rows.
    let shared = options.cache == CacheKind::Static && !options.padding;
    let pairs = if shared {
        pass.pairs() / pass.rows.max(1)
    } else {
        pass.pairs()
    };
    let windows = network.kinds.iter().filter_map(|layer| heads(layer, 1)?.window);
    let reached = windows.clone().any(|window| pass.context >= window);
    let kinds = {
        let has_window = windows.count() > 0;
        let has_full = network
            .kinds
            .iter()
            .filter_map(|layer| heads(layer, 1))
            .any(|heads| heads.window.is_none());
        u64::from(has_window) + u64::from(has_full)
    };
    match options.attention {
        Attention::Flash => (0, false),
        Attention::Eager => (
            pass.pairs().saturating_mul(pass.w).saturating_mul(kinds.max(1)),
            false,
        ),
        Attention::Sdpa | Attention::Math => {
            let always = network.model_type == "falcon";
            let chunked = pass.tokens < pass.context;
            let masked = options.padding || reached || always || chunked;
            let count = if options.padding {
                kinds.max(1)
            } else {
                u64::from(masked)
            };
            (pairs.saturating_mul(count), masked)
        }
    }
}
