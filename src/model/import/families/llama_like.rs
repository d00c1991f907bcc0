//! Families with RMSNorm and a gated feed-forward that differ from Llama in names, fusions, biases or places of norms.

use super::llama::{block, decoder, everywhere};
use super::moe::next_token_layers;
use super::qwen;
use crate::model::import::config::Config;
use crate::model::import::decoder::{
    Defaults, Dims, Ends, Stack, activation, layer, network, norm, rotary_dim, span_at, spans_by_period,
    spans_by_type, window,
};
use crate::model::import::feed_forward::Mlp;
use crate::model::import::field::Field;
use crate::model::import::softmax::{Projection, Softmax, per_head_if};
use crate::model::import::weights::Weights;
use crate::model::{Layer, Network, NormKind, QkNorm};

/// Biases of attention by one flag, on the output as well.
pub fn biased<'a>(c: &Config<'a>, dims: &Dims, keys: &[&'a str], default: bool) -> Softmax {
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, keys, default);
    attention.out_bias = attention.bias;
    attention
}

const BIAS: &[&str] = &["attention_bias"];

/// `granite`: Llama's layer with scales.
pub fn granite(c: &Config) -> Network {
    let dims = Dims::read(c, Defaults::new(32_000));
    let mut mlp = Mlp::gated(dims.ffn(c, 11_008), activation(c, "silu"));
    mlp.bias = c.flag(&["mlp_bias"], false);
    decoder(c, &dims, &biased(c, &dims, BIAS, false), &mlp, &[])
}

/// `seed_oss`: biases on queries, keys and values, dropout by default.
pub fn seed_oss(c: &Config) -> Network {
    let defaults = Defaults {
        kv_heads: Some(8),
        head_dim: Some(128),
        ..Defaults::new(155_136)
    };
    let dims = Dims::read(c, defaults);
    let mut attention = dims.softmax(c);
    attention.shape.dropout = c.dropout(&["attention_dropout"], 0.1);
    attention.bias = c.flag_field(Field::AttentionBias, BIAS, true);
    attention.out_bias = c.flag(&["attention_out_bias"], false);
    let mut mlp = Mlp::gated(dims.ffn(c, 27_648), activation(c, "silu"));
    mlp.bias = c.flag(&["mlp_bias"], false);
    let mut block = block(&dims, &attention, &mlp);
    block.residual_dropout = c.dropout(&["residual_dropout"], 0.1);
    network(
        c,
        &dims,
        Stack::uniform(dims.layers, block),
        Ends::new(&dims, NormKind::Rms),
    )
}

/// `smollm3`: every fourth layer without rotation.
pub fn smollm3(c: &Config) -> Network {
    let defaults = Defaults {
        kv_heads: Some(4),
        tied: true,
        ..Defaults::new(128_256)
    };
    let dims = Dims::read(c, defaults);
    let attention = biased(c, &dims, BIAS, false);
    let mut mlp = Mlp::gated(dims.ffn(c, 11_008), activation(c, "silu"));
    mlp.bias = c.flag(&["mlp_bias"], false);
    let interval = c.whole(&["no_rope_layer_interval"], 1..=10_000).unwrap_or(4);
    let rotated: Vec<bool> = c
        .wholes_per_layer("no_rope_layers", dims.layers, 0..=1)
        .map_or_else(
            || {
                (0..dims.layers)
                    .map(|depth| !(depth + 1).is_multiple_of(interval))
                    .collect()
            },
            |list| list.into_iter().map(|flag| flag > 0).collect(),
        );
    let spans = qwen::spans(c, &dims);
    let stack = Stack::by_key(
        dims.layers,
        |depth| {
            let rotary = crate::model::import::sparse::at(&rotated, depth);
            (rotary, span_at(&spans, depth))
        },
        |(rotary, span)| {
            let mut attention = attention.clone().with_span(*span);
            attention.shape.rotary = *rotary;
            block(&dims, &attention, &mlp)
        },
    );
    network(c, &dims, stack, Ends::new(&dims, NormKind::Rms))
}

