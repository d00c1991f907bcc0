//! The generic decoder: for hand-typed models with experts or latent attention, and, with a warning for every assumption,
//! for families that are not known. It understands the usual keys of all families.

use crate::model::import::config::Config;
use crate::model::import::decoder::{
    Defaults, Dims, EXPERTS, Ends, HEADS, Stack, activation, layer, network, next_token, norm, span_at,
    spans_by_type, window,
};
use crate::model::import::feed_forward::{Experts, Mlp};
use crate::model::import::field::Field;
use crate::model::import::latent::{LatentDefaults, LatentPlan};
use crate::model::import::softmax::{Softmax, per_head_if};
use crate::model::import::sparse::{EXPERT_WIDTH, SparseDefaults, at, experts, shared_count, sparse_layers};
use crate::model::import::weights::Weights;
use crate::model::{Network, NormKind};

use super::llama::everywhere;

/// `model_type` of a model that a person describes by hand.
pub const CUSTOM: &str = "custom";

/// Dense or sparse, with ordinary or latent attention, as the keys say.
pub fn generic(c: &Config) -> Network {
    let is_latent = c.get(&["kv_lora_rank"]).is_some();
    let dims = if is_latent {
        latent_dims(c)
    } else {
        Dims::read(c, Defaults::new(32_000))
    };
    let latent = is_latent.then(|| {
        let defaults = LatentDefaults {
            query_rank: None,
            ..LatentDefaults::DEEPSEEK
        };
        LatentPlan::read(c, &dims, defaults)
    });
    let attention = attention(c, &dims, latent.is_some());
    let routed = c.get(EXPERTS).is_some().then(|| sparse(c, &dims));
    let mlp = dense(c, &dims, routed.is_some());
    let width = window(c, None, &dims);
    let spans = spans_by_type(c, dims.layers, width).unwrap_or_else(|| everywhere(&dims, width));
    let is_sparse = routed
        .as_ref()
        .map(|_| sparse_layers(c, dims.layers, 0))
        .unwrap_or_default();
    let kind = match c.word(&["norm"], "rms").as_str() {
        "layer" => NormKind::Layer,
        _ => NormKind::Rms,
    };
    let biased = kind == NormKind::Layer;
    let stack = Stack::by_key(
        dims.layers,
        |depth| (at(&is_sparse, depth), span_at(&spans, depth)),
        |(sparse, span)| {
            let mut weights = Weights::new();
            let mixer = match &latent {
                Some(latent) => latent.build(dims.hidden, &mut weights),
                None => attention
                    .clone()
                    .with_span(*span)
                    .build(dims.hidden, &mut weights),
            };
            let feed_forward = match &routed {
                Some(routed) if *sparse => routed.build(dims.hidden, &mut weights),
                _ => mlp.build(dims.hidden, &mut weights),
            };
            weights.norm("input_layernorm", dims.hidden, biased);
            weights.norm("post_attention_layernorm", dims.hidden, biased);
            layer(mixer, feed_forward, vec![norm(kind, dims.hidden); 2], weights)
        },
    );
    let mut network = network(c, &dims, stack, Ends::new(&dims, kind));
    let count = c
        .field(Field::NumNextnPredictLayers, &["num_nextn_predict_layers"])
        .unwrap_or(0);
    next_token(&mut network, count, None);
    network
}

/// Heads without a width of their own: latent attention states its widths apart.
fn latent_dims(c: &Config) -> Dims {
    let mut dims = Dims::without_heads(c, Defaults::new(32_000));
    dims.heads = c.require(Field::NumAttentionHeads, HEADS);
    dims.kv_heads = dims.heads;
    dims
}

fn attention(c: &Config, dims: &Dims, latent: bool) -> Softmax {
    let mut attention = dims.softmax(c);
    if !latent {
        attention.bias = c.flag_field(
            Field::AttentionBias,
            &["attention_bias", "qkv_bias", "use_qkv_bias", "add_qkv_bias"],
            false,
        );
        attention.out_bias = c.flag(&["attention_out_bias", "o_bias"], false);
        let norms = c.flag(&["use_qk_norm", "qk_layernorm", "qk_norm"], false);
        attention.shape.qk_norm = per_head_if(norms, NormKind::Rms);
    }
    attention
}

/// Activations that no family known here puts behind a gate: they stand between two matrices.
const UNGATED: &[&str] = &["relu2", "xielu"];

