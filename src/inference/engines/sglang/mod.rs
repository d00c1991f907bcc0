//! SGLang as an engine of the page: a question becomes a start on paper, the start an estimate with the cache of the asked
//! sequences, and the largest questions that it would take. Prefixes that sequences share are held once (RadixAttention);
//! that changes how many tokens are unique, never the bytes of a token.

pub mod cells;
mod ledger;
mod log;
pub mod pools;
pub mod release;
pub mod settings;
pub mod start;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::super::capacity::Capacity;
use super::super::estimate::{Estimate, KvPool, Part, PartId};
use super::super::job::InferenceJob;
use super::super::vllm::Adapters;
use super::super::vllm::tensors::Weights;
use super::pooled;
use crate::memory::Interval;
use crate::memory::meters::Fit;
use crate::model::Network;
use crate::units::Bytes;
use pools::{Pools, SLOTS_PER_REQUEST};
use release::Release;
use settings::{Backend, Settings, Speculation};
use start::{Start, budget, load, start};

/// What only this engine reads; `None` is the release's default.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The release.
    pub release: &'static Release,
    /// `mem_fraction_static`.
    pub fraction: Option<f64>,
    /// `chunked_prefill_size`; zero switches it off.
    pub chunk: Option<u64>,
    /// `max_prefill_tokens`.
    pub prefill: Option<u64>,
    /// `max_running_requests`.
    pub running: Option<u64>,
    /// `max_total_tokens`.
    pub most_tokens: Option<u64>,
    /// `context_length`.
    pub context: Option<u64>,
    /// `page_size`.
    pub page: Option<u64>,
    /// `attention_backend`.
    pub backend: Option<Backend>,
    /// Whether a tree of prefixes is kept (`disable_radix_cache` is not set).
    pub radix: bool,
    /// `disable_cuda_graph`.
    pub eager: bool,
    /// `cuda_graph_max_bs`.
    pub largest_graph: Option<u64>,
    /// Whether prefill is captured piecewise.
    pub piecewise: Option<bool>,
    /// Whether `disable_custom_all_reduce` is not set.
    pub custom_all_reduce: bool,
    /// Copies of attention among the tensor parallel ranks (`enable_dp_attention` with `dp_size`); one without.
    pub attention_copies: u64,
    /// Whole experts on each rank (`ep_size` = `tp_size`).
    pub experts: bool,
    /// `swa_full_tokens_ratio`.
    pub window_share: Option<f64>,
    /// `disable_hybrid_swa_memory`.
    pub whole_windows: bool,
    /// `mamba_full_memory_ratio`.
    pub state_share: Option<f64>,
    /// `max_mamba_cache_size`.
    pub slots: Option<u64>,
    /// Bytes of an element of a recurrent state.
    pub state_bytes: u64,
    /// `speculative_algorithm`.
    pub speculation: Option<Speculation>,
    /// `speculative_num_draft_tokens`.
    pub drafts: u64,
    /// The model that drafts.
    pub drafter: Option<Arc<Network>>,
    /// `max_loras_per_batch` and their rank.
    pub adapters: Option<Adapters>,
}

impl Options {
    /// Nothing given.
    pub const fn new(release: &'static Release) -> Self {
        Self {
            release,
            fraction: None,
            chunk: None,
            prefill: None,
            running: None,
            most_tokens: None,
            context: None,
            page: None,
            backend: None,
            radix: true,
            eager: false,
            largest_graph: None,
            piecewise: None,
            custom_all_reduce: true,
            attention_copies: 1,
            experts: false,
            window_share: None,
            whole_windows: false,
            state_share: None,
            slots: None,
            state_bytes: 4,
            speculation: None,
            drafts: 0,
            drafter: None,
            adapters: None,
        }
    }
}

/// What the asked sequences hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asked {
    /// Tokens in whole pages, a shared prefix once.
    tokens: u64,
    /// Tokens in the pool of windows.
    window_tokens: u64,
    /// Slots of states.
    slots: u64,
    /// Sequences on one copy of attention.
    sequences: u64,
}

