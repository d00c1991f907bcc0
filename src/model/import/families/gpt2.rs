//! GPT-2 and GPT-3: LayerNorm, fused projections stored input first, learned positions, dropout.

use crate::model::import::config::Config;
use crate::model::import::decoder::{Defaults, Dims, Ends, Stack, activation, layer, network, norm};
use crate::model::import::field::Field;
use crate::model::import::softmax::plain;
use crate::model::import::weights::{Cut, Weights};
use crate::model::{Attention, Dense, FeedForward, Mixer, Network, NormKind, Role, Split};

/// A table of learned positions.
pub fn learned_positions(ends: &mut Ends, name: &str, rows: u64, width: u64) {
    ends.input.tensor(
        format!("{name}.weight"),
        &[rows, width],
        Role::PositionEmbedding,
        Split::Replicated,
    );
}

/// `gpt2`.
pub fn gpt2(c: &Config) -> Network {
    let mut dims = Dims::without_heads(
        c,
        Defaults {
            tied: true,
            ..Defaults::new(50_257)
        },
    );
    dims.heads = c.require(Field::NumAttentionHeads, &["n_head", "num_attention_heads"]);
    dims.head_dim = dims.head_width_from_hidden(c);
    let hidden = dims.hidden;
    let inner = c
        .field(Field::IntermediateSize, &["n_inner"])
        .unwrap_or(4 * hidden);
    let mut weights = Weights::new();
    weights.norm("ln_1", hidden, true);
    weights.conv1d("attn.c_attn", (3 * hidden, hidden), Role::Mixer, Cut::Column);
    weights.conv1d("attn.c_proj", (hidden, hidden), Role::Mixer, Cut::Row);
    weights.norm("ln_2", hidden, true);
    weights.conv1d("mlp.c_fc", (inner, hidden), Role::FeedForward, Cut::Column);
    weights.conv1d("mlp.c_proj", (hidden, inner), Role::FeedForward, Cut::Row);
    let mixer = Mixer::Attention(Attention {
        rotary: false,
        rotary_dim: 0,
        fused_qkv: true,
        dropout: c.dropout(&["attn_pdrop"], 0.1),
        ..plain(dims.heads, dims.heads, dims.head_dim)
    });
    let feed_forward = FeedForward::Dense(Dense {
        width: inner,
        gated: false,
        activation: activation(c, "gelu_new"),
        fused_gate_up: false,
    });
    let norms = vec![norm(NormKind::Layer, hidden); 2];
    let mut block = layer(mixer, feed_forward, norms, weights);
    block.residual_dropout = c.dropout(&["resid_pdrop"], 0.1);
    let mut ends = Ends::named(
        &dims,
        "transformer.wte",
        Some(("transformer.ln_f", NormKind::Layer)),
    );
    learned_positions(
        &mut ends,
        "transformer.wpe",
        dims.positions.unwrap_or(1024),
        hidden,
    );
    ends.dropout = c.dropout(&["embd_pdrop"], 0.1);
    network(c, &dims, Stack::uniform(dims.layers, block), ends)
}
