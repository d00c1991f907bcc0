//! The sizes that the temporaries of one layer depend on, on one rank, and those of the pass.

use super::super::super::job::InferenceJob;
use super::Options;
use crate::model::{Attention, Dense, FeedForward, Latent, Layer, Mixer, Moe, Network, NormKind};
use crate::units::DType;

/// cuBLAS takes a workspace of 32 MiB for each product on Hopper and gives it back (torch 2.15
/// `aten/src/ATen/cuda/CUDABlas.cpp`, traced).
pub const WORKSPACE: u64 = 32 << 20;

/// What cuBLASLt takes for a product with a bias (torch 2.15 `CUBLASLT_WORKSPACE_SIZE`, traced).
pub const LT_WORKSPACE: u64 = 1 << 20;

/// Equal layers on a device.
pub struct Kind<'a> {
    /// One of them.
    pub layer: &'a Layer,
    /// How many.
    pub count: u64,
    /// Whether the feed-forward's products add a bias.
    pub biased: bool,
}

/// The layers of a range by kind.
pub fn kinds(network: &Network, (first, end): (u64, u64)) -> Vec<Kind<'_>> {
    let mut counts = vec![0_u64; network.kinds.len()];
    let depths = |depth: u64| usize::try_from(depth).unwrap_or(usize::MAX);
    let (first, end) = (depths(first), depths(end));
    for kind in network.order.iter().take(end).skip(first) {
        if let Some(count) = counts.get_mut(*kind) {
            *count = count.saturating_add(1);
        }
    }
    network
        .kinds
        .iter()
        .zip(counts)
        .filter(|(_, count)| *count > 0)
        .map(|(layer, count)| Kind {
            layer,
            count,
            biased: biased(layer),
        })
        .collect()
}

/// Sizes of one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Sequences, beams included.
    pub rows: u64,
    /// Tokens of each that are computed.
    pub tokens: u64,
    /// Tokens of each that they look at.
    pub context: u64,
    /// Bytes of an element of the compute type.
    pub w: u64,
    /// Whether the compute type is fp16, in which LLM.int8 gives its products.
    pub fp16: bool,
    /// Hidden size.
    pub h: u64,
    /// Ranks of tensor parallelism.
    pub ranks: u64,
}

impl Pass {
    /// A pass of `tokens` positions that look at `context`.
    pub fn new(job: &InferenceJob, options: &Options, tokens: u64, context: u64) -> Self {
        Self {
            rows: job.sequences.saturating_mul(options.beams.max(1)),
            tokens,
            context,
            w: job.compute.bits() / 8,
            fp16: job.compute == DType::Fp16,
            h: job.network.hidden_size,
            ranks: job.tensor.max(1),
        }
    }

    /// Positions of all rows.
    pub const fn all(self) -> u64 {
        self.rows.saturating_mul(self.tokens)
    }

    /// Pairs of positions of all rows.
    pub const fn pairs(self) -> u64 {
        self.all().saturating_mul(self.context)
    }

    /// `factor` elements of the compute type for every position.
    pub const fn each(self, factor: u64) -> u64 {
        self.all().saturating_mul(self.w).saturating_mul(factor)
    }
}

/// Sizes of softmax attention on a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub heads: u64,
    /// Width of all queries.
    pub q: u64,
    /// Width of all keys.
    pub kv: u64,
    /// Width of one head.
    pub head: u64,
    /// Whether keys are repeated for groups of queries.
    pub grouped: bool,
    /// Whether one projection makes queries, keys and values.
    pub fused: bool,
    /// The window.
    pub window: Option<u64>,
}

/// The softmax attention of a layer.
pub fn attention(layer: &Layer) -> Option<&Attention> {
    fn find(mixer: &Mixer) -> Option<&Attention> {
        match mixer {
            Mixer::Attention(attention) => Some(attention),
            Mixer::Several(parts) => parts.iter().find_map(find),
            _ => None,
        }
    }
    find(&layer.mixer)
}

/// The latent attention of a layer.
pub fn latent(layer: &Layer) -> Option<&Latent> {
    match &layer.mixer {
        Mixer::Latent(latent) => Some(latent),
        _ => None,
    }
}

/// The heads of a layer on a rank. A fused projection is gathered after its product, so its heads are not divided
/// (transformers 5.23.0 `models/phi3/configuration_phi3.py`, colwise_gather_output).
pub fn heads(layer: &Layer, ranks: u64) -> Option<Heads> {
    if let Some(attention) = attention(layer) {
        let ranks = if attention.fused_qkv { 1 } else { ranks.max(1) };
        let heads = (attention.heads / ranks).max(1);
        let keys = (attention.kv_heads / ranks).max(1);
        return Some(Heads {
            heads,
            q: heads.saturating_mul(attention.head_dim),
            kv: keys.saturating_mul(attention.head_dim),
            head: attention.head_dim,
            grouped: keys < heads,
            fused: attention.fused_qkv,
            window: match attention.span {
                crate::model::Span::Full => None,
                crate::model::Span::Sliding(window) | crate::model::Span::Chunked(window) => Some(window),
            },
        });
    }
    let latent = latent(layer)?;
    let heads = (latent.heads / ranks.max(1)).max(1);
    let width = latent.nope_dim.saturating_add(latent.rope_dim);
    Some(Heads {
        heads,
        q: heads.saturating_mul(width),
        kv: heads.saturating_mul(width),
        head: width,
        grouped: false,
        fused: false,
        window: None,
    })
}

/// The dense feed-forward of a layer.
pub fn dense(layer: &Layer) -> Option<&Dense> {
    fn find(part: &FeedForward) -> Option<&Dense> {
        match part {
            FeedForward::Dense(dense) => Some(dense),
            FeedForward::Several(parts) => parts.iter().find_map(find),
            FeedForward::Moe(_) | FeedForward::None => None,
        }
    }
    find(&layer.feed_forward)
}

/// The mixture of a layer.
pub fn mixture(layer: &Layer) -> Option<&Moe> {
    layer.moe()
}

/// Whether the layer's norms are computed in fp32 out of several operations (RMSNorm in Python).
pub fn has_rms(layer: &Layer) -> bool {
    layer
        .norms
        .iter()
        .any(|norm| matches!(norm.kind, NormKind::Rms | NormKind::RmsPlusOne))
}

/// Whether the feed-forward's products add a bias.
fn biased(layer: &Layer) -> bool {
    layer
        .tensors
        .iter()
        .any(|tensor| tensor.name.contains("mlp") && tensor.name.ends_with("bias"))
}

/// Width that is rotated, per head.
pub fn rotated(layer: &Layer) -> u64 {
    match (attention(layer), latent(layer)) {
        (Some(attention), _) if attention.rotary => attention.rotary_dim,
        (_, Some(latent)) => latent.rope_dim,
        _ => 0,
    }
}
