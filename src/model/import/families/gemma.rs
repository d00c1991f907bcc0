//! Gemma 1 to 3: norms that multiply by one plus the weight, four of them per layer from Gemma 2 on, tied ends.

use crate::model::import::config::Config;
use crate::model::import::decoder::{
    Defaults, Dims, Ends, Stack, activation, layer, network, norm, span_at, spans_by_period, spans_by_type,
    window,
};
use crate::model::import::feed_forward::Mlp;
use crate::model::import::field::Field;
use crate::model::import::softmax::{Softmax, per_head_if};
use crate::model::import::weights::Weights;
use crate::model::{Network, NormKind, Span};

const KIND: NormKind = NormKind::RmsPlusOne;

fn attention(c: &Config, dims: &Dims) -> Softmax {
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, &["attention_bias"], false);
    attention.out_bias = attention.bias;
    attention
}

/// A network of layers with norms of these names.
fn decoder(
    c: &Config,
    dims: &Dims,
    attention: &Softmax,
    mlp: &Mlp,
    spans: &[Span],
    names: &[&str],
) -> Network {
    let stack = Stack::by_key(
        dims.layers,
        |depth| span_at(spans, depth),
        |span| {
            let mut weights = Weights::new();
            let mixer = attention
                .clone()
                .with_span(*span)
                .build(dims.hidden, &mut weights);
            let feed_forward = mlp.build(dims.hidden, &mut weights);
            for name in names {
                weights.norm(name, dims.hidden, false);
            }
            let norms = vec![norm(KIND, dims.hidden); names.len()];
            layer(mixer, feed_forward, norms, weights)
        },
    );
    let mut ends = Ends::new(dims, KIND);
    let default = match c.word(&["model_type"], "").as_str() {
        "gemma2" | "vaultgemma" => 30.0,
        _ => 0.0,
    };
    ends.softcap = soft_cap(c, "final_logit_softcapping", default);
    network(c, dims, stack, ends)
}

/// Whether a soft-capping is on: by the class default where the key is missing, off where it is `null`.
pub fn soft_cap<'a>(c: &Config<'a>, key: &'a str, default: f64) -> bool {
    let default = if c.has(key) { 0.0 } else { default };
    c.real(&[key], f64::MAX, default) > 0.0
}

/// `gemma`.
pub fn gemma(c: &Config) -> Network {
    let defaults = Defaults {
        kv_heads: Some(16),
        head_dim: Some(256),
        tied: true,
        ..Defaults::new(256_000)
    };
    let dims = Dims::read(c, defaults);
    let mlp = Mlp::gated(dims.ffn(c, 24_576), activation(c, "gelu_pytorch_tanh"));
    let names = ["input_layernorm", "post_attention_layernorm"];
    decoder(c, &dims, &attention(c, &dims), &mlp, &[], &names)
}

/// Norms of a layer from Gemma 2 on.
pub const FOUR: [&str; 4] = [
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
];

/// The reach of the layers: by list, else every `period`-th is full.
fn spans(c: &Config, dims: &Dims, default_width: u64, default_period: u64) -> Vec<Span> {
    let width = window(c, Some(default_width), dims);
    let period = c
        .whole(&["sliding_window_pattern", "_sliding_window_pattern"], 1..=10_000)
        .unwrap_or(default_period);
    spans_by_type(c, dims.layers, width).unwrap_or_else(|| spans_by_period(dims.layers, width, period))
}

/// `gemma2`: soft-capping inside attention and of the logits, every other layer with a window.
pub fn gemma2(c: &Config) -> Network {
    capped(c, &FOUR)
}

/// `vaultgemma`: Gemma 2 without norms after its parts.
pub fn vaultgemma(c: &Config) -> Network {
    capped(c, &["input_layernorm", "pre_feedforward_layernorm"])
}

fn capped(c: &Config, norms: &[&str]) -> Network {
    let defaults = Defaults {
        kv_heads: Some(4),
        head_dim: Some(256),
        tied: true,
        ..Defaults::new(256_000)
    };
    let dims = Dims::read(c, defaults);
    let mut attention = attention(c, &dims);
    attention.shape.softcap = soft_cap(c, "attn_logit_softcapping", 50.0);
    let mlp = Mlp::gated(dims.ffn(c, 9216), activation(c, "gelu_pytorch_tanh"));
    let spans = spans(c, &dims, 4096, 2);
    decoder(c, &dims, &attention, &mlp, &spans, norms)
}

/// `gemma3_text`: norms on queries and keys, five layers with a window for one without.
pub fn gemma3(c: &Config) -> Network {
    let defaults = Defaults {
        kv_heads: Some(4),
        head_dim: Some(256),
        tied: true,
        ..Defaults::new(262_208)
    };
    let dims = Dims::read(c, defaults);
    let mut attention = attention(c, &dims);
    attention.shape.softcap = soft_cap(c, "attn_logit_softcapping", 0.0);
    attention.shape.qk_norm = per_head_if(true, KIND);
    let mlp = Mlp::gated(dims.ffn(c, 9216), activation(c, "gelu_pytorch_tanh"));
    let spans = spans(c, &dims, 4096, 6);
    decoder(c, &dims, &attention, &mlp, &spans, &FOUR)
}
