//! Ministral 3: the text stack of Llama's shape with a stated head width.

use super::keys::Keys;
use super::sheet::{Projections, Sheet, Stack, gated_dense, layer, norms, plain_attention};
use crate::model::{FeedForward, Mixer, Network, NormKind, Role, Span};

/// Builds `ministral3`, alone or as a text stack.
pub fn build(keys: &Keys<'_>) -> Network {
    let hidden = keys.count_or("hidden_size", 4096);
    let heads = keys.count_or("num_attention_heads", 32);
    let kv_heads = keys.kv_heads(heads, Some(8));
    let head_dim = if keys.is_null("head_dim") {
        keys.divided(hidden, heads)
    } else {
        keys.count_or("head_dim", 128)
    };
    let mut attention = plain_attention(heads, kv_heads, head_dim);
    attention.dropout = keys.share("attention_dropout");
    if let Some(window) = keys.maybe("sliding_window") {
        attention.span = Span::Sliding(window);
    }
    let width = keys.count_or("intermediate_size", 14_336);
    let activation = keys.activation("silu");
    let tied = keys.flag("tie_word_embeddings", false);
    let mut stack = Stack::new("ministral3", hidden, keys.count_or("vocab_size", 131_072), tied);
    stack.positions = keys.positions();
    if keys.is_nested() && keys.outer().model_type() == "ministral3" {
        let outer = keys.outer();
        outer.known(&[
            "multimodal_projector_bias",
            "projector_hidden_act",
            "spatial_merge_size",
            "vision_feature_layer",
        ]);
        outer.known(&["vision_config", "tie_word_embeddings"]);
        outer.warn(
            "vision_config",
            "is not counted: ministral3 names the text stack (mistral3 names the model with its tower)",
        );
    }
    for _ in 0..keys.layers(34) {
        let mut sheet = Sheet::default();
        sheet.attention(hidden, &attention, &Projections::default());
        let names = ["gate_proj", "up_proj", "down_proj"];
        sheet.gated("mlp", names, (hidden, width), Role::FeedForward, false);
        sheet.norm("input_layernorm", hidden);
        sheet.norm("post_attention_layernorm", hidden);
        let mixer = Mixer::Attention(attention.clone());
        let feed_forward = FeedForward::Dense(gated_dense(width, &activation));
        stack
            .layers
            .push(layer(mixer, feed_forward, norms(NormKind::Rms, hidden, 2), sheet));
    }
    stack.finish()
}
