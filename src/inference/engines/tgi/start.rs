//! A start of TGI: weights, a warm-up prefill with a small cache, what is free after it, blocks, graphs
//! (huggingface/text-generation-inference `server/text_generation_server/models/flash_causal_lm.py` warmup;
//! `models/globals.py`; `launcher/src/main.rs`).
//!
//!   up to 2.4:  free' = w (free - (1 - m) total)      from 3.0:  free' = free - (1 - m w) total
//!   tokens = (blocks of free' + blocks of the warm-up) x block
//!
//! The warm-up asks for requests of the longest prompt until the tokens of a prefill are reached. The allocator's cache is not
//! emptied before the reading, so every segment that the prefill took counts as used.

use super::super::super::job::{CacheType, InferenceJob};
use super::super::super::vllm::profile::profile;
use super::super::super::vllm::tensors::{Weights, all_weights, padded_vocabulary, stages};
use super::super::super::vllm::{Job, SamplerKernel, Settings as Plain};
use super::super::super::weights::WeightFormat;
use super::super::loaded::{self, Loading};
use super::release::{Logits, Prefill};
use super::{Kernel, Options, log};
use crate::memory::Interval;
use crate::model::{FeedForward, Mixer, Network};
use crate::units::Bytes;

/// The arguments after defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// `max_input_tokens`.
    pub input: u64,
    /// `max_total_tokens`.
    pub length: u64,
    /// `max_batch_prefill_tokens`.
    pub prefill: u64,
    /// `CUDA_MEMORY_FRACTION`.
    pub fraction: f64,
    /// The margin (`TGI_WIGGLE_ROOM`).
    pub wiggle: f64,
    /// Tokens of a block.
    pub block: u64,
    /// Tokens of the blocks that the requests of the warm-up hold.
    pub warm: u64,
    /// The kernels of attention.
    pub kernel: Kernel,
}

impl Settings {
    /// The defaults of the release for what was not given.
    pub fn of(asked: &InferenceJob, options: &Options) -> Self {
        let release = options.release;
        let positions = asked.network.max_positions.unwrap_or(4096);
        let usual = match release.prefill {
            Prefill::Card => positions,
            Prefill::Input => positions.min(4096),
            Prefill::Fixed => 2048,
        };
        let length = options.length.unwrap_or(usual.max(asked.length()));
        let most = length.saturating_sub(1).max(1);
        let input = options.input.unwrap_or(match release.prefill {
            Prefill::Fixed => asked.prompt.max(1024).min(most),
            _ => most,
        });
        let kernel = options
            .kernel
            .unwrap_or(match (release.kernels, asked.device.capability) {
                (true, 80..) if asked.device.nvidia => Kernel::FlashInfer,
                _ => Kernel::Paged,
            });
        let prefill = options.prefill.unwrap_or(match release.prefill {
            Prefill::Fixed => 4096,
            Prefill::Input => input.saturating_add(50),
            Prefill::Card => afforded(asked, positions),
        });
        let block = options.block.unwrap_or(match kernel {
            Kernel::Paged => 16,
            Kernel::FlashDecoding => 256,
            Kernel::FlashInfer => 1,
        });
        // From 3.0 on limits that nobody set leave a single request with all tokens.
        let open = release.prefill == Prefill::Card && options.input.is_none();
        let room = match (open && options.length.is_none(), release.reserves) {
            (true, _) => (0, 0),
            (_, true) => (most, 0),
            (_, false) => (0, 1),
        };
        let prompt = if open { prefill } else { input };
        Self {
            input,
            length,
            prefill: prefill.max(1),
            fraction: options.fraction.unwrap_or(1.0),
            wiggle: options.wiggle.unwrap_or(release.wiggle),
            block,
            warm: reserved(prefill.max(1), prompt.max(1), room, block),
            kernel,
        }
    }
}

/// Tokens of the blocks that the warm-up's requests hold: prompts of `input` tokens until `prefill` is reached, the last one
/// cut, each with room for so many tokens at least, or for so many more than its prompt.
fn reserved(prefill: u64, input: u64, (most, more): (u64, u64), block: u64) -> u64 {
    let held = |prompt: u64| {
        let tokens = prompt.saturating_add(more).max(most);
        tokens.div_ceil(block.max(1)).saturating_mul(block)
    };
    let rest = prefill % input;
    (prefill / input)
        .saturating_mul(held(input))
        .saturating_add(if rest > 0 { held(rest) } else { 0 })
}

/// TFLOP/s that the launcher knows a card by; 4096 tokens where it does not.
const RATES: [(&str, f64); 8] = [
    ("h100", 900.0),
    ("h200", 900.0),
    ("a100", 312.0),
    ("l40s", 363.0),
    ("a10g", 125.0),
    ("l4", 121.0),
    ("4090", 82.0),
    ("t4", 65.0),
];

