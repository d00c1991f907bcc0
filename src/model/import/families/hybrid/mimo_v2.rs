//! MiMo-V2-Flash: window layers with sinks and twice the KV heads among full layers, keys wider than values, a dense
//! first layer and then experts without shared ones.

use super::keys::Keys;
use super::sheet::{
    Projections, Sheet, Stack, gated_dense, gated_moe, layer, norms, plain_attention, shared, times,
};
use crate::model::{Attention, FeedForward, Mixer, Network, NormKind, Role, Span};
use crate::units::Count;

/// The layers that are windows: by `layer_types`, by `hybrid_layer_pattern`, else all but the first and every sixth.
fn windows(keys: &Keys<'_>, depth: u64) -> Vec<bool> {
    let types = keys.layer_types(&["layer_types"], depth, &["full_attention", "sliding_attention"]);
    if let Some(types) = types {
        keys.known(&["hybrid_layer_pattern"]);
        return (0..depth)
            .map(|index| types.at(index) == "sliding_attention")
            .collect();
    }
    let pattern = keys.switches("hybrid_layer_pattern", depth);
    pattern.unwrap_or_else(|| {
        (0..depth)
            .map(|index| index > 0 && !(index + 1).is_multiple_of(6))
            .collect()
    })
}

/// The layers with experts: by `mlp_layer_types`, by `moe_layer_freq`, else all but the first.
fn sparse(keys: &Keys<'_>, depth: u64) -> Vec<bool> {
    let types = keys.layer_types(&["mlp_layer_types"], depth, &["dense", "sparse"]);
    if let Some(types) = types {
        keys.known(&["moe_layer_freq"]);
        return (0..depth).map(|index| types.at(index) == "sparse").collect();
    }
    let pattern = keys.switches("moe_layer_freq", depth);
    pattern.unwrap_or_else(|| (0..depth).map(|index| index > 0).collect())
}

/// Builds `mimo_v2_flash`.
pub fn build(keys: &Keys<'_>) -> Network {
    let hidden = keys.count_or("hidden_size", 4096);
    let heads = keys.count_or("num_attention_heads", 64);
    let kv_heads = keys.kv_heads(heads, Some(4));
    let head_dim = keys.count_or("head_dim", 192);
    let value_dim = keys.count_or("v_head_dim", 128);
    let window = keys.count_of(&["sliding_window_size", "sliding_window"], 128);
    let full = Attention {
        value_dim,
        rotary_dim: keys.rotary_dim(head_dim, 0.334),
        dropout: keys.share("attention_dropout"),
        sinks: keys.flag("add_full_attention_sink_bias", false),
        ..plain_attention(heads, kv_heads, head_dim)
    };
    let window_heads = keys.maybe("swa_num_attention_heads").unwrap_or(heads);
    let window_kv = keys
        .maybe("swa_num_key_value_heads")
        .unwrap_or(kv_heads.saturating_mul(2));
    if !window_heads.is_multiple_of(window_kv) {
        keys.error(
            "swa_num_key_value_heads",
            "must divide the query heads of window layers",
        );
    }
    let sliding = Attention {
        heads: window_heads,
        kv_heads: window_kv,
        head_dim: keys.maybe("swa_head_dim").unwrap_or(head_dim),
        value_dim: keys.maybe("swa_v_head_dim").unwrap_or(value_dim),
        span: Span::Sliding(window),
        sinks: keys.flag("add_swa_attention_sink_bias", true),
        ..full.clone()
    };
    let form = Projections {
        bias: keys.flag("attention_bias", false),
        ..Projections::default()
    };
    let dense_width = keys.count_or("intermediate_size", 16_384);
    let width = keys.count_or("moe_intermediate_size", 2048);
    let experts = keys.count_or("n_routed_experts", 256);
    let top_k = keys.top_k(8, experts);
    let shared_width = times(&[keys.natural("n_shared_experts", 0), width]);
    let activation = keys.activation("silu");
    keys.known(&["attention_chunk_size", "attention_value_scale"]);
    let depth = keys.layers(48);
    let kinds: Vec<(bool, bool)> = windows(keys, depth)
        .into_iter()
        .zip(sparse(keys, depth))
        .collect();
    let tied = keys.flag("tie_word_embeddings", false);
    let mut stack = Stack::new(
        "mimo_v2_flash",
        hidden,
        keys.count_or("vocab_size", 152_576),
        tied,
    );
    stack.positions = keys.positions();
    let names = ["gate_proj", "up_proj", "down_proj"];
    for (windowed, routed) in kinds {
        let mut sheet = Sheet::default();
        let attention = if windowed { &sliding } else { &full };
        sheet.attention(hidden, attention, &form);
        let feed_forward = if routed {
            sheet.gated_experts("mlp.experts", experts, hidden, width);
            sheet.router("mlp.gate", experts, hidden);
            if shared_width > 0 {
                sheet.gated(
                    "mlp.shared_experts",
                    names,
                    (hidden, shared_width),
                    Role::SharedExpert,
                    false,
                );
            }
            let mut moe = gated_moe(experts, top_k, width, hidden, &activation);
            moe.router_fp32 = true;
            moe.shared = shared(shared_width, false);
            FeedForward::Moe(moe)
        } else {
            sheet.gated("mlp", names, (hidden, dense_width), Role::FeedForward, false);
            FeedForward::Dense(gated_dense(dense_width, &activation))
        };
        sheet.norm("input_layernorm", hidden);
        sheet.norm("post_attention_layernorm", hidden);
        let mixer = Mixer::Attention(attention.clone());
        let mut layer = layer(mixer, feed_forward, norms(NormKind::Rms, hidden, 2), sheet);
        if routed {
            layer.buffers = Count::new(experts);
        }
        stack.layers.push(layer);
    }
    stack.finish()
}
