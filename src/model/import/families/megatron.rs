//! `megatron_gpt`: a decoder described by the arguments of Megatron-LM's pre-training script, under their own names with
//! underscores (NVIDIA/Megatron-LM megatron/training/arguments.py): LayerNorm, biases, learned positions and dropout unless the
//! arguments say otherwise, dense or with experts, with ordinary or latent attention.

use super::gpt2::learned_positions;
use super::moe::{Core, Mixed};
use crate::model::import::config::Config;
use crate::model::import::decoder::{Dims, Ends, network, next_token};
use crate::model::import::feed_forward::{Experts, Mlp, Storage};
use crate::model::import::field::Field;
use crate::model::import::latent::LatentPlan;
use crate::model::import::softmax::{Projection, Softmax, per_head_if, plain};
use crate::model::{Attention, Latent, Network, NormKind};
use serde_json::Value;

/// Words of GPT-2, the tokenizer of arguments.py where none is named; the engine pads them.
const GPT2_VOCABULARY: u64 = 50_257;

/// `megatron_gpt`.
pub fn megatron(c: &Config) -> Network {
    let kind = match c.word(&["normalization"], "LayerNorm").as_str() {
        "RMSNorm" => NormKind::Rms,
        _ => NormKind::Layer,
    };
    let bias = c.flag(&["add_bias_linear"], true);
    let rotary = c.word(&["position_embedding_type"], "learned_absolute") == "rope";
    let dims = dims(c);
    let core = if c.flag(&["multi_latent_attention"], false) {
        Core::Latent(latent(c, &dims))
    } else {
        Core::Softmax(softmax(c, &dims, (kind, bias, rotary)))
    };
    let mlp = mlp(c, &dims, bias);
    let (experts, sparse) = experts(c, &dims, &mlp);
    let mut plan = Mixed::new(core, mlp, experts, sparse);
    plan.norm = kind;
    let dropout = c.dropout(&["hidden_dropout"], 0.1);
    let mut stack = plan.stack(&dims);
    for layer in &mut stack.kinds {
        layer.residual_dropout = dropout;
    }
    let mut ends = Ends::new(&dims, kind);
    ends.dropout = dropout;
    if !rotary {
        let rows = dims.positions.unwrap_or(1024);
        learned_positions(&mut ends, "position_embeddings", rows, dims.hidden);
    }
    let mut network = network(c, &dims, stack, ends);
    let heads = c.field(Field::NumNextnPredictLayers, &["mtp_num_layers"]);
    next_token(&mut network, heads.unwrap_or(0), None);
    network
}

fn dims(c: &Config) -> Dims {
    let heads = c.require(Field::NumAttentionHeads, &["num_attention_heads"]);
    let mut dims = Dims {
        layers: c.require(Field::NumLayers, &["num_layers"]),
        hidden: c.require(Field::HiddenSize, &["hidden_size"]),
        heads,
        kv_heads: c
            .field(Field::NumKeyValueHeads, &["num_query_groups"])
            .unwrap_or(heads),
        head_dim: 1,
        vocabulary: c
            .field(Field::VocabSize, &["vocab_size"])
            .unwrap_or(GPT2_VOCABULARY),
        positions: c.field(Field::MaxSeqLen, &["max_position_embeddings"]),
        tied: !c.flag(&["untie_embeddings_and_output_weights"], false),
    };
    dims.head_dim = c
        .field(Field::HeadDim, &["kv_channels"])
        .unwrap_or_else(|| dims.head_width_from_hidden(c));
    dims.check_groups(c);
    dims
}

fn softmax(c: &Config, dims: &Dims, (kind, bias, rotary): (NormKind, bool, bool)) -> Softmax {
    let shape = Attention {
        rotary,
        rotary_dim: if rotary { dims.head_dim } else { 0 },
        dropout: c.dropout(&["attention_dropout"], 0.1),
        qk_norm: per_head_if(c.flag(&["qk_layernorm"], false), kind),
        ..plain(dims.heads, dims.kv_heads, dims.head_dim)
    };
    Softmax {
        projection: Projection::Fused("linear_qkv"),
        out: "linear_proj",
        bias,
        out_bias: bias,
        qk_bias: kind == NormKind::Layer,
        ..Softmax::new(shape)
    }
}

fn latent(c: &Config, dims: &Dims) -> LatentPlan {
    let width = |field, key, usual| c.field(field, &[key]).unwrap_or(usual);
    // Without norms of their own the compressed tensors differ by their vectors alone.
    c.ignore(&["qk_layernorm", "kv_channels"]);
    LatentPlan {
        shape: Latent {
            heads: dims.heads,
            query_rank: c
                .field(Field::QLoraRank, &["q_lora_rank"])
                .filter(|rank| *rank > 0),
            kv_rank: width(Field::KvLoraRank, "kv_lora_rank", 512),
            nope_dim: width(Field::QkNopeHeadDim, "qk_head_dim", 128),
            rope_dim: width(Field::QkRopeHeadDim, "qk_pos_emb_head_dim", 64),
            value_dim: width(Field::VHeadDim, "v_head_dim", 128),
            indexer: None,
            dropout: c.dropout(&["attention_dropout"], 0.1),
        },
        prefix: "self_attn",
        bias: false,
    }
}

