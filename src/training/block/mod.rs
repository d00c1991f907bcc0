//! A layer as the reference class of its family computes it, recorded on a tape: norms, mixer, feed-forward, residuals.
//!
//! `attention`, `latent`, `linear_time` record mixers, `feed_forward` and `experts` what follows them, `reference` holds
//! what is particular to a family's class, `split` what tensor parallelism puts around products. What one operation keeps is decided in `training::ops`.

mod attention;
mod experts;
mod feed_forward;
mod latent;
mod linear_time;
mod reference;
mod split;

pub use reference::Reference;

use super::names;
use super::ops::{Recorder, Types};
use super::tape::{Rows, Shape, Storage, Tape, Var};
use super::{
    Adapter, AttentionKernel, Chosen, FusedKernels, Precision, Recomputation, TensorParallel, TrainingJob,
};
use crate::model::{FeedForward, Layer, Mixer, Norm, Residual};
use crate::units::DType;

/// What is common to all layers of a job.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Types of the arithmetic.
    pub types: Types,
    /// Tokens per micro-batch.
    pub tokens: u64,
    /// Tokens per sequence.
    pub sequence: u64,
    /// Hidden size.
    pub hidden: u64,
    /// How attention is computed.
    pub kernel: AttentionKernel,
    /// What is particular to the family.
    pub reference: Reference,
    /// Which kernels replace operations.
    pub kernels: FusedKernels,
    /// Adapters.
    pub adapter: Option<Adapter>,
    /// Whether what is saved for backward waits on the host.
    pub away: bool,
    /// Tensor parallelism.
    pub tensor: Option<TensorParallel>,
    /// Whether 8-bit products hold their inputs beside what autograd saves.
    pub outside: bool,
    /// Sequences of the micro-batch.
    pub sequences: u64,
    /// Type of the residual stream between layers.
    pub stream: DType,
    /// Whether keys and values are repeated for every query head before the flash-attn package sees them.
    pub repeated_keys: bool,
    /// Whether matrix products take a workspace anew each time.
    pub passing_workspace: bool,
    /// Ranks among which keys and values go round (context parallelism), and whether they were repeated for all heads before.
    pub ring: (u64, bool),
    /// Ranks among which the routed experts are dealt out.
    pub expert_ranks: u64,
    /// Whether keys and values stay in a cache until the forward pass is over.
    pub keeps_cache: bool,
    /// Whether experts run one after another, each on the tokens that chose it.
    pub looped_experts: bool,
    /// Products that full recomputation leaves as they are.
    pub chosen: Chosen,
}

impl Setting {
    /// The type of what is made once for all layers, masks and rotary tables: that of the embedding's weights.
    pub const fn shared(&self) -> DType {
        self.types.weights
    }

    /// With the stream in the type that the first layer puts out: a 4-bit layer gives back the type of its input, which
    /// fp32 norms, and LayerNorms under autocast, make fp32 (bitsandbytes nn/modules.py, `Linear4bit.forward`).
    pub fn settled(mut self, layer: Option<&Layer>) -> Self {
        let quantised = self.adapter.is_some_and(|adapter| adapter.base.is_quantised());
        if let (true, Some(layer)) = (quantised, layer) {
            self.stream = record(layer, &self, true).output.dtype;
        }
        self
    }

    /// The hidden state of so many tokens.
    const fn hidden_states(&self, tokens: u64) -> Storage {
        let shape = Shape {
            axis: &names::WIDTH,
            width: self.hidden,
            rows: Rows::Tokens(tokens),
        };
        Storage::new(&names::HIDDEN_STATE, shape, self.stream)
    }

    /// The hidden state between layers.
    pub fn hidden_state(&self) -> Storage {
        self.hidden_states(self.own_tokens())
    }

    /// The hidden state of all tokens, where they are gathered.
    pub const fn whole_hidden_state(&self) -> Storage {
        self.hidden_states(self.tokens)
    }

