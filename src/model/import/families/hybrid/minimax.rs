//! MiniMax-M1 (lightning attention in seven of eight layers, experts everywhere) and the text stack of MiniMax-M3 (block
//! sparse attention with an indexer, a dense prefix, one shared expert).

use super::keys::Keys;
use super::sheet::{
    Projections, Sheet, Stack, gated_dense, gated_moe, layer, norms, plain_attention, shared, times,
};
use crate::model::{Attention, Dense, FeedForward, Layer, Mixer, Network, NormKind, QkNorm, Role};
use crate::units::Count;

/// Builds `minimax_m1` and `minimax`.
pub fn first(keys: &Keys<'_>) -> Network {
    let hidden = keys.count_or("hidden_size", 4096);
    let heads = keys.count_or("num_attention_heads", 32);
    let kv_heads = keys.kv_heads(heads, Some(8));
    let head_dim = keys.head_dim(hidden, heads);
    let mut attention = plain_attention(heads, kv_heads, head_dim);
    attention.dropout = keys.share("attention_dropout");
    if let Some(rotated) = keys.maybe("rotary_dim") {
        attention.rotary_dim = rotated.min(head_dim);
    }
    let width = keys.expert_width(14_336);
    let experts = keys.count_of(&["num_local_experts", "num_experts"], 8);
    let top_k = keys.top_k(2, experts);
    let activation = keys.activation("silu");
    keys.known(&[
        "postnorm",
        "shared_intermediate_size",
        "shared_moe_mode",
        "sliding_window",
        "block_size",
    ]);
    for part in ["full_attention", "linear_attention", "mlp"] {
        for factor in ["alpha", "beta"] {
            keys.known(&[&format!("layernorm_{part}_{factor}")]);
        }
    }
    for part in ["full_attn", "linear_attn", "mlp"] {
        for factor in ["alpha", "beta"] {
            keys.known(&[&format!("{part}_{factor}_factor")]);
        }
    }
    let depth = keys.layers(32);
    let types = keys.layer_types(&["layer_types"], depth, &["full_attention", "linear_attention"]);
    let listed = keys.switches("attn_type_list", depth);
    let tied = keys.flag("tie_word_embeddings", false);
    let mut stack = Stack::new(
        &keys.model_type(),
        hidden,
        keys.count_or("vocab_size", 32_000),
        tied,
    );
    stack.positions = keys.positions();
    let inner = times(&[heads, head_dim]);
    for index in 0..depth {
        let entry = |list: &Vec<bool>| {
            usize::try_from(index)
                .ok()
                .and_then(|index| list.get(index).copied())
        };
        let full = match (&types, &listed) {
            (Some(types), _) => types.at(index) == "full_attention",
            (None, Some(list)) => entry(list).unwrap_or(false),
            (None, None) => index.is_multiple_of(2),
        };
        let mut sheet = Sheet::default();
        let mixer = if full {
            sheet.attention(hidden, &attention, &Projections::default());
            Mixer::Attention(attention.clone())
        } else {
            sheet.norm("self_attn.norm", inner);
            sheet.column(
                "self_attn.qkv_proj",
                (inner.saturating_mul(3), hidden),
                Role::Mixer,
                false,
            );
            sheet.row("self_attn.out_proj", (hidden, inner), Role::Mixer, false);
            sheet.column("self_attn.output_gate", (inner, hidden), Role::Mixer, false);
            Mixer::Lightning { heads, head_dim }
        };
        sheet.router("mlp.gate", experts, hidden);
        sheet.gated_experts("mlp.experts", experts, hidden, width);
        sheet.norm("input_layernorm", hidden);
        sheet.norm("post_attention_layernorm", hidden);
        let feed_forward = FeedForward::Moe(gated_moe(experts, top_k, width, hidden, &activation));
        stack
            .layers
            .push(layer(mixer, feed_forward, norms(NormKind::Rms, hidden, 2), sheet));
    }
    stack.finish()
}

/// What the layers of MiniMax-M3 share.
struct Third {
    hidden: u64,
    attention: Attention,
    index: (u64, u64),
    dense_width: u64,
    shared_width: u64,
    width: u64,
    experts: u64,
    top_k: u64,
    activation: String,
}

impl Third {
    fn layer(&self, indexed: bool, sparse: bool) -> Layer {
        let hidden = self.hidden;
        let mut sheet = Sheet::default();
        sheet.attention(hidden, &self.attention, &Projections::default());
        if indexed {
            let (heads, dim) = self.index;
            sheet.whole(
                "self_attn.indexer.q_proj",
                (times(&[heads, dim]), hidden),
                Role::Mixer,
                false,
            );
            sheet.whole("self_attn.indexer.k_proj", (dim, hidden), Role::Mixer, false);
            sheet.norm("self_attn.indexer.q_norm", dim);
            sheet.norm("self_attn.indexer.k_norm", dim);
        }
        let feed_forward = if sparse {
            sheet.router("mlp.gate", self.experts, hidden);
            sheet.gated_experts("mlp.experts", self.experts, hidden, self.width);
            fused(
                &mut sheet,
                "mlp.shared_experts",
                hidden,
                self.shared_width,
                Role::SharedExpert,
            );
            let mut moe = gated_moe(self.experts, self.top_k, self.width, hidden, &self.activation);
            moe.router_fp32 = true;
            moe.shared = shared(self.shared_width, false);
            FeedForward::Moe(moe)
        } else {
            fused(&mut sheet, "mlp", hidden, self.dense_width, Role::FeedForward);
            FeedForward::Dense(Dense {
                fused_gate_up: true,
                ..gated_dense(self.dense_width, &self.activation)
            })
        };
        sheet.norm("input_layernorm", hidden);
        sheet.norm("post_attention_layernorm", hidden);
        let mixer = Mixer::Attention(self.attention.clone());
        let mut layer = layer(mixer, feed_forward, norms(NormKind::RmsPlusOne, hidden, 2), sheet);
        if sparse {
            layer.buffers = Count::new(self.experts);
        }
        layer
    }
}

