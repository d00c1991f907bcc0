//! A start of TensorRT-LLM. An engine that TensorRT built: weights, the execution context's memory, runtime and decoder
//! buffers, and the pool of blocks from a fraction of what is then free. The PyTorch backend: weights, a dummy pass whose
//! peak is measured, and the pool from a fraction of what that peak leaves (NVIDIA/TensorRT-LLM
//! docs/source/reference/memory.md, cpp/tensorrt_llm/batch_manager, tensorrt_llm/_torch/pyexecutor/_util.py).
//!
//!   pool = fraction x free, in whole blocks

use super::super::super::job::{CacheType, InferenceJob};
use super::super::super::vllm::profile::profile;
use super::super::super::vllm::tensors::{Weights, all_weights, padded_vocabulary, stages};
use super::super::super::vllm::{Job, SamplerKernel, Settings as Plain};
use super::super::super::weights::WeightFormat;
use super::super::loaded::{self, Loading};
use super::{Backend, Options, log};
use crate::memory::Interval;
use crate::model::{Mixer, Network};
use crate::units::Bytes;

/// The arguments after defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The backend.
    pub backend: Backend,
    /// `free_gpu_memory_fraction`.
    pub fraction: f64,
    /// Tokens of a block.
    pub block: u64,
    /// `max_batch_size`.
    pub batch: u64,
    /// `max_input_len`.
    pub input: u64,
    /// `max_seq_len`.
    pub length: u64,
    /// Tokens of one pass: `max_num_tokens`, or all prompts of a batch.
    pub tokens: u64,
    /// `max_beam_width`.
    pub beams: u64,
    /// Whether prompts are packed (`remove_input_padding`).
    pub packed: bool,
}

impl Settings {
    /// The defaults of the release for what was not given.
    pub fn of(asked: &InferenceJob, options: &Options) -> Self {
        let release = options.release;
        let backend = options.backend.unwrap_or(match release.pytorch {
            true => Backend::PyTorch,
            false => Backend::TensorRt,
        });
        let packed = options.packed || backend == Backend::PyTorch;
        let built = backend == Backend::TensorRt;
        // A prompt that is asked for is built for.
        let usual = if built { release.input.max(asked.prompt) } else { 0 };
        let own = match (built, release.output) {
            (true, 1..) => options.input.unwrap_or(usual).saturating_add(release.output),
            _ => asked.network.max_positions.unwrap_or(0),
        };
        let length = options.length.unwrap_or(own.max(asked.length()));
        let input = match (options.input, built && release.input > 0) {
            (Some(input), _) => input.min(length),
            (None, true) => usual.min(length),
            (None, false) => length,
        };
        let batch = options.batch.unwrap_or(release.batch).max(1);
        let all = batch.saturating_mul(input);
        let tokens = match (packed, options.tokens, release.tokens) {
            (false, ..) | (true, None, 0) => all,
            (true, Some(tokens), _) => tokens,
            (true, None, tokens) => tokens,
        };
        Self {
            backend,
            fraction: options.fraction.unwrap_or(0.9),
            block: options.block.unwrap_or(release.block).max(1),
            batch,
            input,
            length,
            tokens,
            beams: options.beams.max(1),
            packed,
        }
    }
}

/// Why it does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Weights and buffers do not fit.
    OutOfMemory,
    /// Nothing is left for the pool.
    NoBlocks,
}

/// What the tightest pipeline stage holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The arguments after defaults.
    pub settings: Settings,
    /// Weights.
    pub weights: Interval,
    /// The execution context's memory, or the peak of the dummy pass.
    pub activations: Interval,
    /// Buffers of the runtime.
    pub runtime: Interval,
    /// Buffers of the decoder.
    pub decoder: Interval,
    /// The context, kernels and communicators.
    pub outside: Interval,
    /// Graphs that are captured after the pool is made.
    pub graphs: Interval,
    /// Bytes of a token on this rank.
    pub cell: u64,
    /// Bytes of one sequence's states.
    pub state: u64,
    /// Free when the pool is sized: low, expected, high.
    pub free: [Bytes; 3],
    /// Blocks of the pool for each of them.
    pub blocks: [u64; 3],
    /// Why it does not start.
    pub failure: Option<Failure>,
    /// The log's lines on memory; the last one is the error where it does not start.
    pub log: Vec<String>,
}

impl Start {
    /// Tokens of the three pools.
    pub fn tokens(&self) -> [u64; 3] {
        self.blocks
            .map(|blocks| blocks.saturating_mul(self.settings.block))
    }

