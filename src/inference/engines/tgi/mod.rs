//! Text Generation Inference as an engine of the page: a question becomes a start on paper, the start an estimate with the
//! cache of the asked sequences, and the largest questions that it would take.

mod log;
pub mod release;
pub mod start;
#[cfg(test)]
mod tests;

use super::super::capacity::Capacity;
use super::super::estimate::{Estimate, KvPool, Part, PartId};
use super::super::job::InferenceJob;
use super::super::vllm::tensors::Weights;
use super::pooled::{self, held_tokens};
use super::rows::{ALWAYS, PREFILL, Row, ledger};
use crate::memory::meters::Fit;
use crate::memory::{Group, Interval, Ledger, Symbol};
use crate::units::Bytes;
use release::Release;
use start::{SPARE, Settings, Start, budget, load, start};

/// The kernels of attention, which decide the tokens of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Paged attention: blocks of 16.
    Paged,
    /// Flash-decoding: blocks of 256.
    FlashDecoding,
    /// FlashInfer: single tokens.
    FlashInfer,
}

/// What only this engine reads; `None` is the release's default.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The release.
    pub release: &'static Release,
    /// `CUDA_MEMORY_FRACTION`.
    pub fraction: Option<f64>,
    /// `TGI_WIGGLE_ROOM`.
    pub wiggle: Option<f64>,
    /// `max_batch_prefill_tokens`.
    pub prefill: Option<u64>,
    /// `max_input_tokens`.
    pub input: Option<u64>,
    /// `max_total_tokens`.
    pub length: Option<u64>,
    /// `max_batch_total_tokens`.
    pub most_tokens: Option<u64>,
    /// Tokens of a block.
    pub block: Option<u64>,
    /// The kernels of attention.
    pub kernel: Option<Kernel>,
    /// Whether nothing is captured.
    pub eager: bool,
}

impl Options {
    /// Nothing given.
    pub const fn new(release: &'static Release) -> Self {
        Self {
            release,
            fraction: None,
            wiggle: None,
            prefill: None,
            input: None,
            length: None,
            most_tokens: None,
            block: None,
            kernel: None,
            eager: false,
        }
    }
}

/// Tokens in whole blocks that the asked sequences hold; prefixes are shared with the kernels that know them.
fn wanted(asked: &InferenceJob, found: &Start) -> u64 {
    let shared = match found.settings.kernel {
        Kernel::Paged => 0,
        Kernel::FlashDecoding | Kernel::FlashInfer => asked.shared_prefix,
    };
    held_tokens(asked.length(), shared, asked.sequences, found.settings.block)
}

fn verdict(asked: &InferenceJob, wanted: u64, found: &Start) -> Fit {
    let settings = &found.settings;
    // A failure is stated for the low end of the need only.
    let runs = asked.length() <= settings.length && asked.prompt <= settings.input && found.failure.is_none();
    pooled::verdict(found.tokens, wanted, runs, true)
}

fn reason(asked: &InferenceJob, wanted: u64, found: &Start, fit: Fit) -> Option<String> {
    if found.failure.is_some() {
        return found.log.last().cloned();
    }
    if fit != Fit::DoesNotFit {
        return None;
    }
    let settings = &found.settings;
    let [_, tokens, _] = found.tokens;
    Some(
        if asked.length() > settings.length || asked.prompt > settings.input {
            format!(
                "The limits are {} tokens for a prompt and {} for a request: {} and {} are refused.",
                settings.input,
                settings.length,
                asked.prompt,
                asked.length()
            )
        } else {
            format!("The pool has {tokens} tokens, the sequences need {wanted}: some of them wait.")
        },
    )
}

