//! Families with rotary attention whose feed-forward has two matrices and no gate: Arcee, Jais 2, Persimmon, Apertus.
//!
//! Read in transformers 5.23: models/{arcee,jais2,persimmon,apertus}/modeling_*.py and configuration_*.py.

use super::layer_norm::{Norms, TWO, block, squared_relu};
use super::llama_like::biased;
use crate::model::import::config::Config;
use crate::model::import::decoder::{Defaults, Dims, Ends, Stack, activation, network, rotary_dim};
use crate::model::import::feed_forward::Mlp;
use crate::model::import::field::Field;
use crate::model::import::softmax::{Projection, Softmax, per_head_if};
use crate::model::{Network, NormKind, Residual, Role, Split, Tensor};
use crate::units::Count;

/// Norms of Llama's kind with these names.
const fn rms(names: &'static [&'static str]) -> Norms<'static> {
    Norms {
        kind: NormKind::Rms,
        bias: false,
        ..Norms::full(names)
    }
}

fn stacked(c: &Config, dims: &Dims, attention: &Softmax, mlp: &Mlp, norms: Norms) -> Network {
    let block = block(dims, attention, mlp, norms, Residual::Sequential);
    let ends = Ends::new(dims, norms.kind);
    network(c, dims, Stack::uniform(dims.layers, block), ends)
}

/// `arcee`: Llama's layer around a squared ReLU.
pub fn arcee(c: &Config) -> Network {
    let dims = Dims::read(c, Defaults::new(32_000));
    let attention = biased(c, &dims, &["attention_bias"], false);
    let mlp = squared_relu(c, &dims, 18_432, false);
    stacked(c, &dims, &attention, &mlp, rms(TWO))
}

/// `jais2`: LayerNorms, a squared ReLU, biases unless they are switched off.
pub fn jais2(c: &Config) -> Network {
    let dims = Dims::read(c, Defaults::new(150_272));
    let attention = biased(c, &dims, &["attention_bias"], true);
    let mlp = squared_relu(c, &dims, 26_624, true);
    stacked(c, &dims, &attention, &mlp, Norms::full(TWO))
}

/// `persimmon`: one projection for queries, keys and values, norms on queries and keys, half of each head rotated.
pub fn persimmon(c: &Config) -> Network {
    let mut dims = Dims::without_heads(c, Defaults::new(262_144));
    dims.heads = c.require(Field::NumAttentionHeads, &["num_attention_heads"]);
    c.ignore(&["num_key_value_heads"]);
    dims.kv_heads = dims.heads;
    dims.head_dim = dims.head_width_from_hidden(c);
    let mut attention = Softmax {
        projection: Projection::Fused("query_key_value"),
        out: "dense",
        bias: true,
        out_bias: true,
        qk_names: ("q_layernorm", "k_layernorm"),
        qk_bias: true,
        ..dims.softmax(c)
    };
    attention.shape.rotary_dim = rotary_dim(c, dims.head_dim, 0.5);
    attention.shape.qk_norm = per_head_if(c.flag(&["qk_layernorm"], true), NormKind::Layer);
    let mlp = Mlp::plain(
        dims.ffn(c, 16_384),
        activation(c, "relu2"),
        "dense_h_to_4h",
        "dense_4h_to_h",
        true,
    );
    let mut block = block(&dims, &attention, &mlp, Norms::full(TWO), Residual::Sequential);
    block.residual_dropout = c.dropout(&["hidden_dropout"], 0.0);
    let final_norm = Some(("model.final_layernorm", NormKind::Layer));
    let ends = Ends::named(&dims, "model.embed_tokens", final_norm);
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

/// `apertus`: norms on queries and keys, and xIELU with two trained numbers per layer.
pub fn apertus(c: &Config) -> Network {
    let dims = Dims::read(c, Defaults::new(131_072));
    let mut attention = biased(c, &dims, &["attention_bias"], false);
    attention.shape.qk_norm = per_head_if(true, NormKind::Rms);
    let act = activation(c, "xielu");
    let trained = act == "xielu";
    let mlp = Mlp::plain(dims.ffn(c, 14_336), act, "up_proj", "down_proj", false);
    let norms = rms(&["attention_layernorm", "feedforward_layernorm"]);
    let mut block = block(&dims, &attention, &mlp, norms, Residual::Sequential);
    if trained {
        for name in ["mlp.act_fn.alpha_p", "mlp.act_fn.alpha_n"] {
            let tensor = Tensor::new(name, &[1], Role::FeedForward, Split::Replicated);
            block.tensors.push(tensor);
        }
        // Its two constants, which the class registers as buffers.
        block.buffers = Count::new(2);
    }
    let ends = Ends::new(&dims, NormKind::Rms);
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}