    /// Bytes of a block.
    pub const fn block_bytes(&self) -> u64 {
        self.cell.saturating_mul(self.settings.block)
    }

    /// Bytes of the three pools.
    pub fn pool(&self) -> [Bytes; 3] {
        self.blocks
            .map(|blocks| Bytes::new(self.block_bytes().saturating_mul(blocks)))
    }
}

/// Bytes per token of the layers at `range`: every layer at full length; a latent is not divided.
pub fn cell(asked: &InferenceJob, range: std::ops::Range<usize>) -> u64 {
    fn elements(mixer: &Mixer, ranks: u64) -> u64 {
        match mixer {
            Mixer::Attention(attention) => {
                let heads = (attention.kv_heads / ranks).max(1);
                heads.saturating_mul(attention.head_dim.saturating_add(attention.value_dim))
            }
            Mixer::Latent(latent) => latent.kv_rank.saturating_add(latent.rope_dim),
            Mixer::Several(parts) => parts.iter().map(|part| elements(part, ranks)).sum(),
            _ => 0,
        }
    }
    let network = &asked.network;
    let kinds = network.order.get(range).unwrap_or_default();
    let all: u64 = kinds
        .iter()
        .filter_map(|kind| network.kinds.get(*kind))
        .map(|layer| elements(&layer.mixer, asked.tensor.max(1)))
        .fold(0, u64::saturating_add);
    match asked.cache {
        CacheType::Fp8 | CacheType::Grouped(_) => all,
        // Two values in a byte, and one byte of scale per 16.
        CacheType::Fp4 => all.saturating_mul(9) / 16,
        CacheType::Compute => all.saturating_mul((asked.compute.bits() / 8).max(1)),
    }
}

/// Blocks of a fraction of what is free: whole tokens, and as many blocks as hold them, the last one not full (the logs of
/// trt-001, trt-006 and trt-019 print 4,060, 631 and 82 for 4,059.6, 630.4 and 81.8).
pub fn blocks(free: Bytes, fraction: f64, cell: u64, block: u64, most: Option<u64>) -> u64 {
    let tokens = free.scaled(fraction).get() / cell.max(1);
    most.map_or(tokens, |most| tokens.min(most))
        .div_ceil(block.max(1))
}

fn job<'a>(asked: &'a InferenceJob, options: &Options, positions: u64) -> Option<Job<'a>> {
    let loading = Loading {
        experts: options.experts,
        positions,
        ..Loading::default()
    };
    loaded::start(asked, &asked.network, loading)
}

/// What the weights of every stage take.
pub fn load(asked: &InferenceJob, options: &Options) -> Vec<Weights> {
    let settings = Settings::of(asked, options);
    let mut left_out = asked.weights.left_out.clone();
    if settings.backend == Backend::TensorRt && is_weight_only(asked.weights.format) {
        left_out.extend(PROJECTIONS.iter().map(|name| (*name).to_owned()));
    }
    let Some(mut job) = job(asked, options, settings.length) else {
        return Vec::new();
    };
    job.left_out = &left_out;
    all_weights(&job)
}

/// Projections of latent attention that a built engine keeps in the compute type where weights alone are quantised: "fused_a",
/// "q_b_proj" and "kv_b_proj" are converted as they are (NVIDIA/TensorRT-LLM @130232d `tensorrt_llm/models/deepseek_v2/convert.py`
/// load_weights_from_hf_model).
const PROJECTIONS: [&str; 4] = ["q_a_proj", "kv_a_proj_with_mqa", "q_b_proj", "kv_b_proj"];

const fn is_weight_only(format: WeightFormat) -> bool {
    matches!(
        format,
        WeightFormat::Compressed { .. } | WeightFormat::Int8Channel
    )
}

/// Products of queries' and keys' projections of the layers at `range`, kept beside both in the compute type (the same file:
/// "fused_q_proj").
fn fused_queries(asked: &InferenceJob, range: std::ops::Range<usize>) -> Bytes {
    let network = &asked.network;
    let kinds = network.order.get(range).unwrap_or_default();
    let each = kinds
        .iter()
        .filter_map(|kind| match &network.kinds.get(*kind)?.mixer {
            Mixer::Latent(latent) => {
                let heads = latent.heads / asked.tensor.max(1);
                let width = latent.kv_rank.saturating_add(latent.rope_dim);
                let queries = latent.query_rank.unwrap_or(network.hidden_size);
                Some(heads.saturating_mul(width).saturating_mul(queries))
            }
            _ => None,
        });
    let elements = each.fold(0, u64::saturating_add);
    Bytes::new(elements.saturating_mul((asked.compute.bits() / 8).max(1)))
}

