//! One weight tensor: its name, its shape, its role, and the axis along which tensor parallelism splits it.

use crate::units::Count;
use serde::Serialize;

/// What a weight tensor is for. Decides how an engine shards, casts and counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Token embedding (the head too, when tied).
    Embedding,
    /// Learned positions, token types, per-layer embeddings: looked up, never multiplied.
    PositionEmbedding,
    /// Output projection when it is a tensor of its own.
    Head,
    /// A projection of an attention, linear-attention or state-space mixer.
    Mixer,
    /// A matrix of a dense feed-forward.
    FeedForward,
    /// A matrix of the routed experts of one layer.
    RoutedExpert,
    /// A matrix of the shared experts.
    SharedExpert,
    /// A router's weights.
    Router,
    /// A norm's weight or bias, an attention sink, a scale: small vectors that are never multiplied as matrices.
    Norm,
    /// A bias of a linear layer.
    Bias,
    /// Part of a vision or audio tower or its projector.
    Tower,
}

/// How tensor parallelism divides a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Every rank holds a copy.
    Replicated,
    /// Divided along this axis.
    Axis(u8),
}

/// One weight tensor, as the reference class of the family names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tensor {
    /// Name below its layer (`self_attn.q_proj.weight`), or the full name outside the layers.
    pub name: String,
    /// Axes, slowest first; a linear layer is (out, in).
    pub shape: Vec<u64>,
    /// What it is for.
    pub role: Role,
    /// How tensor parallelism divides it.
    pub split: Split,
    /// How many such tensors there are (an expert matrix stored once per expert has one entry with `copies` = experts).
    pub copies: u64,
}

impl Tensor {
    /// A single tensor.
    pub fn new(name: impl Into<String>, shape: &[u64], role: Role, split: Split) -> Self {
        Self {
            name: name.into(),
            shape: shape.to_vec(),
            role,
            split,
            copies: 1,
        }
    }

    /// Elements of all copies.
    pub fn elements(&self) -> Count {
        Count::of_shape(&self.shape) * self.copies
    }

    /// Whether it is a weight matrix that a linear layer (or grouped experts) multiplies with.
    pub fn is_linear_weight(&self) -> bool {
        matches!(
            self.role,
            Role::Head
                | Role::Mixer
                | Role::FeedForward
                | Role::RoutedExpert
                | Role::SharedExpert
                | Role::Router
        ) && self.shape.len() >= 2
            && !self.name.ends_with("bias")
    }
}
