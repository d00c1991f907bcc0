//! What a layer computes per token, from its structure: matrix products, scores of attention, and bytes that everything between
//! them reads and writes.
//!
//! A product of a matrix of n elements takes 2n operations per token; backward takes twice that (Korthikanti et al., arXiv
//! 2205.05198, appendix A; Chowdhery et al., arXiv 2204.02311, appendix B).

use crate::model::{Dense, FeedForward, Layer, Mixer, Moe, Network, NormKind, Role, Span};

use super::workload::Kernels;

/// What one layer does per token in forward.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerWork {
    /// Operations of matrix products.
    pub products: f64,
    /// Operations of scores and their sums with values, as computed: causal and windowed blocks only, where kernels skip.
    pub scores: f64,
    /// The same over the whole square, as the usual definition of utilization counts them.
    pub whole_scores: f64,
    /// Bytes that norms, residual additions and experts' permutations read and write.
    pub stream_bytes: f64,
    /// Bytes that rotary embeddings, activations and stored scores read and write.
    pub inner_bytes: f64,
    /// Elements of routed experts that a token uses.
    pub routed: f64,
}

impl LayerWork {
    /// Of a layer on sequences of a length.
    pub fn of(layer: &Layer, hidden: u64, sequence: f64, kernels: Kernels, element: f64) -> Self {
        let mut work = Self::default();
        for tensor in layer.tensors.iter().filter(|tensor| tensor.is_linear_weight()) {
            let elements = tensor.elements().get() as f64;
            let used = match (tensor.role, layer.moe()) {
                (Role::RoutedExpert, Some(moe)) => elements * used_share(moe),
                _ => elements,
            };
            work.products += 2.0 * used;
        }
        let hidden = hidden as f64;
        for norm in &layer.norms {
            // Reads and writes; in single operations the reference RMSNorm casts, squares, averages, scales and casts back.
            let passes = if kernels.fused || norm.kind == NormKind::Layer {
                2.0
            } else {
                18.0
            };
            work.stream_bytes += passes * element * norm.width.max(1) as f64;
        }
        // Each residual addition reads two streams and writes one.
        work.stream_bytes += 2.0 * 3.0 * element * hidden;
        work.add_mixer(&layer.mixer, sequence, kernels, element);
        work.add_feed_forward(&layer.feed_forward, kernels, element);
        work
    }

    fn add_mixer(&mut self, mixer: &Mixer, sequence: f64, kernels: Kernels, element: f64) {
        match mixer {
            Mixer::Attention(attention) => {
                let (heads, width) = (attention.heads as f64, attention.head_dim as f64);
                let both = width + attention.value_dim as f64;
                self.add_scores(
                    heads * both,
                    heads,
                    mean_keys(attention.span, sequence),
                    sequence,
                    kernels,
                );
                if attention.rotary {
                    let rotated = (heads + attention.kv_heads as f64) * attention.rotary_dim as f64;
                    self.inner_bytes += if kernels.fused { 2.0 } else { 7.0 } * element * rotated;
                }
            }
            Mixer::Latent(latent) => {
                let heads = latent.heads as f64;
                let both = (latent.nope_dim + latent.rope_dim + latent.value_dim) as f64;
                self.add_scores(
                    heads * both,
                    heads,
                    mean_keys(Span::Full, sequence),
                    sequence,
                    kernels,
                );
                self.inner_bytes += 7.0 * element * heads * latent.rope_dim as f64;
            }
            // Per token and head the state of d x n is scaled, added to and read: three products of a vector with a matrix.
            Mixer::Mamba1 { inner, state, .. } => self.add_state(*inner as f64, *state as f64, element),
            Mixer::Mamba2 {
                heads,
                head_dim,
                state,
                ..
            } => self.add_state((heads * head_dim) as f64, *state as f64, element),
            Mixer::GatedDelta {
                value_heads,
                key_dim,
                value_dim,
                ..
            } => self.add_state((value_heads * value_dim) as f64, *key_dim as f64, element),
            Mixer::Lightning { heads, head_dim } => {
                self.add_state((heads * head_dim) as f64, *head_dim as f64, element);
            }
            Mixer::ShortConvolution { width, .. } => self.inner_bytes += 6.0 * element * *width as f64,
            Mixer::Several(parts) => {
                for part in parts {
                    self.add_mixer(part, sequence, kernels, element);
                }
            }
            Mixer::None => {}
        }
    }

