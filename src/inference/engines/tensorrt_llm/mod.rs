//! TensorRT-LLM as an engine of the page, with the backend of a built engine and that of PyTorch: a question becomes a start
//! on paper, the start an estimate with the cache of the asked sequences, and the largest questions that it would take.

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
use start::{Settings, Start, budget, load, start};

/// Who runs the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// An engine that TensorRT built, whose limits are frozen.
    TensorRt,
    /// PyTorch modules.
    PyTorch,
}

/// What only this engine reads; `None` is the release's default.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The release.
    pub release: &'static Release,
    /// The backend.
    pub backend: Option<Backend>,
    /// `free_gpu_memory_fraction`.
    pub fraction: Option<f64>,
    /// `tokens_per_block`.
    pub block: Option<u64>,
    /// `max_batch_size`.
    pub batch: Option<u64>,
    /// `max_input_len`.
    pub input: Option<u64>,
    /// `max_seq_len`.
    pub length: Option<u64>,
    /// `max_num_tokens`.
    pub tokens: Option<u64>,
    /// `max_tokens` of the cache.
    pub most_tokens: Option<u64>,
    /// `max_beam_width`.
    pub beams: u64,
    /// `remove_input_padding`.
    pub packed: bool,
    /// `enable_block_reuse`.
    pub reuse: bool,
    /// Whether nothing is captured.
    pub eager: bool,
    /// Whole experts on each rank.
    pub experts: bool,
}

impl Options {
    /// Nothing given.
    pub const fn new(release: &'static Release) -> Self {
        Self {
            release,
            backend: None,
            fraction: None,
            block: None,
            batch: None,
            input: None,
            length: None,
            tokens: None,
            most_tokens: None,
            beams: 1,
            packed: true,
            reuse: true,
            eager: false,
            experts: false,
        }
    }
}

/// Tokens in whole blocks that the asked sequences hold: beams share the prompt and have answers of their own.
fn wanted(asked: &InferenceJob, options: &Options, found: &Start) -> u64 {
    let answers = asked.new_tokens.saturating_mul(found.settings.beams);
    let shared = if options.reuse { asked.shared_prefix } else { 0 };
    let each = asked.prompt.saturating_add(answers);
    held_tokens(
        each,
        shared.min(asked.prompt),
        asked.sequences,
        found.settings.block,
    )
}

fn verdict(asked: &InferenceJob, wanted: u64, found: &Start) -> Fit {
    let settings = &found.settings;
    let bound = match settings.backend {
        Backend::TensorRt => settings.input,
        Backend::PyTorch => settings.length,
    };
    let runs =
        asked.sequences <= settings.batch && asked.length() <= settings.length && asked.prompt <= bound;
    pooled::verdict(found.tokens(), wanted, runs, found.failure.is_none())
}

fn reason(asked: &InferenceJob, wanted: u64, found: &Start, fit: Fit) -> Option<String> {
    if found.failure.is_some() {
        return found.log.last().cloned();
    }
    if fit != Fit::DoesNotFit {
        return None;
    }
    let [_, tokens, _] = found.tokens();
    let settings = &found.settings;
    Some(
        if asked.length() > settings.length || asked.prompt > settings.input {
            format!(
                "The limits are {} tokens for a prompt and {} for a sequence: {} and {} are refused.",
                settings.input,
                settings.length,
                asked.prompt,
                asked.length()
            )
        } else if asked.sequences > found.settings.batch {
            format!(
                "max_batch_size is {}: of {} sequences the rest waits.",
                found.settings.batch, asked.sequences
            )
        } else {
            format!(
                "The pool has {tokens} tokens, the sequences need {wanted}: some of them wait or are paused."
            )
        },
    )
}