fn mlp(c: &Config, dims: &Dims, bias: bool) -> Mlp {
    let gated = c.flag(&["swiglu"], false);
    let squared = c.flag(&["squared_relu"], false);
    // Two thirds of four times the hidden size, a multiple of 64 (arguments.py).
    let usual = if gated {
        dims.hidden * 8 / 3 / 64 * 64
    } else {
        4 * dims.hidden
    };
    let width = c
        .field(Field::IntermediateSize, &["ffn_hidden_size"])
        .unwrap_or(usual.max(1));
    let activation = match (gated, squared) {
        (true, _) => "silu",
        (_, true) => "relu2",
        _ => "gelu",
    };
    let plan = if gated {
        Mlp::gated(width, activation).fused("linear_fc1")
    } else {
        Mlp::plain(width, activation, "linear_fc1", "linear_fc2", bias)
    };
    Mlp {
        bias,
        down: "linear_fc2",
        ..plan
    }
}

fn experts(c: &Config, dims: &Dims, mlp: &Mlp) -> (Experts, Vec<bool>) {
    let count = c.field(Field::NumExperts, &["num_experts"]);
    let width = c
        .field(Field::ExpertIntermediateSize, &["moe_ffn_hidden_size"])
        .unwrap_or(mlp.width);
    let top_k = c.field(Field::TopK, &["moe_router_topk"]).unwrap_or(2);
    let shared = c
        .field(
            Field::SharedExpertIntermediateSize,
            &["moe_shared_expert_intermediate_size"],
        )
        .unwrap_or(0);
    let mut experts = Experts::new(
        count.unwrap_or(1),
        top_k,
        width,
        dims.hidden,
        mlp.activation.clone(),
    );
    experts.shape.gated = mlp.gate.is_some();
    experts.shape.router_fp32 = c.word(&["moe_router_dtype"], "") == "fp32";
    experts.storage = Storage::Stacked;
    if shared > 0 {
        experts.shared = Some(Mlp {
            prefix: "mlp.shared_experts",
            width: shared,
            bias: false,
            ..mlp.clone()
        });
    }
    let sparse = match (count, c.get(&["moe_layer_freq"])) {
        (None, _) => (0..dims.layers).map(|_| false).collect(),
        (_, Some((_, Value::Array(_)))) => c
            .wholes_per_layer("moe_layer_freq", dims.layers, 0..=1)
            .unwrap_or_default()
            .into_iter()
            .map(|flag| flag > 0)
            .collect(),
        _ => {
            let every = c.field(Field::MoeLayerFreq, &["moe_layer_freq"]).unwrap_or(1);
            (0..dims.layers)
                .map(|layer| layer.is_multiple_of(every))
                .collect()
        }
    };
    (experts, sparse)
}

#[cfg(test)]
mod tests {
    use crate::model::import::network_from_config;
    use serde_json::{Value, json};

    #[track_caller]
    fn parameters(more: &Value) -> u64 {
        let mut config = json!({"model_type": "megatron_gpt", "num_layers": 12, "hidden_size": 512,
            "num_attention_heads": 8, "max_position_embeddings": 1024, "vocab_size": 50_304});
        let fields = config.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        let import = network_from_config(&config).expect("a network");
        import.network.total_parameters().get()
    }

    #[test]
    fn parameters_are_those_of_megatrons_functional_tests() {
        // The resting memory of gpt3_mcore_te_tp1_pp1 on eight ranks gives this count (with the padded vocabulary).
        assert_eq!(parameters(&json!({})), 64_109_568);
        let layer = 512 * 1536 + 512 * 512 + 2 * 512 * 2048 + 4 * 512;
        let ends = 50_304 * 512 + 1024 * 512 + 2 * 512;
        assert_eq!(parameters(&json!({"add_bias_linear": false})), 12 * layer + ends);
        // SwiGLU has 1,344 columns, three matrices, and biases on all of them.
        let gated = 512 * 1536 + 1536 + 512 * 512 + 512 + 3 * 512 * 1344 + 2 * 1344 + 512 + 4 * 512;
        assert_eq!(parameters(&json!({"swiglu": true})), 12 * gated + ends);
        let experts = 512 * 1536 + 512 * 512 + 4 * 512 + 8 * 512 + 8 * 2 * 512 * 1024;
        let sparse = json!({"add_bias_linear": false, "num_experts": 8, "moe_ffn_hidden_size": 1024});
        assert_eq!(parameters(&sparse), 12 * experts + ends);
    }
}
