//! Falcon-H1: attention and Mamba 2 side by side in every layer, then a gated feed-forward.

use super::keys::Keys;
use super::sheet::{Projections, Sheet, Stack, gated_dense, layer, norms, plain_attention, times};
use super::state_space::Mamba2;
use crate::model::{FeedForward, Mixer, Network, NormKind, Role};

/// Builds `falcon_h1`.
pub fn build(keys: &Keys<'_>) -> Network {
    let hidden = keys.count_or("hidden_size", 4096);
    let heads = keys.count_or("num_attention_heads", 32);
    let kv_heads = keys.kv_heads(heads, Some(8));
    let mut attention = plain_attention(heads, kv_heads, keys.head_dim(hidden, heads));
    attention.dropout = keys.share("attention_dropout");
    let expand = keys.count_or("mamba_expand", 2);
    let inner = if keys.is_null("mamba_d_ssm") {
        times(&[expand, hidden])
    } else {
        keys.count_or("mamba_d_ssm", 1024)
    };
    let mamba_heads = keys.count_or("mamba_n_heads", 128);
    keys.known(&["mamba_norm_before_gate"]);
    let mamba = Mamba2 {
        hidden,
        inner,
        heads: mamba_heads,
        head_dim: keys.automatic("mamba_d_head", inner / mamba_heads),
        groups: keys.count_or("mamba_n_groups", 1),
        state: keys.count_or("mamba_d_state", 256),
        conv: keys.count_or("mamba_d_conv", 4),
        conv_bias: keys.flag("mamba_conv_bias", true),
        input_bias: keys.flag("mamba_proj_bias", false),
        output_bias: keys.flag("projectors_bias", false),
        norm: keys.flag("mamba_rms_norm", false),
    };
    keys.product("mamba_n_heads", mamba.heads, mamba.head_dim, inner);
    let attention_bias = keys.flag("attention_bias", false);
    let mlp_bias = keys.flag("mlp_bias", false);
    let width = keys.count_or("intermediate_size", 14_336);
    let activation = keys.activation("silu");
    let tied = keys.flag("tie_word_embeddings", false);
    let mut stack = Stack::new("falcon_h1", hidden, keys.count_or("vocab_size", 128_000), tied);
    stack.names = ["model.embed_tokens", "model.final_layernorm", "lm_head"];
    stack.positions = keys.positions();
    let form = Projections {
        bias: attention_bias,
        output_bias: attention_bias,
        ..Projections::default()
    };
    for _ in 0..keys.layers(32) {
        let mut sheet = Sheet::default();
        let names = ["gate_proj", "up_proj", "down_proj"];
        sheet.gated(
            "feed_forward",
            names,
            (hidden, width),
            Role::FeedForward,
            mlp_bias,
        );
        let recurrent = mamba.write(&mut sheet, "mamba");
        sheet.attention(hidden, &attention, &form);
        sheet.norm("input_layernorm", hidden);
        sheet.norm("pre_ff_layernorm", hidden);
        let mixer = Mixer::Several(vec![recurrent, Mixer::Attention(attention.clone())]);
        let feed_forward = FeedForward::Dense(gated_dense(width, &activation));
        stack
            .layers
            .push(layer(mixer, feed_forward, norms(NormKind::Rms, hidden, 2), sheet));
    }
    stack.finish()
}