/// What the fullest GPU holds.
pub fn evaluate(asked: &InferenceJob, options: &Options) -> Estimate {
    let loaded = load(asked, options);
    let found = start(asked, options, &loaded);
    let want = wanted(asked, &found);
    let fit = verdict(asked, want, &found);
    let parts = parts(asked, &found, want);
    let need = Part::sum(&parts);
    let torch = Part::sum(parts.get(..4).unwrap_or_default());
    let spare = if options.release.inferred { 0 } else { SPARE };
    let [low, expected, high] = found
        .tokens
        .map(|tokens| Bytes::new(found.cell) * tokens.saturating_add(spare));
    let fixed = found.weights + found.outside + found.graphs;
    let device = match found.failure {
        None => {
            let whole = fixed + Interval::exact(expected);
            Interval::new(whole.low, whole.expected, whole.high + found.activations.high)
        }
        Some(_) => need,
    };
    let each = held_tokens(asked.length(), 0, 1, found.settings.block);
    let [_, tokens, _] = found.tokens;
    Estimate {
        ledger: rows(asked, &found, want),
        devices: Vec::new(),
        allocated: torch,
        reserved: Interval::new(torch.low, torch.expected, torch.high + expected),
        device,
        parts,
        need,
        budget: asked.device.usable,
        pool: Some(KvPool {
            bytes: Interval::new(low, expected, high),
            tokens,
            max_concurrency: tokens as f64 / each.max(1) as f64,
        }),
        fit,
        failure: reason(asked, want, &found, fit),
        start_up: found.log.clone(),
        // Thirteen published starts stand behind it, most of them with defaults.
        unvalidated: true,
        loaded,
    }
}

fn parts(asked: &InferenceJob, found: &Start, want: u64) -> Vec<Part> {
    vec![
        Part::new(
            PartId::Weights,
            found.weights,
            "text-generation-inference layers; tensors by format and rank",
        ),
        Part::new(
            PartId::KvCache,
            Interval::exact(Bytes::new(found.cell) * want),
            "server/text_generation_server/models/flash_causal_lm.py",
        ),
        Part::new(
            PartId::State,
            Interval::exact(Bytes::new(found.state) * asked.sequences),
            "states of recurrent layers, not read in this engine",
        ),
        Part::new(
            PartId::Activations,
            found.activations,
            "the warm-up's prefill: segments of one layer and of the logits (flash_causal_lm.py generate_token)",
        ),
        Part::new(
            PartId::Graphs,
            found.graphs,
            "six batch sizes, outside the pool; believed",
        ),
        Part::new(
            PartId::Context,
            found.outside,
            "monitor readings less weights and pool (tests/measured/serving.jsonl)",
        ),
    ]
}

fn rows(asked: &InferenceJob, found: &Start, want: u64) -> Ledger {
    let settings = &found.settings;
    let rows = vec![
        Row::new(
            "weights",
            "weights of one rank",
            Group::ModelParams,
            found.weights.expected,
            ALWAYS,
            "tensors fused, divided and padded, in segments of the allocator",
            Vec::new(),
        ),
        Row::blocks(Bytes::new(found.cell) * want, want, settings.block),
        Row::states(Bytes::new(found.state) * asked.sequences),
        Row::new(
            "activations.prefill",
            "a prefill of the most tokens",
            Group::Activations,
            found.activations.expected,
            PREFILL,
            "segments of one layer for P tokens, and of logits",
            vec![
                Symbol::new("P", "tokens of a prefill", settings.prefill),
                Symbol::new("V", "vocabulary", asked.network.vocabulary),
                Symbol::new("b", "bytes of an activation", (asked.compute.bits() / 8).max(1)),
            ],
        ),
    ];
    ledger(
        rows,
        asked.compute,
        "huggingface/text-generation-inference v0.9.2 to v3.3.0, flash_causal_lm.py",
    )
}

/// Capacity both ways.
pub fn capacity(
    asked: &InferenceJob,
    options: &Options,
    loaded: &[Weights],
    limit: Option<u64>,
    shardable: impl Fn(u64) -> bool,
) -> Capacity {
    pooled::capacity(
        asked,
        loaded,
        options.length.or(limit),
        shardable,
        1 << 20,
        |trial| load(trial, options),
        |trial, loaded| {
            let found = budget(trial, options, loaded);
            verdict(trial, wanted(trial, &found), &found)
        },
    )
}

/// Limits that follow from the first card, given outright: every shard has them.
#[must_use]
pub fn settled(asked: &InferenceJob, options: &Options) -> Options {
    let settings = Settings::of(asked, options);
    Options {
        prefill: Some(settings.prefill),
        kernel: Some(settings.kernel),
        ..options.clone()
    }
}