/// `mimo`: Qwen 2's layer with next-token layers.
pub fn mimo(c: &Config) -> Network {
    let dims = Dims::read(c, Defaults::new(151_680));
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, BIAS, true);
    let mlp = Mlp::gated(dims.ffn(c, 11_008), activation(c, "silu"));
    c.ignore(&["use_mrope"]);
    let mut network = decoder(c, &dims, &attention, &mlp, &qwen::spans(c, &dims));
    next_token_layers(c, &mut network);
    network
}

/// `ernie4_5`: all biases by one flag.
pub fn ernie(c: &Config) -> Network {
    let defaults = Defaults {
        kv_heads: Some(2),
        head_dim: Some(128),
        tied: true,
        ..Defaults::new(103_424)
    };
    let dims = Dims::read(c, defaults);
    let attention = biased(c, &dims, &["use_bias"], false);
    let mut mlp = Mlp::gated(dims.ffn(c, 3072), activation(c, "silu"));
    mlp.bias = attention.bias;
    decoder(c, &dims, &attention, &mlp, &[])
}

/// `phi3`: fused projections, dropout on the residual additions by configuration.
pub fn phi3(c: &Config) -> Network {
    let dims = Dims::read(c, Defaults::new(32_064));
    let mut attention = dims.softmax(c);
    attention.projection = Projection::Fused("qkv_proj");
    attention.shape.rotary_dim = rotary_dim(c, dims.head_dim, 1.0);
    c.ignore(&["attention_bias", "mlp_bias", "lm_head_bias"]);
    let mlp = Mlp::gated(dims.ffn(c, 8192), activation(c, "silu")).fused("gate_up_proj");
    let spans = everywhere(&dims, window(c, None, &dims));
    let mut block = block(&dims, &attention.with_span(span_at(&spans, 0)), &mlp);
    block.residual_dropout = c.dropout(&["resid_pdrop"], 0.0);
    let mut ends = Ends::new(&dims, NormKind::Rms);
    ends.dropout = c.dropout(&["embd_pdrop"], 0.0);
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

fn glm_parts(c: &Config) -> (Dims, Softmax, Mlp) {
    let defaults = Defaults {
        kv_heads: Some(2),
        head_dim: Some(128),
        ..Defaults::new(151_552)
    };
    let dims = Dims::read(c, defaults);
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, BIAS, true);
    attention.shape.rotary_dim = rotary_dim(c, dims.head_dim, 0.5);
    let mlp = Mlp::gated(dims.ffn(c, 13_696), activation(c, "silu")).fused("gate_up_proj");
    (dims, attention, mlp)
}

/// `glm`: gate and up in one matrix, half of each head rotated.
pub fn glm(c: &Config) -> Network {
    let (dims, attention, mlp) = glm_parts(c);
    decoder(c, &dims, &attention, &mlp, &[])
}

/// `glm4`: the same with a norm after each part as well.
pub fn glm4(c: &Config) -> Network {
    let (dims, attention, mlp) = glm_parts(c);
    let names = [
        "input_layernorm",
        "post_self_attn_layernorm",
        "post_attention_layernorm",
        "post_mlp_layernorm",
    ];
    let block = with_norms(&dims, &attention, &mlp, NormKind::Rms, &names);
    network(
        c,
        &dims,
        Stack::uniform(dims.layers, block),
        Ends::new(&dims, NormKind::Rms),
    )
}

/// A layer with norms of these names, without biases.
fn with_norms(dims: &Dims, attention: &Softmax, mlp: &Mlp, kind: NormKind, names: &[&str]) -> Layer {
    let mut weights = Weights::new();
    let mixer = attention.build(dims.hidden, &mut weights);
    let feed_forward = mlp.build(dims.hidden, &mut weights);
    for name in names {
        weights.norm(name, dims.hidden, false);
    }
    let norms = vec![norm(kind, dims.hidden); names.len()];
    layer(mixer, feed_forward, norms, weights)
}

