//! LFM2 with experts: short convolutions and attention by `layer_types`, a dense prefix of `num_dense_layers`, then
//! experts with a correction buffer.

use super::keys::Keys;
use super::sheet::{Projections, Sheet, Stack, gated_dense, gated_moe, layer, norms, plain_attention};
use super::state_space::convolution;
use crate::model::{FeedForward, Mixer, Network, NormKind, QkNorm, Role};
use crate::units::Count;

/// Builds `lfm2_moe`.
pub fn build(keys: &Keys<'_>) -> Network {
    let mut stack = stack(keys, "lfm2_moe", 2048);
    let hidden = stack.hidden;
    let dense_width = keys.count_or("intermediate_size", 7168);
    let width = keys.count_or("moe_intermediate_size", 1792);
    let experts = keys.count_or("num_experts", 32);
    let top_k = keys.top_k(4, experts);
    let prefix = keys.natural("num_dense_layers", 2);
    let corrected = keys.flag("use_expert_bias", true);
    let activation = keys.activation("silu");
    let depth = keys.layers(32);
    let types = keys.layer_types(&["layer_types"], depth, &["conv", "full_attention"]);
    if types.is_none() {
        keys.error("layer_types", "is missing: it says which layers are convolutions");
    }
    let names = ["w1", "w3", "w2"];
    for index in 0..depth {
        let mut sheet = Sheet::default();
        let attends = types
            .as_ref()
            .is_some_and(|types| types.at(index) == "full_attention");
        let mixer = mixer(keys, &mut sheet, hidden, attends);
        let feed_forward = if index < prefix {
            sheet.gated(
                "feed_forward",
                names,
                (hidden, dense_width),
                Role::FeedForward,
                false,
            );
            FeedForward::Dense(gated_dense(dense_width, &activation))
        } else {
            sheet.gated_experts("feed_forward.experts", experts, hidden, width);
            sheet.router("feed_forward.gate", experts, hidden);
            FeedForward::Moe(gated_moe(experts, top_k, width, hidden, &activation))
        };
        sheet.norm("operator_norm", hidden);
        sheet.norm("ffn_norm", hidden);
        let mut layer = layer(mixer, feed_forward, norms(NormKind::Rms, hidden, 2), sheet);
        if index >= prefix && corrected {
            layer.buffers = Count::new(experts);
        }
        stack.layers.push(layer);
    }
    stack.finish()
}

/// The stack without its layers: what both kinds of LFM2 have in common.
pub(super) fn stack(keys: &Keys<'_>, model_type: &str, width: u64) -> Stack {
    let hidden = keys.count_or("hidden_size", width);
    let tied = keys.flag_of(&["tie_embedding", "tie_word_embeddings"], true);
    let mut stack = Stack::new(model_type, hidden, keys.count_or("vocab_size", 65_536), tied);
    stack.names = ["model.embed_tokens", "model.embedding_norm", "lm_head"];
    stack.positions = keys.positions();
    stack
}

/// Attention, or a short convolution between two products.
pub(super) fn mixer(keys: &Keys<'_>, sheet: &mut Sheet, hidden: u64, attends: bool) -> Mixer {
    let heads = keys.count_or("num_attention_heads", 32);
    let kv_heads = keys.kv_heads(heads, Some(8));
    let taps = keys.count_or("conv_L_cache", 3);
    let bias = keys.flag("conv_bias", false);
    if attends {
        let mut attention = plain_attention(heads, kv_heads, keys.divided(hidden, heads));
        attention.qk_norm = QkNorm::PerHead(NormKind::Rms);
        let form = Projections {
            output: "out_proj",
            norms: ("q_layernorm", "k_layernorm"),
            ..Projections::default()
        };
        sheet.attention(hidden, &attention, &form);
        return Mixer::Attention(attention);
    }
    convolution(sheet, "conv.conv", hidden, taps, bias);
    sheet.column(
        "conv.in_proj",
        (hidden.saturating_mul(3), hidden),
        Role::Mixer,
        bias,
    );
    sheet.row("conv.out_proj", (hidden, hidden), Role::Mixer, bias);
    Mixer::ShortConvolution {
        width: hidden,
        conv: taps,
    }
}