fn fused(sheet: &mut Sheet, prefix: &str, hidden: u64, width: u64, role: Role) {
    sheet.column(
        &format!("{prefix}.gate_up_proj"),
        (width.saturating_mul(2), hidden),
        role,
        false,
    );
    sheet.row(&format!("{prefix}.down_proj"), (hidden, width), role, false);
}

/// Builds the text stack of `minimax_m3_vl`.
pub fn third(keys: &Keys<'_>) -> Network {
    let hidden = keys.count_or("hidden_size", 6144);
    let heads = keys.count_or("num_attention_heads", 64);
    let kv_heads = keys.kv_heads(heads, Some(4));
    let head_dim = keys.count_or("head_dim", 128);
    let attention = Attention {
        qk_norm: QkNorm::PerHead(NormKind::RmsPlusOne),
        rotary_dim: keys.count_or("rotary_dim", 64).min(head_dim),
        dropout: keys.share("attention_dropout"),
        ..plain_attention(heads, kv_heads, head_dim)
    };
    let section = keys.section("sparse_attention_config");
    let index = |inner: &'static str, flat: &'static str, default: u64| match &section {
        Some(section) if section.has(inner) => section.count_or(inner, default),
        _ => keys.count_or(flat, default),
    };
    let experts = keys.count_of(&["num_local_experts", "num_experts"], 128);
    let text = Third {
        hidden,
        attention,
        index: (
            index("sparse_num_index_heads", "index_n_heads", 4),
            index("sparse_index_dim", "index_head_dim", 128),
        ),
        dense_width: keys.count_or("dense_intermediate_size", 12_288),
        shared_width: keys.count_or("shared_intermediate_size", 3072),
        width: keys.expert_width(3072),
        experts,
        top_k: keys.top_k(4, experts),
        activation: keys.activation("silu"),
    };
    keys.known(&[
        "use_gemma_norm",
        "index_block_size",
        "index_local_blocks",
        "index_topk_blocks",
        "attention_output_gate",
        "use_qk_norm",
        "qk_norm_type",
        "n_shared_experts",
        "use_routing_bias",
        "partial_rotary_factor",
    ]);
    let depth = keys.layers(60);
    let kinds = ["full_attention", "minimax_m3_sparse"];
    let attends = keys.layer_types(&["layer_types"], depth, &kinds);
    let indexed_list = section.as_ref().and_then(|section| {
        section.known(&[
            "use_sparse_attention",
            "sparse_topk_blocks",
            "sparse_block_size",
            "sparse_disable_index_value",
            "sparse_score_type",
            "sparse_init_block",
            "sparse_local_block",
        ]);
        section.switches("sparse_attention_freq", depth)
    });
    let feeds = keys.layer_types(&["mlp_layer_types"], depth, &["dense", "sparse"]);
    let routed_list = keys.switches("moe_layer_freq", depth);
    let outer = keys.outer();
    let mut tied = keys.flag("tie_word_embeddings", false);
    if keys.is_nested() {
        tied |= outer.flag("tie_word_embeddings", false);
    }
    let mut stack = Stack::new(
        "minimax_m3_vl_text",
        hidden,
        keys.count_or("vocab_size", 200_064),
        tied,
    );
    stack.final_norm = NormKind::RmsPlusOne;
    stack.positions = keys.positions();
    if keys.is_nested() {
        stack.names = [
            "model.language_model.embed_tokens",
            "model.language_model.norm",
            "lm_head",
        ];
        stack.towers = super::towers::minimax_m3(&outer, hidden);
    }
    let entry = |list: &Vec<bool>, index: u64| {
        usize::try_from(index)
            .ok()
            .and_then(|index| list.get(index).copied())
            .unwrap_or(false)
    };
    for index in 0..depth {
        let indexed = match (&attends, &indexed_list) {
            (Some(types), _) => types.at(index) == "minimax_m3_sparse",
            (None, Some(list)) => entry(list, index),
            (None, None) => false,
        };
        let sparse = match (&feeds, &routed_list) {
            (Some(types), _) => types.at(index) == "sparse",
            (None, Some(list)) => entry(list, index),
            (None, None) => true,
        };
        stack.layers.push(text.layer(indexed, sparse));
    }
    let modules = keys.small("num_mtp_modules", 0);
    let each = keys.small("mtp_transformer_layers", 1);
    if let Some(last) = stack.layers.last().cloned() {
        for index in 0..modules.saturating_mul(each).min(64) {
            stack.next_token_layer(index, &[&last]);
        }
    }
    stack.finish()
}
