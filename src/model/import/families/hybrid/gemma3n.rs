//! The text stack of Gemma 3n: alternating updates over several streams, low-rank side branches (Laurel), one embedding
//! per layer, and keys and values that the last layers take from earlier ones.

use super::keys::Keys;
use super::sheet::{Projections, Sheet, Stack, gated_dense, layer, norms, plain_attention, times};
use crate::model::{FeedForward, Mixer, Network, NormKind, QkNorm, Role, Span, Split};

/// Builds `gemma3n_text`.
pub fn build(keys: &Keys<'_>) -> Network {
    let hidden = keys.count_or("hidden_size", 2048);
    let heads = keys.count_or("num_attention_heads", 8);
    let kv_heads = keys.kv_heads(heads, Some(2));
    let head_dim = keys.count_or("head_dim", 256);
    let bias = keys.flag("attention_bias", false);
    let window = keys.count_or("sliding_window", 512);
    let depth = keys.layers(35);
    let types = keys.layer_types(&["layer_types"], depth, &["sliding_attention", "full_attention"]);
    let widths = widths(keys, depth);
    let reusing = keys.natural("num_kv_shared_layers", 15);
    if reusing >= depth {
        keys.error(
            "num_kv_shared_layers",
            &format!("is {reusing}: some of the {depth} layers must make keys"),
        );
    }
    let inputs = keys.small("altup_num_inputs", 4).clamp(1, 256);
    let rank = keys.count_or("laurel_rank", 64);
    let side = keys.count_or("hidden_size_per_layer_input", 256);
    let side_rows = keys.count_or("vocab_size_per_layer_input", 262_144);
    let activation = keys.activation("gelu_pytorch_tanh");
    let mut attention = plain_attention(heads, kv_heads, head_dim);
    attention.qk_norm = QkNorm::PerHead(NormKind::Rms);
    attention.dropout = keys.share("attention_dropout");
    keys.known(&[
        "activation_sparsity_pattern",
        "altup_active_idx",
        "altup_coef_clip",
        "altup_correct_scale",
    ]);
    let outer = keys.outer();
    let tied = outer.flag("tie_word_embeddings", true);
    let vocabulary = keys.count_or("vocab_size", 262_400);
    let mut stack = Stack::new("gemma3n_text", hidden, vocabulary, tied);
    stack.positions = keys.positions();
    stack.softcap = keys.capped("final_logit_softcapping", true);
    if keys.is_nested() {
        keys.known(&["tie_word_embeddings"]);
        outer.known(&[
            "vision_config",
            "audio_config",
            "audio_soft_tokens_per_image",
            "vision_soft_tokens_per_image",
        ]);
        outer.warn(
            "vision_config",
            "and audio_config describe towers of about 1.0 billion parameters that are not counted",
        );
    }
    let all = times(&[depth, side]);
    let table = &[side_rows, all];
    stack.before.add(
        "model.embed_tokens_per_layer.weight",
        table,
        Role::PositionEmbedding,
        Split::Axis(0),
    );
    stack.before.whole(
        "model.per_layer_model_projection",
        (all, hidden),
        Role::FeedForward,
        false,
    );
    stack.before.norm("model.per_layer_projection_norm", side);
    for index in 1..inputs {
        let name = |kind: &str| format!("model.altup_{kind}.{}", index - 1);
        stack
            .before
            .whole(&name("projections"), (hidden, hidden), Role::FeedForward, false);
        stack.after.whole(
            &name("unembed_projections"),
            (hidden, hidden),
            Role::FeedForward,
            false,
        );
    }
    for (index, width) in (0..depth).zip(widths) {
        let mut part = attention.clone();
        let full = match &types {
            Some(types) => types.at(index) == "full_attention",
            None => (index + 1).is_multiple_of(5),
        };
        if !full {
            part.span = Span::Sliding(window);
        }
        let form = Projections {
            bias,
            output_bias: bias,
            reuses_kv: index >= depth.saturating_sub(reusing),
            ..Projections::default()
        };
        let mut sheet = Sheet::default();
        sheet.attention(hidden, &part, &form);
        let names = ["gate_proj", "up_proj", "down_proj"];
        sheet.gated("mlp", names, (hidden, width), Role::FeedForward, false);
        for norm in [
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
        ] {
            sheet.norm(norm, hidden);
        }
        sheet.add(
            "altup.correct_output_scale",
            &[hidden],
            Role::Norm,
            Split::Replicated,
        );
        sheet.whole(
            "altup.correction_coefs",
            (inputs, inputs),
            Role::FeedForward,
            false,
        );
        sheet.whole(
            "altup.prediction_coefs",
            (times(&[inputs, inputs]), inputs),
            Role::FeedForward,
            false,
        );
        sheet.whole(
            "altup.modality_router",
            (inputs, hidden),
            Role::FeedForward,
            false,
        );
        sheet.norm("altup.router_norm", hidden);
        sheet.whole("laurel.linear_left", (rank, hidden), Role::FeedForward, false);
        sheet.whole("laurel.linear_right", (hidden, rank), Role::FeedForward, false);
        sheet.norm("laurel.post_laurel_norm", hidden);
        sheet.whole("per_layer_input_gate", (side, hidden), Role::FeedForward, false);
        sheet.whole("per_layer_projection", (hidden, side), Role::FeedForward, false);
        sheet.norm("post_per_layer_input_norm", hidden);
        let mixer = Mixer::Attention(part);
        let feed_forward = FeedForward::Dense(gated_dense(width, &activation));
        stack
            .layers
            .push(layer(mixer, feed_forward, norms(NormKind::Rms, hidden, 7), sheet));
    }
    stack.finish()
}

/// Feed-forward widths: one for all or one per layer.
fn widths(keys: &Keys<'_>, depth: u64) -> Vec<u64> {
    if !keys.is_list("intermediate_size") {
        let width = keys.count_or("intermediate_size", 16_384);
        return (0..depth).map(|_| width).collect();
    }
    let list = keys.naturals("intermediate_size").unwrap_or_default();
    if list.len() as u64 != depth || list.iter().any(|width| *width == 0 || *width > 16_777_216) {
        keys.error(
            "intermediate_size",
            &format!("must be a width, or a list of {depth} widths"),
        );
    }
    list
}
