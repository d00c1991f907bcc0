//! One decoder layer: a mixer (attention, latent attention, linear attention, state space ...), a feed-forward, norms,
//! and the exact weight tensors of both. Shapes only; what they cost in memory is decided by the engines.

use serde::Serialize;

use super::tensor::Tensor;
use crate::units::Count;

/// How far a query looks back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// All earlier positions.
    Full,
    /// The last so many positions.
    Sliding(u64),
    /// The positions of its own chunk of so many.
    Chunked(u64),
}

/// The kind of a norm: what it computes decides what it saves for backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// RMSNorm with weight, computed in fp32, cast back, then multiplied by the weight (Llama).
    Rms,
    /// RMSNorm that multiplies by (1 + weight) in fp32 and casts last (Gemma).
    RmsPlusOne,
    /// LayerNorm as one fused operation, with or without weight and bias.
    Layer,
}

/// A norm at one place of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Norm {
    /// What it computes.
    pub kind: NormKind,
    /// Elements per token that it normalises.
    pub width: u64,
}

/// Norms on queries and keys before attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum QkNorm {
    /// None.
    None,
    /// One norm per head, over the head width (Qwen3, Gemma 3).
    PerHead(NormKind),
    /// One norm over all heads together (OLMo 2).
    AllHeads(NormKind),
}

/// Softmax attention with separate keys and values.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Attention {
    /// Query heads.
    pub heads: u64,
    /// Key and value heads.
    pub kv_heads: u64,
    /// Width of a query and key head.
    pub head_dim: u64,
    /// Width of a value head (equal to `head_dim` almost everywhere).
    pub value_dim: u64,
    /// How far it looks back.
    pub span: Span,
    /// Whether queries and keys are rotated (fully or in part).
    pub rotary: bool,
    /// Elements of each head that are rotated (`head_dim` when all of it).
    pub rotary_dim: u64,
    /// Whether one projection makes queries, keys and values together.
    pub fused_qkv: bool,
    /// Norms on queries and keys.
    pub qk_norm: QkNorm,
    /// Logit soft-capping inside attention (Gemma 2).
    pub softcap: bool,
    /// One learned sink per head (gpt-oss), which only the eager path supports.
    pub sinks: bool,
    /// Whether keys and values are one tensor cached once (Gemma 4 global layers).
    pub shared_kv: bool,
    /// A gate on the attention output, computed from the layer input (Qwen3-Next).
    pub output_gate: bool,
    /// Dropout probability on attention weights, from the configuration.
    pub dropout: f64,
}

/// Multi-head latent attention (DeepSeek).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Latent {
    /// Query heads.
    pub heads: u64,
    /// Rank of the query compression; `None` when queries are projected directly.
    pub query_rank: Option<u64>,
    /// Rank of the shared key and value latent.
    pub kv_rank: u64,
    /// Width per head without rotation.
    pub nope_dim: u64,
    /// Width per head with rotation; the key part is shared by all heads.
    pub rope_dim: u64,
    /// Width of a value head.
    pub value_dim: u64,
    /// A sparse-attention indexer beside it (DeepSeek-V3.2): heads and width.
    pub indexer: Option<(u64, u64)>,
    /// Dropout probability on attention weights, where an engine's own configuration has one.
    pub dropout: f64,
}

/// What mixes positions in a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mixer {
    /// No mixer (a layer that is only a feed-forward).
    None,
    /// Softmax attention.
    Attention(Attention),
    /// Multi-head latent attention.
    Latent(Latent),
    /// Mamba 1: inner width, state size, convolution width, rank of the step projection.
    Mamba1 {
        /// Inner width.
        inner: u64,
        /// State size.
        state: u64,
        /// Taps of the convolution.
        conv: u64,
        /// Rank of the step projection.
        step_rank: u64,
    },
    /// Mamba 2: heads, head width, groups, state size, convolution width.
    Mamba2 {
        /// Heads.
        heads: u64,
        /// Width of a head.
        head_dim: u64,
        /// Groups.
        groups: u64,
        /// State size.
        state: u64,
        /// Taps of the convolution.
        conv: u64,
    },
    /// Gated delta rule (Qwen3-Next, Qwen3.5; Kimi's variant): key heads, value heads, their widths, convolution width.
    GatedDelta {
        /// Key heads.
        key_heads: u64,
        /// Value heads.
        value_heads: u64,
        /// Width of a key head.
        key_dim: u64,
        /// Width of a value head.
        value_dim: u64,
        /// Taps of the convolution.
        conv: u64,
    },
    /// Lightning attention (MiniMax): heads and width.
    Lightning {
        /// Heads.
        heads: u64,
        /// Width of a head.
        head_dim: u64,
    },
    /// Short convolution (LFM2): width and taps.
    ShortConvolution {
        /// Width.
        width: u64,
        /// Taps of the convolution.
        conv: u64,
    },
    /// Several mixers side by side on the same input (Falcon-H1), or one after another within a layer (LongCat).
    Several(Vec<Mixer>),
}

