//! `megatron_gpt` and `megatron_bert`: a decoder, or BERT, described by the arguments of Megatron-LM's pre-training script, under their own names with
//! underscores (NVIDIA/Megatron-LM megatron/training/arguments.py): LayerNorm, biases, learned positions and dropout unless the
//! arguments say otherwise, dense or with experts, with ordinary or latent attention.

use super::gpt2::learned_positions;
use super::moe::{Core, Mixed};
use crate::model::import::config::Config;
use crate::model::import::decoder::{Dims, Ends, Stack, layer, network, next_token, norm};
use crate::model::import::feed_forward::{Experts, Mlp, Storage};
use crate::model::import::field::Field;
use crate::model::import::latent::LatentPlan;
use crate::model::import::softmax::{Projection, Softmax, per_head_if, plain};
use crate::model::import::weights::{Cut, Weights};
use crate::model::{Attention, Encoder, Latent, Network, NormKind, Role, Split};
use serde_json::Value;

/// Words of GPT-2, the tokenizer of arguments.py where none is named; the engine pads them.
const GPT2_VOCABULARY: u64 = 50_257;

/// Words of BERT's lower-case vocabulary, that of Megatron's BERT where none is stated.
const BERT_VOCABULARY: u64 = 30_522;

/// `megatron_bert`: the same layers with attention in both directions, types of tokens beside the positions, and after the layers a
/// dense layer with its norm before the tied head, a bias of the head, and a pooler with two classes for the next sentence
/// (core/models/bert/bert_model.py, bert_lm_head.py, pooler.py). What its ends compute is not divided.
pub fn bert(c: &Config) -> Network {
    let mut network = build(c, BERT_VOCABULARY);
    let hidden = network.hidden_size;
    let mut input = Weights::new();
    input.tensor(
        "tokentype_embeddings.weight",
        &[2, hidden],
        Role::PositionEmbedding,
        Split::Replicated,
    );
    network.input_tensors.extend(input.into_tensors());
    let mut output = Weights::new();
    let whole = Cut::Whole;
    output.linear("lm_head.dense", (hidden, hidden), true, Role::Mixer, whole);
    output.norm("lm_head.layer_norm", hidden, true);
    output.tensor(
        "output_layer.bias",
        &[network.vocabulary],
        Role::Bias,
        Split::Axis(0),
    );
    if c.flag(&["bert_binary_head"], true) {
        output.linear("pooler.dense", (hidden, hidden), true, Role::Mixer, whole);
        output.linear("binary_head", (2, hidden), true, Role::Mixer, whole);
    }
    network.output_tensors.extend(output.into_tensors());
    network
}

/// Words of BERT's cased vocabulary with the hundred that T5 marks spans with, those of Megatron's T5.
const T5_VOCABULARY: u64 = 28_996 + 100;

/// `megatron_t5`: an encoder and a decoder with attention over the encoder's output, the same positions for both, and a bias of
/// the tied head (core/models/T5/t5_model.py, t5_spec.py).
pub fn t5(c: &Config) -> Network {
    let mut dims = dims(c, T5_VOCABULARY);
    let encoder = dims.layers;
    let decoder = c.whole(&["decoder_num_layers"], 1..=10_000).unwrap_or(encoder);
    let tokens = c.whole(&["decoder_seq_length"], 1..=1_048_576).unwrap_or(128);
    let kind = NormKind::Layer;
    let attention = softmax(c, &dims, (kind, true, false));
    let mlp = mlp(c, &dims, true);
    let dropout = c.dropout(&["hidden_dropout"], 0.1);
    let part = |weights: &mut Weights, cross: bool| {
        let mixer = attention.build(dims.hidden, weights);
        let over = cross.then(|| {
            let width = dims.heads.saturating_mul(dims.head_dim);
            weights.linear(
                "cross_attention.linear_q",
                (width, dims.hidden),
                true,
                Role::Mixer,
                Cut::Column,
            );
            weights.linear(
                "cross_attention.linear_kv",
                (width.saturating_mul(2), dims.hidden),
                true,
                Role::Mixer,
                Cut::Column,
            );
            weights.linear(
                "cross_attention.linear_proj",
                (dims.hidden, width),
                true,
                Role::Mixer,
                Cut::Row,
            );
            weights.norm("cross_layernorm", dims.hidden, true);
            attention.shape.clone()
        });
        let feed_forward = mlp.build(dims.hidden, weights);
        weights.norm("input_layernorm", dims.hidden, true);
        weights.norm("post_attention_layernorm", dims.hidden, true);
        (mixer, feed_forward, over)
    };
    let mut kinds = Vec::new();
    for cross in [false, true] {
        let mut weights = Weights::new();
        let (mixer, feed_forward, over) = part(&mut weights, cross);
        let norms = vec![norm(kind, dims.hidden); if cross { 3 } else { 2 }];
        let mut layer = layer(mixer, feed_forward, norms, weights);
        layer.residual_dropout = dropout;
        layer.cross = over;
        kinds.push(layer);
    }
    let order = (0..encoder).map(|_| 0).chain((0..decoder).map(|_| 1)).collect();
    dims.layers = encoder.saturating_add(decoder);
    let mut ends = Ends::new(&dims, kind);
    ends.dropout = dropout;
    ends.head_bias = true;
    ends.output.norm("encoder.final_layernorm", dims.hidden, true);
    learned_positions(
        &mut ends,
        "position_embeddings",
        dims.positions.unwrap_or(512),
        dims.hidden,
    );
    let mut network = network(c, &dims, Stack { kinds, order }, ends);
    network.encoder = Some(Encoder {
        layers: encoder,
        decoder_tokens: tokens,
    });
    network
}

