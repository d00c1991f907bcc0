//! Qwen 2, 2.5, 3 and their mixtures of experts.

use super::llama::decoder;
use crate::model::import::config::Config;
use crate::model::import::decoder::{Defaults, Dims, activation, spans_by_type, window};
use crate::model::import::feed_forward::Mlp;
use crate::model::import::field::Field;
use crate::model::import::softmax::per_head_if;
use crate::model::{Network, NormKind, Span};

/// The windows of Qwen: off unless `use_sliding_window`, and only from `max_window_layers` on.
pub fn spans(c: &Config, dims: &Dims) -> Vec<Span> {
    let used = c.flag(&["use_sliding_window"], false);
    let from = c.whole(&["max_window_layers"], 0..=1_000_000).unwrap_or(28);
    let width = window(c, Some(4096), dims).filter(|_| used);
    spans_by_type(c, dims.layers, width).unwrap_or_else(|| {
        (0..dims.layers)
            .map(|depth| match width {
                Some(width) if depth >= from => Span::Sliding(width),
                _ => Span::Full,
            })
            .collect()
    })
}

/// `qwen2`: biases on queries, keys and values always.
pub fn qwen2(c: &Config) -> Network {
    let defaults = Defaults {
        kv_heads: Some(32),
        ..Defaults::new(151_936)
    };
    let dims = Dims::read(c, defaults);
    let mut attention = dims.softmax(c);
    attention.bias = true;
    let mlp = Mlp::gated(dims.ffn(c, 22_016), activation(c, "silu"));
    decoder(c, &dims, &attention, &mlp, &spans(c, &dims))
}

/// `qwen3`: head width 128 unless stated, norms on queries and keys per head.
pub fn qwen3(c: &Config) -> Network {
    let defaults = Defaults {
        kv_heads: Some(32),
        head_dim: Some(128),
        ..Defaults::new(151_936)
    };
    let dims = Dims::read(c, defaults);
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, &["attention_bias"], false);
    attention.out_bias = attention.bias;
    attention.shape.qk_norm = per_head_if(true, NormKind::Rms);
    let mlp = Mlp::gated(dims.ffn(c, 22_016), activation(c, "silu"));
    decoder(c, &dims, &attention, &mlp, &spans(c, &dims))
}
