//! Decoders whose layers hold a mixture of experts behind ordinary attention: Mixtral and its relatives.

use super::llama::everywhere;
use super::qwen;
use crate::model::import::config::Config;
use crate::model::import::decoder::{
    Defaults, Dims, Ends, Stack, activation, layer, network, next_token, norm, rotary_dim, span_at, window,
};
use crate::model::import::feed_forward::{Experts, Mlp};
use crate::model::import::field::Field;
use crate::model::import::latent::LatentPlan;
use crate::model::import::softmax::{Softmax, per_head_if};
use crate::model::import::sparse::{EXPERT_WIDTH, SparseDefaults, at, experts, shared_count, sparse_layers};
use crate::model::import::weights::Weights;
use crate::model::{Network, NormKind, QkNorm, Span};
use crate::units::Count;

/// What mixes positions in every layer.
pub enum Core {
    /// Ordinary attention.
    Softmax(Softmax),
    /// Latent attention.
    Latent(LatentPlan),
}

/// A decoder of dense and sparse layers.
pub struct Mixed {
    /// What mixes positions.
    pub core: Core,
    /// The dense feed-forward, where some layers have one.
    pub mlp: Mlp,
    /// The experts.
    pub experts: Experts,
    /// Which layers are sparse.
    pub sparse: Vec<bool>,
    /// How far each layer looks back; full where it says nothing.
    pub spans: Vec<Span>,
    /// Which layers have no sparse-attention indexer although the core has one.
    pub without_indexer: Vec<bool>,
    /// The norms.
    pub norm: NormKind,
}

impl Mixed {
    /// RMSNorm, full attention.
    pub fn new(core: Core, mlp: Mlp, experts: Experts, sparse: Vec<bool>) -> Self {
        Self {
            core,
            mlp,
            experts,
            sparse,
            spans: Vec::new(),
            without_indexer: Vec::new(),
            norm: NormKind::Rms,
        }
    }

    /// The layers.
    pub fn stack(&self, dims: &Dims) -> Stack {
        let hidden = dims.hidden;
        let key = |depth| {
            (
                at(&self.sparse, depth),
                span_at(&self.spans, depth),
                at(&self.without_indexer, depth),
            )
        };
        Stack::by_key(dims.layers, key, |(sparse, span, without_indexer)| {
            let mut weights = Weights::new();
            let mixer = match &self.core {
                Core::Softmax(softmax) => softmax.clone().with_span(*span).build(hidden, &mut weights),
                Core::Latent(latent) => {
                    let mut latent = latent.clone();
                    if *without_indexer {
                        latent.shape.indexer = None;
                    }
                    latent.build(hidden, &mut weights)
                }
            };
            let feed_forward = if *sparse {
                self.experts.build(hidden, &mut weights)
            } else {
                self.mlp.build(hidden, &mut weights)
            };
            let bias = self.norm == NormKind::Layer;
            weights.norm("input_layernorm", hidden, bias);
            weights.norm("post_attention_layernorm", hidden, bias);
            let norms = vec![norm(self.norm, hidden); 2];
            let mut layer = layer(mixer, feed_forward, norms, weights);
            layer.buffers = Count::new(if *sparse { self.experts.buffers } else { 0 });
            layer
        })
    }

    /// The network with Llama's ends.
    pub fn network(&self, c: &Config, dims: &Dims) -> Network {
        network(c, dims, self.stack(dims), Ends::new(dims, self.norm))
    }
}

/// Every layer is sparse.
pub fn all(dims: &Dims) -> Vec<bool> {
    (0..dims.layers).map(|_| true).collect()
}

/// Stands where no layer is dense.
pub fn no_mlp() -> Mlp {
    Mlp::gated(1, "silu")
}

/// `mixtral`: `intermediate_size` is the width of an expert.
pub fn mixtral(c: &Config) -> Network {
    let dims = Dims::read(
        c,
        Defaults {
            kv_heads: Some(8),
            ..Defaults::new(32_000)
        },
    );
    let defaults = SparseDefaults {
        experts: 8,
        top_k: 2,
        width: 14_336,
    };
    let experts = experts(c, &dims, &["intermediate_size"], defaults);
    let mut plan = Mixed::new(Core::Softmax(dims.softmax(c)), no_mlp(), experts, all(&dims));
    plan.spans = everywhere(&dims, window(c, None, &dims));
    plan.network(c, &dims)
}

/// Sparse layers of Qwen: every `decoder_sparse_step`-th, but those in `mlp_only_layers`.
pub fn qwen_sparse(c: &Config, layers: u64) -> Vec<bool> {
    let step = c
        .field(Field::MoeLayerFreq, &["decoder_sparse_step"])
        .unwrap_or(1);
    let dense: Vec<u64> = c
        .list("mlp_only_layers")
        .unwrap_or_default()
        .iter()
        .filter_map(serde_json::Value::as_u64)
        .collect();
    (0..layers)
        .map(|depth| !dense.contains(&depth) && (depth + 1).is_multiple_of(step))
        .collect()
}

/// The width of a dense feed-forward that only some layers have.
pub fn some_dense(c: &Config, sparse: &[bool], default: u64) -> Mlp {
    let width = c.field(Field::IntermediateSize, &["intermediate_size"]);
    let width = match width {
        None if sparse.contains(&false) => default,
        None => 1,
        Some(width) => width,
    };
    Mlp::gated(width, activation(c, "silu"))
}

