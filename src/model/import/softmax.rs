//! Softmax attention as the families build it: which projections there are, what they are called, and which have biases.

use crate::model::import::weights::{Cut, Weights};
use crate::model::{Attention, Mixer, NormKind, QkNorm, Role, Span, Split};

/// How queries, keys and values are projected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projection {
    /// Three matrices of these names.
    Separate(&'static str, &'static str, &'static str),
    /// One matrix.
    Fused(&'static str),
}

/// How norms over all heads are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkStorage {
    /// One vector.
    Vector,
    /// One matrix (heads, head width).
    Matrix,
    /// A vector per head.
    PerHead,
}

/// The plan of a softmax attention.
#[derive(Clone, Debug)]
pub struct Softmax {
    /// What it computes.
    pub shape: Attention,
    /// Name of the module.
    pub prefix: &'static str,
    /// Projections on the way in.
    pub projection: Projection,
    /// Projection on the way out.
    pub out: &'static str,
    /// Biases on queries, keys and values.
    pub bias: bool,
    /// A bias on the output.
    pub out_bias: bool,
    /// Names of the norms on queries and keys.
    pub qk_names: (&'static str, &'static str),
    /// Whether those norms have a bias.
    pub qk_bias: bool,
    /// How they are stored where they go over all heads.
    pub qk_storage: QkStorage,
}

/// Full rotary attention with these heads and no extras.
pub const fn plain(heads: u64, kv_heads: u64, head_dim: u64) -> Attention {
    Attention {
        heads,
        kv_heads,
        head_dim,
        value_dim: head_dim,
        span: Span::Full,
        rotary: true,
        rotary_dim: head_dim,
        fused_qkv: false,
        qk_norm: QkNorm::None,
        softcap: false,
        sinks: false,
        shared_kv: false,
        output_gate: false,
        dropout: 0.0,
    }
}

impl Softmax {
    /// Llama's module: `self_attn` with `q_proj`, `k_proj`, `v_proj` and `o_proj`.
    pub const fn new(shape: Attention) -> Self {
        Self {
            shape,
            prefix: "self_attn",
            projection: Projection::Separate("q_proj", "k_proj", "v_proj"),
            out: "o_proj",
            bias: false,
            out_bias: false,
            qk_names: ("q_norm", "k_norm"),
            qk_bias: false,
            qk_storage: QkStorage::Vector,
        }
    }

    /// The same with another reach.
    #[must_use]
    pub const fn with_span(mut self, span: Span) -> Self {
        self.shape.span = span;
        self
    }

    /// Adds the tensors and returns the mixer.
    pub fn build(&self, hidden: u64, weights: &mut Weights) -> Mixer {
        let shape = &self.shape;
        let queries = shape.heads * shape.head_dim;
        let keys = shape.kv_heads * shape.head_dim;
        let values = shape.kv_heads * shape.value_dim;
        let name = |part: &str| format!("{}.{part}", self.prefix);
        let gate = if shape.output_gate { 2 } else { 1 };
        match self.projection {
            Projection::Separate(q, k, v) => {
                let mut project = |part, width| {
                    weights.linear(&name(part), (width, hidden), self.bias, Role::Mixer, Cut::Column);
                };
                project(q, queries * gate);
                project(k, keys);
                if !shape.shared_kv {
                    project(v, values);
                }
            }
            Projection::Fused(part) => weights.linear(
                &name(part),
                (queries + keys + values, hidden),
                self.bias,
                Role::Mixer,
                Cut::Column,
            ),
        }
        weights.linear(
            &name(self.out),
            (hidden, shape.heads * shape.value_dim),
            self.out_bias,
            Role::Mixer,
            Cut::Row,
        );
        let (q_norm, k_norm) = self.qk_names;
        match shape.qk_norm {
            QkNorm::None => {}
            QkNorm::PerHead(_) => {
                weights.norm(&name(q_norm), shape.head_dim, self.qk_bias);
                weights.norm(&name(k_norm), shape.head_dim, self.qk_bias);
            }
            QkNorm::AllHeads(_) => {
                for (part, heads) in [(q_norm, shape.heads), (k_norm, shape.kv_heads)] {
                    self.norm_all(&name(part), heads, weights);
                }
            }
        }
        if shape.sinks {
            weights.tensor(name("sinks"), &[shape.heads], Role::Norm, Split::Axis(0));
        }
        Mixer::Attention(Attention {
            fused_qkv: matches!(self.projection, Projection::Fused(_)),
            ..shape.clone()
        })
    }
}

impl Softmax {
    fn norm_all(&self, name: &str, heads: u64, weights: &mut Weights) {
        let width = self.shape.head_dim;
        match self.qk_storage {
            QkStorage::Vector => weights.norm(name, heads * width, self.qk_bias),
            QkStorage::Matrix => weights.tensor(
                format!("{name}.weight"),
                &[heads, width],
                Role::Norm,
                Split::Replicated,
            ),
            QkStorage::PerHead => weights.copies(heads, |weights| {
                weights.norm(&format!("{name}.norms.*"), width, self.qk_bias);
            }),
        }
    }
}

/// The norm on queries and keys, one per head, where a flag asks for it.
pub const fn per_head_if(wanted: bool, kind: NormKind) -> QkNorm {
    if wanted {
        QkNorm::PerHead(kind)
    } else {
        QkNorm::None
    }
}