fn wanted(asked: &InferenceJob, options: &Options, found: &Start) -> Asked {
    let page = found.settings.page.max(1);
    let sequences = asked.sequences.div_ceil(options.attention_copies.max(1));
    let pages = asked.length().div_ceil(page);
    let shared = match options.radix && sequences > 1 {
        true => (asked.shared_prefix.min(asked.length()) / page).min(pages.saturating_sub(1)),
        false => 0,
    };
    let own = pages.saturating_sub(shared).saturating_mul(sequences);
    let tokens = own.saturating_add(shared).saturating_mul(page);
    let window = match (found.cells.window, found.cells.longest_window) {
        (0, _) => 0,
        (_, window) => asked.length().min(window.saturating_add(found.settings.chunk)),
    };
    let each = if options.radix { SLOTS_PER_REQUEST } else { 1 };
    Asked {
        tokens,
        window_tokens: window
            .div_ceil(page)
            .saturating_mul(page)
            .saturating_mul(sequences),
        slots: match found.cells.slot {
            0 => 0,
            _ => sequences.saturating_mul(each),
        },
        sequences,
    }
}

/// Whether pools hold what is asked for.
const fn holds(pools: &Pools, asked: Asked) -> bool {
    pools.tokens >= asked.tokens
        && (asked.window_tokens == 0 || pools.window_tokens >= asked.window_tokens)
        && pools.slots >= asked.slots
        && pools.running >= asked.sequences
}

fn verdict(asked: Asked, found: &Start) -> Fit {
    let [low, _, high] = &found.pools;
    let beside = |of: fn(Interval) -> Bytes| {
        of(found.workspace)
            + of(found.graphs)
            + of(found.piecewise)
            + of(found.activations)
            + of(found.drafter)
            + found.pools().table
            + found.pools().draft
    };
    let headroom = found.headroom();
    if !holds(high, asked) || beside(|part| part.low) > headroom {
        Fit::DoesNotFit
    } else if found.failure.is_none() && holds(low, asked) && beside(|part| part.expected) <= headroom {
        Fit::Fits
    } else {
        Fit::Tight
    }
}

fn reason(asked: Asked, found: &Start, fit: Fit) -> Option<String> {
    if found.failure.is_some() {
        return found.log.last().cloned();
    }
    if fit != Fit::DoesNotFit {
        return None;
    }
    let pools = found.pools();
    Some(if pools.running < asked.sequences {
        format!(
            "max_running_requests is {}: of {} sequences the rest waits.",
            pools.running, asked.sequences
        )
    } else if pools.tokens < asked.tokens {
        format!(
            "The pool has {} tokens, the sequences need {}: some of them wait or are retracted.",
            pools.tokens, asked.tokens
        )
    } else if pools.window_tokens < asked.window_tokens {
        format!(
            "The pool of window layers has {} tokens, the sequences need {}: some of them wait or are retracted.",
            pools.window_tokens, asked.window_tokens
        )
    } else {
        format!(
            "Outside the share of weights and pools {} GiB are left, which workspace, graphs and a prefill of {} tokens do not fit into.",
            rounded(found.headroom()),
            found.settings.chunk
        )
    })
}

fn rounded(bytes: Bytes) -> String {
    format!("{:.2}", bytes.to_gib())
}

/// What the fullest GPU holds.
pub fn evaluate(asked: &InferenceJob, options: &Options) -> Estimate {
    let loaded = load(asked, options);
    let found = start(asked, options, &loaded);
    let want = wanted(asked, options, &found);
    let fit = verdict(want, &found);
    let parts = parts(&found, want);
    let need = Part::sum(&parts);
    let torch = Part::sum(parts.get(..5).unwrap_or_default());
    let [low, expected, high] = &found.pools;
    let pool = Interval::new(low.kept, expected.kept, high.kept);
    let share = found.free.expected.scaled(found.settings.fraction);
    let beside = found.workspace + found.graphs + found.piecewise + found.drafter + found.outside;
    let whole = match found.failure {
        None => Interval::exact(share + expected.table + expected.draft) + beside,
        Some(_) => need,
    };
    let length = asked.length().div_ceil(found.settings.page.max(1)) * found.settings.page.max(1);
    let by_tokens = expected.tokens as f64 / length.max(1) as f64;
    Estimate {
        ledger: ledger::ledger(asked, &found, want),
        devices: Vec::new(),
        reserved: Interval::new(torch.low, torch.expected, torch.high.max(share)),
        allocated: torch,
        parts,
        device: whole,
        need,
        budget: asked.device.usable,
        pool: Some(KvPool {
            bytes: pool,
            tokens: expected.tokens,
            max_concurrency: by_tokens.min(expected.running as f64),
        }),
        fit,
        failure: reason(want, &found, fit),
        start_up: found.log.clone(),
        unvalidated: unvalidated(asked, options, &found),
        loaded,
    }
}

