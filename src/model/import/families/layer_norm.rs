//! Families with LayerNorm: GPT-NeoX, GPT-J, Phi-2, StarCoder, StableLM, OLMo, Nemotron and Cohere.

use super::gpt2::learned_positions;
use super::llama::everywhere;
use super::llama_like::biased;
use crate::model::import::config::Config;
use crate::model::import::decoder::{
    Defaults, Dims, Ends, Stack, activation, layer, network, norm, rotary_dim, span_at, spans_by_period,
    spans_by_type, window,
};
use crate::model::import::feed_forward::Mlp;
use crate::model::import::field::Field;
use crate::model::import::softmax::{Projection, QkStorage, Softmax, per_head_if};
use crate::model::import::weights::Weights;
use crate::model::{Layer, Network, NormKind, QkNorm, Residual};

/// The norms of a layer: their names, their kind, and what they have.
#[derive(Clone, Copy)]
pub struct Norms<'n> {
    /// Names, in order of use.
    pub names: &'n [&'n str],
    /// What they compute.
    pub kind: NormKind,
    /// Whether they have a weight.
    pub weight: bool,
    /// Whether they have a bias.
    pub bias: bool,
}

impl<'n> Norms<'n> {
    /// LayerNorms with weight and bias.
    pub const fn full(names: &'n [&'n str]) -> Self {
        Self {
            names,
            kind: NormKind::Layer,
            weight: true,
            bias: true,
        }
    }
}

/// A layer of these parts.
pub fn block(dims: &Dims, attention: &Softmax, mlp: &Mlp, norms: Norms, residual: Residual) -> Layer {
    let mut weights = Weights::new();
    let mixer = attention.build(dims.hidden, &mut weights);
    let feed_forward = mlp.build(dims.hidden, &mut weights);
    for name in norms.names.iter().filter(|_| norms.weight) {
        weights.norm(name, dims.hidden, norms.bias);
    }
    let list = vec![norm(norms.kind, dims.hidden); norms.names.len()];
    Layer {
        residual,
        ..layer(mixer, feed_forward, list, weights)
    }
}

/// Norms before the two parts of a layer, as most families name them.
pub const TWO: &[&str] = &["input_layernorm", "post_attention_layernorm"];

fn parallel_if(parallel: bool) -> Residual {
    if parallel {
        Residual::Parallel
    } else {
        Residual::Sequential
    }
}

