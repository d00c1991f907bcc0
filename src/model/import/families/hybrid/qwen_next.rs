//! Qwen3-Next, Qwen3.5 and Qwen3.6: gated delta rule in most layers, gated attention in the others, with experts
//! (Qwen3-Next, the MoE models) or a dense feed-forward; 3.5 and 3.6 with a vision tower.

use super::keys::Keys;
use super::qwen_vision;
use super::sheet::{
    Projections, Sheet, Stack, gated_dense, gated_moe, layer, norms, plain_attention, shared,
};
use super::state_space::Delta;
use crate::model::{Attention, FeedForward, Layer, Mixer, Network, NormKind, QkNorm, Role};

/// How a feed-forward is chosen and shaped.
struct Feed {
    dense_width: u64,
    experts: u64,
    top_k: u64,
    width: u64,
    shared_width: u64,
    step: u64,
    dense_layers: Vec<u64>,
    activation: String,
}

impl Feed {
    fn write(&self, sheet: &mut Sheet, hidden: u64, index: u64) -> FeedForward {
        let names = ["gate_proj", "up_proj", "down_proj"];
        let routed =
            self.experts > 0 && (index + 1).is_multiple_of(self.step) && !self.dense_layers.contains(&index);
        if !routed {
            sheet.gated("mlp", names, (hidden, self.dense_width), Role::FeedForward, false);
            return FeedForward::Dense(gated_dense(self.dense_width, &self.activation));
        }
        sheet.router("mlp.gate", self.experts, hidden);
        sheet.gated_experts("mlp.experts", self.experts, hidden, self.width);
        let inner = (hidden, self.shared_width);
        sheet.gated("mlp.shared_expert", names, inner, Role::SharedExpert, false);
        sheet.whole("mlp.shared_expert_gate", (1, hidden), Role::SharedExpert, false);
        let mut moe = gated_moe(self.experts, self.top_k, self.width, hidden, &self.activation);
        moe.shared = shared(self.shared_width, true);
        FeedForward::Moe(moe)
    }
}

/// Everything of a text stack that its layers share.
struct Text {
    hidden: u64,
    attention: Attention,
    bias: bool,
    delta: Delta,
    fused: bool,
    feed: Feed,
}

impl Text {
    fn layer(&self, full: bool, index: u64) -> Layer {
        let mut sheet = Sheet::default();
        let mixer = if full {
            let form = Projections {
                bias: self.bias,
                output_bias: self.bias,
                doubled_query: true,
                ..Projections::default()
            };
            sheet.attention(self.hidden, &self.attention, &form);
            Mixer::Attention(self.attention.clone())
        } else {
            self.delta.write(&mut sheet, "linear_attn", self.fused)
        };
        let feed_forward = self.feed.write(&mut sheet, self.hidden, index);
        sheet.norm("input_layernorm", self.hidden);
        sheet.norm("post_attention_layernorm", self.hidden);
        layer(
            mixer,
            feed_forward,
            norms(NormKind::RmsPlusOne, self.hidden, 2),
            sheet,
        )
    }
}

/// Builds `qwen3_next`.
pub fn next(keys: &Keys<'_>) -> Network {
    let experts = keys.natural("num_experts", 512);
    keys.known(&["use_sliding_window"]);
    let feed = Feed {
        dense_width: keys.count_or("intermediate_size", 5632),
        experts,
        top_k: keys.top_k(10, experts),
        width: keys.count_or("moe_intermediate_size", 512),
        shared_width: keys.count_or("shared_expert_intermediate_size", 512),
        step: keys.count_or("decoder_sparse_step", 1),
        dense_layers: keys.naturals("mlp_only_layers").unwrap_or_default(),
        activation: keys.activation("silu"),
    };
    let tied = keys.flag("tie_word_embeddings", false);
    // The files of this family carry no key for it, and all hold one.
    let predicted = keys.small("num_nextn_predict_layers", 1);
    text(
        keys,
        "qwen3_next",
        feed,
        [2048, 48, 16, 2, 151_936],
        tied,
        predicted,
    )
    .finish()
}

