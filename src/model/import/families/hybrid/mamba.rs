//! Families without attention: Mamba and Falcon-Mamba. Their inner width is `intermediate_size` where the file states
//! it, else `expand` times the hidden size.

use super::keys::Keys;
use super::sheet::{Sheet, Stack, layer, norms, times};
use super::state_space::Mamba1;
use crate::model::{FeedForward, Network, NormKind};

/// Builds `mamba` and `falcon_mamba`.
pub fn build(keys: &Keys<'_>) -> Network {
    let hidden = keys.count_or("hidden_size", 768);
    let expanded = times(&[keys.count_or("expand", 2), hidden]);
    keys.known(&[
        "hidden_act",
        "mixer_rms_eps",
        "use_associative_scan",
        "use_falcon_mambapy",
    ]);
    let mixer = Mamba1 {
        hidden,
        inner: keys.maybe("intermediate_size").unwrap_or(expanded),
        state: keys.count_or("state_size", 16),
        conv: keys.count_or("conv_kernel", 4),
        step_rank: keys.rank("time_step_rank", hidden),
        conv_bias: keys.flag("use_conv_bias", true),
        bias: keys.flag("use_bias", false),
        inner_norms: false,
    };
    let tied = keys.flag("tie_word_embeddings", true);
    let mut stack = Stack::new(
        &keys.model_type(),
        hidden,
        keys.count_or("vocab_size", 50_280),
        tied,
    );
    stack.names = ["backbone.embeddings", "backbone.norm_f", "lm_head"];
    stack.positions = keys.positions();
    for _ in 0..keys.layers(32) {
        let mut sheet = Sheet::default();
        sheet.norm("norm", hidden);
        let mixer = mixer.write(&mut sheet, "mixer");
        stack.layers.push(layer(
            mixer,
            FeedForward::None,
            norms(NormKind::Rms, hidden, 1),
            sheet,
        ));
    }
    stack.finish()
}
