//! BLOOM, MPT, Falcon and OPT: older decoders with their own places for norms, biases and positions.

use super::gpt2::learned_positions;
use super::layer_norm::{Norms, block};
use crate::model::import::config::Config;
use crate::model::import::decoder::{Defaults, Dims, Ends, Stack, activation, network, norm, rotary_dim};
use crate::model::import::feed_forward::Mlp;
use crate::model::import::field::Field;
use crate::model::import::softmax::{Projection, Softmax};
use crate::model::import::weights::{Cut, Weights};
use crate::model::{Network, NormKind, Residual, Role, Split};

const TIED: bool = true;

fn dims(c: &Config, vocabulary: u64) -> Dims {
    let defaults = Defaults {
        tied: TIED,
        ..Defaults::new(vocabulary)
    };
    let mut dims = Dims::without_heads(c, defaults);
    dims.heads = c.require(
        Field::NumAttentionHeads,
        &["num_attention_heads", "n_head", "n_heads"],
    );
    dims.kv_heads = dims.heads;
    dims.head_dim = dims.head_width_from_hidden(c);
    dims
}

fn without_rotation(mut attention: Softmax) -> Softmax {
    attention.shape.rotary = false;
    attention.shape.rotary_dim = 0;
    attention
}

/// `bloom`: linear biases instead of positions, a norm after the embedding.
pub fn bloom(c: &Config) -> Network {
    let dims = dims(c, 250_880);
    let attention = without_rotation(Softmax {
        prefix: "self_attention",
        projection: Projection::Fused("query_key_value"),
        out: "dense",
        bias: true,
        out_bias: true,
        ..dims.softmax(c)
    });
    c.ignore(&[
        "apply_residual_connection_post_layernorm",
        "n_inner",
        "intermediate_size",
    ]);
    let mlp = Mlp::plain(
        4 * dims.hidden,
        "bloom_gelu",
        "dense_h_to_4h",
        "dense_4h_to_h",
        true,
    );
    let norms = Norms::full(&["input_layernorm", "post_attention_layernorm"]);
    let mut block = block(&dims, &attention, &mlp, norms, Residual::Sequential);
    block.residual_dropout = c.dropout(&["hidden_dropout"], 0.0);
    let final_norm = Some(("transformer.ln_f", NormKind::Layer));
    let mut ends = Ends::named(&dims, "transformer.word_embeddings", final_norm);
    ends.input
        .norm("transformer.word_embeddings_layernorm", dims.hidden, true);
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

/// `mpt`: no biases anywhere, linear biases instead of positions.
pub fn mpt(c: &Config) -> Network {
    let dims = dims(c, 50_368);
    let section = c.section("attn_config");
    let dropout = section.dropout(&["attn_pdrop"], 0.0);
    section.ignore(&[
        "alibi",
        "alibi_bias_max",
        "dtype",
        "attn_impl",
        "attn_type",
        "prefix_lm",
        "softmax_scale",
    ]);
    section.ignore(&[
        "qk_ln",
        "attn_uses_sequence_id",
        "rope",
        "rope_theta",
        "kv_n_heads",
    ]);
    c.ignore(&[
        "no_bias",
        "norm_type",
        "learned_pos_emb",
        "embedding_fraction",
        "verbose",
    ]);
    let mut attention = without_rotation(Softmax {
        prefix: "attn",
        projection: Projection::Fused("Wqkv"),
        out: "out_proj",
        ..dims.softmax(c)
    });
    attention.shape.dropout = dropout;
    let ratio = c.whole(&["expansion_ratio"], 1..=1024).unwrap_or(4);
    let mut mlp = Mlp::plain(ratio * dims.hidden, "gelu", "up_proj", "down_proj", false);
    mlp.prefix = "ffn";
    let norms = Norms {
        bias: false,
        ..Norms::full(&["norm_1", "norm_2"])
    };
    let mut block = block(&dims, &attention, &mlp, norms, Residual::Sequential);
    block.residual_dropout = c.dropout(&["resid_pdrop"], 0.0);
    let mut ends = Ends::named(&dims, "transformer.wte", None);
    ends.output.norm("transformer.norm_f", dims.hidden, false);
    ends.final_norm = Some(norm(NormKind::Layer, dims.hidden));
    ends.dropout = c.dropout(&["emb_pdrop"], 0.0);
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

/// `falcon`: the 7B has one key and value head and one norm, the larger ones groups and two norms.
pub fn falcon(c: &Config) -> Network {
    let mut dims = dims(c, 65_024);
    let new = c.flag(&["new_decoder_architecture"], false);
    let multi_query = c.flag(&["multi_query"], true);
    dims.kv_heads = match (new, multi_query) {
        (true, _) => c
            .field(Field::NumKeyValueHeads, &["num_kv_heads", "n_head_kv"])
            .unwrap_or(dims.heads),
        (false, true) => 1,
        (false, false) => dims.heads,
    };
    c.ignore(&["num_kv_heads", "n_head_kv", "num_key_value_heads"]);
    dims.check_groups(c);
    let bias = c.flag_field(Field::AttentionBias, &["bias"], false);
    let mut attention = Softmax {
        prefix: "self_attention",
        projection: Projection::Fused("query_key_value"),
        out: "dense",
        bias,
        out_bias: bias,
        ..dims.softmax(c)
    };
    attention.shape.rotary_dim = rotary_dim(c, dims.head_dim, 1.0);
    if c.flag(&["alibi"], false) {
        attention = without_rotation(attention);
    }
    let width = c
        .field(Field::IntermediateSize, &["ffn_hidden_size"])
        .unwrap_or(4 * dims.hidden);
    let act = c.word(&["activation", "hidden_act"], "gelu");
    let mlp = Mlp::plain(width, act, "dense_h_to_4h", "dense_4h_to_h", bias);
    let parallel = c.flag(&["parallel_attn"], true);
    let count = c.whole(&["num_ln_in_parallel_attn"], 1..=2);
    let two = count.unwrap_or(if new { 2 } else { 1 }) == 2;
    let (names, residual): (&[&str], _) = match (parallel, two) {
        (false, _) => (
            &["input_layernorm", "post_attention_layernorm"],
            Residual::Sequential,
        ),
        (true, true) => (&["ln_attn", "ln_mlp"], Residual::Parallel),
        (true, false) => (&["input_layernorm"], Residual::Parallel),
    };
    let mut block = block(&dims, &attention, &mlp, Norms::full(names), residual);
    block.residual_dropout = c.dropout(&["hidden_dropout"], 0.0);
    let final_norm = Some(("transformer.ln_f", NormKind::Layer));
    let ends = Ends::named(&dims, "transformer.word_embeddings", final_norm);
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

/// `opt`: learned positions (two rows more than the context); the 350M has a narrower embedding and norms after the parts.
pub fn opt(c: &Config) -> Network {
    let dims = dims(c, 50_272);
    let hidden = dims.hidden;
    let bias = c.flag_field(Field::AttentionBias, &["enable_bias"], true);
    let attention = without_rotation(Softmax {
        out: "out_proj",
        bias,
        out_bias: bias,
        ..dims.softmax(c)
    });
    let width = c
        .field(Field::IntermediateSize, &["ffn_dim", "intermediate_size"])
        .unwrap_or(4 * hidden);
    let mut mlp = Mlp::plain(width, activation(c, "relu"), "fc1", "fc2", bias);
    mlp.prefix = "";
    let weight = c.flag(&["layer_norm_elementwise_affine"], true);
    let norms = Norms {
        weight,
        ..Norms::full(&["self_attn_layer_norm", "final_layer_norm"])
    };
    let mut block = block(&dims, &attention, &mlp, norms, Residual::Sequential);
    block.residual_dropout = c.dropout(&["dropout"], 0.1);
    c.ignore(&["layerdrop"]);
    let narrow = c.whole(&["word_embed_proj_dim"], 1..=1_048_576).unwrap_or(hidden);
    let mut ends = Ends::named(
        &Dims {
            hidden: narrow,
            ..dims
        },
        "model.decoder.embed_tokens",
        None,
    );
    let rows = dims.positions.unwrap_or(2048) + 2;
    learned_positions(&mut ends, "model.decoder.embed_positions", rows, hidden);
    let whole = |weights: &mut Weights, name: &str, shape| {
        weights.linear(name, shape, false, Role::Mixer, Cut::Whole);
    };
    if narrow != hidden {
        whole(&mut ends.output, "model.decoder.project_out", (narrow, hidden));
        whole(&mut ends.input, "model.decoder.project_in", (hidden, narrow));
    }
    let before = c.flag(&["do_layer_norm_before"], true);
    if before && !c.flag(&["_remove_final_layer_norm"], false) {
        ends.final_norm = Some(norm(NormKind::Layer, hidden));
        if weight {
            ends.output.norm("model.decoder.final_layer_norm", hidden, true);
        }
    }
    // The head works on the narrow width.
    if !dims.tied {
        ends.output.tensor(
            "lm_head.weight",
            &[dims.vocabulary, narrow],
            Role::Head,
            Split::Axis(0),
        );
    }
    let mut network = network(
        c,
        &Dims { tied: true, ..dims },
        Stack::uniform(dims.layers, block),
        ends,
    );
    network.head.tied = dims.tied;
    network
}