/// Builds `qwen3_5` and `qwen3_5_moe`, whole or text alone.
pub fn three_five(keys: &Keys<'_>) -> Network {
    let nested = keys.is_nested();
    let outer = keys.outer();
    let routed = keys.model_type().contains("moe") || outer.model_type().contains("moe");
    let experts = if routed {
        keys.count_or("num_experts", 256)
    } else {
        0
    };
    let activation = keys.activation("silu");
    let feed = if routed {
        Feed {
            dense_width: 0,
            experts,
            top_k: keys.top_k(8, experts),
            width: keys.count_or("moe_intermediate_size", 512),
            shared_width: keys.count_or("shared_expert_intermediate_size", 512),
            step: 1,
            dense_layers: Vec::new(),
            activation,
        }
    } else {
        Feed {
            dense_width: keys.count_or("intermediate_size", 12_288),
            experts: 0,
            top_k: 0,
            width: 0,
            shared_width: 0,
            step: 1,
            dense_layers: Vec::new(),
            activation,
        }
    };
    keys.known(&[
        "mlp_only_layers",
        "attn_output_gate",
        "output_gate_type",
        "mtp_use_dedicated_embeddings",
        "mamba_ssm_dtype",
    ]);
    let tied = outer.flag("tie_word_embeddings", false);
    if nested {
        keys.known(&["tie_word_embeddings"]);
    }
    let predicted = keys.small("mtp_num_hidden_layers", 0);
    let defaults = if routed {
        [2048, 40, 16, 2, 248_320]
    } else {
        [4096, 32, 16, 4, 248_320]
    };
    let name = if routed {
        "qwen3_5_moe_text"
    } else {
        "qwen3_5_text"
    };
    let mut stack = text(keys, name, feed, defaults, tied, predicted);
    if nested {
        stack.names = [
            "model.language_model.embed_tokens",
            "model.language_model.norm",
            "lm_head",
        ];
        stack.towers = qwen_vision::towers(&outer, false);
    }
    stack.finish()
}

/// The stack; `defaults` are hidden size, layers, heads, KV heads and vocabulary of the class.
fn text(
    keys: &Keys<'_>,
    model_type: &str,
    feed: Feed,
    defaults: [u64; 5],
    tied: bool,
    predicted: u64,
) -> Stack {
    let [hidden, layers, heads, kv_heads, vocabulary] = defaults;
    let hidden = keys.count_or("hidden_size", hidden);
    let heads = keys.count_or("num_attention_heads", heads);
    let kv_heads = keys.kv_heads(heads, Some(kv_heads));
    let head_dim = keys.count_or("head_dim", 256);
    let mut attention = plain_attention(heads, kv_heads, head_dim);
    attention.qk_norm = QkNorm::PerHead(NormKind::RmsPlusOne);
    attention.output_gate = true;
    attention.rotary_dim = keys.rotary_dim(head_dim, 0.25);
    attention.dropout = keys.share("attention_dropout");
    let parts = Text {
        hidden,
        attention,
        bias: keys.flag("attention_bias", false),
        delta: Delta {
            hidden,
            key_heads: keys.count_or("linear_num_key_heads", 16),
            value_heads: keys.count_or("linear_num_value_heads", 32),
            key_dim: keys.count_or("linear_key_head_dim", 128),
            value_dim: keys.count_or("linear_value_head_dim", 128),
            conv: keys.count_or("linear_conv_kernel_dim", 4),
        },
        fused: model_type == "qwen3_next",
        feed,
    };
    let depth = keys.layers(layers);
    let interval = keys.count_or("full_attention_interval", 4);
    let types = keys.layer_types(&["layer_types"], depth, &["linear_attention", "full_attention"]);
    let mut stack = Stack::new(model_type, hidden, keys.count_or("vocab_size", vocabulary), tied);
    stack.final_norm = NormKind::RmsPlusOne;
    stack.positions = keys.positions();
    for index in 0..depth {
        let full = match &types {
            Some(list) => list.at(index) == "full_attention",
            None => (index + 1).is_multiple_of(interval),
        };
        stack.layers.push(parts.layer(full, index));
    }
    if predicted > 0 {
        let ordinary = parts.layer(true, depth.saturating_sub(1));
        for index in 0..predicted {
            stack.next_token_layer(index, &[&ordinary]);
        }
    }
    stack
}