/// Tokens of a prefill where the launcher does not know the card: more for models whose images need them.
fn unknown_card(network: &Network) -> u64 {
    let kind = network.model_type.as_str();
    match network.towers.is_empty() {
        false if kind.starts_with("gemma3") => 8000,
        false if kind.starts_with("qwen2_vl") || kind.starts_with("qwen2_5_vl") => 10_000,
        _ => 4096,
    }
}

/// Tokens of a prefill that a card affords: those of a second of its arithmetic, no more than the model's positions or what
/// its memory holds beside weights (`launcher/src/main.rs`).
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn afforded(asked: &InferenceJob, positions: u64) -> u64 {
    let name = asked.device.name.to_lowercase();
    let Some((_, rate)) = RATES.iter().find(|(part, _)| name.contains(part)) else {
        return positions.min(unknown_card(&asked.network));
    };
    let shards = asked.tensor.max(1) as f64;
    let by_rate = rate * 1e12 * shards / operations(&asked.network).max(1.0);
    let weights = asked.network.total_parameters().get() as f64 * 2.0;
    let card = asked.device.total.expected.get() as f64 * shards;
    let inner = inner(&asked.network);
    let per_token = cell(asked, 0..asked.network.order.len()) as f64 * shards + 9.0 * inner as f64;
    let by_memory = (card - weights).max(0.0) / per_token.max(1.0);
    (by_rate.min(by_memory).min(positions as f64) as u64).max(1)
}

/// Operations of a token as the launcher counts them.
fn operations(network: &Network) -> f64 {
    let hidden = network.hidden_size as f64;
    let each = network.layers().map(|layer| {
        let attention = match &layer.mixer {
            Mixer::Attention(attention) => {
                let width = attention.head_dim as f64 * hidden;
                width * (6.0 * attention.heads as f64 + 4.0 * attention.kv_heads as f64)
            }
            _ => 0.0,
        };
        let (width, active) = match &layer.feed_forward {
            FeedForward::Moe(moe) => (moe.width, moe.top_k),
            FeedForward::Dense(dense) => (dense.width, 1),
            _ => (0, 0),
        };
        attention + 6.0 * hidden * width as f64 * active as f64
    });
    each.sum()
}

fn inner(network: &Network) -> u64 {
    let widths = network.kinds.iter().map(|layer| match &layer.feed_forward {
        FeedForward::Moe(moe) => moe.width.saturating_mul(moe.experts),
        FeedForward::Dense(dense) => dense.width,
        _ => 0,
    });
    widths.max().unwrap_or(0)
}

/// Why it does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The weights do not fit.
    OutOfMemory,
    /// The prefill of the warm-up does not fit.
    Warmup,
    /// The pool is smaller than the limit that was given, or than one request.
    TooSmall,
}

/// What the tightest stage holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The arguments after defaults.
    pub settings: Settings,
    /// Weights.
    pub weights: Interval,
    /// The peak of the warm-up's prefill, and what decoding needs of it later.
    pub activations: Interval,
    /// The context, kernels and communicators.
    pub outside: Interval,
    /// Graphs, captured outside the pool.
    pub graphs: Interval,
    /// Bytes of a token on this rank.
    pub cell: u64,
    /// Bytes of one sequence's states.
    pub state: u64,
    /// Tokens of the pool: low, expected, high.
    pub tokens: [u64; 3],
    /// Why it does not start.
    pub failure: Option<Failure>,
    /// The log's lines on memory; the last one is the error where it does not start.
    pub log: Vec<String>,
}

/// Tokens of the ten blocks beside a limit that is given, up to 0.9.2.
pub const SPARE: u64 = 160;

/// Bytes per token of the layers at `range`; windows do not shrink the pool.
pub fn cell(asked: &InferenceJob, range: std::ops::Range<usize>) -> u64 {
    let network = &asked.network;
    let kinds = network.order.get(range).unwrap_or_default();
    let elements = kinds
        .iter()
        .filter_map(|kind| network.kinds.get(*kind))
        .map(|layer| super::super::super::cache::layer_cache(layer, asked.tensor).per_token())
        .fold(0, u64::saturating_add);
    elements.saturating_mul(match asked.cache {
        CacheType::Fp8 => 1,
        _ => (asked.compute.bits() / 8).max(1),
    })
}

/// Tokens of a pool from what is free after the warm-up.
pub fn tokens(settings: &Settings, of_card: bool, free: Bytes, total: Bytes, cell: u64) -> u64 {
    let left = match of_card {
        false => {
            let kept = total.scaled(1.0 - settings.fraction);
            free.saturating_sub(kept).scaled(settings.wiggle)
        }
        true => free.saturating_sub(total.scaled(1.0 - settings.fraction * settings.wiggle)),
    };
    let block_bytes = cell.saturating_mul(settings.block).max(1);
    (left.get() / block_bytes)
        .saturating_mul(settings.block)
        .saturating_add(settings.warm)
}

