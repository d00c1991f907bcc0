//! More decoders with a mixture of experts, each with its own habits: GPT-OSS, Phi-3.5-MoE, Hunyuan, MiniMax-M2, ERNIE, Grok
//! and DBRX.

use super::llama::everywhere;
use super::moe::{Core, Mixed, all, no_mlp, some_dense};
use crate::model::import::config::Config;
use crate::model::import::decoder::{
    Defaults, Dims, EXPERTS, Ends, Stack, activation, layer, network, next_token, norm, rotary_dim,
    spans_by_period, spans_by_type, window,
};
use crate::model::import::feed_forward::{Experts, Storage};
use crate::model::import::field::Field;
use crate::model::import::softmax::{Projection, Softmax, per_head_if};
use crate::model::import::sparse::{EXPERT_WIDTH, SparseDefaults, experts, shared_count, top_k};
use crate::model::import::weights::{Cut, Weights};
use crate::model::{FeedForward, Network, NormKind, QkNorm, Role, Split, Tensor};

/// `phimoe`: LayerNorm, biases on attention and head by flags.
pub fn phimoe(c: &Config) -> Network {
    let dims = Dims::read(
        c,
        Defaults {
            kv_heads: Some(8),
            ..Defaults::new(32_064)
        },
    );
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, &["attention_bias"], false);
    attention.out_bias = attention.bias;
    let defaults = SparseDefaults {
        experts: 16,
        top_k: 2,
        width: 6400,
    };
    let mut experts = experts(c, &dims, &["intermediate_size"], defaults);
    experts.router = "router";
    let mut plan = Mixed::new(Core::Softmax(attention), no_mlp(), experts, all(&dims));
    plan.norm = NormKind::Layer;
    plan.spans = everywhere(&dims, window(c, None, &dims));
    let mut ends = Ends::new(&dims, NormKind::Layer);
    ends.head_bias = c.flag(&["lm_head_bias"], false);
    network(c, &dims, plan.stack(&dims), ends)
}

/// `gpt_oss`: biases everywhere, a sink per head, every other layer with a window.
pub fn gpt_oss(c: &Config) -> Network {
    let dims = Dims::read(
        c,
        Defaults {
            kv_heads: Some(8),
            head_dim: Some(64),
            ..Defaults::new(201_088)
        },
    );
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, &["attention_bias"], true);
    attention.out_bias = attention.bias;
    attention.shape.sinks = true;
    let defaults = SparseDefaults {
        experts: 128,
        top_k: 4,
        width: 2880,
    };
    let mut experts = experts(c, &dims, &["intermediate_size"], defaults);
    experts.router = "router";
    experts.router_bias = true;
    experts.storage = Storage::StackedInputFirst;
    experts.bias = true;
    let width = window(c, Some(128), &dims);
    let mut plan = Mixed::new(Core::Softmax(attention), no_mlp(), experts, all(&dims));
    plan.spans =
        spans_by_type(c, dims.layers, width).unwrap_or_else(|| spans_by_period(dims.layers, width, 2));
    // Its RMSNorm multiplies in fp32 and casts last, as Gemma's does.
    plan.norm = NormKind::RmsPlusOne;
    plan.network(c, &dims)
}

/// `hunyuan_v1_moe`: norms on queries and keys, one shared expert of the same width as the routed ones.
pub fn hunyuan(c: &Config) -> Network {
    let dims = Dims::read(c, Defaults::new(290_943));
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, &["attention_bias"], false);
    attention.out_bias = attention.bias;
    attention.shape.qk_norm = per_head_if(true, NormKind::Rms);
    attention.qk_names = ("query_layernorm", "key_layernorm");
    c.ignore(&[
        "use_qk_norm",
        "num_shared_expert",
        "moe_intermediate_size",
        "use_cla",
    ]);
    let defaults = SparseDefaults {
        experts: 1,
        top_k: 1,
        width: 11_008,
    };
    let mut experts = experts(c, &dims, &["intermediate_size"], defaults);
    let width = experts.shape.width;
    experts.router = "gate.wg";
    experts.shape.router_fp32 = true;
    experts = experts.with_shared(width, "mlp.shared_mlp");
    Mixed::new(Core::Softmax(attention), no_mlp(), experts, all(&dims)).network(c, &dims)
}