    /// What a job with these types has in common.
    pub fn new(job: &TrainingJob, types: Types) -> Self {
        let dealt = job.composed.expert > 1;
        Self {
            types,
            tokens: job.tokens(),
            sequence: job.sequence_length,
            hidden: job.network.hidden_size,
            kernel: job.attention,
            reference: if dealt {
                // Rows go to the rank of their expert, whatever the reference class computes (pytorch/torchtitan
                // models/common/moe).
                Reference {
                    every_expert: false,
                    ..Reference::of(&job.network.model_type)
                }
            } else {
                Reference::of(&job.network.model_type)
            },
            expert_ranks: job.composed.expert,
            kernels: job.kernels,
            tensor: job.tensor,
            adapter: job.adapter.map(|adapter| Adapter {
                dtype: adapter_type(job, adapter),
                ..adapter
            }),
            outside: false,
            sequences: job.micro_batch,
            stream: types.weights,
            repeated_keys: job.transformers_version < (4, 48)
                && Reference::repeats_keys(&job.network.model_type),
            passing_workspace: job.torch_version >= (2, 15) && job.compute_capability >= 90,
            // pytorch/torchtitan 2259, of January 2026: "GQA without kv repeats".
            ring: (job.composed.context, job.torch_version < (2, 11)),
            keeps_cache: job.transformers_version < (4, 53)
                && Reference::keeps_cache(&job.network.model_type),
            looped_experts: job.transformers_version < (5, 0) && !dealt,
            away: job.saved.away(),
            chosen: match job.recomputation {
                Recomputation::Chosen(chosen) => chosen,
                _ => Chosen::default(),
            },
        }
    }
}

/// The type in which adapters are computed: FSDP's mixed precision gathers them in the type of the arithmetic, in which they
/// are already where FSDP leaves them out.
fn adapter_type(job: &TrainingJob, adapter: Adapter) -> DType {
    match job.precision {
        Precision::ShardedMixed { compute, .. } => compute,
        // DeepSpeed casts the whole module.
        Precision::Master(compute) => compute,
        _ if job.adapters_outside() => job.precision.compute(),
        _ => adapter.dtype,
    }
}

/// A layer on its tape.
pub struct Block {
    /// The tape; its first storage is the layer's input.
    pub tape: Tape,
    /// The layer's output.
    pub output: Var,
}

/// A layer being recorded.
struct Layout<'a> {
    recorder: Recorder,
    setting: &'a Setting,
}

/// Records a layer; `trained`: a gradient flows to its input.
pub fn record(layer: &Layer, setting: &Setting, trained: bool) -> Block {
    let (tape, input) = Tape::new(setting.hidden_state(), trained);
    let mut layout = Layout {
        recorder: Recorder {
            tape,
            types: setting.types,
            tokens: setting.tokens,
            kernels: setting.kernels,
            adapter: setting.adapter,
            outside: setting.outside,
            sequences: setting.sequences,
            passing_workspace: setting.passing_workspace,
            ring: setting.ring,
            of_patches: false,
            frozen: false,
        },
        setting,
    };
    let output = match layer.residual {
        Residual::Sequential => layout.sequential(layer, input),
        Residual::Parallel => layout.parallel(layer, input),
    };
    Block {
        tape: layout.recorder.tape,
        output,
    }
}

