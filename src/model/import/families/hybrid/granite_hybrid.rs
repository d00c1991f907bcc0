//! Granite 4: Mamba 2 or attention per layer by `layer_types`, experts (none in Micro) beside a shared feed-forward
//! whose gate and up are one matrix.

use super::keys::Keys;
use super::sheet::{
    Projections, Sheet, Stack, gated_dense, gated_moe, layer, norms, plain_attention, shared, times,
};
use super::state_space::Mamba2;
use crate::model::{Dense, FeedForward, Mixer, Network, NormKind, Role};

/// Names of layers, old and new.
const KINDS: [&str; 4] = ["mamba", "linear_attention", "attention", "full_attention"];

/// Builds `granitemoehybrid`.
pub fn build(keys: &Keys<'_>) -> Network {
    let hidden = keys.count_or("hidden_size", 4096);
    let heads = keys.count_or("num_attention_heads", 32);
    let kv_heads = keys.kv_heads(heads, None);
    let mut attention = plain_attention(heads, kv_heads, keys.divided(hidden, heads));
    attention.dropout = keys.share("attention_dropout");
    if keys.word("position_embedding_type").as_deref() == Some("nope") {
        attention.rotary = false;
        attention.rotary_dim = 0;
    }
    let inner = times(&[keys.count_or("mamba_expand", 2), hidden]);
    let mamba_heads = keys.count_or("mamba_n_heads", 128);
    let bias = keys.flag("mamba_proj_bias", false);
    let mamba = Mamba2 {
        hidden,
        inner,
        heads: mamba_heads,
        head_dim: keys.automatic("mamba_d_head", inner / mamba_heads),
        groups: keys.count_or("mamba_n_groups", 1),
        state: keys.count_or("mamba_d_state", 256),
        conv: keys.count_or("mamba_d_conv", 4),
        conv_bias: keys.flag("mamba_conv_bias", true),
        input_bias: bias,
        output_bias: bias,
        norm: true,
    };
    let attention_bias = keys.flag("attention_bias", false);
    let experts = keys.natural("num_local_experts", 8);
    let width = if experts > 0 {
        keys.expert_width(11_008)
    } else {
        keys.known(&["intermediate_size"]);
        1
    };
    let shared_width = if experts > 0 {
        keys.count_or("shared_intermediate_size", 1024)
    } else {
        keys.dense_width("shared_intermediate_size", 1024)
    };
    let top_k = if experts > 0 { keys.top_k(2, experts) } else { 0 };
    keys.known(&["num_experts_per_tok"]);
    let activation = keys.activation("silu");
    let tied = keys.flag("tie_word_embeddings", false);
    let depth = keys.layers(32);
    let types = keys.layer_types(&["layer_types", "layers_block_type"], depth, &KINDS);
    let mut stack = Stack::new(
        "granitemoehybrid",
        hidden,
        keys.count_or("vocab_size", 32_000),
        tied,
    );
    stack.positions = keys.positions();
    let form = Projections {
        bias: attention_bias,
        output_bias: attention_bias,
        ..Projections::default()
    };
    for index in 0..depth {
        let mut sheet = Sheet::default();
        let recurrent = types
            .as_ref()
            .is_none_or(|list| matches!(list.at(index), "mamba" | "linear_attention"));
        sheet.norm("input_layernorm", hidden);
        sheet.norm("post_attention_layernorm", hidden);
        let role = if experts > 0 {
            sheet.router("block_sparse_moe.router", experts, hidden);
            sheet.gated_experts("block_sparse_moe.experts", experts, hidden, width);
            Role::SharedExpert
        } else {
            Role::FeedForward
        };
        let both = shared_width.saturating_mul(2);
        sheet.column("shared_mlp.input_linear", (both, hidden), role, false);
        sheet.row("shared_mlp.output_linear", (hidden, shared_width), role, false);
        let mixer = if recurrent {
            mamba.write(&mut sheet, "mamba")
        } else {
            sheet.attention(hidden, &attention, &form);
            Mixer::Attention(attention.clone())
        };
        let feed_forward = if experts > 0 {
            let mut moe = gated_moe(experts, top_k, width, hidden, &activation);
            moe.shared = shared(shared_width, false);
            FeedForward::Moe(moe)
        } else {
            FeedForward::Dense(Dense {
                fused_gate_up: true,
                ..gated_dense(shared_width, &activation)
            })
        };
        stack
            .layers
            .push(layer(mixer, feed_forward, norms(NormKind::Rms, hidden, 2), sheet));
    }
    stack.finish()
}
