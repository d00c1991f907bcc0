//! The cache of one layer after the prompt and at the end, by kind (transformers 5.23.0 `cache_utils.py`).

use super::super::super::cache::layer_cache;
use super::super::super::job::{CacheType, InferenceJob};
use super::shape::attention;
use super::{CacheKind, Options};
use crate::memory::allocator::block;
use crate::model::Layer;
use crate::units::Bytes;

/// The keys and values of one layer, and its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerStore {
    /// Bytes of keys and values after the prompt.
    pub prefill: Bytes,
    /// Bytes while the answer grows from its second token on, at the end.
    pub end: Bytes,
    /// The same before rounding to blocks.
    pub exact: Bytes,
    /// Bytes of the state that does not grow.
    pub state: Bytes,
    /// Elements per token, all rows.
    pub per_token: u64,
    /// Tokens of the end that are kept.
    pub kept: u64,
}

/// The cache of a layer.
pub fn layer(job: &InferenceJob, options: &Options, layer: &Layer) -> LayerStore {
    // A fused projection is gathered: its cache is not divided.
    let fused = attention(layer).is_some_and(|attention| attention.fused_qkv);
    let cache = layer_cache(layer, if fused { 1 } else { job.tensor });
    let rows = job.sequences.saturating_mul(options.beams.max(1));
    let w = job.compute.bits() / 8;
    let state = Bytes::new(cache.state_bytes(job.compute).saturating_mul(rows));
    if options.cache == CacheKind::None {
        return LayerStore {
            state,
            ..LayerStore::default()
        };
    }
    let last = job.length().saturating_sub(1);
    let within = |tokens: u64| cache.window.map_or(tokens, |window| tokens.min(window));
    // A dynamic cache keeps a view of the whole prompt until the next step, also in layers with a window.
    let (prefill, end) = match options.cache {
        CacheKind::Static => (within(job.length()), within(job.length())),
        _ => (job.prompt, within(last)),
    };
    let tensors = |tokens: u64, quantised: u64, rounded: fn(Bytes) -> Bytes| {
        [cache.keys, cache.values]
            .into_iter()
            .map(|elements| {
                let each = elements.saturating_mul(rows);
                let plain = tokens.saturating_sub(quantised);
                stored(each.saturating_mul(plain), CacheType::Compute, w, rounded)
                    + stored(each.saturating_mul(quantised), job.cache, w, rounded)
            })
            .sum()
    };
    let quantised = |tokens: u64, last: bool| match job.cache {
        CacheType::Compute => 0,
        CacheType::Fp8 | CacheType::Fp4 => tokens,
        // The prompt is quantised at once, later tokens in groups of 128 (QuantizedLayer, residual_length).
        CacheType::Grouped(_) if last => {
            let later = tokens.saturating_sub(job.prompt);
            tokens.min(job.prompt.saturating_add(later / 128 * 128))
        }
        CacheType::Grouped(_) => tokens,
    };
    LayerStore {
        prefill: tensors(prefill, quantised(prefill, false), block),
        end: tensors(end, quantised(end, true), block),
        exact: tensors(end, quantised(end, true), |bytes| bytes),
        state,
        per_token: cache.per_token().saturating_mul(rows),
        kept: end,
    }
}

/// Bytes of one cached tensor.
fn stored(elements: u64, kind: CacheType, w: u64, rounded: fn(Bytes) -> Bytes) -> Bytes {
    match kind {
        CacheType::Compute => rounded(Bytes::new(elements.saturating_mul(w))),
        CacheType::Fp8 | CacheType::Fp4 => rounded(Bytes::new(elements)),
        // Packed integers, and a 16-bit scale and shift per 64 values (optimum-quanto 0.2.7).
        CacheType::Grouped(bits) => {
            let packed = Bytes::new(elements.saturating_mul(bits).div_ceil(8));
            let scales = Bytes::new(elements.div_ceil(64).saturating_mul(2));
            rounded(packed) + rounded(scales) + rounded(scales)
        }
    }
}
