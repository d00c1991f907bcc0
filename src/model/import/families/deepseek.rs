//! DeepSeek and the families that took over its latent attention: Kimi-K2, GLM-4.7-Flash, GLM-5, LongCat-Flash.

use super::moe::{Core, Mixed, next_token_layers, shared_experts, some_dense};
use crate::model::import::config::Config;
use crate::model::import::decoder::{Defaults, Dims, Ends, HEADS, Stack, layer, network, norm};
use crate::model::import::feed_forward::{Experts, Mlp};
use crate::model::import::field::Field;
use crate::model::import::latent::{LatentDefaults, LatentPlan};
use crate::model::import::sparse::{EXPERT_WIDTH, SparseDefaults, experts, sparse_layers};
use crate::model::import::weights::Weights;
use crate::model::{FeedForward, Mixer, Network, NormKind};
use crate::units::Count;

/// Dimensions of a model with latent attention: heads have no width of their own.
fn dims(c: &Config, vocabulary: u64) -> Dims {
    let mut dims = Dims::without_heads(c, Defaults::new(vocabulary));
    dims.heads = c.require(Field::NumAttentionHeads, HEADS);
    dims.kv_heads = dims.heads;
    dims
}

/// `deepseek`: the first sparse model, with ordinary attention.
pub fn deepseek(c: &Config) -> Network {
    let dims = Dims::read(c, Defaults::new(102_400));
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, &["attention_bias"], false);
    attention.out_bias = attention.bias;
    let defaults = SparseDefaults {
        experts: 64,
        top_k: 6,
        width: 1408,
    };
    let experts = shared_experts(c, &dims, defaults, 2, false);
    let sparse = sparse_layers(c, dims.layers, 1);
    let mlp = some_dense(c, &sparse, 10_944);
    Mixed::new(Core::Softmax(attention), mlp, experts, sparse).network(c, &dims)
}

/// What differs among the latent families.
struct Family {
    vocabulary: u64,
    latent: LatentDefaults,
    sparse: SparseDefaults,
    shared: u64,
    corrected: bool,
    dense_width: u64,
    first_dense: u64,
    /// Heads and width of the sparse-attention indexer.
    indexer: Option<(u64, u64)>,
}

const V3: Family = Family {
    vocabulary: 129_280,
    latent: LatentDefaults::DEEPSEEK,
    sparse: SparseDefaults {
        experts: 256,
        top_k: 8,
        width: 2048,
    },
    shared: 1,
    corrected: true,
    dense_width: 18_432,
    first_dense: 3,
    indexer: None,
};

fn build(c: &Config, family: &Family) -> Network {
    let dims = dims(c, family.vocabulary);
    let mut latent = LatentPlan::read(c, &dims, family.latent);
    if let Some((heads, width)) = family.indexer {
        latent.shape.indexer = Some((
            c.whole(&["index_n_heads"], 1..=65_536).unwrap_or(heads),
            c.whole(&["index_head_dim"], 1..=65_536).unwrap_or(width),
        ));
    }
    let experts = shared_experts(c, &dims, family.sparse, family.shared, family.corrected);
    let sparse = sparse_layers(c, dims.layers, family.first_dense);
    let mlp = some_dense(c, &sparse, family.dense_width);
    let mut plan = Mixed::new(Core::Latent(latent), mlp, experts, sparse);
    plan.without_indexer = without_indexer(c, dims.layers);
    c.ignore(&["attention_dropout", "layer_types", "mlp_bias"]);
    let mut network = plan.network(c, &dims);
    next_token_layers(c, &mut network);
    network
}

/// GLM-5.2: layers that share the choice of an earlier layer have no indexer.
fn without_indexer(c: &Config, layers: u64) -> Vec<bool> {
    if let Some(types) = c.words_per_layer("indexer_types", layers) {
        return types.iter().map(|kind| kind == "shared").collect();
    }
    if let Some((_, pattern)) = c.get(&["index_topk_pattern"]) {
        return match pattern {
            serde_json::Value::String(text) => text.chars().map(|letter| letter == 'S').collect(),
            serde_json::Value::Array(list) => {
                list.iter().map(|kind| kind.as_str() == Some("shared")).collect()
            }
            _ => Vec::new(),
        };
    }
    let frequency = c.whole(&["index_topk_freq"], 0..=10_000).unwrap_or(1).max(1);
    let offset = c.whole(&["index_skip_topk_offset"], 0..=10_000).unwrap_or(2);
    (0..layers)
        .map(|depth| !(depth + 1).saturating_sub(offset).is_multiple_of(frequency))
        .collect()
}

