//! What a layer of Megatron-LM keeps for backward: the tensors that Transformer Engine's fused modules save, which are fewer and
//! others than those of transformers' classes.
//!
//! Read in NVIDIA/TransformerEngine transformer_engine/pytorch/module/layernorm_linear.py and linear.py (norms keep input, output
//! and statistics; gathered inputs are gathered again in backward), core/fusions/fused_bias_swiglu.py (gate and up, the
//! activation's output as input of the next product) and core/transformer/moe of Megatron-LM. Compared with the functional tests of
//! Megatron-LM in tests/measured/training.jsonl.

use super::settings::Modules;
use super::{Megatron, Recompute};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::block;
use crate::memory::{Group, Symbol};
use crate::model::{Attention, Dense, FeedForward, Latent, Layer, Mixer, Moe, NormKind, QkNorm};
use crate::training::sheet::Item;
use crate::training::{Adapter, AttentionKernel};
use crate::units::Bytes;

/// What all layers of a rank have in common.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The engine's settings.
    pub settings: Megatron,
    /// Tokens of a micro-batch on the rank.
    pub tokens: u64,
    /// Tokens of a sequence on the rank.
    pub sequence: u64,
    /// Width of the residual stream.
    pub hidden: u64,
    /// Bytes of the arithmetic's type.
    pub bytes: u64,
    /// How attention is computed.
    pub attention: AttentionKernel,
    /// Compute capability times ten.
    pub compute_capability: u16,
    /// Adapters, where the layers are frozen.
    pub adapter: Option<Adapter>,
    /// Sequences of a micro-batch.
    pub micro_batch: u64,
    /// Tokens of a sequence of the decoder behind an encoder.
    pub decoder: Option<u64>,
}

/// A tensor that is kept: so many bytes per row, so many rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Stable key.
    pub(super) id: &'static str,
    /// For a person.
    pub(super) label: &'static str,
    /// Bytes per element.
    pub(super) bytes: u64,
    /// Elements of a row on this rank.
    pub(super) width: u64,
    /// What they are.
    pub(super) meaning: &'static str,
    /// Rows.
    pub(super) rows: u64,
    /// What a row is.
    pub(super) row: &'static str,
    /// Part of the module that recomputation leaves out.
    pub(super) part: Part,
}

/// Which module of a layer makes a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Stream,
    Norm,
    Attention,
    Scores,
    UpProjection,
    FeedForward,
    Experts,
    ExpertActivation,
    SharedExperts,
}

const SOURCE: Citation = Citation::new(
    Evidence::Source,
    "NVIDIA/TransformerEngine pytorch/module/{layernorm_linear,linear}.py, NVIDIA/Megatron-LM core/transformer; records megatron-golden-* of tests/measured/training.jsonl",
);

impl Saved {
    /// Its bytes in the allocator.
    pub const fn size(&self) -> Bytes {
        let elements = self.width.saturating_mul(self.rows);
        block(Bytes::new(elements.saturating_mul(self.bytes)))
    }

    /// Its entry.
    pub fn item(&self) -> Item {
        Item {
            id: self.id,
            label: self.label,
            group: Group::Activations,
            dtype: None,
            unit: self.size(),
            formula: "β·w·T",
            symbols: vec![
                Symbol::new("β", "bytes per element", self.bytes),
                Symbol::new("w", self.meaning, self.width),
                Symbol::new("T", self.row, self.rows),
            ],
            terms: Vec::new(),
            citation: SOURCE,
        }
    }

    /// Whether it is kept although these modules are recomputed.
    const fn kept(&self, modules: Modules) -> bool {
        match self.part {
            Part::Stream | Part::Attention => true,
            Part::Norm => !modules.norms,
            Part::Scores => !modules.core_attention,
            Part::UpProjection => !modules.up_projection,
            Part::FeedForward => !modules.feed_forward,
            Part::Experts => !modules.experts,
            Part::ExpertActivation => !modules.experts && !modules.expert_activation,
            Part::SharedExperts => !modules.experts && !modules.shared_experts,
        }
    }
}

/// What a layer keeps: all of it, what is left with recomputed modules, and what its backward needs at a moment beside it.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// Everything.
    pub all: Vec<Saved>,
    /// What stays until backward.
    pub kept: Vec<Saved>,
    /// Gradients and gathered inputs inside its backward, beyond what was released by then.
    pub backward: u64,
}

impl Setting {
    /// Rows of the stream on this rank.
    pub const fn own(&self) -> u64 {
        self.tokens.div_ceil(self.settings.sequence_ranks())
    }

