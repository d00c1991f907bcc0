//! The text stacks of Qwen3-VL: Qwen3's layer with q/k norms per head, dense or with experts.

use super::keys::Keys;
use super::sheet::{Projections, Sheet, Stack, gated_dense, gated_moe, layer, norms, plain_attention};
use crate::model::{FeedForward, Mixer, Network, NormKind, QkNorm, Role};

/// Builds `qwen3_vl_text` and `qwen3_vl_moe_text`, alone or inside the whole file.
pub fn build(keys: &Keys<'_>) -> Network {
    let outer = keys.outer();
    let routed = keys.model_type().contains("moe") || outer.model_type().contains("moe");
    let hidden = keys.count_or("hidden_size", if routed { 2048 } else { 4096 });
    let heads = keys.count_or("num_attention_heads", if routed { 16 } else { 32 });
    let kv_heads = keys.kv_heads(heads, Some(if routed { 16 } else { 32 }));
    let head_dim = if routed {
        keys.head_dim(hidden, heads)
    } else {
        keys.count_or("head_dim", 128)
    };
    let mut attention = plain_attention(heads, kv_heads, head_dim);
    attention.qk_norm = QkNorm::PerHead(NormKind::Rms);
    attention.dropout = keys.share("attention_dropout");
    let bias = keys.flag("attention_bias", false);
    let form = Projections {
        bias,
        output_bias: bias,
        ..Projections::default()
    };
    let dense_width = keys.count_or("intermediate_size", if routed { 5632 } else { 22_016 });
    keys.known(&["sliding_window"]);
    let activation = keys.activation("silu");
    let (experts, width, step) = if routed {
        (
            keys.natural_of(&["num_experts", "num_local_experts"], 60),
            keys.count_or("moe_intermediate_size", 1408),
            keys.count_or("decoder_sparse_step", 1),
        )
    } else {
        (0, 1, 1)
    };
    let top_k = if routed { keys.top_k(4, experts) } else { 0 };
    let dense_layers = keys.naturals("mlp_only_layers").unwrap_or_default();
    let tied = outer.flag("tie_word_embeddings", false);
    let name = if routed {
        "qwen3_vl_moe_text"
    } else {
        "qwen3_vl_text"
    };
    let mut stack = Stack::new(name, hidden, keys.count_or("vocab_size", 151_936), tied);
    stack.positions = keys.positions();
    if keys.is_nested() {
        keys.known(&["tie_word_embeddings"]);
        stack.names = [
            "model.language_model.embed_tokens",
            "model.language_model.norm",
            "lm_head",
        ];
        stack.towers = super::qwen_vision::towers(&outer, true);
    }
    for index in 0..keys.layers(if routed { 24 } else { 32 }) {
        let mut sheet = Sheet::default();
        sheet.attention(hidden, &attention, &form);
        let sparse = experts > 0 && (index + 1).is_multiple_of(step) && !dense_layers.contains(&index);
        let feed_forward = if sparse {
            sheet.gated_experts("mlp.experts", experts, hidden, width);
            sheet.router("mlp.gate", experts, hidden);
            FeedForward::Moe(gated_moe(experts, top_k, width, hidden, &activation))
        } else {
            let names = ["gate_proj", "up_proj", "down_proj"];
            sheet.gated("mlp", names, (hidden, dense_width), Role::FeedForward, false);
            FeedForward::Dense(gated_dense(dense_width, &activation))
        };
        sheet.norm("input_layernorm", hidden);
        sheet.norm("post_attention_layernorm", hidden);
        let mixer = Mixer::Attention(attention.clone());
        stack
            .layers
            .push(layer(mixer, feed_forward, norms(NormKind::Rms, hidden, 2), sheet));
    }
    stack.finish()
}