fn job<'a>(asked: &'a InferenceJob, positions: u64) -> Option<Job<'a>> {
    let loading = Loading {
        positions,
        ..Loading::default()
    };
    loaded::start(asked, &asked.network, loading)
}

/// What the weights of every stage take.
pub fn load(asked: &InferenceJob, options: &Options) -> Vec<Weights> {
    let settings = Settings::of(asked, options);
    job(asked, settings.length)
        .map(|job| all_weights(&job))
        .unwrap_or_default()
}

/// A start with weights that are known.
pub fn start(asked: &InferenceJob, options: &Options, loaded: &[Weights]) -> Start {
    let mut found = budget(asked, options, loaded);
    found.log = log::lines(&found);
    found
}

/// The same without the lines of its log. TGI has no pipeline: the first stage is all of it.
pub fn budget(asked: &InferenceJob, options: &Options, loaded: &[Weights]) -> Start {
    let settings = Settings::of(asked, options);
    let size: usize = stages(asked.network.order.len(), 1).iter().sum();
    let parts = loaded.first().copied().unwrap_or_default();
    let weights = Interval::new(
        parts.allocated,
        parts.reserved,
        parts.reserved + Bytes::from_gib(0.2),
    );
    let activations = activations(asked, settings, options.release.logits);
    let outside = outside(asked) + Interval::exact(workspace(settings.kernel));
    let cell = cell(asked, 0..size);
    let warm = Bytes::new(cell) * settings.warm;
    let taken = weights + activations + outside;
    let usable = asked.device.usable;
    let total = asked.device.total;
    let pool = |taken: Bytes, total: Bytes| {
        if taken + warm > usable {
            return 0;
        }
        let free = usable.saturating_sub(taken + warm);
        let found = tokens(&settings, options.release.of_card, free, total, cell);
        let found = match (cell, options.release.inferred) {
            // States alone: tokens cost nothing.
            (0, _) => u64::from(u32::MAX),
            // The limit that was given; ten blocks more are allocated.
            (_, false) => options.most_tokens.unwrap_or(16_000),
            _ => found,
        };
        options
            .most_tokens
            .map_or(found, |most| match options.release.inferred {
                true => found.min(most),
                false => found,
            })
    };
    let mut found = Start {
        settings,
        weights,
        activations,
        outside,
        graphs: match options.eager {
            true => Interval::default(),
            false => gib(0.3, 0.7, 1.5),
        },
        cell,
        state: state(asked),
        tokens: [
            pool(taken.high, total.high),
            pool(taken.expected, total.expected),
            pool(taken.low, total.low),
        ],
        failure: None,
        log: Vec::new(),
    };
    // From 3.0 on a request that is longer than the pool is not a limit that anybody set.
    let request = match (options.length, options.release.prefill) {
        (None, Prefill::Card) => asked.length(),
        _ => settings.length,
    };
    let room = usable.scaled(settings.fraction.min(1.0));
    let pool = Bytes::new(cell.saturating_mul(options.most_tokens.unwrap_or(16_000).saturating_add(SPARE)));
    found.failure = if weights.expected + outside.low > room {
        Some(Failure::OutOfMemory)
    } else if weights.expected + outside.low + activations.low + warm > room {
        Some(Failure::Warmup)
    } else if !options.release.inferred && weights.expected + outside.low + pool > room
        || found.tokens[2] < request.max(options.most_tokens.unwrap_or(0)) && options.release.inferred
    {
        Some(Failure::TooSmall)
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

/// The workspace that all states of FlashInfer share, and 8 MiB of whole numbers for each of the three before the graphs
/// (`layers/attention/flashinfer.py` get_workspace; `flash_causal_lm.py` FlashCausalLM; flashinfer `decode.py`, `prefill.py`).
const fn workspace(kernel: Kernel) -> Bytes {
    match kernel {
        Kernel::FlashInfer => Bytes::from_mib(128 + 3 * 8),
        Kernel::Paged | Kernel::FlashDecoding => Bytes::ZERO,
    }
}

/// The context with kernels, and NCCL: 0.4 to 0.7 GiB beside a pool on an RTX 3090 (tgi-018, tgi-019). At most 1.8 where every
/// kernel of torch, cuBLAS and TGI is loaded at once: drivers before 535 (CUDA 12.2) do so unless told otherwise when they start
/// (CUDA programming guide, lazy loading, change history), and TGI starts the driver by `torch.cuda.is_available()`
/// (`utils/import_utils.py`) before torch asks for lazy loading (`torch/cuda/__init__.py` _lazy_init). So ran tgi-005, on driver
/// 525.85: 19,882 MiB less 15,316 of weights, 2,382 of the pool and 0.3 GiB of graphs.
fn outside(asked: &InferenceJob) -> Interval {
    match asked.tensor {
        0 | 1 => gib(0.4, 0.7, 1.8),
        _ => gib(0.6, 1.2, 2.2),
    }
}

/// Tensors of a prefill as wide as the residual stream that are alive beside a layer's inner ones: the embeddings, what the
/// layer got, what its norms made of it, and the attention's output; names of the caller keep them (`FlashLlamaModel.forward`,
/// `FlashLlamaLayer.forward` in `custom_modeling/flash_llama_modeling.py`).
const RESIDUALS: u64 = 8;
/// Parts over which AWQ's kernel adds up: it makes an output of its own for each (`layers/awq/quantize/qmodule.py` WQLinear).
const SPLITS: u64 = 8;

/// What is alive of a prefill at most in one layer: beside the residual stream gate and up in one, the gate's activation and
/// the product (`LlamaMLP.forward`, which fuses none of them).
fn layer(asked: &InferenceJob, job: &Job<'_>, settings: Settings, width: u64) -> Bytes {
    let plain = Plain {
        batched_tokens: settings.prefill,
        sequences: 1,
        sampler: SamplerKernel::FlashInfer,
        ..Plain::of(job)
    };
    let network = &asked.network;
    let tokens = settings.prefill.saturating_mul(width);
    let residual = network.hidden_size.saturating_mul(RESIDUALS);
    let dense = network
        .kinds
        .iter()
        .filter_map(|layer| match &layer.feed_forward {
            FeedForward::Dense(dense) if dense.gated => Some(dense.width.div_ceil(asked.tensor.max(1))),
            _ => None,
        });
    let widest = dense.max().unwrap_or(0);
    let inner = match asked.weights.format {
        WeightFormat::Awq { .. } => widest.saturating_mul(2 * (SPLITS + 1)),
        _ => widest.saturating_mul(4),
    };
    let known = Bytes::new(residual.saturating_add(inner)) * tokens;
    // Experts run in the same fused kernels as elsewhere.
    let fused = profile(job, &plain, true).forward
        + Bytes::new(network.hidden_size.saturating_mul(RESIDUALS - 3)) * tokens;
    known.max(fused)
}

/// Scores of a vision tower for the one image of the warm-up, their softmax in fp32 and what is made of it: towers of a fixed
/// size of image attend without a fused kernel (`custom_modeling/siglip.py`, `clip.py`).
fn encoder(asked: &InferenceJob, width: u64) -> Bytes {
    let towers = asked.network.towers.iter().filter_map(|tower| {
        let vision = tower.vision.as_ref()?;
        let rows = vision.side? / vision.patch.max(1);
        let patches = rows.saturating_mul(rows);
        let heads = vision.heads.div_ceil(asked.tensor.max(1));
        Some(Bytes::new(heads.saturating_mul(patches).saturating_mul(2 * width + 4)) * patches)
    });
    towers.max().unwrap_or_default()
}

/// The segments that a prefill leaves: one layer's working set, and the logits with what is made of them, which no segment of
/// a layer is large enough for. Shards gather the logits of their rows into whole ones (`layers/tensor_parallel.py`
/// TensorParallelHead). At least the larger of both; at most segments of a layer of which a quarter fits no tensor, the
/// largest matrix where a format is unpacked to multiply, and those of an encoder.
fn activations(asked: &InferenceJob, settings: Settings, kept: Logits) -> Interval {
    let Some(job) = job(asked, settings.length) else {
        return Interval::default();
    };
    let width = (asked.compute.bits() / 8).max(1);
    let layer = layer(asked, &job, settings, width);
    let copy = Bytes::new(padded_vocabulary(asked.network.vocabulary).saturating_mul(width));
    let tokens = match kept {
        Logits::Last => settings.prefill.div_ceil(settings.input.max(1)),
        Logits::Copied | Logits::InPlace => settings.prefill,
    };
    let whole = copy * tokens;
    let own = match asked.tensor {
        0 | 1 => Bytes::ZERO,
        shards => whole.scaled(1.0 / shards as f64),
    };
    let softmax = match kept {
        Logits::InPlace => Bytes::ZERO,
        Logits::Copied | Logits::Last => whole,
    };
    let logits = whole + own + softmax;
    let unpacked = match asked.weights.format {
        WeightFormat::Plain | WeightFormat::Awq { .. } => Bytes::ZERO,
        _ => Bytes::new(
            inner(&asked.network)
                .saturating_mul(asked.network.hidden_size)
                .saturating_mul(2 * width)
                / asked.tensor.max(1),
        ),
    };
    let most = layer.scaled(1.25) + logits + unpacked + encoder(asked, width);
    Interval::new(layer.max(logits), layer + logits, most)
}
