//! Jamba: Mamba 1 in most layers, attention in one of `attn_layer_period`, experts in one of `expert_layer_period`.

use super::keys::Keys;
use super::sheet::{Projections, Sheet, Stack, gated_dense, gated_moe, layer, norms, plain_attention, times};
use super::state_space::Mamba1;
use crate::model::{FeedForward, Mixer, Network, NormKind, Role};

/// Builds `jamba`.
pub fn build(keys: &Keys<'_>) -> Network {
    let hidden = keys.count_or("hidden_size", 4096);
    let heads = keys.count_or("num_attention_heads", 32);
    let kv_heads = keys.kv_heads(heads, Some(8));
    let mut attention = plain_attention(heads, kv_heads, keys.divided(hidden, heads));
    attention.rotary = false;
    attention.rotary_dim = 0;
    attention.dropout = keys.share("attention_dropout");
    let mamba = Mamba1 {
        hidden,
        inner: times(&[keys.count_or("mamba_expand", 2), hidden]),
        state: keys.count_or("mamba_d_state", 16),
        conv: keys.count_or("mamba_d_conv", 4),
        step_rank: keys.rank("mamba_dt_rank", hidden),
        conv_bias: keys.flag("mamba_conv_bias", true),
        bias: keys.flag("mamba_proj_bias", false),
        inner_norms: true,
    };
    keys.known(&["use_associative_scan"]);
    let width = keys.count_or("intermediate_size", 14_336);
    let experts = keys.count_of(&["num_experts", "num_local_experts"], 16);
    let top_k = keys.top_k(2, experts);
    let activation = keys.activation("silu");
    let every = |period: &str, offset: &str, defaults: (u64, u64)| {
        let period_value = keys.count_or(period, defaults.0);
        let offset_value = keys.natural(offset, defaults.1);
        if offset_value >= period_value {
            keys.error(offset, &format!("must be smaller than {period} ({period_value})"));
        }
        (period_value, offset_value)
    };
    let attends = every("attn_layer_period", "attn_layer_offset", (8, 4));
    let routes = every("expert_layer_period", "expert_layer_offset", (2, 1));
    let tied = keys.flag("tie_word_embeddings", false);
    let mut stack = Stack::new("jamba", hidden, keys.count_or("vocab_size", 65_536), tied);
    stack.names = ["model.embed_tokens", "model.final_layernorm", "lm_head"];
    stack.positions = keys.positions();
    for index in 0..keys.layers(32) {
        let mut sheet = Sheet::default();
        let mixer = if index % attends.0 == attends.1 {
            sheet.attention(hidden, &attention, &Projections::default());
            Mixer::Attention(attention.clone())
        } else {
            mamba.write(&mut sheet, "mamba")
        };
        let feed_forward = if index % routes.0 == routes.1 && experts > 1 {
            sheet.router("feed_forward.router", experts, hidden);
            sheet.gated_experts("feed_forward.experts", experts, hidden, width);
            FeedForward::Moe(gated_moe(experts, top_k, width, hidden, &activation))
        } else {
            let names = ["gate_proj", "up_proj", "down_proj"];
            sheet.gated("feed_forward", names, (hidden, width), Role::FeedForward, false);
            FeedForward::Dense(gated_dense(width, &activation))
        };
        sheet.norm("input_layernorm", hidden);
        sheet.norm("pre_ff_layernorm", hidden);
        stack
            .layers
            .push(layer(mixer, feed_forward, norms(NormKind::Rms, hidden, 2), sheet));
    }
    stack.finish()
}