fn dense(c: &Config, dims: &Dims, sparse: bool) -> Mlp {
    // Where every layer has experts, the width of a dense feed-forward may be missing.
    let width = if sparse && c.get(&["moe_intermediate_size"]).is_none() {
        c.field(Field::IntermediateSize, &["intermediate_size"])
            .unwrap_or(4 * dims.hidden)
    } else {
        dims.ffn_or_four(c)
    };
    let act = activation(c, "silu");
    let gated = !UNGATED.contains(&act.as_str());
    let mut mlp = Mlp::gated(width, act);
    if !c.flag_field(Field::MlpGated, &["mlp_gated"], gated) {
        mlp.gate = None;
    }
    mlp.bias = c.flag(&["mlp_bias"], false);
    mlp
}

fn sparse(c: &Config, dims: &Dims) -> Experts {
    let defaults = SparseDefaults {
        experts: 8,
        top_k: 2,
        width: 4 * dims.hidden,
    };
    let keys = [EXPERT_WIDTH, &["intermediate_size"]].concat();
    let mut routed = experts(c, dims, &keys, defaults);
    routed.shape.gated = c.flag(&["mlp_gated"], true);
    let count = shared_count(c, 0);
    let each = c.field(
        Field::SharedExpertIntermediateSize,
        &["shared_expert_intermediate_size", "shared_intermediate_size"],
    );
    let width = each.unwrap_or(count * routed.shape.width);
    let mut routed = routed.with_shared(width, "mlp.shared_experts");
    if let Some(shared) = &mut routed.shared
        && !routed.shape.gated
    {
        shared.gate = None;
    }
    routed
}

/// Says what is assumed of a family that is not known.
pub fn warn_assumptions(c: &Config, model_type: &str) {
    let name = if model_type.is_empty() {
        "is missing".to_string()
    } else {
        format!("{model_type:?} is not a family known here")
    };
    c.warn(
        "unknown_family",
        "model_type",
        &format!("{name}: the model is read as a generic decoder, and its counts are an estimate"),
    );
    let assume = |what: &str| c.warn("assumed", "model_type", &format!("unknown, so assumed: {what}"));
    let kind = if c.get(&["kv_lora_rank"]).is_some() {
        "latent attention as in DeepSeek-V3, because kv_lora_rank is given"
    } else {
        "rotary attention with separate query, key, value and output projections"
    };
    assume(kind);
    assume("two RMSNorms per layer and one before the head, without biases");
    assume(
        "a gated feed-forward of three matrices (SwiGLU; two without gate where hidden_act is relu2 or xielu) without biases unless mlp_bias or mlp_gated say otherwise",
    );
    if c.get(EXPERTS).is_some() {
        assume("experts with gate, up and down matrices, and a linear router without bias");
    }
    if c.get(&["tie_word_embeddings"]).is_none() {
        assume("a head of its own beside the embedding, because tie_word_embeddings is missing");
    }
    if c.get(&["layer_types", "hybrid_override_pattern", "layers_block_type"])
        .is_some()
    {
        assume("ordinary attention in every layer, whatever the list of layer types says");
    }
    if c.outer().has("vision_config") || c.outer().has("audio_config") {
        assume("no vision or audio tower");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::model::catalogue;
    use crate::model::import::network_from_config;

    fn renamed(id: &str) -> Value {
        let mut config = catalogue::find(id).unwrap().config.clone();
        config["model_type"] = json!("unheard_of");
        config
    }

    #[test]
    fn an_unknown_family_is_read_with_every_assumption_named() {
        for id in ["llama-3.1-8b", "mixtral-8x7b", "mistral-nemo-12b"] {
            let imported = network_from_config(&renamed(id)).unwrap();
            assert!(imported.generic);
            let total = catalogue::find(id).unwrap().network().unwrap().total_parameters();
            assert_eq!(imported.network.total_parameters(), total, "{id}");
            let codes: Vec<_> = imported.warnings.iter().map(|issue| issue.code).collect();
            assert!(
                codes.contains(&"unknown_family")
                    && codes.iter().filter(|code| **code == "assumed").count() >= 3
            );
        }
    }

    #[test]
    fn a_typed_layer_norm_has_a_bias_in_every_layer_and_at_the_end() {
        let mut config = renamed("llama-3.1-8b");
        let without = network_from_config(&config).unwrap().network;
        config["norm"] = json!("layer");
        let with = network_from_config(&config).unwrap().network;
        let biases = with.total_parameters().get() - without.total_parameters().get();
        assert_eq!(biases, (2 * 32 + 1) * 4096);
    }

    #[test]
    fn more_experts_per_token_than_experts_is_an_error() {
        let mut config = renamed("mixtral-8x7b");
        config["num_experts_per_tok"] = json!(9);
        let issues = network_from_config(&config).unwrap_err();
        assert_eq!(issues[0].code, "top_k_exceeds_experts");
        assert_eq!(issues[0].path, "model.hf_config.num_experts_per_tok");
    }
}
