//! Llama and the families with its layer: RMSNorm, grouped queries, a gated feed-forward.

use crate::model::Layer;
use crate::model::import::config::Config;
use crate::model::import::decoder::{
    Defaults, Dims, Ends, Stack, activation, layer, network, norm, span_at, window,
};
use crate::model::import::feed_forward::Mlp;
use crate::model::import::field::Field;
use crate::model::import::softmax::Softmax;
use crate::model::import::weights::Weights;
use crate::model::{Network, NormKind, Span};

/// One layer: norm, attention, norm, feed-forward.
pub fn block(dims: &Dims, attention: &Softmax, mlp: &Mlp) -> Layer {
    let mut weights = Weights::new();
    let mixer = attention.build(dims.hidden, &mut weights);
    let feed_forward = mlp.build(dims.hidden, &mut weights);
    weights.norm("input_layernorm", dims.hidden, false);
    weights.norm("post_attention_layernorm", dims.hidden, false);
    let norms = vec![norm(NormKind::Rms, dims.hidden); 2];
    layer(mixer, feed_forward, norms, weights)
}

/// The network of equal layers, or of two kinds that differ by their reach.
pub fn decoder(c: &Config, dims: &Dims, attention: &Softmax, mlp: &Mlp, spans: &[Span]) -> Network {
    let stack = Stack::by_key(
        dims.layers,
        |depth| span_at(spans, depth),
        |span| block(dims, &attention.clone().with_span(*span), mlp),
    );
    network(c, dims, stack, Ends::new(dims, NormKind::Rms))
}

/// `llama`: biases by `attention_bias` (on the output as well) and `mlp_bias`.
pub fn llama(c: &Config) -> Network {
    let dims = Dims::read(c, Defaults::new(32_000));
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, &["attention_bias"], false);
    attention.out_bias = attention.bias;
    let mut mlp = Mlp::gated(dims.ffn(c, 11_008), activation(c, "silu"));
    mlp.bias = c.flag(&["mlp_bias"], false);
    decoder(c, &dims, &attention, &mlp, &[])
}

/// `mistral`: a window in every layer, unless it is `null`.
pub fn mistral(c: &Config) -> Network {
    let defaults = Defaults {
        kv_heads: Some(8),
        ..Defaults::new(32_000)
    };
    let dims = Dims::read(c, defaults);
    let mlp = Mlp::gated(dims.ffn(c, 14_336), activation(c, "silu"));
    let spans = everywhere(&dims, window(c, Some(4096), &dims));
    decoder(c, &dims, &dims.softmax(c), &mlp, &spans)
}

/// The same reach in every layer.
pub fn everywhere(dims: &Dims, width: Option<u64>) -> Vec<Span> {
    let span = width.map_or(Span::Full, Span::Sliding);
    (0..dims.layers).map(|_| span).collect()
}