/// A dense feed-forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Dense {
    /// Inner width.
    pub width: u64,
    /// Two up projections whose product goes down (SwiGLU, GeGLU), or one.
    pub gated: bool,
    /// The activation's name as in the configuration (`silu`, `gelu_pytorch_tanh`, `gelu_new`, `relu`, `relu2` ...).
    pub activation: String,
    /// Whether gate and up are one projection (Phi-3).
    pub fused_gate_up: bool,
}

/// The shared experts of a MoE layer, all together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SharedExpert {
    /// Inner width of all shared experts together.
    pub width: u64,
    /// A one-column gate that weighs the shared output (Qwen2-MoE).
    pub gate: bool,
}

/// A mixture of experts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Moe {
    /// Routed experts with weights.
    pub experts: u64,
    /// Choices of the router beyond `experts` that cost nothing (LongCat).
    pub zero_experts: u64,
    /// Experts per token.
    pub top_k: u64,
    /// Inner width of one expert.
    pub width: u64,
    /// Width on which the routed experts work (hidden size unless the family compresses).
    pub model_width: u64,
    /// Two up projections per expert, or one.
    pub gated: bool,
    /// The activation's name.
    pub activation: String,
    /// Whether the router's input is cast to fp32 (DeepSeek).
    pub router_fp32: bool,
    /// Shared experts.
    pub shared: Option<SharedExpert>,
    /// A dense feed-forward beside the experts in the same layer (Gemma 4, Arctic).
    pub dense: Option<Dense>,
}

/// What works on each position alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FeedForward {
    /// No feed-forward (a layer that is only a mixer).
    None,
    /// A dense one.
    Dense(Dense),
    /// A mixture of experts.
    Moe(Moe),
    /// Two dense ones beside a mixture (LongCat-Flash), or other sums of parts.
    Several(Vec<FeedForward>),
}

/// How mixer and feed-forward join the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Residual {
    /// Feed-forward after the mixer, each with its own residual addition.
    Sequential,
    /// Both from the same layer input, one addition (GPT-NeoX, Falcon, Phi-2).
    Parallel,
}

/// One layer: structure for activations and caches, tensors for weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Layer {
    /// What mixes positions.
    pub mixer: Mixer,
    /// What works on each position.
    pub feed_forward: FeedForward,
    /// The norms on the residual stream and on outputs of width `hidden`, in order of use (q/k norms are in the mixer).
    pub norms: Vec<Norm>,
    /// How the parts join.
    pub residual: Residual,
    /// Dropout probability on the residual additions (GPT-2).
    pub residual_dropout: f64,
    /// Every weight tensor of the layer.
    pub tensors: Vec<Tensor>,
    /// Elements of buffers that the checkpoint stores but that are not parameters (router correction biases).
    pub buffers: Count,
    /// Attention over the output of an encoder, between mixer and feed-forward (T5's decoder); its norm and weights are among
    /// the layer's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross: Option<Attention>,
}

impl Layer {
    /// All parameters of the layer.
    pub fn parameters(&self) -> Count {
        self.tensors.iter().map(Tensor::elements).sum()
    }

    /// The parameters of tensors that `select` accepts.
    pub fn parameters_where(&self, select: impl Fn(&Tensor) -> bool) -> Count {
        self.tensors
            .iter()
            .filter(|tensor| select(tensor))
            .map(Tensor::elements)
            .sum()
    }

    /// The mixture of experts, where the layer has one.
    pub fn moe(&self) -> Option<&Moe> {
        fn find(part: &FeedForward) -> Option<&Moe> {
            match part {
                FeedForward::Moe(moe) => Some(moe),
                FeedForward::Several(parts) => parts.iter().find_map(find),
                FeedForward::None | FeedForward::Dense(_) => None,
            }
        }
        find(&self.feed_forward)
    }
}