/// `minimax_m2`: norms over all heads, partial rotation, next-token modules.
pub fn minimax_m2(c: &Config) -> Network {
    let dims = Dims::read(
        c,
        Defaults {
            kv_heads: Some(8),
            head_dim: Some(128),
            ..Defaults::new(200_064)
        },
    );
    let mut attention = dims.softmax(c);
    attention.shape.qk_norm = QkNorm::AllHeads(NormKind::Rms);
    attention.shape.rotary_dim = c
        .whole(&["rotary_dim"], 0..=65_536)
        .unwrap_or_else(|| rotary_dim(c, dims.head_dim, 0.5));
    c.ignore(&[
        "use_qk_norm",
        "qk_norm_type",
        "use_routing_bias",
        "shared_intermediate_size",
        "attn_type_list",
    ]);
    let defaults = SparseDefaults {
        experts: 256,
        top_k: 8,
        width: 1536,
    };
    let mut experts = experts(c, &dims, &["intermediate_size"], defaults);
    experts.buffers = experts.shape.experts;
    let mut network = Mixed::new(Core::Softmax(attention), no_mlp(), experts, all(&dims)).network(c, &dims);
    let modules = c
        .field(Field::NumNextnPredictLayers, &["num_mtp_modules"])
        .unwrap_or(0);
    let layers = c.whole(&["mtp_transformer_layers"], 1..=100).unwrap_or(1);
    if c.flag(&["use_mtp"], true) {
        next_token(&mut network, modules * layers, None);
    }
    network
}

/// `ernie4_5_moe`: sparse layers between two indices; a correction value per expert that counts as a parameter.
pub fn ernie_moe(c: &Config) -> Network {
    let dims = Dims::read(
        c,
        Defaults {
            kv_heads: Some(4),
            tied: true,
            ..Defaults::new(103_424)
        },
    );
    let bias = c.flag_field(Field::AttentionBias, &["use_bias"], false);
    let mut attention = dims.softmax(c);
    attention.bias = bias;
    attention.out_bias = bias;
    let defaults = SparseDefaults {
        experts: 64,
        top_k: 6,
        width: 1536,
    };
    let mut experts = experts(c, &dims, EXPERT_WIDTH, defaults);
    experts.shape.router_fp32 = true;
    let shared = shared_count(c, 2) * experts.shape.width;
    experts = experts.with_shared(shared, "mlp.shared_experts");
    if let Some(shared) = &mut experts.shared {
        shared.bias = bias;
    }
    let start = c
        .field(Field::FirstKDenseReplace, &["moe_layer_start_index"])
        .unwrap_or(1);
    let last = dims.layers - 1;
    let end = match c.get(&["moe_layer_end_index"]) {
        Some((_, value)) if value.as_i64() == Some(-1) => last,
        _ => c.whole(&["moe_layer_end_index"], 0..=10_000).unwrap_or(last),
    };
    let interval = c.field(Field::MoeLayerFreq, &["moe_layer_interval"]).unwrap_or(1);
    let sparse: Vec<bool> = (0..dims.layers)
        .map(|depth| (depth + 1).is_multiple_of(interval) && depth >= start && depth <= end)
        .collect();
    let mut mlp = some_dense(c, &sparse, 12_288);
    mlp.bias = bias;
    let count = experts.shape.experts;
    let mut stack = Mixed::new(Core::Softmax(attention), mlp, experts, sparse).stack(&dims);
    for layer in stack.kinds.iter_mut().filter(|layer| layer.moe().is_some()) {
        let name = "mlp.gate.moe_statics.e_score_correction_bias";
        let tensor = Tensor::new(name, &[1, count], Role::Router, Split::Replicated);
        layer.tensors.push(tensor);
    }
    let mut ends = Ends::new(&dims, NormKind::Rms);
    ends.head_bias = bias;
    network(c, &dims, stack, ends)
}

