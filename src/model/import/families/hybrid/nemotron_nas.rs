//! Nemotron-NAS (Llama-Nemotron Super): every layer by its own entry in `block_configs`. A part that does nothing has
//! neither projections nor norm; one replaced by a linear layer is a single square matrix.

use serde_json::Value;

use super::keys::Keys;
use super::sheet::{Projections, Sheet, Stack, gated_dense, layer, norms, plain_attention};
use crate::model::{FeedForward, Mixer, Network, NormKind, Role, Span};

/// What a part of a layer is.
enum Part<'a> {
    Nothing,
    Linear,
    Full(&'a Value),
}

fn part<'a>(block: &'a Value, name: &str) -> Part<'a> {
    let flag = |part: &Value, key: &str| part.get(key).and_then(Value::as_bool).unwrap_or(false);
    match block.get(name) {
        None => Part::Nothing,
        Some(part) if flag(part, "no_op") => Part::Nothing,
        Some(part) if flag(part, "replace_with_linear") => Part::Linear,
        Some(part) => Part::Full(part),
    }
}

/// Two thirds of the multiple of the hidden size, rounded up to 256.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the multiple is checked to be positive and small"
)]
fn width(multiple: f64, hidden: u64) -> u64 {
    let raw = 2.0 * multiple * hidden as f64 / 3.0;
    (raw as u64).next_multiple_of(256)
}

/// Builds `nemotron-nas`.
pub fn build(keys: &Keys<'_>) -> Network {
    let hidden = keys.count("hidden_size");
    let heads = keys.count("num_attention_heads");
    let head_dim = keys.head_dim(hidden, heads);
    let attention_bias = keys.flag("attention_bias", false);
    let mlp_bias = keys.flag("mlp_bias", false);
    let activation = keys.activation("silu");
    let blocks = keys.list("block_configs").unwrap_or_else(|| {
        keys.error(
            "block_configs",
            "is missing: it describes every layer of this family",
        );
        &[]
    });
    keys.known(&["num_key_value_heads", "intermediate_size"]);
    if let Some(stated) = keys.maybe("num_hidden_layers")
        && stated != blocks.len() as u64
    {
        keys.error(
            "block_configs",
            &format!("has {} entries for {stated} layers", blocks.len()),
        );
    }
    keys.depth_of_list("block_configs", blocks.len());
    let tied = keys.flag("tie_word_embeddings", false);
    let mut stack = Stack::new("nemotron-nas", hidden, keys.count("vocab_size"), tied);
    stack.positions = keys.positions();
    for (index, block) in blocks.iter().enumerate() {
        let mut sheet = Sheet::default();
        let mut used = 0;
        let mixer = match part(block, "attention") {
            Part::Nothing => Mixer::None,
            Part::Linear => {
                used += 1;
                sheet.norm("input_layernorm", hidden);
                sheet.whole("self_attn.linear_attn", (hidden, hidden), Role::Mixer, false);
                Mixer::None
            }
            Part::Full(value) => {
                used += 1;
                sheet.norm("input_layernorm", hidden);
                let group = value.get("n_heads_in_group").and_then(Value::as_u64);
                let group = group
                    .filter(|group| *group > 0 && heads.is_multiple_of(*group))
                    .unwrap_or_else(|| {
                        let message = format!("entry {index}: n_heads_in_group must be a divisor of {heads}");
                        keys.error("block_configs", &message);
                        1
                    });
                let mut attention = plain_attention(heads, heads / group, head_dim);
                if let Some(window) = value.get("window_length").and_then(Value::as_u64) {
                    attention.span = Span::Sliding(window);
                }
                let form = Projections {
                    bias: attention_bias,
                    output_bias: attention_bias,
                    ..Projections::default()
                };
                sheet.attention(hidden, &attention, &form);
                Mixer::Attention(attention)
            }
        };
        let feed_forward = match part(block, "ffn") {
            Part::Nothing => FeedForward::None,
            Part::Linear => {
                used += 1;
                sheet.norm("post_attention_layernorm", hidden);
                sheet.whole("mlp.linear_mlp", (hidden, hidden), Role::FeedForward, false);
                FeedForward::None
            }
            Part::Full(value) => {
                used += 1;
                sheet.norm("post_attention_layernorm", hidden);
                let multiple = value.get("ffn_mult").and_then(Value::as_f64);
                let multiple = multiple
                    .filter(|multiple| *multiple > 0.0 && *multiple <= 1024.0)
                    .unwrap_or_else(|| {
                        let message = format!("entry {index}: ffn_mult must be a number above 0");
                        keys.error("block_configs", &message);
                        1.0
                    });
                let width = width(multiple, hidden);
                let names = ["gate_proj", "up_proj", "down_proj"];
                sheet.gated("mlp", names, (hidden, width), Role::FeedForward, mlp_bias);
                FeedForward::Dense(gated_dense(width, &activation))
            }
        };
        stack.layers.push(layer(
            mixer,
            feed_forward,
            norms(NormKind::Rms, hidden, used),
            sheet,
        ));
    }
    stack.finish()
}
