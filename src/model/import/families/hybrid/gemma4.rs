//! The text stack of Gemma 4: window layers among full layers of another head width, whose values may be their keys;
//! experts beside the dense feed-forward where `enable_moe_block` says so; optional embeddings per layer and layers that
//! reuse keys and values.

use serde_json::Value;

use super::keys::Keys;
use super::sheet::{Projections, Sheet, Stack, gated_dense, gated_moe, layer, norms, plain_attention, times};
use crate::model::{Attention, FeedForward, Layer, Mixer, Network, NormKind, QkNorm, Role, Span, Split};
use crate::units::Count;

/// What the layers share.
struct Text {
    hidden: u64,
    sliding: Attention,
    full: Attention,
    bias: bool,
    width: u64,
    double_when_reusing: bool,
    side: u64,
    experts: Option<(u64, u64, u64)>,
    activation: String,
}

impl Text {
    fn layer(&self, part: &Attention, reuses_kv: bool) -> Layer {
        let hidden = self.hidden;
        let mut sheet = Sheet::default();
        let form = Projections {
            bias: self.bias,
            output_bias: self.bias,
            reuses_kv,
            ..Projections::default()
        };
        sheet.attention(hidden, part, &form);
        let double = self.double_when_reusing && reuses_kv;
        let width = if double {
            self.width.saturating_mul(2)
        } else {
            self.width
        };
        let names = ["gate_proj", "up_proj", "down_proj"];
        sheet.gated("mlp", names, (hidden, width), Role::FeedForward, false);
        let mut residual_norms = 4;
        for norm in [
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
        ] {
            sheet.norm(norm, hidden);
        }
        if self.side > 0 {
            residual_norms += 1;
            sheet.whole(
                "per_layer_input_gate",
                (self.side, hidden),
                Role::FeedForward,
                false,
            );
            sheet.whole(
                "per_layer_projection",
                (hidden, self.side),
                Role::FeedForward,
                false,
            );
            sheet.norm("post_per_layer_input_norm", hidden);
        }
        let dense = gated_dense(width, &self.activation);
        let feed_forward = match self.experts {
            None => FeedForward::Dense(dense),
            Some((experts, top_k, expert_width)) => {
                residual_norms += 3;
                sheet.add("router.scale", &[hidden], Role::Norm, Split::Replicated);
                sheet.add(
                    "router.per_expert_scale",
                    &[experts],
                    Role::Norm,
                    Split::Replicated,
                );
                sheet.router("router.proj", experts, hidden);
                sheet.gated_experts("experts", experts, hidden, expert_width);
                for norm in [
                    "post_feedforward_layernorm_1",
                    "post_feedforward_layernorm_2",
                    "pre_feedforward_layernorm_2",
                ] {
                    sheet.norm(norm, hidden);
                }
                let mut moe = gated_moe(experts, top_k, expert_width, hidden, &self.activation);
                moe.dense = Some(dense);
                FeedForward::Moe(moe)
            }
        };
        let norms = norms(NormKind::Rms, hidden, residual_norms);
        let mut layer = layer(Mixer::Attention(part.clone()), feed_forward, norms, sheet);
        layer.buffers = Count::new(1);
        layer
    }
}