/// `megatron_gpt`.
pub fn megatron(c: &Config) -> Network {
    build(c, GPT2_VOCABULARY)
}

fn build(c: &Config, words: u64) -> Network {
    let kind = match c.word(&["normalization"], "LayerNorm").as_str() {
        "RMSNorm" => NormKind::Rms,
        _ => NormKind::Layer,
    };
    let bias = c.flag(&["add_bias_linear"], true);
    let rotary = c.word(&["position_embedding_type"], "learned_absolute") == "rope";
    let dims = dims(c, words);
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

fn dims(c: &Config, words: u64) -> Dims {
    let heads = c.require(Field::NumAttentionHeads, &["num_attention_heads"]);
    let mut dims = Dims {
        layers: c.require(Field::NumLayers, &["num_layers", "encoder_num_layers"]),
        hidden: c.require(Field::HiddenSize, &["hidden_size"]),
        heads,
        kv_heads: c
            .field(Field::NumKeyValueHeads, &["num_query_groups"])
            .unwrap_or(heads),
        head_dim: 1,
        vocabulary: c.field(Field::VocabSize, &["vocab_size"]).unwrap_or(words),
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
        (Some(_), Some((_, Value::String(text)))) => pattern(text, dims.layers).unwrap_or_else(|| {
            c.warn(
                "unknown_value",
                "moe_layer_freq",
                "is no list of zeros and ones for every layer, such as ([0]*3+[1]*12); every layer is taken as sparse",
            );
            (0..dims.layers).map(|_| true).collect()
        }),
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

/// A list as Megatron's arguments write it, `([0]*3+[1]*12)`, with one entry per layer.
fn pattern(text: &str, layers: u64) -> Option<Vec<bool>> {
    let plain: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    let mut found = Vec::new();
    for part in plain.trim_matches(['(', ')']).split('+') {
        let (list, times) = match part.rsplit_once("]*") {
            Some(found) => found,
            None => (part.strip_suffix(']')?, "1"),
        };
        let times: usize = times.parse().ok()?;
        let flags: Option<Vec<bool>> = list
            .strip_prefix('[')?
            .split(',')
            .map(|flag| match flag {
                "0" => Some(false),
                "1" => Some(true),
                _ => None,
            })
            .collect();
        let flags = flags?;
        if flags.len().saturating_mul(times).saturating_add(found.len()) as u64 > layers {
            return None;
        }
        (0..times).for_each(|_| found.extend_from_slice(&flags));
    }
    (found.len() as u64 == layers).then_some(found)
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

    #[test]
    fn sparse_layers_are_read_as_arguments_write_them() {
        let read = |text: &str| super::pattern(text, 4);
        assert_eq!(read("([0]*1+[1]*3)"), Some(vec![false, true, true, true]));
        assert_eq!(read("[0,1]*2"), Some(vec![false, true, false, true]));
        assert_eq!(read("[0]*3"), None);
        assert_eq!(read("[2]*4"), None);
    }

    #[test]
    fn bert_and_t5_have_the_parameters_that_their_tests_rest_with() {
        // bert_mcore_tp1_pp2 and t5_mcore_te_tp1_pp1_vp1_resume_torch: h, layers, words, positions, and their own ends.
        let config = json!({"model_type": "megatron_bert", "num_layers": 24, "hidden_size": 1024, "num_attention_heads": 16,
            "max_position_embeddings": 512});
        let bert = network_from_config(&config).expect("a network").network;
        let h = 1024_u64;
        let layer = 12 * h * h + 13 * h;
        let ends = (30_522 + 512 + 2) * h + 2 * h + (h * h + h + 2 * h + 30_522) + (h * h + h) + 2 * h + 2;
        assert_eq!(bert.total_parameters().get(), 24 * layer + ends);
        let config = json!({"model_type": "megatron_t5", "encoder_num_layers": 12, "hidden_size": 768,
            "num_attention_heads": 12, "kv_channels": 64, "ffn_hidden_size": 3072, "max_position_embeddings": 512});
        let t5 = network_from_config(&config).expect("a network").network;
        let h = 768_u64;
        let layer = 12 * h * h + 13 * h;
        let cross = 4 * h * h + 6 * h;
        let ends = (29_096 + 512) * h + 29_096 + 4 * h;
        assert_eq!(t5.total_parameters().get(), 24 * layer + 12 * cross + ends);
    }
}
