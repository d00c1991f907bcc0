//! Keys, values and states: cells of the cache, bytes per cell and layer, states per sequence (ggml-org/llama.cpp
//! `src/llama-kv-cache.cpp`, `llama-kv-cache-iswa.cpp`, `llama-memory-recurrent.cpp`, `llama-hparams.cpp`).

use super::options::{Latent, Options};
use super::types::GgmlType;
use crate::model::{Layer, Mixer, Span};

/// Cells of the two caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cells {
    /// Of layers that look at everything.
    pub full: u64,
    /// Of layers with a window of so many positions.
    pub window: u64,
}

/// Cells are made in groups of so many with flash attention, and for windows (`llama_kv_cache::get_padding`, `GGML_PAD`).
const GROUP: u64 = 256;
/// The same without flash attention, until every context was padded to 256 (ggml-org/llama.cpp pull request 17046, an issue of
/// November 2025).
const SMALL_GROUP: u64 = 32;
/// The build from which every context is padded to 256 cells. See [`SMALL_GROUP`].
const PADDED_SINCE: u64 = 6_990;
/// The build from which layers with a window have a cache of their own (ggml-org/llama.cpp pull request 13194, an issue of May 2025).
const WINDOWS_SINCE: u64 = 5_430;

const fn pad(cells: u64, group: u64) -> u64 {
    cells.div_ceil(group).saturating_mul(group)
}

/// Context cells of all sequences together: what was asked for, rounded up; without a common cache each sequence has its own
/// part, rounded up too.
pub fn context(asked: u64, sequences: u64, options: &Options) -> u64 {
    let group = if options.flash || options.build >= PADDED_SINCE && !options.fork {
        GROUP
    } else {
        SMALL_GROUP
    };
    let sequences = sequences.max(1);
    if options.unified {
        pad(asked, group)
    } else {
        pad(asked.div_ceil(sequences), group).saturating_mul(sequences)
    }
}

/// The cells of layers with and without a window. A window's cache holds what is still looked at, and one physical batch.
pub fn cells(context: u64, window: u64, sequences: u64, options: &Options) -> Cells {
    let together = if options.unified { sequences.max(1) } else { 1 };
    let apart = if options.unified { 1 } else { sequences.max(1) };
    let whole = options.swa_full || options.fork || options.build < WINDOWS_SINCE;
    let each = context / apart.max(1);
    let needed = window
        .saturating_mul(together)
        .saturating_add(options.ubatch.min(each));
    Cells {
        full: context,
        window: if whole {
            context
        } else {
            pad(each.min(needed), GROUP).saturating_mul(apart)
        },
    }
}

/// Elements that a layer caches per cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerCell {
    /// Keys.
    pub keys: u64,
    /// Values.
    pub values: u64,
    /// The window of positions, where there is one.
    pub window: Option<u64>,
}

/// What a mixer caches per cell.
pub fn per_cell(mixer: &Mixer, latent: Latent) -> PerCell {
    match mixer {
        Mixer::Attention(attention) => PerCell {
            keys: attention.kv_heads.saturating_mul(attention.head_dim),
            values: attention.kv_heads.saturating_mul(attention.value_dim),
            window: match attention.span {
                Span::Full => None,
                Span::Sliding(window) | Span::Chunked(window) => Some(window),
            },
        },
        Mixer::Latent(one) => {
            let joint = one.kv_rank.saturating_add(one.rope_dim);
            let (keys, values) = match latent {
                Latent::PerHead => (
                    one.heads
                        .saturating_mul(one.nope_dim.saturating_add(one.rope_dim)),
                    one.heads.saturating_mul(one.value_dim),
                ),
                Latent::WithValues => (joint, one.kv_rank),
                Latent::Alone => (joint, 0),
            };
            PerCell {
                keys,
                values,
                window: None,
            }
        }
        Mixer::Several(parts) => {
            parts
                .iter()
                .map(|part| per_cell(part, latent))
                .fold(PerCell::default(), |sum, part| PerCell {
                    keys: sum.keys.saturating_add(part.keys),
                    values: sum.values.saturating_add(part.values),
                    window: sum.window.or(part.window),
                })
        }
        _ => PerCell::default(),
    }
}

/// Bytes of keys and values of a layer.
pub fn bytes(layer: &Layer, cells: Cells, options: &Options) -> (u64, u64) {
    let per = per_cell(&layer.mixer, options.latent);
    let count = match per.window {
        Some(_) => cells.window,
        None => cells.full,
    };
    let of = |kind: GgmlType, elements: u64| {
        if elements == 0 {
            0
        } else {
            kind.size(elements, count)
        }
    };
    (of(options.type_k, per.keys), of(options.type_v, per.values))
}

/// Bytes of the states of one sequence, all in fp32: the columns of a convolution but the newest, and the recurrent state.
pub fn state(mixer: &Mixer) -> u64 {
    let elements = match *mixer {
        Mixer::Mamba1 {
            inner, state, conv, ..
        } => columns(conv, inner).saturating_add(inner.saturating_mul(state)),
        Mixer::Mamba2 {
            heads,
            head_dim,
            groups,
            state,
            conv,
        } => {
            let inner = heads.saturating_mul(head_dim);
            let width = inner.saturating_add(groups.saturating_mul(state).saturating_mul(2));
            columns(conv, width).saturating_add(inner.saturating_mul(state))
        }
        Mixer::GatedDelta {
            key_heads,
            value_heads,
            key_dim,
            value_dim,
            conv,
        } => {
            let inner = value_heads.saturating_mul(value_dim);
            let width = inner.saturating_add(key_heads.saturating_mul(key_dim).saturating_mul(2));
            columns(conv, width).saturating_add(inner.saturating_mul(key_dim))
        }
        Mixer::Lightning { heads, head_dim } => heads.saturating_mul(head_dim).saturating_mul(head_dim),
        Mixer::ShortConvolution { width, conv } => columns(conv, width),
        Mixer::Several(ref parts) => {
            return parts.iter().map(state).fold(0, u64::saturating_add);
        }
        Mixer::None | Mixer::Attention(_) | Mixer::Latent(_) => 0,
    };
    elements.saturating_mul(4)
}

const fn columns(conv: u64, width: u64) -> u64 {
    conv.saturating_sub(1).saturating_mul(width)
}