fn parts(found: &Start, want: Asked) -> Vec<Part> {
    let cells = &found.cells;
    let kept = match cells.compressed {
        Some(each) => Bytes::new(want.tokens).scaled(each),
        None => {
            let full = cells.full.saturating_mul(want.tokens);
            Bytes::new(full.saturating_add(cells.window.saturating_mul(want.window_tokens)))
        }
    };
    let draft = Bytes::new(cells.draft.saturating_mul(want.tokens));
    let pools = found.pools();
    vec![
        Part::new(
            PartId::Weights,
            found.weights + found.drafter,
            "sglang model_executor/model_runner.py load_model; PyTorch CUDACachingAllocator.cpp",
        ),
        Part::new(
            PartId::KvCache,
            Interval::exact(kept + draft),
            "sglang model_executor/model_runner_kv_cache_mixin.py, mem_cache/memory_pool.py",
        ),
        Part::new(
            PartId::State,
            Interval::exact(Bytes::new(cells.slot.saturating_mul(want.slots))),
            "sglang configs/mamba_utils.py, mem_cache/memory_pool.py",
        ),
        Part::new(
            PartId::Activations,
            found.activations,
            "one layer for a chunk of tokens; 1.5 MiB per token as server_args.py sets aside",
        ),
        Part::new(
            PartId::Workspaces,
            found.workspace + Interval::exact(pools.table),
            "request table: mem_cache/memory_pool.py ReqToTokenPool; kernels: published starts (tests/measured/serving.jsonl)",
        ),
        Part::new(
            PartId::Graphs,
            found.graphs + found.piecewise,
            "published captures of SGLang (tests/measured/serving.jsonl)",
        ),
        Part::new(
            PartId::Context,
            found.outside,
            "card total less free memory before loading (tests/measured/serving.jsonl)",
        ),
    ]
}

/// Options without a published start behind them.
fn unvalidated(asked: &InferenceJob, options: &Options, found: &Start) -> bool {
    options.adapters.is_some()
        || options.speculation.is_some()
        || options.experts
        || found.cells.slot > 0
        || found.cells.window > 0
        || found.cells.compressed.is_some()
        || !asked.device.nvidia
        || !asked.network.towers.is_empty()
}

/// Capacity both ways: neither sequences nor lengths change the weights, and lengths change the pools only through the
/// request table and the pages.
pub fn capacity(
    asked: &InferenceJob,
    options: &Options,
    loaded: &[Weights],
    limit: Option<u64>,
    shardable: impl Fn(u64) -> bool,
) -> Capacity {
    let known = budget(asked, options, loaded);
    let copies = options.attention_copies.max(1);
    pooled::capacity(
        asked,
        loaded,
        limit,
        |size| shardable(size) && size.is_multiple_of(copies),
        known.pools[2].running.saturating_mul(copies),
        |trial| load(trial, options),
        |trial, loaded| {
            let found = budget(trial, options, loaded);
            verdict(wanted(trial, options, &found), &found)
        },
    )
}

/// Arguments that follow from the first card, given outright: every worker of a node has them.
#[must_use]
pub fn settled(asked: &InferenceJob, options: &Options) -> Options {
    let settings = Settings::of(asked, options);
    Options {
        fraction: Some(settings.fraction),
        chunk: options.chunk.or(Some(settings.chunk)),
        largest_graph: Some(settings.largest),
        backend: Some(settings.backend),
        ..options.clone()
    }
}
