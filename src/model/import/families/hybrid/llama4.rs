//! Llama 4: chunked attention in three of four layers, the fourth full and without rotation; experts in every
//! `interleave_moe_layer_step`-th layer beside one shared expert.

use super::keys::Keys;
use super::sheet::{
    Projections, Sheet, Stack, gated_dense, gated_moe, layer, norms, plain_attention, shared,
};
use crate::model::{FeedForward, Mixer, Network, NormKind, QkNorm, Role, Span, Split};

/// Builds `llama4_text`, alone or inside `llama4`.
pub fn build(keys: &Keys<'_>) -> Network {
    let hidden = keys.count_or("hidden_size", 5120);
    let heads = keys.count_or("num_attention_heads", 40);
    let kv_heads = keys.kv_heads(heads, Some(8));
    let head_dim = if keys.is_null("head_dim") {
        keys.divided(hidden, heads)
    } else {
        keys.count_or("head_dim", 128)
    };
    let mut attention = plain_attention(heads, kv_heads, head_dim);
    attention.dropout = keys.share("attention_dropout");
    let normed = keys.flag("use_qk_norm", true);
    let bias = keys.flag("attention_bias", false);
    let width = keys.expert_width(8192);
    let dense_width = keys.count_or("intermediate_size_mlp", 16_384);
    let experts = keys.count_or("num_local_experts", 16);
    let top_k = keys.top_k(1, experts);
    let activation = keys.activation("silu");
    let depth = keys.layers(48);
    let step = keys.count_or("interleave_moe_layer_step", 1);
    let listed = keys.naturals("moe_layers");
    let interval = keys.count_or("no_rope_layer_interval", 4);
    let rotated = keys.naturals("no_rope_layers").filter(|list| !list.is_empty());
    let kinds = ["chunked_attention", "full_attention", "sliding_attention"];
    let types = keys.layer_types(&["layer_types"], depth, &kinds);
    let chunk = keys.maybe("attention_chunk_size");
    let tied = keys.flag("tie_word_embeddings", false);
    let mut stack = Stack::new("llama4_text", hidden, keys.count_or("vocab_size", 202_048), tied);
    stack.positions = keys.positions();
    if keys.is_nested() {
        keys.outer().known(&["tie_word_embeddings"]);
        let names = [
            "language_model.model.embed_tokens",
            "language_model.model.norm",
            "language_model.lm_head",
        ];
        stack.names = names;
        stack.towers = super::towers::llama4(&keys.outer(), hidden);
    }
    keys.known(&["for_llm_compressor", "attn_scale", "floor_scale"]);
    let form = Projections {
        bias,
        output_bias: bias,
        norm_weights: false,
        ..Projections::default()
    };
    let names = ["gate_proj", "up_proj", "down_proj"];
    for index in 0..depth {
        let rotates = match &rotated {
            Some(list) => usize::try_from(index)
                .ok()
                .and_then(|index| list.get(index))
                .is_none_or(|flag| *flag != 0),
            None => !(index + 1).is_multiple_of(interval),
        };
        let chunked = match &types {
            Some(types) => types.at(index) == "chunked_attention",
            None => rotates,
        };
        let mut part = attention.clone();
        part.rotary = rotates;
        part.rotary_dim = if rotates { head_dim } else { 0 };
        if let (true, Some(chunk)) = (chunked, chunk) {
            part.span = Span::Chunked(chunk);
        }
        if normed && rotates {
            part.qk_norm = QkNorm::PerHead(NormKind::Rms);
        }
        let mut sheet = Sheet::default();
        sheet.attention(hidden, &part, &form);
        let sparse = match &listed {
            Some(list) => list.contains(&index),
            None => (index + 1).is_multiple_of(step),
        };
        let feed_forward = if sparse {
            // These experts multiply from the left: (experts, in, out).
            let both = width.saturating_mul(2);
            sheet.add(
                "feed_forward.experts.gate_up_proj",
                &[experts, hidden, both],
                Role::RoutedExpert,
                Split::Axis(2),
            );
            sheet.add(
                "feed_forward.experts.down_proj",
                &[experts, width, hidden],
                Role::RoutedExpert,
                Split::Axis(1),
            );
            sheet.router("feed_forward.router", experts, hidden);
            sheet.gated(
                "feed_forward.shared_expert",
                names,
                (hidden, width),
                Role::SharedExpert,
                false,
            );
            let mut moe = gated_moe(experts, top_k, width, hidden, &activation);
            moe.shared = shared(width, false);
            FeedForward::Moe(moe)
        } else {
            sheet.gated(
                "feed_forward",
                names,
                (hidden, dense_width),
                Role::FeedForward,
                false,
            );
            FeedForward::Dense(gated_dense(dense_width, &activation))
        };
        sheet.norm("input_layernorm", hidden);
        sheet.norm("post_attention_layernorm", hidden);
        let mixer = Mixer::Attention(part);
        stack
            .layers
            .push(layer(mixer, feed_forward, norms(NormKind::Rms, hidden, 2), sheet));
    }
    stack.finish()
}