    /// The input of a layer, as a checkpoint.
    pub const fn checkpoint(&self) -> Saved {
        Saved {
            id: "checkpoint",
            label: "layer input kept for recomputation",
            ..self.stream("checkpoint", "layer input kept for recomputation", Part::Stream)
        }
    }

    const fn divided(&self, width: u64) -> u64 {
        width.div_ceil(if self.settings.tensor == 0 {
            1
        } else {
            self.settings.tensor
        })
    }

    pub(super) const fn stream(&self, id: &'static str, label: &'static str, part: Part) -> Saved {
        Saved {
            id,
            label,
            bytes: self.bytes,
            width: self.hidden,
            meaning: "hidden size",
            rows: self.own(),
            row: "tokens of the stream on the rank",
            part,
        }
    }

    /// A tensor of all tokens with a width of this rank.
    pub(super) const fn inner(&self, id: &'static str, label: &'static str, width: u64, part: Part) -> Saved {
        Saved {
            id,
            label,
            bytes: self.bytes,
            width: self.divided(width),
            meaning: "elements per token on the rank",
            rows: self.tokens,
            row: "tokens per micro-batch",
            part,
        }
    }

    /// The same for the decoder behind an encoder, whose sequences have another length.
    pub fn of_decoder(&self) -> Self {
        match self.decoder {
            Some(sequence) => Self {
                tokens: self.micro_batch.saturating_mul(sequence),
                sequence,
                ..*self
            },
            None => *self,
        }
    }

    /// What a layer keeps.
    pub fn layer(&self, layer: &Layer) -> Layers {
        match &layer.cross {
            Some(cross) => self.of_decoder().over(layer, Some((cross, self))),
            None => self.over(layer, None),
        }
    }

    /// What a layer keeps, with its attention over an encoder's output.
    fn over(&self, layer: &Layer, cross: Option<(&Attention, &Self)>) -> Layers {
        let mut all = Vec::new();
        let mut dropout = |wanted: bool| {
            if wanted {
                all.push(Saved {
                    bytes: 1,
                    ..self.stream("dropout.mask", "dropout mask", Part::Stream)
                });
            }
        };
        dropout(layer.residual_dropout > 0.0);
        dropout(layer.residual_dropout > 0.0);
        dropout(layer.residual_dropout > 0.0 && cross.is_some());
        for norm in &layer.norms {
            all.push(self.stream("norm.input", "input of a norm", Part::Stream));
            all.push(self.stream("norm.output", "output of a norm", Part::Norm));
            all.push(Saved {
                bytes: 4,
                width: if norm.kind == NormKind::Layer { 2 } else { 1 },
                meaning: "statistics per token",
                ..self.stream("norm.scale", "mean and reciprocal root of a norm", Part::Stream)
            });
        }
        match &layer.mixer {
            Mixer::Attention(attention) => self.attention(attention, &mut all),
            Mixer::Latent(latent) => self.latent(latent, &mut all),
            // Refused before: Megatron's layers here have no other mixer.
            _ => {}
        }
        if let Some((attention, encoder)) = cross {
            self.cross(attention, encoder, &mut all);
        }
        let mixer: u64 = bytes(&all);
        self.feed_forward(&layer.feed_forward, &mut all);
        all.extend(self.adapters(layer));
        let all = self.narrowed(all);
        let kept = match self.settings.recompute {
            Recompute::Modules(modules) => all.iter().filter(|saved| saved.kept(modules)).copied().collect(),
            _ => all.clone(),
        };
        Layers {
            backward: self.backward(layer, bytes(&all).saturating_sub(mixer)),
            all,
            kept,
        }
    }

    fn core(&self, heads: u64, dropout: f64, value: u64, all: &mut Vec<Saved>) {
        let score = self.divided(heads).saturating_mul(self.sequence);
        let row = |bytes, label| Saved {
            bytes,
            width: score,
            meaning: "heads of the rank times sequence length",
            ..self.inner("attention.probabilities", label, 0, Part::Scores)
        };
        if self.attention == AttentionKernel::Eager {
            // core/fusions/fused_softmax.py, `forward_torch_softmax`: a softmax in fp32 keeps its output.
            let softmax = if self.settings.fused_softmax {
                self.bytes
            } else {
                4
            };
            all.push(row(softmax, "attention probabilities"));
            if dropout > 0.0 {
                all.push(row(1, "dropout mask of the probabilities"));
                all.push(row(self.bytes, "probabilities after dropout"));
            }
        } else {
            all.push(Saved {
                bytes: 4,
                ..self.inner(
                    "attention.log_sum_exp",
                    "log-sum-exp of attention",
                    heads,
                    Part::Attention,
                )
            });
            // Outside Hopper Transformer Engine takes a kernel that wants contiguous queries; the pairs of
            // gpt3_7b_tp4_pp1_memory_speed on H100, GB200 and A100 differ by exactly this.
            if self.compute_capability != HOPPER {
                let label = "contiguous copy of the queries";
                all.push(self.inner("attention.query_copy", label, value, Part::Attention));
            }
        }
        all.push(self.inner("attention.output", "attention output", value, Part::Attention));
    }

