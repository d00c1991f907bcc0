//! Multi-head latent attention (DeepSeek): projections through low ranks, with or without a sparse-attention indexer.

use crate::model::import::config::Config;
use crate::model::import::decoder::Dims;
use crate::model::import::field::Field;
use crate::model::import::weights::{Cut, Weights};
use crate::model::{Latent, Mixer, Role};

/// The plan of a latent attention.
#[derive(Clone, Debug)]
pub struct LatentPlan {
    /// What it computes.
    pub shape: Latent,
    /// Name of the module.
    pub prefix: &'static str,
    /// Biases on the compressions and on the output.
    pub bias: bool,
}

/// What the class of a family assumes where its configuration is silent.
#[derive(Clone, Copy, Debug)]
pub struct LatentDefaults {
    /// Rank of the queries.
    pub query_rank: Option<u64>,
    /// Rank of keys and values.
    pub kv_rank: u64,
    /// Width without rotation.
    pub nope: u64,
    /// Width with rotation.
    pub rope: u64,
    /// Width of values.
    pub value: u64,
}

impl LatentDefaults {
    /// DeepSeek-V3's.
    pub const DEEPSEEK: Self = Self {
        query_rank: Some(1536),
        kv_rank: 512,
        nope: 128,
        rope: 64,
        value: 128,
    };
}

impl LatentPlan {
    /// Reads the ranks and widths. `q_lora_rank: null` means no compression of queries, a missing key the class default.
    pub fn read(c: &Config, dims: &Dims, defaults: LatentDefaults) -> Self {
        const RANK: &str = "q_lora_rank";
        let query_rank = match c.field(Field::QLoraRank, &[RANK]) {
            None if !c.has(RANK) => defaults.query_rank,
            found => found.filter(|rank| *rank > 0),
        };
        // In these files head_dim is something else, and the heads of keys and values are not those of the cache.
        c.ignore(&["head_dim", "qk_head_dim", "num_key_value_heads"]);
        let bias = c.flag_field(Field::AttentionBias, &["attention_bias"], false);
        Self {
            shape: Latent {
                heads: dims.heads,
                query_rank,
                kv_rank: c.or_default(Field::KvLoraRank, &["kv_lora_rank"], defaults.kv_rank),
                nope_dim: c.or_default(Field::QkNopeHeadDim, &["qk_nope_head_dim"], defaults.nope),
                rope_dim: c.or_default(Field::QkRopeHeadDim, &["qk_rope_head_dim"], defaults.rope),
                value_dim: c.or_default(Field::VHeadDim, &["v_head_dim"], defaults.value),
                indexer: None,
                dropout: 0.0,
            },
            prefix: "self_attn",
            bias,
        }
    }

    /// Adds the tensors and returns the mixer.
    pub fn build(&self, hidden: u64, weights: &mut Weights) -> Mixer {
        let shape = &self.shape;
        let name = |part: &str| format!("{}.{part}", self.prefix);
        let query = shape.heads * (shape.nope_dim + shape.rope_dim);
        let role = Role::Mixer;
        match shape.query_rank {
            None => weights.linear(&name("q_proj"), (query, hidden), false, role, Cut::Column),
            Some(rank) => {
                weights.linear(&name("q_a_proj"), (rank, hidden), self.bias, role, Cut::Whole);
                weights.norm(&name("q_a_layernorm"), rank, false);
                weights.linear(&name("q_b_proj"), (query, rank), false, role, Cut::Column);
            }
        }
        let latent = shape.kv_rank + shape.rope_dim;
        weights.linear(
            &name("kv_a_proj_with_mqa"),
            (latent, hidden),
            self.bias,
            role,
            Cut::Whole,
        );
        weights.norm(&name("kv_a_layernorm"), shape.kv_rank, false);
        let widened = shape.heads * (shape.nope_dim + shape.value_dim);
        weights.linear(
            &name("kv_b_proj"),
            (widened, shape.kv_rank),
            false,
            role,
            Cut::Column,
        );
        weights.linear(
            &name("o_proj"),
            (hidden, shape.heads * shape.value_dim),
            self.bias,
            role,
            Cut::Row,
        );
        if let Some((heads, width)) = shape.indexer {
            let input = shape.query_rank.unwrap_or(hidden);
            weights.linear(
                &name("indexer.wq_b"),
                (heads * width, input),
                false,
                role,
                Cut::Whole,
            );
            weights.linear(&name("indexer.wk"), (width, hidden), false, role, Cut::Whole);
            weights.norm(&name("indexer.k_norm"), width, true);
            weights.linear(
                &name("indexer.weights_proj"),
                (heads, hidden),
                false,
                role,
                Cut::Whole,
            );
        }
        Mixer::Latent(shape.clone())
    }
}