/// `gpt_neox`: attention and feed-forward side by side, a quarter of each head rotated.
pub fn gpt_neox(c: &Config) -> Network {
    let mut dims = Dims::without_heads(c, Defaults::new(50_432));
    dims.heads = c.require(Field::NumAttentionHeads, &["num_attention_heads"]);
    dims.kv_heads = dims.heads;
    dims.head_dim = dims.head_width_from_hidden(c);
    let bias = c.flag_field(Field::AttentionBias, &["attention_bias"], true);
    let mut attention = Softmax {
        prefix: "attention",
        projection: Projection::Fused("query_key_value"),
        out: "dense",
        bias,
        out_bias: bias,
        ..dims.softmax(c)
    };
    attention.shape.rotary_dim = rotary_dim(c, dims.head_dim, 0.25);
    let width = dims.ffn(c, 24_576);
    let mlp = Mlp::plain(
        width,
        activation(c, "gelu"),
        "dense_h_to_4h",
        "dense_4h_to_h",
        true,
    );
    let residual = parallel_if(c.flag(&["use_parallel_residual"], true));
    let mut block = block(&dims, &attention, &mlp, Norms::full(TWO), residual);
    block.residual_dropout = c.dropout(&["hidden_dropout"], 0.0);
    let final_norm = Some(("gpt_neox.final_layer_norm", NormKind::Layer));
    let mut ends = Ends::named(&dims, "gpt_neox.embed_in", final_norm);
    ends.head = "embed_out";
    ends.dropout = block.residual_dropout;
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

/// `gptj`: one norm for both parts, a bias on the head.
pub fn gptj(c: &Config) -> Network {
    let mut dims = Dims::without_heads(c, Defaults::new(50_400));
    dims.heads = c.require(Field::NumAttentionHeads, &["n_head", "num_attention_heads"]);
    dims.kv_heads = dims.heads;
    dims.head_dim = dims.head_width_from_hidden(c);
    let mut attention = Softmax {
        prefix: "attn",
        out: "out_proj",
        ..dims.softmax(c)
    };
    attention.shape.dropout = c.dropout(&["attn_pdrop"], 0.0);
    attention.shape.rotary_dim = c.whole(&["rotary_dim"], 0..=65_536).unwrap_or(64);
    let mlp = Mlp::plain(
        dims.ffn_or_four(c),
        activation(c, "gelu_new"),
        "fc_in",
        "fc_out",
        true,
    );
    let norms = Norms::full(&["ln_1"]);
    let mut block = block(&dims, &attention, &mlp, norms, Residual::Parallel);
    block.residual_dropout = c.dropout(&["resid_pdrop"], 0.0);
    let final_norm = Some(("transformer.ln_f", NormKind::Layer));
    let mut ends = Ends::named(&dims, "transformer.wte", final_norm);
    ends.head_bias = true;
    ends.dropout = c.dropout(&["embd_pdrop"], 0.0);
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

/// `phi`: one norm for both parts, biases everywhere.
pub fn phi(c: &Config) -> Network {
    let dims = Dims::read(c, Defaults::new(51_200));
    let mut attention = Softmax {
        out: "dense",
        bias: true,
        out_bias: true,
        qk_names: ("q_layernorm", "k_layernorm"),
        qk_bias: true,
        ..dims.softmax(c)
    };
    attention.shape.rotary_dim = rotary_dim(c, dims.head_dim, 0.5);
    attention.shape.qk_norm = per_head_if(c.flag(&["qk_layernorm"], false), NormKind::Layer);
    let mlp = Mlp::plain(dims.ffn(c, 8192), activation(c, "gelu_new"), "fc1", "fc2", true);
    let norms = Norms::full(&["input_layernorm"]);
    let mut block = block(&dims, &attention, &mlp, norms, Residual::Parallel);
    block.residual_dropout = c.dropout(&["resid_pdrop"], 0.0);
    let final_norm = Some(("model.final_layernorm", NormKind::Layer));
    let mut ends = Ends::named(&dims, "model.embed_tokens", final_norm);
    ends.head_bias = true;
    ends.dropout = c.dropout(&["embd_pdrop"], 0.0);
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

/// `starcoder2`: grouped queries, biases by one flag, a window where one is stated.
pub fn starcoder2(c: &Config) -> Network {
    let defaults = Defaults {
        kv_heads: Some(2),
        tied: true,
        ..Defaults::new(49_152)
    };
    let dims = Dims::read(c, defaults);
    let attention = biased(c, &dims, &["use_bias"], true);
    let width = dims.ffn(c, 12_288);
    let act = activation(c, "gelu_pytorch_tanh");
    let mlp = Mlp::plain(width, act, "c_fc", "c_proj", attention.bias);
    let spans = everywhere(&dims, window(c, None, &dims));
    let attention = attention.with_span(span_at(&spans, 0));
    let mut block = block(&dims, &attention, &mlp, Norms::full(TWO), Residual::Sequential);
    block.residual_dropout = c.dropout(&["residual_dropout"], 0.0);
    let mut ends = Ends::new(&dims, NormKind::Layer);
    ends.dropout = c.dropout(&["embedding_dropout"], 0.0);
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

/// `gpt_bigcode`: one key and value head, learned positions.
pub fn gpt_bigcode(c: &Config) -> Network {
    let mut dims = Dims::without_heads(
        c,
        Defaults {
            tied: true,
            ..Defaults::new(50_257)
        },
    );
    dims.heads = c.require(Field::NumAttentionHeads, &["n_head", "num_attention_heads"]);
    dims.head_dim = dims.head_width_from_hidden(c);
    c.ignore(&["num_key_value_heads"]);
    dims.kv_heads = if c.flag(&["multi_query"], true) {
        1
    } else {
        dims.heads
    };
    let mut attention = Softmax {
        prefix: "attn",
        projection: Projection::Fused("c_attn"),
        out: "c_proj",
        bias: true,
        out_bias: true,
        ..dims.softmax(c)
    };
    attention.shape.rotary = false;
    attention.shape.rotary_dim = 0;
    attention.shape.dropout = c.dropout(&["attn_pdrop"], 0.1);
    let act = activation(c, "gelu_pytorch_tanh");
    let mlp = Mlp::plain(dims.ffn_or_four(c), act, "c_fc", "c_proj", true);
    let norms = Norms::full(&["ln_1", "ln_2"]);
    let mut block = block(&dims, &attention, &mlp, norms, Residual::Sequential);
    block.residual_dropout = c.dropout(&["resid_pdrop"], 0.1);
    let final_norm = Some(("transformer.ln_f", NormKind::Layer));
    let mut ends = Ends::named(&dims, "transformer.wte", final_norm);
    learned_positions(
        &mut ends,
        "transformer.wpe",
        dims.positions.unwrap_or(1024),
        dims.hidden,
    );
    ends.dropout = c.dropout(&["embd_pdrop"], 0.1);
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

/// `stablelm`: a gated feed-forward, a quarter of each head rotated.
pub fn stablelm(c: &Config) -> Network {
    let defaults = Defaults {
        kv_heads: Some(32),
        ..Defaults::new(50_304)
    };
    let dims = Dims::read(c, defaults);
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, &["use_qkv_bias"], false);
    attention.shape.rotary_dim = rotary_dim(c, dims.head_dim, 0.25);
    if c.flag(&["qk_layernorm"], false) {
        attention.shape.qk_norm = QkNorm::AllHeads(NormKind::Layer);
        attention.qk_storage = QkStorage::PerHead;
        attention.qk_names = ("q_layernorm", "k_layernorm");
    }
    let mlp = Mlp::gated(dims.ffn(c, 6912), activation(c, "silu"));
    let parallel = c.flag(&["use_parallel_residual"], false);
    let names = if parallel {
        TWO.get(..1).unwrap_or(TWO)
    } else {
        TWO
    };
    let mut block = block(&dims, &attention, &mlp, Norms::full(names), parallel_if(parallel));
    block.residual_dropout = c.dropout(&["hidden_dropout"], 0.0);
    let ends = Ends::new(&dims, NormKind::Layer);
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

/// `olmo`: norms without weights, the final one as well.
pub fn olmo(c: &Config) -> Network {
    let dims = Dims::read(c, Defaults::new(50_304));
    let attention = biased(c, &dims, &["attention_bias"], false);
    let mlp = Mlp::gated(dims.ffn(c, 11_008), activation(c, "silu"));
    let norms = Norms {
        weight: false,
        ..Norms::full(TWO)
    };
    let block = block(&dims, &attention, &mlp, norms, Residual::Sequential);
    let mut ends = Ends::named(&dims, "model.embed_tokens", None);
    ends.final_norm = Some(norm(NormKind::Layer, dims.hidden));
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

/// Two matrices around a squared ReLU; their defaults are the family's.
pub fn squared_relu(c: &Config, dims: &Dims, width: u64, bias: bool) -> Mlp {
    let bias = c.flag(&["mlp_bias"], bias);
    let width = dims.ffn(c, width);
    Mlp::plain(width, activation(c, "relu2"), "up_proj", "down_proj", bias)
}

/// `nemotron`: a squared ReLU without gate, half of each head rotated.
pub fn nemotron(c: &Config) -> Network {
    let dims = Dims::read(c, Defaults::new(256_000));
    let mut attention = biased(c, &dims, &["attention_bias"], false);
    attention.shape.rotary_dim = rotary_dim(c, dims.head_dim, 0.5);
    let mlp = squared_relu(c, &dims, 24_576, false);
    let block = block(&dims, &attention, &mlp, Norms::full(TWO), Residual::Sequential);
    let ends = Ends::new(&dims, NormKind::Layer);
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

/// Cohere's norm centres without bias; it is computed in fp32 and cast last, as Gemma's.
const COHERE: NormKind = NormKind::RmsPlusOne;

fn cohere_parts(c: &Config) -> (Dims, Softmax, Mlp) {
    let defaults = Defaults {
        tied: true,
        ..Defaults::new(256_000)
    };
    let dims = Dims::read(c, defaults);
    let mut attention = biased(c, &dims, &["attention_bias"], false);
    if c.flag(&["use_qk_norm"], false) {
        attention.shape.qk_norm = QkNorm::AllHeads(COHERE);
        attention.qk_storage = QkStorage::Matrix;
    }
    let mlp = Mlp::gated(dims.ffn(c, 22_528), activation(c, "silu"));
    (dims, attention, mlp)
}

fn cohere_block(dims: &Dims, attention: &Softmax, mlp: &Mlp) -> Layer {
    let norms = Norms {
        names: &["input_layernorm"],
        kind: COHERE,
        weight: true,
        bias: false,
    };
    block(dims, attention, mlp, norms, Residual::Parallel)
}

/// `cohere`: one norm for both parts.
pub fn cohere(c: &Config) -> Network {
    let (dims, attention, mlp) = cohere_parts(c);
    let block = cohere_block(&dims, &attention, &mlp);
    network(
        c,
        &dims,
        Stack::uniform(dims.layers, block),
        Ends::new(&dims, COHERE),
    )
}

/// `cohere2`: windows in three of four layers, the fourth without rotation.
pub fn cohere2(c: &Config) -> Network {
    let (dims, mut attention, mlp) = cohere_parts(c);
    attention.shape.qk_norm = QkNorm::None;
    let width = window(c, Some(4096), &dims);
    let period = c.whole(&["sliding_window_pattern"], 1..=10_000).unwrap_or(4);
    let spans =
        spans_by_type(c, dims.layers, width).unwrap_or_else(|| spans_by_period(dims.layers, width, period));
    let stack = Stack::by_key(
        dims.layers,
        |depth| span_at(&spans, depth),
        |span| {
            let mut attention = attention.clone().with_span(*span);
            attention.shape.rotary = *span != crate::model::Span::Full;
            cohere_block(&dims, &attention, &mlp)
        },
    );
    network(c, &dims, stack, Ends::new(&dims, COHERE))
}
