//! Kimi-Linear: delta attention in most layers, latent attention without rotation in the others, a dense prefix and
//! then experts. Kimi-K3 is read the same way with its latent experts; its banks of attention residuals have no public
//! class, so its count is an estimate and says so.

use super::keys::Keys;
use super::sheet::{Sheet, Stack, gated_dense, gated_moe, layer, norms, shared, times};
use super::state_space::Delta;
use crate::model::{FeedForward, Latent, Layer, Mixer, Network, NormKind, Role};
use crate::units::Count;

/// Everything that the layers share.
struct Text {
    hidden: u64,
    latent: Latent,
    bias: bool,
    output_gate: bool,
    delta: Delta,
    full_rank_gate: bool,
    dense_width: u64,
    experts: u64,
    top_k: u64,
    width: u64,
    latent_width: Option<u64>,
    shared_width: u64,
    activation: String,
}

impl Text {
    fn attention(&self, sheet: &mut Sheet) -> Mixer {
        let part = &self.latent;
        let head = part.nope_dim.saturating_add(part.rope_dim);
        let query = times(&[part.heads, head]);
        match part.query_rank {
            None => sheet.column("self_attn.q_proj", (query, self.hidden), Role::Mixer, false),
            Some(rank) => {
                sheet.whole("self_attn.q_a_proj", (rank, self.hidden), Role::Mixer, self.bias);
                sheet.norm("self_attn.q_a_layernorm", rank);
                sheet.column("self_attn.q_b_proj", (query, rank), Role::Mixer, false);
            }
        }
        let compressed = part.kv_rank.saturating_add(part.rope_dim);
        let shape = (compressed, self.hidden);
        sheet.whole("self_attn.kv_a_proj_with_mqa", shape, Role::Mixer, self.bias);
        sheet.norm("self_attn.kv_a_layernorm", part.kv_rank);
        let both = times(&[part.heads, part.nope_dim.saturating_add(part.value_dim)]);
        sheet.column("self_attn.kv_b_proj", (both, part.kv_rank), Role::Mixer, false);
        let inner = times(&[part.heads, part.value_dim]);
        if self.output_gate {
            sheet.column("self_attn.g_proj", (inner, self.hidden), Role::Mixer, false);
        }
        sheet.row("self_attn.o_proj", (self.hidden, inner), Role::Mixer, self.bias);
        Mixer::Latent(part.clone())
    }

    fn experts(&self, sheet: &mut Sheet) -> FeedForward {
        let names = ["gate_proj", "up_proj", "down_proj"];
        let model_width = self.latent_width.unwrap_or(self.hidden);
        if let Some(latent) = self.latent_width {
            sheet.whole(
                "mlp.latent_down_proj",
                (latent, self.hidden),
                Role::FeedForward,
                false,
            );
            sheet.norm("mlp.latent_norm", latent);
            sheet.whole(
                "mlp.latent_up_proj",
                (self.hidden, latent),
                Role::FeedForward,
                false,
            );
        }
        sheet.gated_experts("mlp.experts", self.experts, model_width, self.width);
        sheet.router("mlp.gate", self.experts, self.hidden);
        let inner = (self.hidden, self.shared_width);
        if self.shared_width > 0 {
            sheet.gated("mlp.shared_experts", names, inner, Role::SharedExpert, false);
        }
        let mut moe = gated_moe(
            self.experts,
            self.top_k,
            self.width,
            model_width,
            &self.activation,
        );
        moe.router_fp32 = true;
        moe.shared = shared(self.shared_width, false);
        FeedForward::Moe(moe)
    }

    fn layer(&self, full: bool, sparse: bool) -> Layer {
        let mut sheet = Sheet::default();
        let mixer = if full {
            self.attention(&mut sheet)
        } else {
            self.delta
                .write_kimi(&mut sheet, "self_attn", self.full_rank_gate)
        };
        let feed_forward = if sparse {
            self.experts(&mut sheet)
        } else {
            let names = ["gate_proj", "up_proj", "down_proj"];
            let shape = (self.hidden, self.dense_width);
            sheet.gated("mlp", names, shape, Role::FeedForward, false);
            FeedForward::Dense(gated_dense(self.dense_width, &self.activation))
        };
        sheet.norm("input_layernorm", self.hidden);
        sheet.norm("post_attention_layernorm", self.hidden);
        let mut layer = layer(mixer, feed_forward, norms(NormKind::Rms, self.hidden, 2), sheet);
        if sparse {
            layer.buffers = Count::new(self.experts);
        }
        layer
    }
}