/// A start with weights that are known.
pub fn start(asked: &InferenceJob, options: &Options, loaded: &[Weights]) -> Start {
    let mut found = budget(asked, options, loaded);
    found.log = log::lines(asked, &found);
    found
}

/// The same without the lines of its log.
pub fn budget(asked: &InferenceJob, options: &Options, loaded: &[Weights]) -> Start {
    let settings = Settings::of(asked, options);
    let sizes = stages(asked.network.order.len(), asked.pipeline);
    let count = sizes.len();
    let mut from = 0;
    let mut tightest: Option<Start> = None;
    for (place, size) in sizes.into_iter().enumerate() {
        let range = from..from + size;
        from += size;
        let weights = loaded.get(place).copied().unwrap_or_default();
        let ends = (place == 0, place + 1 == count);
        let stage = stage(asked, options, settings, range, weights, ends);
        if tightest
            .as_ref()
            .is_none_or(|other| (stage.blocks[1], stage.free[1]) < (other.blocks[1], other.free[1]))
        {
            tightest = Some(stage);
        }
    }
    tightest.unwrap_or_else(|| stage(asked, options, settings, 0..0, Weights::default(), (true, true)))
}

/// What an engine that TensorRT built holds beside a rank's tensors: the embedding is whole on every rank
/// (`use_parallel_embedding` is off by default), and a head that the model ties is a second tensor.
fn engine_extras(network: &Network, asked: &InferenceJob, (first, last): (bool, bool)) -> [Bytes; 2] {
    let width = (asked.compute.bits() / 8).max(1);
    let table = padded_vocabulary(network.vocabulary)
        .saturating_mul(network.hidden_size)
        .saturating_mul(width);
    let ranks = asked.tensor.max(1);
    let whole = if first {
        table.saturating_sub(table / ranks)
    } else {
        0
    };
    let head = if last && first && network.head.tied {
        table / ranks
    } else {
        0
    };
    [Bytes::new(whole), Bytes::new(head)]
}

fn weights(
    asked: &InferenceJob,
    settings: Settings,
    range: std::ops::Range<usize>,
    loaded: Weights,
    ends: (bool, bool),
) -> Interval {
    match settings.backend {
        // Tables of rotary embeddings are made beside what is loaded (trt-020).
        Backend::PyTorch => Interval::new(
            loaded.allocated.saturating_sub(loaded.rotary),
            loaded.reserved.saturating_sub(loaded.rotary),
            loaded.reserved + Bytes::from_gib(0.2),
        ),
        // The file has the tensors without tails and no rotary tables.
        Backend::TensorRt => {
            let tensors = loaded.raw.saturating_sub(loaded.rotary + loaded.latent_copies);
            let [embedding, head] = engine_extras(&asked.network, asked, ends);
            // A tied head is shared where that is asked for (`use_embedding_sharing`; trt-023).
            let shared = tensors + embedding + fused_queries(asked, range);
            let expected = shared + head;
            Interval::new(shared.scaled(0.99), expected, expected.scaled(1.02))
        }
    }
}

fn stage(
    asked: &InferenceJob,
    options: &Options,
    settings: Settings,
    range: std::ops::Range<usize>,
    loaded: Weights,
    ends: (bool, bool),
) -> Start {
    let weights = weights(asked, settings, range.clone(), loaded, ends);
    let activations = activations(asked, options, settings);
    let (runtime, decoder) = buffers(asked, settings);
    let outside = outside(asked);
    let graphs = match (settings.backend, options.eager) {
        // Captured after the pool is made; no published capture.
        (Backend::PyTorch, false) => gib(0.1, 0.6, 2.0),
        _ => Interval::default(),
    };
    let cell = cell(asked, range);
    let taken = weights + activations + runtime + decoder + outside;
    let usable = asked.device.usable;
    let free = [taken.high, taken.expected, taken.low].map(|taken| usable.saturating_sub(taken));
    let mut found = Start {
        settings,
        weights,
        activations,
        runtime,
        decoder,
        outside,
        graphs,
        cell,
        state: state(asked),
        free,
        blocks: free.map(|free| match cell {
            // States alone: requests are bounded by the batch.
            0 => settings
                .batch
                .saturating_mul(settings.length.div_ceil(settings.block)),
            cell => blocks(free, settings.fraction, cell, settings.block, options.most_tokens),
        }),
        failure: None,
        log: Vec::new(),
    };
    found.failure = if found.free[1] == Bytes::ZERO {
        Some(Failure::OutOfMemory)
    } else if found.blocks[1] == 0 {
        Some(Failure::NoBlocks)
    } else {
        None
    };
    found
}