    fn attention(&self, attention: &Attention, all: &mut Vec<Saved>) {
        let queries = attention.heads.saturating_mul(attention.head_dim);
        // Where ranks are more than heads of keys and values, each computes a whole one although it stores less of the projection
        // (NVIDIA/Megatron-LM core/transformer/attention.py: the projection's outputs are gathered and cut by heads).
        let kv_heads = attention.kv_heads.max(self.settings.tensor);
        let keys = kv_heads.saturating_mul(attention.head_dim);
        let values = kv_heads.saturating_mul(attention.value_dim);
        let width = queries.saturating_add(keys).saturating_add(values);
        all.push(self.inner(
            "attention.qkv",
            "queries, keys and values",
            width,
            Part::Attention,
        ));
        if attention.qk_norm != QkNorm::None {
            let normed = queries.saturating_add(keys);
            all.push(self.inner(
                "attention.normed",
                "normalised queries and keys",
                normed,
                Part::Attention,
            ));
        }
        let output = attention.heads.saturating_mul(attention.value_dim);
        self.core(attention.heads, attention.dropout, output, all);
    }

    /// Queries of the decoder, keys and values of the encoder's output, which all layers have as one input.
    fn cross(&self, attention: &Attention, encoder: &Self, all: &mut Vec<Saved>) {
        let width = attention.heads.saturating_mul(attention.head_dim);
        let queries = "queries over the encoder's output";
        all.push(self.inner("attention.cross_queries", queries, width, Part::Attention));
        let both = "keys and values of the encoder's output";
        let pair = width.saturating_mul(2);
        all.push(encoder.inner("attention.cross_keys_values", both, pair, Part::Attention));
        let seen = Self {
            sequence: encoder.sequence,
            ..*self
        };
        seen.core(attention.heads, attention.dropout, width, all);
    }

    fn latent(&self, latent: &Latent, all: &mut Vec<Saved>) {
        let compressed = |id, width, label| Saved {
            width,
            meaning: "rank of the compression",
            ..self.stream(id, label, Part::Attention)
        };
        let (own, input) = ("attention.latent", "attention.latent_input");
        if let Some(rank) = latent.query_rank {
            all.push(compressed(own, rank, "compressed queries"));
            all.push(compressed(input, rank, "normalised compressed queries"));
        }
        let shared = latent.kv_rank.saturating_add(latent.rope_dim);
        all.push(compressed(own, shared, "compressed keys and values"));
        let label = "normalised compressed keys and values";
        all.push(compressed(input, latent.kv_rank, label));
        let heads = latent.heads;
        let wide = heads.saturating_mul(latent.nope_dim.saturating_add(latent.rope_dim));
        let both = heads.saturating_mul(latent.nope_dim.saturating_add(latent.value_dim));
        let output = heads.saturating_mul(latent.value_dim);
        for (width, label) in [
            (wide, "queries of all heads"),
            (wide, "queries with their rotated part"),
            (both, "keys and values of all heads"),
            (wide, "keys with the shared rotated part"),
            (output, "contiguous values"),
        ] {
            all.push(self.inner("attention.up_projection", label, width, Part::UpProjection));
        }
        self.core(heads, latent.dropout, output, all);
    }

    fn feed_forward(&self, part: &FeedForward, all: &mut Vec<Saved>) {
        match part {
            FeedForward::None => {}
            FeedForward::Dense(dense) => self.dense(dense, Part::FeedForward, all),
            FeedForward::Moe(moe) => self.experts(moe, all),
            FeedForward::Several(parts) => {
                for part in parts {
                    self.feed_forward(part, all);
                }
            }
        }
    }

    fn dense(&self, dense: &Dense, part: Part, all: &mut Vec<Saved>) {
        let up = dense.width.saturating_mul(if dense.gated { 2 } else { 1 });
        all.push(self.inner("mlp.up", "output of the first product", up, part));
        all.push(self.inner("mlp.activated", "activation's output", dense.width, part));
    }