    fn add_scores(&mut self, width: f64, heads: f64, keys: f64, sequence: f64, kernels: Kernels) {
        self.whole_scores += 2.0 * sequence * width;
        let seen = if kernels.flash { keys } else { sequence };
        self.scores += 2.0 * seen * width;
        if !kernels.flash {
            // Scores are written, scaled and masked, made into probabilities in fp32 and cast, and read again.
            self.inner_bytes += 20.0 * heads * sequence;
        }
    }

    fn add_state(&mut self, width: f64, state: f64, element: f64) {
        self.scores += 6.0 * width * state;
        self.whole_scores += 6.0 * width * state;
        self.inner_bytes += 8.0 * element * width;
    }

    fn add_feed_forward(&mut self, part: &FeedForward, kernels: Kernels, element: f64) {
        match part {
            FeedForward::None => {}
            FeedForward::Dense(dense) => self.add_dense(dense, kernels, element),
            FeedForward::Moe(moe) => {
                let active = moe.top_k as f64;
                self.inner_bytes += passes(moe.gated, kernels) * element * active * moe.width as f64;
                // Rows are gathered by expert, and their outputs weighed and added back.
                self.stream_bytes += 5.0 * element * active * moe.model_width as f64;
                self.routed += active * moe.model_width as f64;
                if let Some(shared) = &moe.shared {
                    self.inner_bytes += passes(moe.gated, kernels) * element * shared.width as f64;
                }
                if let Some(dense) = &moe.dense {
                    self.add_dense(dense, kernels, element);
                }
            }
            FeedForward::Several(parts) => {
                for part in parts {
                    self.add_feed_forward(part, kernels, element);
                }
            }
        }
    }

    fn add_dense(&mut self, dense: &Dense, kernels: Kernels, element: f64) {
        self.inner_bytes += passes(dense.gated, kernels) * element * dense.width as f64;
    }
}

/// Elements read and written per element of an activation's output.
const fn passes(gated: bool, kernels: Kernels) -> f64 {
    match (gated, kernels.fused_activation) {
        (true, true) => 3.0,
        (true, false) => 5.0,
        (false, _) => 2.0,
    }
}

/// The share of the routed experts that a token visits; choices that cost nothing are taken in proportion.
pub fn used_share(moe: &Moe) -> f64 {
    let choices = moe.experts.saturating_add(moe.zero_experts).max(1) as f64;
    (moe.top_k as f64 / choices).min(1.0)
}

/// Keys that a query of a causal sequence sees in the mean, no more than a window or a chunk.
pub fn mean_keys(span: Span, sequence: f64) -> f64 {
    let full = |length: f64| f64::midpoint(length, 1.0);
    match span {
        Span::Sliding(window) if (window as f64) < sequence => {
            // The first queries see less than the window.
            let window = window.max(1) as f64;
            window - window * (window - 1.0) / (2.0 * sequence)
        }
        Span::Chunked(chunk) => full(sequence.min(chunk.max(1) as f64)),
        Span::Full | Span::Sliding(_) => full(sequence),
    }
}

/// Operations of the head per token.
pub fn head_flops(network: &Network) -> f64 {
    2.0 * network.hidden_size as f64 * network.vocabulary as f64
}

/// Operations of forward and backward per token by the usual definition: three times the products and the whole square of
/// scores, no recomputation (arXiv 2204.02311, appendix B).
pub fn model_flops_per_token(network: &Network, sequence: f64) -> f64 {
    let kernels = Kernels {
        flash: true,
        fused: true,
        fused_activation: true,
        fused_loss: true,
    };
    let layers: f64 = network
        .kinds
        .iter()
        .enumerate()
        .map(|(kind, layer)| {
            let work = LayerWork::of(layer, network.hidden_size, sequence, kernels, 2.0);
            (work.products + work.whole_scores) * network.layers_of(kind) as f64
        })
        .sum();
    3.0 * (layers + head_flops(network))
}