/// What the fullest GPU holds.
pub fn evaluate(asked: &InferenceJob, options: &Options) -> Estimate {
    let loaded = load(asked, options);
    let found = start(asked, options, &loaded);
    let want = wanted(asked, options, &found);
    let fit = verdict(asked, want, &found);
    let parts = parts(asked, &found, want);
    let need = Part::sum(&parts);
    let held = Part::sum(parts.get(..5).unwrap_or_default());
    let [low, expected, high] = found.pool();
    let [_, tokens, _] = found.tokens();
    let fixed =
        found.weights + found.activations + found.runtime + found.decoder + found.outside + found.graphs;
    let device = match found.failure {
        None => fixed + Interval::exact(expected),
        Some(_) => need,
    };
    let each = held_tokens(asked.length(), 0, 1, found.settings.block);
    let by_tokens = tokens as f64 / each.max(1) as f64;
    Estimate {
        ledger: rows(asked, &found, want),
        devices: Vec::new(),
        allocated: held,
        reserved: Interval::new(held.low, held.expected, held.high + expected),
        device,
        parts,
        need,
        budget: asked.device.usable,
        pool: Some(KvPool {
            bytes: Interval::new(low, expected, high),
            tokens,
            max_concurrency: by_tokens.min(found.settings.batch as f64),
        }),
        fit,
        failure: reason(asked, want, &found, fit),
        start_up: found.log.clone(),
        // Context memory and buffers are known after a build only.
        unvalidated: true,
        loaded,
    }
}

fn parts(asked: &InferenceJob, found: &Start, want: u64) -> Vec<Part> {
    vec![
        Part::new(
            PartId::Weights,
            found.weights,
            "TensorRT-LLM docs/source/reference/memory.md, weights; tensors by format and rank",
        ),
        Part::new(
            PartId::KvCache,
            Interval::exact(Bytes::new(found.cell) * want),
            "cpp/tensorrt_llm/batch_manager/kvCacheManager.cpp",
        ),
        Part::new(
            PartId::State,
            Interval::exact(Bytes::new(found.state) * asked.sequences),
            "states of recurrent layers, not read in this engine",
        ),
        Part::new(
            PartId::Activations,
            found.activations,
            "docs/source/reference/memory.md, activation size; derived from one layer's working set",
        ),
        Part::new(
            PartId::Workspaces,
            found.runtime + found.decoder,
            "docs/source/reference/memory.md, I/O tensors; published engines (tests/measured/serving.jsonl)",
        ),
        Part::new(
            PartId::Graphs,
            found.graphs,
            "captured after the pool is made; no published capture",
        ),
        Part::new(
            PartId::Context,
            found.outside,
            "published engines less their parts (tests/measured/serving.jsonl)",
        ),
    ]
}

fn rows(asked: &InferenceJob, found: &Start, want: u64) -> Ledger {
    let settings = &found.settings;
    let batch = Symbol::new("B", "largest batch", settings.batch);
    let vocabulary = Symbol::new("V", "vocabulary", asked.network.vocabulary);
    let rows = vec![
        Row::new(
            "weights",
            "weights of one rank",
            Group::ModelParams,
            found.weights.expected,
            ALWAYS,
            "tensors fused, divided and padded",
            Vec::new(),
        ),
        Row::blocks(Bytes::new(found.cell) * want, want, settings.block),
        Row::states(Bytes::new(found.state) * asked.sequences),
        Row::new(
            "activations.layer",
            "working set of a layer and logits",
            Group::Activations,
            found.activations.expected,
            if settings.backend == Backend::TensorRt {
                ALWAYS
            } else {
                PREFILL
            },
            "T x b x (inner width of the fullest layer / t + 3 H) + rows x V / t x b",
            vec![
                Symbol::new("T", "tokens of a pass", settings.tokens),
                Symbol::new("H", "hidden size", asked.network.hidden_size),
                Symbol::new("t", "tensor parallel ranks", asked.tensor),
                vocabulary,
            ],
        ),
        Row::new(
            "buffers.runtime",
            "buffers of the runtime",
            Group::Overhead,
            found.runtime.expected,
            ALWAYS,
            "B x beams x (4 V + 12 x longest sequence)",
            vec![
                batch,
                vocabulary,
                Symbol::new("s", "longest sequence", settings.length),
            ],
        ),
        Row::new(
            "buffers.decoder",
            "buffers of the decoder",
            Group::Overhead,
            found.decoder.expected,
            ALWAYS,
            "B x beams x 20 V",
            vec![batch, vocabulary],
        ),
    ];
    ledger(
        rows,
        asked.compute,
        "NVIDIA/TensorRT-LLM docs/source/reference/memory.md, cpp/tensorrt_llm/batch_manager",
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
    let most = Settings::of(asked, options).batch;
    // A built engine takes no longer sequence than its own.
    let limit = options.length.or(limit);
    pooled::capacity(
        asked,
        loaded,
        limit,
        shardable,
        most,
        |trial| load(trial, options),
        |trial, loaded| {
            let found = budget(trial, options, loaded);
            verdict(trial, wanted(trial, options, &found), &found)
        },
    )
}
