//! Bytes of the cache by kind of layer: keys and values of full, sliding and chunked attention, the latent of MLA, states of
//! recurrent mixers. How long the cached sequence is, and how it is stored, is the engine's affair.

mod state;

use crate::model::{Layer, Mixer, Network, Span};
use crate::units::DType;

/// What one layer caches for one sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerCache {
    /// Key elements per token on a rank.
    pub keys: u64,
    /// Value elements per token on a rank; zero where they are the keys.
    pub values: u64,
    /// The window: no more tokens are needed.
    pub window: Option<u64>,
    /// Elements of a state that does not grow, in the compute type.
    pub state: u64,
    /// Elements of a state that does not grow, in fp32.
    pub state_fp32: u64,
}

impl LayerCache {
    /// Elements per token.
    pub const fn per_token(self) -> u64 {
        self.keys.saturating_add(self.values)
    }

    /// Whether there is a state that does not grow.
    pub const fn has_state(self) -> bool {
        self.state > 0 || self.state_fp32 > 0
    }

    /// Bytes of the states of one sequence.
    pub const fn state_bytes(self, compute: DType) -> u64 {
        self.state
            .saturating_mul(compute.bits() / 8)
            .saturating_add(self.state_fp32.saturating_mul(4))
    }
}

/// What a layer caches on one of `tensor` ranks. Key and value heads are divided while there are enough of them and copied
/// beyond (vllm-project/vllm `config.py` get_num_kv_heads); a latent is never divided.
pub fn layer_cache(layer: &Layer, tensor: u64) -> LayerCache {
    of_mixer(&layer.mixer, tensor.max(1))
}

fn of_mixer(mixer: &Mixer, tensor: u64) -> LayerCache {
    match mixer {
        Mixer::None => LayerCache::default(),
        Mixer::Attention(attention) => {
            let heads = (attention.kv_heads / tensor).max(1);
            LayerCache {
                keys: heads.saturating_mul(attention.head_dim),
                values: if attention.shared_kv {
                    0
                } else {
                    heads.saturating_mul(attention.value_dim)
                },
                window: match attention.span {
                    Span::Full => None,
                    Span::Sliding(window) | Span::Chunked(window) => Some(window),
                },
                ..LayerCache::default()
            }
        }
        // Latent and rotated key, cached as "keys" and "values" of one head (transformers 5.x, vLLM).
        Mixer::Latent(latent) => LayerCache {
            keys: latent.kv_rank,
            values: latent.rope_dim,
            ..LayerCache::default()
        },
        Mixer::Several(parts) => {
            parts
                .iter()
                .map(|part| of_mixer(part, tensor))
                .fold(LayerCache::default(), |sum, part| LayerCache {
                    keys: sum.keys.saturating_add(part.keys),
                    values: sum.values.saturating_add(part.values),
                    window: sum.window.or(part.window),
                    state: sum.state.saturating_add(part.state),
                    state_fp32: sum.state_fp32.saturating_add(part.state_fp32),
                })
        }
        other => state::of(other, tensor),
    }
}

/// Elements that one more token of one sequence adds to the caches of all layers of a rank, windows aside.
pub fn elements_per_token(network: &Network, tensor: u64) -> u64 {
    network
        .layers()
        .map(|layer| layer_cache(layer, tensor).per_token())
        .fold(0, u64::saturating_add)
}