/// Builds `kimi_linear`, alone or inside `kimi_k3`.
pub fn linear(keys: &Keys<'_>) -> Network {
    let hidden = keys.count_or("hidden_size", 2304);
    let heads = keys.count_or("num_attention_heads", 32);
    keys.known(&[
        "num_key_value_heads",
        "head_dim",
        "qk_head_dim",
        "mla_use_nope",
        "attention_dropout",
        "moe_layer_freq",
        "num_nextn_predict_layers",
    ]);
    let latent = Latent {
        heads,
        query_rank: keys.maybe("q_lora_rank"),
        kv_rank: keys.count_or("kv_lora_rank", 512),
        nope_dim: keys.count_or("qk_nope_head_dim", 128),
        rope_dim: keys.count_or("qk_rope_head_dim", 64),
        value_dim: keys.count_or("v_head_dim", 128),
        indexer: None,
        dropout: 0.0,
    };
    let section = keys.section("linear_attn_config");
    let linear = |inner: &'static str, flat: &'static str, default: u64| match &section {
        Some(section) if section.has(inner) => {
            keys.known(&[flat]);
            section.count_or(inner, default)
        }
        _ => keys.count_or(flat, default),
    };
    let linear_heads = linear("num_heads", "linear_num_heads", 32);
    let linear_dim = linear("head_dim", "linear_head_dim", 128);
    let delta = Delta {
        hidden,
        key_heads: linear_heads,
        value_heads: linear_heads,
        key_dim: linear_dim,
        value_dim: linear_dim,
        conv: linear("short_conv_kernel_size", "linear_conv_kernel_dim", 4),
    };
    if let Some(section) = &section {
        section.known(&["gate_lower_bound"]);
    }
    let experts = keys.count_of(&["num_experts", "num_local_experts"], 256);
    let width = keys.count_or("moe_intermediate_size", 1024);
    let shared_number = keys.natural_of(&["num_shared_experts", "n_shared_experts"], 1);
    let text = Text {
        hidden,
        latent,
        bias: keys.flag("attention_bias", false),
        output_gate: keys.flag("mla_use_output_gate", false),
        delta,
        full_rank_gate: section
            .as_ref()
            .is_some_and(|section| section.flag("use_full_rank_gate", false)),
        dense_width: keys.count_or("intermediate_size", 9216),
        experts,
        top_k: keys.top_k(8, experts),
        width,
        latent_width: keys.maybe("routed_expert_hidden_size"),
        shared_width: times(&[shared_number, width]),
        activation: keys.activation("silu"),
    };
    let depth = keys.layers(27);
    let full = full_layers(keys, section.as_ref(), depth);
    let sparse = sparse_layers(keys, depth);
    let tied = keys.never_tied();
    let mut stack = Stack::new("kimi_linear", hidden, keys.count_or("vocab_size", 163_840), tied);
    stack.positions = keys.positions();
    stack.layers = full
        .iter()
        .zip(&sparse)
        .map(|(full, sparse)| text.layer(*full, *sparse))
        .collect();
    if keys.outer().model_type() == "kimi_k3" {
        keys.known(&[
            "attn_res_block_size",
            "latent_moe_use_norm",
            "activation_situ_beta",
            "activation_situ_linear_beta",
            "moe_layer_freq",
        ]);
        keys.outer()
            .known(&["vision_config", "tie_word_embeddings", "dtype"]);
        keys.outer().warn(
            "model_type",
            "kimi_k3 has no public class: its attention-residual banks and its vision tower are not counted, and the \
             projections around its experts are assumed",
        );
    }
    stack.finish()
}

/// Which layers attend fully: by `layer_types`, by the lists that count from one, else as the class places them.
fn full_layers(keys: &Keys<'_>, section: Option<&Keys<'_>>, depth: u64) -> Vec<bool> {
    let types = keys.layer_types(&["layer_types"], depth, &["linear_attention", "full_attention"]);
    let listed = section.and_then(|section| {
        section.known(&["kda_layers"]);
        section.naturals("full_attn_layers")
    });
    (0..depth)
        .map(|index| match (&types, &listed) {
            (Some(types), _) => types.at(index) == "full_attention",
            (None, Some(list)) => list.contains(&(index + 1)),
            (None, None) => index > 0 && index.is_multiple_of(4),
        })
        .collect()
}

/// Which layers have experts.
fn sparse_layers(keys: &Keys<'_>, depth: u64) -> Vec<bool> {
    let types = keys.layer_types(&["mlp_layer_types"], depth, &["dense", "sparse"]);
    let prefix = keys.natural("first_k_dense_replace", 1);
    (0..depth)
        .map(|index| match &types {
            Some(types) => types.at(index) == "sparse",
            None => index >= prefix,
        })
        .collect()
}