    /// Routed rows on this rank, in expectation: every rank sends its tokens to the chosen experts, and the ranks that share
    /// an expert's matrices all see its rows.
    pub fn routed(&self, moe: &Moe) -> u64 {
        let sent = self.own().saturating_mul(moe.top_k);
        let even = sent.saturating_mul(self.settings.expert_tensor);
        even.saturating_mul(self.settings.load()).div_ceil(1000)
    }

    fn experts(&self, moe: &Moe, all: &mut Vec<Saved>) {
        let rows = self.routed(moe);
        let width = moe.width.div_ceil(self.settings.expert_tensor.max(1));
        let routed = |id, label, width, part| Saved {
            id,
            label,
            bytes: self.bytes,
            width,
            meaning: "elements per routed row on the rank",
            rows,
            row: "routed rows on the rank",
            part,
        };
        let router = |bytes, label, width| Saved {
            bytes,
            width,
            meaning: "values per token",
            ..self.stream("router", label, Part::Experts)
        };
        if moe.router_fp32 {
            all.push(router(4, "fp32 copy of the router's input", self.hidden));
        }
        all.push(router(
            4,
            "logits and probabilities of the router",
            moe.experts.saturating_mul(2),
        ));
        self.dispatcher(moe, all);
        let input = moe.model_width;
        all.push(routed(
            "experts.input",
            "tokens sorted by expert",
            input,
            Part::Experts,
        ));
        let up = width.saturating_mul(if moe.gated { 2 } else { 1 });
        all.push(routed("experts.up", "experts' first products", up, Part::Experts));
        let weighted = "experts' activations, weighted";
        all.push(routed(
            "experts.activated",
            weighted,
            width,
            Part::ExpertActivation,
        ));
        if !moe.gated {
            // core/transformer/moe/experts.py weighs gated activations in one kernel, others after the activation.
            let label = "experts' activations before weighting";
            all.push(routed("experts.unweighted", label, width, Part::ExpertActivation));
        }
        if let Some(shared) = &moe.shared {
            let dense = Dense {
                width: shared.width,
                gated: moe.gated,
                activation: String::new(),
                fused_gate_up: true,
            };
            self.dense(&dense, Part::SharedExperts, all);
        }
        if let Some(dense) = &moe.dense {
            self.dense(dense, Part::FeedForward, all);
        }
    }

    /// Gradients inside a layer's backward at its tightest moment, less what was released by then: in the feed-forward, or in
    /// attention, by which time the feed-forward's tensors are gone.
    fn backward(&self, layer: &Layer, feed_forward: u64) -> u64 {
        let whole = product([self.bytes, self.hidden, self.tokens]);
        let own = product([self.bytes, self.hidden, self.own()]);
        let gathered = if self.settings.sequence_ranks() > 1 {
            whole
        } else {
            0
        };
        let mut combining = 0;
        let (up, down) = match &layer.feed_forward {
            FeedForward::Dense(dense) => {
                let down = product([self.bytes, self.divided(dense.width), self.tokens]);
                (down.saturating_mul(if dense.gated { 2 } else { 1 }), down)
            }
            FeedForward::Moe(moe) => {
                combining = self.combining(moe);
                let width = moe.width.div_ceil(self.settings.expert_tensor.max(1));
                let down = product([self.bytes, width, self.routed(moe)]);
                (down.saturating_mul(if moe.gated { 2 } else { 1 }), down)
            }
            _ => (0, 0),
        };
        // The second product's gradient; the activation's beside it; the first product's, when both kept tensors are gone.
        let first = whole.saturating_add(gathered).saturating_sub(down);
        let inside = gathered.saturating_add(down).max(up).max(first).max(combining);
        let heads = match &layer.mixer {
            Mixer::Attention(attention) => attention.heads,
            Mixer::Latent(latent) => latent.heads,
            _ => 0,
        };
        let scores = product([self.bytes, self.divided(heads), self.sequence, self.tokens]);
        let core = if self.attention == AttentionKernel::Eager {
            scores.saturating_mul(2)
        } else {
            0
        };
        own.saturating_add(inside.max(core.saturating_sub(feed_forward)))
    }
}

fn product<const N: usize>(factors: [u64; N]) -> u64 {
    factors.into_iter().fold(1, u64::saturating_mul)
}

/// Bytes of tensors.
pub fn bytes(saved: &[Saved]) -> u64 {
    saved
        .iter()
        .map(|one| one.size().get())
        .fold(0, u64::saturating_add)
}

/// Compute capability of Hopper, times ten (pytorch aten/src/ATen/cuda/CublasHandlePool.cpp tells it by the same).
pub const HOPPER: u16 = 90;