const AFTER: [&str; 2] = ["post_attention_layernorm", "post_feedforward_layernorm"];

fn olmo_parts(c: &Config) -> (Dims, Softmax, Mlp) {
    let dims = Dims::read(c, Defaults::new(50_304));
    let mut attention = biased(c, &dims, BIAS, false);
    // These norms multiply in fp32 and cast last, as Gemma's do.
    attention.shape.qk_norm = QkNorm::AllHeads(NormKind::RmsPlusOne);
    let mlp = Mlp::gated(dims.ffn(c, 11_008), activation(c, "silu"));
    (dims, attention, mlp)
}

/// `olmo2`: norms after the parts, and over all queries and all keys.
pub fn olmo2(c: &Config) -> Network {
    let (dims, attention, mlp) = olmo_parts(c);
    let block = with_norms(&dims, &attention, &mlp, NormKind::RmsPlusOne, &AFTER);
    let ends = Ends::new(&dims, NormKind::RmsPlusOne);
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

/// `olmo3`: the same, with a window in three of four layers.
pub fn olmo3(c: &Config) -> Network {
    let (dims, attention, mlp) = olmo_parts(c);
    let width = window(c, Some(4096), &dims);
    let spans =
        spans_by_type(c, dims.layers, width).unwrap_or_else(|| spans_by_period(dims.layers, width, 4));
    let stack = Stack::by_key(
        dims.layers,
        |depth| span_at(&spans, depth),
        |span| {
            let attention = attention.clone().with_span(*span);
            with_norms(&dims, &attention, &mlp, NormKind::RmsPlusOne, &AFTER)
        },
    );
    network(c, &dims, stack, Ends::new(&dims, NormKind::RmsPlusOne))
}

/// `exaone4`: norms after the parts and on queries and keys, rotation only where there is a window (if any layer has one).
pub fn exaone4(c: &Config) -> Network {
    let defaults = Defaults {
        kv_heads: Some(32),
        ..Defaults::new(102_400)
    };
    let dims = Dims::read(c, defaults);
    let mut attention = dims.softmax(c);
    attention.shape.qk_norm = per_head_if(true, NormKind::Rms);
    let mlp = Mlp::gated(dims.ffn(c, 16_384), activation(c, "silu"));
    let width = window(c, Some(4096), &dims);
    let period = match c.get(&["sliding_window_pattern"]) {
        // "LLLG": one letter per layer of the pattern.
        Some((_, serde_json::Value::String(letters))) => letters.chars().count() as u64,
        _ => c.whole(&["sliding_window_pattern"], 1..=10_000).unwrap_or(4),
    };
    let spans =
        spans_by_type(c, dims.layers, width).unwrap_or_else(|| spans_by_period(dims.layers, width, period));
    let stack = Stack::by_key(
        dims.layers,
        |depth| span_at(&spans, depth),
        |span| {
            let mut attention = attention.clone().with_span(*span);
            attention.shape.rotary = width.is_none() || *span != crate::model::Span::Full;
            with_norms(&dims, &attention, &mlp, NormKind::Rms, &AFTER)
        },
    );
    network(c, &dims, stack, Ends::new(&dims, NormKind::Rms))
}

/// `internlm2`: one matrix for queries, keys and values.
pub fn internlm2(c: &Config) -> Network {
    let dims = Dims::read(c, Defaults::new(92_544));
    let mut attention = biased(c, &dims, &["bias", "attention_bias"], false);
    attention.prefix = "attention";
    attention.projection = Projection::Fused("wqkv");
    attention.out = "wo";
    let mlp = Mlp {
        prefix: "feed_forward",
        gate: Some("w1"),
        up: "w3",
        down: "w2",
        ..Mlp::gated(dims.ffn(c, 11_008), activation(c, "silu"))
    };
    let names = ["attention_norm", "ffn_norm"];
    let block = with_norms(&dims, &attention, &mlp, NormKind::Rms, &names);
    let mut ends = Ends::named(&dims, "model.tok_embeddings", Some(("model.norm", NormKind::Rms)));
    ends.head = "output";
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

/// `internlm3`: biases on queries, keys and values by one flag, elsewhere by another.
pub fn internlm3(c: &Config) -> Network {
    let defaults = Defaults {
        kv_heads: Some(2),
        ..Defaults::new(128_512)
    };
    let dims = Dims::read(c, defaults);
    let mut attention = dims.softmax(c);
    attention.bias = c.flag_field(Field::AttentionBias, &["qkv_bias", "attention_bias"], false);
    c.ignore(&["attention_bias"]);
    let bias = c.flag(&["bias"], false);
    attention.out_bias = bias;
    let mut mlp = Mlp::gated(dims.ffn(c, 10_240), activation(c, "silu"));
    mlp.bias = bias;
    decoder(c, &dims, &attention, &mlp, &[])
}

/// `baichuan`: one matrix for queries, keys and values; the 13B has no rotation and states `model_max_length` alone.
pub fn baichuan(c: &Config) -> Network {
    let dims = Dims::read(c, Defaults::new(125_696));
    let mut attention = dims.softmax(c);
    attention.projection = Projection::Fused("W_pack");
    attention.shape.rotary = c.get(&["max_position_embeddings"]).is_some();
    let mlp = Mlp::gated(dims.ffn(c, 11_008), activation(c, "silu"));
    decoder(c, &dims, &attention, &mlp, &[])
}

/// `chatglm`: fused projections, groups of queries, half of each head rotated.
pub fn chatglm(c: &Config) -> Network {
    let mut dims = Dims::read(c, Defaults::new(65_024));
    if c.flag(&["multi_query_attention"], false) {
        dims.kv_heads = c.or_default(Field::NumKeyValueHeads, &["multi_query_group_num"], 2);
        dims.check_groups(c);
    }
    let everywhere = c.flag(&["add_bias_linear"], false);
    let attention = Softmax {
        prefix: "self_attention",
        projection: Projection::Fused("query_key_value"),
        out: "dense",
        bias: c.flag_field(Field::AttentionBias, &["add_qkv_bias"], false) || everywhere,
        out_bias: everywhere,
        ..dims.softmax(c)
    };
    let mut attention = attention;
    attention.shape.rotary_dim = dims.head_dim / 2;
    let mut mlp = Mlp::gated(dims.ffn(c, 13_696), activation(c, "silu")).fused("dense_h_to_4h");
    mlp.down = "dense_4h_to_h";
    mlp.bias = everywhere;
    c.ignore(&["rmsnorm", "hidden_dropout", "post_layer_norm"]);
    let names = ["input_layernorm", "post_attention_layernorm"];
    let block = with_norms(&dims, &attention, &mlp, NormKind::Rms, &names);
    let mut ends = Ends::named(
        &dims,
        "transformer.embedding.word_embeddings",
        Some(("transformer.encoder.final_layernorm", NormKind::Rms)),
    );
    ends.head = "transformer.output_layer";
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}

/// `qwen` (the first): fused attention with biases, and an `intermediate_size` that counts gate and up together.
pub fn qwen1(c: &Config) -> Network {
    let dims = Dims::read(c, Defaults::new(151_936));
    let attention = Softmax {
        prefix: "attn",
        projection: Projection::Fused("c_attn"),
        out: "c_proj",
        bias: true,
        out_bias: !c.flag(&["no_bias"], true),
        ..dims.softmax(c)
    };
    c.ignore(&["rotary_pct", "attn_dropout_prob", "emb_dropout_prob"]);
    let mlp = Mlp {
        gate: Some("w2"),
        up: "w1",
        down: "c_proj",
        ..Mlp::gated(dims.ffn(c, 22_016) / 2, "silu")
    };
    let block = with_norms(&dims, &attention, &mlp, NormKind::Rms, &["ln_1", "ln_2"]);
    let ends = Ends::named(
        &dims,
        "transformer.wte",
        Some(("transformer.ln_f", NormKind::Rms)),
    );
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}