/// Builds `gemma4_text`, alone or inside `gemma4`.
pub fn build(keys: &Keys<'_>) -> Network {
    let hidden = keys.count_or("hidden_size", 2304);
    let heads = keys.count_or("num_attention_heads", 8);
    let kv_heads = keys.kv_heads(heads, Some(4));
    let head_dim = keys.count_or("head_dim", 256);
    let window = keys.count_or("sliding_window", 512);
    let dropout = keys.share("attention_dropout");
    let same_values = keys.flag("attention_k_eq_v", false);
    let global_dim = keys.maybe("global_head_dim").unwrap_or(512);
    let stated = keys.maybe("num_global_key_value_heads");
    let global_kv = stated.filter(|_| same_values).unwrap_or(kv_heads);
    if !heads.is_multiple_of(global_kv) {
        keys.error("num_global_key_value_heads", "must divide the query heads");
    }
    let base = |kv_heads: u64, dim: u64| Attention {
        qk_norm: QkNorm::PerHead(NormKind::Rms),
        dropout,
        ..plain_attention(heads, kv_heads, dim)
    };
    let sliding = Attention {
        span: Span::Sliding(window),
        ..base(kv_heads, head_dim)
    };
    let full = Attention {
        shared_kv: same_values,
        rotary_dim: keys.rotary_dim(global_dim, 0.25),
        ..base(global_kv, global_dim)
    };
    let experts = keys.flag("enable_moe_block", false).then(|| {
        let experts = keys.count("num_experts");
        (
            experts,
            keys.top_k(1, experts),
            keys.count("moe_intermediate_size"),
        )
    });
    keys.known(&[
        "num_experts",
        "top_k_experts",
        "moe_intermediate_size",
        "expert_intermediate_size",
    ]);
    let text = Text {
        hidden,
        sliding,
        full,
        bias: keys.flag("attention_bias", false),
        width: keys.count_or("intermediate_size", 9216),
        double_when_reusing: keys.flag("use_double_wide_mlp", false),
        side: keys.natural("hidden_size_per_layer_input", 256),
        experts,
        activation: keys.activation("gelu_pytorch_tanh"),
    };
    keys.known(&["use_bidirectional_attention"]);
    let depth = keys.layers(30);
    let types = keys.layer_types(&["layer_types"], depth, &["sliding_attention", "full_attention"]);
    let reusing = keys.natural("num_kv_shared_layers", 0);
    if reusing >= depth {
        keys.error(
            "num_kv_shared_layers",
            &format!("is {reusing}: some of the {depth} layers must make keys"),
        );
    }
    let outer = keys.outer();
    let tied = outer.flag("tie_word_embeddings", true);
    let mut stack = Stack::new("gemma4_text", hidden, keys.count_or("vocab_size", 262_144), tied);
    stack.positions = keys.positions();
    stack.softcap = keys.capped("final_logit_softcapping", false);
    if keys.is_nested() {
        keys.known(&["tie_word_embeddings"]);
        stack.names = [
            "model.language_model.embed_tokens",
            "model.language_model.norm",
            "lm_head",
        ];
        stack.towers = super::towers::gemma4(&outer, hidden);
        outer.known(&["vision_soft_tokens_per_image", "eoa_token_index"]);
    }
    let rows = keys.count_or("vocab_size_per_layer_input", 262_144);
    if text.side > 0 {
        let all = times(&[depth, text.side]);
        let table = &[rows, all];
        let prefix = if keys.is_nested() {
            "model.language_model"
        } else {
            "model"
        };
        let name = |piece: &str| format!("{prefix}.{piece}");
        stack.before.add(
            name("embed_tokens_per_layer.weight"),
            table,
            Role::PositionEmbedding,
            Split::Axis(0),
        );
        stack.before.whole(
            &name("per_layer_model_projection"),
            (all, hidden),
            Role::FeedForward,
            false,
        );
        stack.before.norm(&name("per_layer_projection_norm"), text.side);
    }
    for index in 0..depth {
        // The class makes the last layer full whatever the list says.
        let full = index + 1 == depth
            || match &types {
                Some(types) => types.at(index) == "full_attention",
                None => (index + 1).is_multiple_of(6),
            };
        let reuses = index >= depth.saturating_sub(reusing);
        let mut part = if full {
            text.full.clone()
        } else {
            text.sliding.clone()
        };
        overridden(keys, index, &mut part);
        stack.layers.push(text.layer(&part, reuses));
    }
    stack.finish()
}

/// Applies the head width and KV heads that a saved file states layer by layer instead of the two global keys.
fn overridden(keys: &Keys<'_>, index: u64, part: &mut Attention) {
    let layers = keys.value("per_layer_config").and_then(Value::as_object);
    let found = layers.and_then(|layers| layers.iter().find(|(key, _)| key.parse() == Ok(index)));
    let Some((_, entry)) = found else {
        return;
    };
    let stated = |key: &str, most: u64| {
        let value = entry.get(key).filter(|value| !value.is_null())?;
        let number = value.as_u64().filter(|number| (1..=most).contains(number));
        if number.is_none() {
            keys.error(
                "per_layer_config",
                &format!("has a {key} for layer {index} that is no width or number"),
            );
        }
        number
    };
    if let Some(width) = stated("head_dim", 65_536) {
        part.head_dim = width;
        part.value_dim = width;
        part.rotary_dim = if part.span == Span::Full {
            keys.rotary_dim(width, 0.25)
        } else {
            width
        };
    }
    if let Some(kv_heads) = stated("num_key_value_heads", part.heads) {
        part.kv_heads = kv_heads;
    } else if part.span == Span::Full && keys.maybe("num_global_key_value_heads").is_none() {
        part.kv_heads = keys.kv_heads(part.heads, Some(4));
    }
}