/// `qwen2_moe`: biases on queries, keys and values; one shared expert behind a gate.
pub fn qwen2_moe(c: &Config) -> Network {
    let dims = Dims::read(
        c,
        Defaults {
            kv_heads: Some(16),
            ..Defaults::new(151_936)
        },
    );
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, &["qkv_bias"], true);
    let defaults = SparseDefaults {
        experts: 60,
        top_k: 4,
        width: 1408,
    };
    let experts = experts(c, &dims, EXPERT_WIDTH, defaults);
    let shared = c.or_default(
        Field::SharedExpertIntermediateSize,
        &["shared_expert_intermediate_size"],
        5632,
    );
    let mut experts = experts.with_shared(shared, "mlp.shared_expert");
    experts.shared_gate = Some("shared_expert_gate");
    let sparse = qwen_sparse(c, dims.layers);
    let mlp = some_dense(c, &sparse, 5632);
    let mut plan = Mixed::new(Core::Softmax(attention), mlp, experts, sparse);
    plan.spans = qwen::spans(c, &dims);
    plan.network(c, &dims)
}

/// `qwen3_moe`: norms on queries and keys, no shared expert.
pub fn qwen3_moe(c: &Config) -> Network {
    let dims = Dims::read(
        c,
        Defaults {
            kv_heads: Some(4),
            ..Defaults::new(151_936)
        },
    );
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, &["attention_bias"], false);
    attention.out_bias = attention.bias;
    attention.shape.qk_norm = per_head_if(true, NormKind::Rms);
    c.ignore(&["use_qk_norm", "qkv_bias"]);
    let defaults = SparseDefaults {
        experts: 128,
        top_k: 8,
        width: 768,
    };
    let experts = experts(c, &dims, EXPERT_WIDTH, defaults);
    let shared = c.whole(&["shared_expert_intermediate_size"], 0..=16_777_216);
    if shared.is_some_and(|width| width > 0) {
        c.warn(
            "unused_field",
            "shared_expert_intermediate_size",
            "has no meaning in this family, which has no shared expert",
        );
    }
    let sparse = qwen_sparse(c, dims.layers);
    let mlp = some_dense(c, &sparse, 6144);
    let mut plan = Mixed::new(Core::Softmax(attention), mlp, experts, sparse);
    plan.spans = qwen::spans(c, &dims);
    plan.network(c, &dims)
}

/// `olmoe`: norms over all heads.
pub fn olmoe(c: &Config) -> Network {
    let defaults = SparseDefaults {
        experts: 64,
        top_k: 8,
        width: 2048,
    };
    normed_heads(c, 50_304, defaults)
}

/// `flex_olmo`: OLMoE's parts, each with its norm after it as in OLMo 2.
pub fn flex_olmo(c: &Config) -> Network {
    let defaults = SparseDefaults {
        experts: 7,
        top_k: 5,
        width: 11_008,
    };
    normed_heads(c, 100_352, defaults)
}

fn normed_heads(c: &Config, vocabulary: u64, defaults: SparseDefaults) -> Network {
    let dims = Dims::read(c, Defaults::new(vocabulary));
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, &["attention_bias"], false);
    attention.out_bias = attention.bias;
    attention.shape.qk_norm = QkNorm::AllHeads(NormKind::Rms);
    let experts = experts(c, &dims, &["intermediate_size"], defaults);
    Mixed::new(Core::Softmax(attention), no_mlp(), experts, all(&dims)).network(c, &dims)
}

/// `glm4_moe`: DeepSeek's experts behind ordinary attention, of which half is rotated.
pub fn glm4_moe(c: &Config) -> Network {
    let dims = Dims::read(
        c,
        Defaults {
            kv_heads: Some(8),
            ..Defaults::new(151_552)
        },
    );
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, &["attention_bias"], false);
    attention.shape.qk_norm = per_head_if(c.flag(&["use_qk_norm"], false), NormKind::Rms);
    attention.shape.rotary_dim = rotary_dim(c, dims.head_dim, 0.5);
    let defaults = SparseDefaults {
        experts: 128,
        top_k: 8,
        width: 1408,
    };
    let experts = shared_experts(c, &dims, defaults, 1, true);
    let sparse = sparse_layers(c, dims.layers, 1);
    let mlp = some_dense(c, &sparse, 10_944);
    let mut network = Mixed::new(Core::Softmax(attention), mlp, experts, sparse).network(c, &dims);
    next_token_layers(c, &mut network);
    network
}

/// DeepSeek's experts: routed ones beside shared ones of a multiple of their width, a router in fp32 with corrections.
pub fn shared_experts(
    c: &Config,
    dims: &Dims,
    defaults: SparseDefaults,
    shared: u64,
    corrected: bool,
) -> Experts {
    let mut experts = experts(c, dims, EXPERT_WIDTH, defaults);
    let width = shared_count(c, shared) * experts.shape.width;
    experts.shape.router_fp32 = true;
    experts.buffers = if corrected { experts.shape.experts } else { 0 };
    experts.with_shared(width, "mlp.shared_experts")
}

/// Next-token layers by the usual keys.
pub fn next_token_layers(c: &Config, network: &mut Network) {
    let count = c
        .field(
            Field::NumNextnPredictLayers,
            &["num_nextn_predict_layers", "num_mtp_layers"],
        )
        .unwrap_or(0);
    next_token(network, count, None);
}
