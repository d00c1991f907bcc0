//! States of recurrent mixers: the columns of a convolution and the recurrent state of one sequence.
//!
//! huggingface/transformers 5.23.0 `cache_utils.py` (LinearAttentionLayer) and the classes of the families: a convolution
//! keeps as many columns as it has taps; the recurrent state of gated delta rules and of lightning attention is fp32.

use super::LayerCache;
use crate::model::Mixer;

/// The state of a mixer without keys and values that grow, on one of `tensor` ranks.
pub fn of(mixer: &Mixer, tensor: u64) -> LayerCache {
    let share = |elements: u64| elements.div_ceil(tensor);
    let (state, state_fp32) = match *mixer {
        Mixer::Mamba1 {
            inner, state, conv, ..
        } => (share(inner.saturating_mul(conv.saturating_add(state))), 0),
        Mixer::Mamba2 {
            heads,
            head_dim,
            groups,
            state,
            conv,
        } => {
            let inner = heads.saturating_mul(head_dim);
            let columns = inner.saturating_add(groups.saturating_mul(state).saturating_mul(2));
            let recurrent = inner.saturating_mul(state);
            (share(columns.saturating_mul(conv).saturating_add(recurrent)), 0)
        }
        Mixer::GatedDelta {
            key_heads,
            value_heads,
            key_dim,
            value_dim,
            conv,
        } => {
            let keys = key_heads.saturating_mul(key_dim).saturating_mul(2);
            let columns = keys.saturating_add(value_heads.saturating_mul(value_dim));
            let recurrent = value_heads.saturating_mul(key_dim).saturating_mul(value_dim);
            (share(columns.saturating_mul(conv)), share(recurrent))
        }
        Mixer::Lightning { heads, head_dim } => {
            (0, share(heads.saturating_mul(head_dim).saturating_mul(head_dim)))
        }
        Mixer::ShortConvolution { width, conv } => (share(width.saturating_mul(conv)), 0),
        Mixer::None | Mixer::Attention(_) | Mixer::Latent(_) | Mixer::Several(_) => (0, 0),
    };
    LayerCache {
        state,
        state_fp32,
        ..LayerCache::default()
    }
}