/// `grok-1`: four norms per layer, one matrix at the ends.
pub fn grok(c: &Config) -> Network {
    let dims = Dims::read(
        c,
        Defaults {
            tied: true,
            ..Defaults::new(131_072)
        },
    );
    let defaults = SparseDefaults {
        experts: 8,
        top_k: 2,
        width: 32_768,
    };
    let mut experts = experts(c, &dims, &["intermediate_size"], defaults);
    experts.storage = Storage::PerExpert;
    experts.shape.activation = activation(c, "gelu");
    let mut stack = Mixed::new(Core::Softmax(dims.softmax(c)), no_mlp(), experts, all(&dims)).stack(&dims);
    for layer in &mut stack.kinds {
        layer.norms = vec![norm(NormKind::Rms, dims.hidden); 4];
        for name in ["post_attn_norm", "post_moe_norm"] {
            let name = format!("{name}.weight");
            layer
                .tensors
                .push(Tensor::new(name, &[dims.hidden], Role::Norm, Split::Replicated));
        }
    }
    network(c, &dims, stack, Ends::new(&dims, NormKind::Rms))
}

/// `dbrx`: fused attention, experts stored as three flat matrices, LayerNorm without bias.
pub fn dbrx(c: &Config) -> Network {
    let mut dims = Dims::without_heads(c, Defaults::new(32_000));
    let attention = c.section("attn_config");
    let ffn = c.section("ffn_config");
    dims.heads = c.require(Field::NumAttentionHeads, &["n_heads", "num_attention_heads"]);
    dims.head_dim = dims.head_width_from_hidden(c);
    dims.kv_heads = attention.or_default(Field::NumKeyValueHeads, &["kv_n_heads"], 1);
    dims.check_groups(c);
    ffn.owns(Field::MoeEnabled, &[]);
    let hidden = dims.hidden;
    let count = ffn.or_default(Field::NumExperts, EXPERTS, 4);
    let width = ffn.or_default(Field::ExpertIntermediateSize, &["ffn_hidden_size"], 3584);
    let chosen = top_k(&ffn, count, 1);
    ffn.ignore(&[
        "moe_loss_weight",
        "moe_normalize_expert_weights",
        "ffn_act_fn",
        "uniform_expert_assignment",
    ]);
    let dropout = attention.dropout(&["attn_pdrop"], 0.0);
    attention.ignore(&["dtype"]);
    ffn.ignore(&["dtype", "hidden_size"]);
    c.ignore(&["num_key_value_heads"]);
    let plan = Experts::new(count, chosen, width, hidden, "silu");
    let mut weights = Weights::new();
    let mut softmax = Softmax {
        prefix: "norm_attn_norm.attn",
        projection: Projection::Fused("Wqkv"),
        out: "out_proj",
        ..dims.softmax(c)
    };
    softmax.shape.dropout = dropout;
    let mixer = softmax.build(hidden, &mut weights);
    weights.linear(
        "ffn.router.layer",
        (count, hidden),
        false,
        Role::Router,
        Cut::Whole,
    );
    for name in ["w1", "v1", "w2"] {
        let name = format!("ffn.experts.mlp.{name}");
        weights.tensor(name, &[count * width, hidden], Role::RoutedExpert, Split::Axis(0));
    }
    weights.norm("norm_attn_norm.norm_1", hidden, false);
    weights.norm("norm_attn_norm.norm_2", hidden, false);
    let norms = vec![norm(NormKind::Layer, hidden); 2];
    let mut block = layer(mixer, FeedForward::Moe(plan.shape), norms, weights);
    block.residual_dropout = c.dropout(&["resid_pdrop"], 0.0);
    let mut ends = Ends::named(&dims, "transformer.wte", None);
    ends.output.norm("transformer.norm_f", hidden, false);
    ends.final_norm = Some(norm(NormKind::Layer, hidden));
    ends.dropout = c.dropout(&["emb_pdrop"], 0.0);
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}