/// `deepseek_v2`.
pub fn deepseek_v2(c: &Config) -> Network {
    build(
        c,
        &Family {
            vocabulary: 102_400,
            sparse: SparseDefaults {
                experts: 64,
                top_k: 6,
                width: 1407,
            },
            shared: 2,
            corrected: false,
            dense_width: 11_008,
            first_dense: 0,
            ..V3
        },
    )
}

/// `deepseek_v3` and `kimi_k2`.
pub fn deepseek_v3(c: &Config) -> Network {
    build(c, &V3)
}

/// `deepseek_v32`: an indexer in every layer.
pub fn deepseek_v32(c: &Config) -> Network {
    build(
        c,
        &Family {
            indexer: Some((64, 128)),
            ..V3
        },
    )
}

/// `glm4_moe_lite`.
pub fn glm4_moe_lite(c: &Config) -> Network {
    build(
        c,
        &Family {
            vocabulary: 154_880,
            latent: LatentDefaults {
                query_rank: Some(768),
                kv_rank: 512,
                nope: 192,
                rope: 64,
                value: 256,
            },
            sparse: SparseDefaults {
                experts: 64,
                top_k: 4,
                width: 1536,
            },
            dense_width: 10_240,
            first_dense: 1,
            ..V3
        },
    )
}

/// `glm_moe_dsa`: GLM-5 with an indexer, in GLM-5.2 only in some layers.
pub fn glm_moe_dsa(c: &Config) -> Network {
    build(
        c,
        &Family {
            vocabulary: 154_880,
            latent: LatentDefaults {
                query_rank: Some(2048),
                kv_rank: 512,
                nope: 192,
                rope: 64,
                value: 256,
            },
            dense_width: 12_288,
            indexer: Some((32, 128)),
            ..V3
        },
    )
}

/// `longcat_flash`: two attentions and two dense feed-forwards per layer beside one mixture, a third of whose choices
/// cost nothing.
pub fn longcat(c: &Config) -> Network {
    let dims = dims(c, 131_072);
    let hidden = dims.hidden;
    let latent = LatentPlan::read(c, &dims, LatentDefaults::DEEPSEEK);
    let sparse = SparseDefaults {
        experts: 512,
        top_k: 12,
        width: 2048,
    };
    let mut routed: Experts = experts(c, &dims, EXPERT_WIDTH, sparse);
    routed.shape.zero_experts = c.whole(&["zero_expert_num"], 0..=65_536).unwrap_or(256);
    routed.router = "router.classifier";
    routed.router_bias = c.flag(&["router_bias"], false);
    routed.shape.router_fp32 = true;
    c.ignore(&[
        "zero_expert_type",
        "attention_dropout",
        "attention_method",
        "mla_scale_q_lora",
        "mla_scale_kv_lora",
    ]);
    let width = dims.ffn(c, 12_288);
    let mut weights = Weights::new();
    let mut mixers = Vec::new();
    let mut parts = vec![routed.build(hidden, &mut weights)];
    for (attention, dense) in [("self_attn.0", "mlps.0"), ("self_attn.1", "mlps.1")] {
        let plan = LatentPlan {
            prefix: attention,
            ..latent.clone()
        };
        mixers.push(plan.build(hidden, &mut weights));
        let mlp = Mlp {
            prefix: dense,
            ..Mlp::gated(width, routed.shape.activation.clone())
        };
        parts.push(mlp.build(hidden, &mut weights));
    }
    for place in ["0", "1"] {
        weights.norm(&format!("input_layernorm.{place}"), hidden, false);
        weights.norm(&format!("post_attention_layernorm.{place}"), hidden, false);
    }
    let norms = vec![norm(NormKind::Rms, hidden); 4];
    let mut block = layer(
        Mixer::Several(mixers),
        FeedForward::Several(parts),
        norms,
        weights,
    );
    block.buffers = Count::new(routed.shape.experts + routed.shape.zero_experts);
    let stack = Stack::uniform(dims.layers, block);
    network(c, &dims, stack, Ends::new(&dims, NormKind::Rms))
}

#[cfg(test)]
mod tests {
    use crate::model::catalogue;

    #[test]
    fn correction_buffers_are_counted_apart() {
        let buffers = |id: &str| {
            let network = catalogue::find(id).and_then(catalogue::Entry::network);
            network.map(|network| (network.total_parameters() + network.buffer_elements()).get())
        };
        // What the published file holds: a value per expert in each of 58 sparse layers more than the parameters.
        assert_eq!(buffers("deepseek-v3"), Some(671_026_404_352 + 58 * 256));
    }
}
