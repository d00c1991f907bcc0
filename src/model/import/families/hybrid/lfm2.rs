//! LFM2 without experts: short convolutions and attention, and a gated feed-forward whose width the configuration gives
//! before it is adjusted.

use super::keys::Keys;
use super::lfm2_moe::{mixer, stack};
use super::sheet::{Sheet, gated_dense, layer, norms};
use crate::model::{FeedForward, Network, NormKind, Role};

/// Builds `lfm2`.
pub fn build(keys: &Keys<'_>) -> Network {
    let depth = keys.layers(32);
    let types = keys.layer_types(&["layer_types"], depth, &["conv", "full_attention"]);
    let listed = keys.naturals("full_attn_idxs");
    let attends = |index: u64| match (&types, &listed) {
        (Some(types), _) => types.at(index) == "full_attention",
        (None, Some(listed)) => listed.contains(&index),
        (None, None) => true,
    };
    let mut stack = stack(keys, "lfm2", 2560);
    let hidden = stack.hidden;
    let width = width(keys);
    let activation = keys.activation("silu");
    // What older configurations repeat or what only the initialisation reads.
    keys.known(&[
        "block_dim",
        "block_mlp_init_scale",
        "block_norm_eps",
        "block_out_init_scale",
        "block_use_swiglu",
        "block_use_xavier_init",
        "conv_dim",
        "conv_dim_out",
        "conv_use_xavier_init",
        "num_heads",
    ]);
    for index in 0..depth {
        let mut sheet = Sheet::default();
        let mixer = mixer(keys, &mut sheet, hidden, attends(index));
        let names = ["w1", "w3", "w2"];
        sheet.gated("feed_forward", names, (hidden, width), Role::FeedForward, false);
        sheet.norm("operator_norm", hidden);
        sheet.norm("ffn_norm", hidden);
        let feed_forward = FeedForward::Dense(gated_dense(width, &activation));
        stack
            .layers
            .push(layer(mixer, feed_forward, norms(NormKind::Rms, hidden, 2), sheet));
    }
    stack.finish()
}

/// The width as built: two thirds of what is given, times a factor, up to the next multiple (transformers 5.23,
/// models/lfm2/modeling_lfm2.py, `Lfm2MLP`).
fn width(keys: &Keys<'_>) -> u64 {
    let given = keys.count_of(&["block_ff_dim", "intermediate_size"], 12_288);
    let adjusted = keys.flag("block_auto_adjust_ff_dim", true);
    let multiple = keys.count_or("block_multiple_of", 256);
    let two_thirds = given.saturating_mul(2) / 3;
    let scaled = keys.ratio_of("block_ffn_dim_multiplier", two_thirds, 1.0);
    if adjusted {
        scaled.div_ceil(multiple).saturating_mul(multiple)
    } else {
        given
    }
}
