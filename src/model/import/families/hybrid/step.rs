//! Step-3.7: window and full layers with a gate per head, a dense prefix, then experts with one shared expert.

use super::keys::Keys;
use super::sheet::{
    Projections, Sheet, Stack, gated_dense, gated_moe, layer, norms, plain_attention, shared,
};
use crate::model::{Attention, FeedForward, Layer, Mixer, Network, NormKind, QkNorm, Role, Span};
use crate::units::Count;

/// What the layers share.
struct Text {
    hidden: u64,
    attention: Attention,
    sliding_heads: u64,
    window: Option<u64>,
    bias: bool,
    mlp_bias: bool,
    dense_width: u64,
    experts: u64,
    top_k: u64,
    width: u64,
    shared_width: u64,
    corrected: bool,
    activation: String,
}

impl Text {
    fn layer(&self, sliding: bool, sparse: bool) -> Layer {
        let hidden = self.hidden;
        let mut part = self.attention.clone();
        if sliding {
            part.heads = self.sliding_heads;
            part.span = self.window.map_or(Span::Full, Span::Sliding);
        }
        let form = Projections {
            bias: self.bias,
            output_bias: self.bias,
            ..Projections::default()
        };
        let mut sheet = Sheet::default();
        sheet.attention(hidden, &part, &form);
        sheet.column("self_attn.g_proj", (part.heads, hidden), Role::Mixer, false);
        let names = ["gate_proj", "up_proj", "down_proj"];
        let feed_forward = if sparse {
            sheet.router("mlp.gate", self.experts, hidden);
            sheet.gated_experts("mlp.experts", self.experts, hidden, self.width);
            let inner = (hidden, self.shared_width);
            if self.shared_width > 0 {
                sheet.gated(
                    "mlp.shared_experts",
                    names,
                    inner,
                    Role::SharedExpert,
                    self.mlp_bias,
                );
            }
            let mut moe = gated_moe(self.experts, self.top_k, self.width, hidden, &self.activation);
            moe.router_fp32 = true;
            moe.shared = shared(self.shared_width, false);
            FeedForward::Moe(moe)
        } else {
            sheet.gated(
                "mlp",
                names,
                (hidden, self.dense_width),
                Role::FeedForward,
                self.mlp_bias,
            );
            FeedForward::Dense(gated_dense(self.dense_width, &self.activation))
        };
        sheet.norm("input_layernorm", hidden);
        sheet.norm("post_attention_layernorm", hidden);
        let norms = norms(NormKind::RmsPlusOne, hidden, 2);
        let mut layer = layer(Mixer::Attention(part), feed_forward, norms, sheet);
        if sparse && self.corrected {
            layer.buffers = Count::new(self.experts);
        }
        layer
    }
}

/// Builds `step3p7` and its text stack `step3p5`.
pub fn build(keys: &Keys<'_>) -> Network {
    let hidden = keys.count_or("hidden_size", 4096);
    let heads = keys.count_or("num_attention_heads", 64);
    let kv_heads = keys.count_of(&["num_key_value_heads", "num_attention_groups"], 8);
    let head_dim = keys.count_or("head_dim", 128);
    let attention = Attention {
        qk_norm: QkNorm::PerHead(NormKind::RmsPlusOne),
        output_gate: true,
        dropout: keys.share("attention_dropout"),
        ..plain_attention(heads, kv_heads, head_dim)
    };
    let other = keys.section("attention_other_setting");
    let sliding_heads = keys
        .maybe("num_sliding_attention_heads")
        .or_else(|| {
            let other = other.as_ref()?;
            other.known(&[
                "attention_type",
                "num_attention_groups",
                "head_dim",
                "true_head_dim",
            ]);
            other.maybe("num_attention_heads")
        })
        .unwrap_or(heads);
    if !heads.is_multiple_of(kv_heads) || !sliding_heads.is_multiple_of(kv_heads) {
        keys.error("num_key_value_heads", "must divide the query heads");
    }
    let experts = keys.count_of(
        &[
            "num_experts",
            "n_routed_experts",
            "moe_num_experts",
            "num_local_experts",
        ],
        288,
    );
    let text = Text {
        hidden,
        attention,
        sliding_heads,
        window: keys.maybe("sliding_window"),
        bias: keys.flag("attention_bias", false),
        mlp_bias: keys.flag("mlp_bias", false),
        dense_width: keys.count_or("intermediate_size", 11_264),
        experts,
        top_k: keys.top_k(8, experts),
        width: keys.count_or("moe_intermediate_size", 1280),
        shared_width: keys.natural_of(&["share_expert_dim", "share_expert_dims"], 1280),
        corrected: keys.flag("use_moe_router_bias", true),
        activation: keys.activation("silu"),
    };
    keys.known(&[
        "n_shared_experts",
        "mtp_layer_types",
        "mtp_mlp_layer_types",
        "per_layer_config",
        "use_bidirectional_attention",
        "moe_router_scaling_factor",
        "swiglu_limits",
        "swiglu_limits_shared",
        "gating",
    ]);
    let depth = keys.layers(45);
    let types = keys.layer_types(&["layer_types"], depth, &["sliding_attention", "full_attention"]);
    let feeds = keys.layer_types(&["mlp_layer_types"], depth, &["dense", "sparse"]);
    let prefix = keys.natural("first_k_dense_replace", 3);
    let listed = routed(keys);
    let outer = keys.outer();
    let tied = outer.flag("tie_word_embeddings", false);
    let mut stack = Stack::new("step3p7", hidden, keys.count_or("vocab_size", 128_815), tied);
    stack.final_norm = NormKind::RmsPlusOne;
    stack.positions = keys.positions();
    if keys.is_nested() {
        keys.known(&["tie_word_embeddings"]);
        stack.names = [
            "model.language_model.embed_tokens",
            "model.language_model.norm",
            "lm_head",
        ];
        stack.towers = super::towers::step(&outer, hidden);
    }
    let kind = |index: u64| {
        types
            .as_ref()
            .is_some_and(|types| types.at(index) == "sliding_attention")
    };
    let sparse = |index: u64| match (&feeds, &listed) {
        (Some(types), _) => types.at(index) == "sparse",
        (None, Some(list)) => list.contains(&index),
        (None, None) => index >= prefix,
    };
    for index in 0..depth {
        stack.layers.push(text.layer(kind(index), sparse(index)));
    }
    // Next-token layers follow the decoder in the file; their feed-forward is dense.
    for index in 0..keys.small("num_nextn_predict_layers", 0).min(64) {
        let extra = text.layer(kind(depth.saturating_add(index)), false);
        stack.next_token_layer(index, &[&extra]);
    }
    stack.finish()
}

/// The layers with experts as older files list them: "3,4,5" or a list.
fn routed(keys: &Keys<'_>) -> Option<Vec<u64>> {
    if !keys.has("moe_layers_enum") || keys.is_list("moe_layers_enum") {
        return keys.naturals("moe_layers_enum");
    }
    let word = keys.word("moe_layers_enum")?;
    let parts = word.split(',').map(str::trim).filter(|part| !part.is_empty());
    let numbers: Option<Vec<u64>> = parts.map(|part| part.parse().ok()).collect();
    if numbers.is_none() {
        keys.error(
            "moe_layers_enum",
            "must be layer numbers with commas between them",
        );
    }
    numbers
}