impl Layout<'_> {
    /// One branch after another, each with its norm before it, or norms before and after it.
    fn sequential(&mut self, layer: &Layer, input: Var) -> Var {
        let branches =
            usize::from(layer.mixer != Mixer::None) + usize::from(layer.feed_forward != FeedForward::None);
        let each = layer.norms.len() / branches.max(1);
        let mut norms = layer.norms.iter().copied();
        let mut stream = input;
        if layer.mixer != Mixer::None {
            let (before, after) = self.around(&mut norms, each);
            let normed = self.norm(stream, before);
            let mixed = self.mixer(&layer.mixer, normed);
            self.recorder.tape.keep_in_graph(mixed.storage);
            let mixed = self.norm(mixed, after);
            let mixed = self.recorder.dropout(mixed, layer.residual_dropout);
            stream = self.recorder.add(stream, mixed, &names::RESIDUAL);
        }
        if layer.feed_forward != FeedForward::None {
            let (before, after) = self.around(&mut norms, each);
            let normed = self.norm(stream, before);
            let fed = self.feed_forward(&layer.feed_forward, normed);
            if after.is_some() {
                self.recorder.tape.keep_in_graph(fed.storage);
            }
            let fed = self.norm(fed, after);
            let fed = self.recorder.dropout(fed, layer.residual_dropout);
            stream = self.recorder.add(stream, fed, &names::RESIDUAL);
        }
        stream
    }

    /// Mixer and feed-forward from the same input, through one norm or one each.
    fn parallel(&mut self, layer: &Layer, input: Var) -> Var {
        let mut norms = layer.norms.iter().copied();
        let first = self.norm(input, norms.next());
        let mixed = self.mixer(&layer.mixer, first);
        self.recorder.tape.unread(mixed.storage);
        let mixed = self.recorder.dropout(mixed, layer.residual_dropout);
        let second = match norms.next() {
            Some(norm) => self.norm(input, Some(norm)),
            None => first,
        };
        let fed = self.feed_forward(&layer.feed_forward, second);
        let fed = self.recorder.dropout(fed, layer.residual_dropout);
        let sum = self.recorder.add(fed, mixed, &names::RESIDUAL);
        self.recorder.add(sum, input, &names::RESIDUAL)
    }

    /// The norms before and after a branch.
    fn around(&self, norms: &mut impl Iterator<Item = Norm>, each: usize) -> (Option<Norm>, Option<Norm>) {
        match (each, self.setting.reference.norms_after) {
            (0 | 1, true) => (None, norms.next()),
            (0 | 1, false) => (norms.next(), None),
            _ => (norms.next(), norms.next()),
        }
    }

    fn norm(&mut self, input: Var, norm: Option<Norm>) -> Var {
        let Some(norm) = norm else {
            return input;
        };
        if self.setting.sequence_divided() {
            let before = self.recorder.tape.distribute(true);
            let output = self.recorder.norm(input, norm.kind, 1);
            self.recorder.tape.distribute(before);
            return output;
        }
        let reference = self.setting.reference;
        if reference.centred_norms {
            return self.recorder.centred_norm(input, 1);
        }
        let narrow = self.recorder.types.autocast.filter(|_| reference.narrow_norms);
        if let Some(dtype) = narrow {
            let input = self.recorder.cast(input, dtype, &names::NORM_INPUT);
            self.recorder.types.autocast = None;
            let output = self.recorder.norm(input, norm.kind, 1);
            self.recorder.types.autocast = narrow;
            return output;
        }
        if reference.wide_norms {
            let wide = self.recorder.cast(input, DType::Fp32, &names::NORM_INPUT);
            let output = self.recorder.norm(wide, norm.kind, 1);
            return self.recorder.cast(output, input.dtype, &names::NORM_OUTPUT);
        }
        self.recorder.norm(input, norm.kind, 1)
    }

    fn mixer(&mut self, mixer: &Mixer, input: Var) -> Var {
        match mixer {
            Mixer::None => input,
            Mixer::Attention(attention) => self.attention(attention, input),
            Mixer::Latent(latent) => self.latent(latent, input),
            Mixer::Several(mixers) => {
                let outputs: Vec<Var> = mixers.iter().map(|mixer| self.mixer(mixer, input)).collect();
                self.sum(&outputs, input)
            }
            other => self.linear_time(other, input),
        }
    }

    fn feed_forward(&mut self, part: &FeedForward, input: Var) -> Var {
        match part {
            FeedForward::None => input,
            FeedForward::Dense(dense) => self.dense(dense, input),
            FeedForward::Moe(moe) => self.experts(moe, input),
            FeedForward::Several(parts) => {
                let outputs: Vec<Var> = parts.iter().map(|part| self.feed_forward(part, input)).collect();
                self.sum(&outputs, input)
            }
        }
    }

    fn sum(&mut self, outputs: &[Var], otherwise: Var) -> Var {
        let mut outputs = outputs.iter().copied();
        let first = outputs.next().unwrap_or(otherwise);
        outputs.fold(first, |sum, next| {
            self.recorder.add(sum, next, &names::BLOCK_OUTPUT)
        })
    }

    /// The hidden size as a shape.
    fn hidden(&self) -> Shape {
        self.recorder.rows(&names::WIDTH, self.setting.hidden)
    }
}