fn state(asked: &InferenceJob) -> u64 {
    asked
        .network
        .layers()
        .map(|layer| super::super::super::cache::layer_cache(layer, asked.tensor).state_bytes(asked.compute))
        .fold(0, u64::saturating_add)
}

fn gib(low: f64, expected: f64, high: f64) -> Interval {
    Interval::new(
        Bytes::from_gib(low),
        Bytes::from_gib(expected),
        Bytes::from_gib(high),
    )
}

/// The context with libraries and kernels: 0.26 GiB beside a small engine (trt-026), 0.76 beside an engine of 7B (trt-001),
/// 1.7 under PyTorch (trt-024); communicators beside it.
fn outside(asked: &InferenceJob) -> Interval {
    match asked.tensor.saturating_mul(asked.pipeline) {
        0 | 1 => gib(0.25, 0.75, 1.8),
        _ => gib(0.4, 1.3, 3.0),
    }
}

/// One layer's working set for the tokens of a pass, which all layers use in turn, and the logits of the batch. Padded prompts
/// also have the scores of a layer, in fp32 and in 16 bits, since attention is not fused there. Derived, not read: half to
/// twice of it is stated (published engines: 0.6 to 1.6 times).
fn activations(asked: &InferenceJob, options: &Options, settings: Settings) -> Interval {
    let Some(job) = job(asked, options, settings.length) else {
        return Interval::default();
    };
    let width = (asked.compute.bits() / 8).max(1);
    let plain = Plain {
        batched_tokens: settings.tokens,
        sequences: 1,
        sampler: SamplerKernel::FlashInfer,
        ..Plain::of(&job)
    };
    let layer = profile(&job, &plain, true).forward;
    let rows = match settings.backend {
        Backend::TensorRt => settings.batch.min(settings.tokens),
        // Dummy requests of the longest length that is known fill a pass.
        Backend::PyTorch => options
            .length
            .or(asked.network.max_positions)
            .map_or(1, |length| settings.tokens.div_ceil(length.max(1))),
    };
    let logits = rows
        .saturating_mul(padded_vocabulary(asked.network.vocabulary) / asked.tensor.max(1))
        .saturating_mul(width);
    let scores = if settings.packed {
        0
    } else {
        scores(asked, settings)
    };
    let expected = layer + Bytes::new(logits.saturating_add(scores));
    Interval::new(
        expected.scaled(0.5),
        expected,
        expected.scaled(2.0) + Bytes::from_mib(64),
    )
}

fn scores(asked: &InferenceJob, settings: Settings) -> u64 {
    let heads = asked.network.kinds.iter().map(|layer| match &layer.mixer {
        Mixer::Attention(attention) => attention.heads,
        Mixer::Latent(latent) => latent.heads,
        _ => 0,
    });
    heads
        .max()
        .unwrap_or(0)
        .div_ceil(asked.tensor.max(1))
        .saturating_mul(settings.batch)
        .saturating_mul(settings.input)
        .saturating_mul(settings.input)
        .saturating_mul(4 + (asked.compute.bits() / 8).max(1))
}

/// Buffers per request of an engine that TensorRT built. Decoder: fp32 logits, probabilities, and the sort of top-p with its
/// values and two lists of indices, 20 bytes per logit (trt-025: 19.9). Runtime: fp32 logits and three tables of positions
/// (trt-001: 43.29 MiB at 256 requests of 4,096; trt-025 holds 1.4 times as much). The PyTorch backend keeps them inside its
/// peak.
fn buffers(asked: &InferenceJob, settings: Settings) -> (Interval, Interval) {
    if settings.backend == Backend::PyTorch {
        return (Interval::default(), Interval::default());
    }
    let rows = settings.batch.saturating_mul(settings.beams);
    let logits = rows.saturating_mul(asked.network.vocabulary);
    let table = rows.saturating_mul(settings.length).saturating_mul(4);
    let runtime = Bytes::new(logits.saturating_mul(4).saturating_add(table.saturating_mul(3)));
    let decoder = Bytes::new(logits.saturating_mul(20));
    (
        Interval::new(runtime.scaled(0.5), runtime, runtime.scaled(2.0)),
        Interval::new(decoder.scaled(0.6), decoder, decoder.scaled(1.5)),
    )
}
