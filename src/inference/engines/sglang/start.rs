//! A start of SGLang: what is free, what the weights leave, the pools, workspace and graphs, in this order
//! (kvcache-ai/sglang @04653fa `model_executor/model_runner.py`, `model_runner_kv_cache_mixin.py`).
//!
//!   rest = F1 - F0 (1 - f)    F0 free before loading, F1 after it, f = mem_fraction_static
//!
//! The share (1 - f) F0 must hold everything that is not weights and pools: request table, workspace, graphs, a drafter,
//! activations.

use super::super::super::job::InferenceJob;
use super::super::super::vllm::profile::profile;
use super::super::super::vllm::tensors::{Weights, all_weights, stages};
use super::super::super::vllm::{Adapters, Job, SamplerKernel, Settings as Plain};
use super::super::loaded::{self, Loading};
use super::cells::{self, Cells};
use super::pools::{Pools, pools};
use super::settings::{Backend, Settings, Speculation, gib, partitions, workspace};
use super::{Options, log};
use crate::memory::Interval;
use crate::model::Mixer;
use crate::units::Bytes;

/// Why the server does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The weights alone do not fit.
    OutOfMemory,
    /// The share leaves no pool.
    NoPool,
    /// What lies outside the share does not fit in the rest.
    Capture,
}

/// What the tightest pipeline stage holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The arguments after defaults.
    pub settings: Settings,
    /// Free before loading.
    pub free: Interval,
    /// What the context and the communicators took before.
    pub outside: Interval,
    /// What loading takes, with its bounds.
    pub weights: Interval,
    /// Bytes per token and request.
    pub cells: Cells,
    /// Left for the pools: low, expected, high; negative where nothing is.
    pub rest: [i64; 3],
    /// The pools of each bound.
    pub pools: [Pools; 3],
    /// Workspace of the attention kernels and of the custom all-reduce.
    pub workspace: Interval,
    /// Captured steps of decoding.
    pub graphs: Interval,
    /// Prefill, captured piecewise.
    pub piecewise: Interval,
    /// Temporaries of a prefill.
    pub activations: Interval,
    /// Weights of a drafter.
    pub drafter: Interval,
    /// Why it does not start.
    pub failure: Option<Failure>,
    /// The log's lines on memory; the last one is the error where it does not start.
    pub log: Vec<String>,
}

impl Start {
    /// The expected pools.
    pub const fn pools(&self) -> &Pools {
        &self.pools[1]
    }

    /// What the share leaves for everything outside it.
    pub fn headroom(&self) -> Bytes {
        self.free.expected.scaled(1.0 - self.settings.fraction)
    }
}

/// What the context, loaded kernels and the first communicators hold when free memory is read. One GPU: 0.37 to 0.78 GiB of
/// what torch reports as total (sgl-008, 010, 011, 043). Several: 0.55 on L4 and 24 GB cards, whose communicators take 0.13 (sgl-001,
/// sgl-015); from Hopper on those of data centres reduce in the switch, whose buffers take 1.96 of 2.5 on eight H200 (sgl-032).
pub fn outside(asked: &InferenceJob) -> Interval {
    let in_switch = asked.device.nvidia && (90..110).contains(&asked.device.capability);
    match asked.tensor.saturating_mul(asked.pipeline) {
        // The host's free memory is read: its own processes count, too.
        _ if asked.device.unified => gib((1.0, 5.0, 14.0)),
        0 | 1 => gib((0.35, 0.6, 1.0)),
        _ if in_switch => gib((0.6, 1.9, 2.6)),
        _ => gib((0.4, 0.7, 2.0)),
    }
}

/// The weights of the question as a start on paper.
fn job<'a>(asked: &'a InferenceJob, options: &Options, settings: &Settings) -> Option<Job<'a>> {
    let own = options.speculation == Some(Speculation::Eagle) && options.drafter.is_none();
    loaded::start(
        asked,
        &asked.network,
        Loading {
            attention: (settings.attention_ranks != asked.tensor).then_some(settings.attention_ranks),
            experts: options.experts,
            adapters: options.adapters,
            next_token: own,
            positions: settings.context,
        },
    )
}

/// What the weights of every stage take.
pub fn load(asked: &InferenceJob, options: &Options) -> Vec<Weights> {
    let settings = Settings::of(asked, options);
    job(asked, options, &settings)
        .map(|job| all_weights(&job))
        .unwrap_or_default()
}

/// A start with weights that are known.
pub fn start(asked: &InferenceJob, options: &Options, loaded: &[Weights]) -> Start {
    let mut found = budget(asked, options, loaded);
    found.log = log::lines(asked, options, &found);
    found
}

/// The same without the lines of its log.
pub fn budget(asked: &InferenceJob, options: &Options, loaded: &[Weights]) -> Start {
    let settings = Settings::of(asked, options);
    let sizes = stages(asked.network.order.len(), asked.pipeline);
    let mut from = 0;
    let mut tightest: Option<Start> = None;
    for (place, size) in sizes.into_iter().enumerate() {
        let range = from..from + size;
        from += size;
        let weights = loaded.get(place).copied().unwrap_or_default();
        let stage = stage(asked, options, &settings, range, weights);
        let worse = tightest
            .as_ref()
            .is_none_or(|other| stage.pools().tokens < other.pools().tokens || stage.rest[1] < other.rest[1]);
        if worse {
            tightest = Some(stage);
        }
    }
    tightest.unwrap_or_else(|| stage(asked, options, &settings, 0..0, Weights::default()))
}

fn signed(bytes: Bytes) -> i64 {
    i64::try_from(bytes.get()).unwrap_or(i64::MAX)
}

/// What loading takes of the device: whole segments of the allocator, and kernels and handles that are made meanwhile:
/// 0.02 to 0.28 GiB over 18 published starts.
fn taken(weights: Weights) -> Interval {
    let more = |amount: f64| weights.reserved + Bytes::from_gib(amount);
    Interval::new(weights.allocated, more(0.03), more(0.2))
}

fn stage(
    asked: &InferenceJob,
    options: &Options,
    settings: &Settings,
    range: std::ops::Range<usize>,
    loaded: Weights,
) -> Start {
    let mut cells = cells::cells(asked, options, settings, range);
    let (drafter, draft) = drafter(asked, options, settings);
    cells.draft = draft;
    let outside = outside(asked);
    let usable = asked.device.usable;
    let free = Interval::new(
        usable.saturating_sub(outside.high),
        usable.saturating_sub(outside.expected),
        usable.saturating_sub(outside.low),
    );
    let weights = taken(loaded);
    let rest = |free: Bytes, weights: Bytes| {
        let share = free.scaled(settings.fraction);
        signed(share).saturating_sub(signed(weights))
    };
    let rest = [
        rest(free.low, weights.high),
        rest(free.expected, weights.expected),
        rest(free.high, weights.low),
    ];
    let pools = rest.map(|rest| pools(rest, asked, options, settings, &cells));
    let running = pools.get(1).map_or(0, |pools| pools.running);
    let workspace = gib(workspace(settings.backend, asked.tensor))
        + all_reduce(asked, options)
        + Interval::exact(partial_results(asked, settings, running));
    let (graphs, piecewise) = graphs(asked, settings);
    let mut found = Start {
        settings: settings.clone(),
        free,
        outside,
        weights,
        cells,
        rest,
        pools,
        workspace,
        graphs,
        piecewise,
        activations: activations(asked, options, settings),
        drafter,
        failure: None,
        log: Vec::new(),
    };
    found.failure = failure(&found);
    found
}

fn failure(found: &Start) -> Option<Failure> {
    let least = found.pools().table + found.workspace.low + found.drafter.low + found.pools().draft;
    if found.weights.expected > found.free.expected {
        Some(Failure::OutOfMemory)
    } else if found.rest[1] <= 0 || found.pools().tokens == 0 {
        Some(Failure::NoPool)
    } else if least > found.headroom() {
        Some(Failure::Capture)
    } else {
        None
    }
}

/// The buffers of the custom all-reduce: two of 8 MiB and the table of their addresses of 8 MiB
/// (`distributed/device_communicators/custom_all_reduce.py`).
fn all_reduce(asked: &InferenceJob, options: &Options) -> Interval {
    let used = asked.tensor > 1 && asked.tensor <= 8 && options.custom_all_reduce && asked.device.nvidia;
    Interval::exact(Bytes::from_mib(if used { 24 } else { 0 }))
}

/// What AITER keeps for the partial results of attention; nothing with other kernels and with latent attention.
fn partial_results(asked: &InferenceJob, settings: &Settings, running: u64) -> Bytes {
    if settings.backend != Backend::Aiter {
        return Bytes::ZERO;
    }
    let widest = asked.network.kinds.iter().filter_map(|layer| match &layer.mixer {
        Mixer::Attention(attention) => Some((attention.heads, attention.head_dim)),
        _ => None,
    });
    widest.max().map_or(Bytes::ZERO, |(heads, width)| {
        partitions(
            heads.div_ceil(settings.attention_ranks.max(1)),
            width,
            settings.context,
            running,
        )
    })
}

/// Captured graphs: measured only. Four sizes 0.11 GiB (sgl-010, 016), three 0.07 (sgl-008), 52 sizes 0.60 to 1.44
/// (sgl-043, 044, 082), thirteen on four ranks 0.93 (sgl-001), 23 beside a vision tower 4.2 (sgl-037); 74 piecewise sizes
/// 2.32 (sgl-043, 044).
fn graphs(asked: &InferenceJob, settings: &Settings) -> (Interval, Interval) {
    let decode = match (settings.captured, asked.tensor) {
        (0, _) => (0.0, 0.0, 0.0),
        (1..=4, _) => (0.05, 0.11, 0.4),
        (_, 0 | 1) => (0.3, 0.6, 1.6),
        _ => (0.3, 0.93, 2.5),
    };
    let prefill = match settings.piecewise {
        0 => (0.0, 0.0, 0.0),
        _ => (0.3, 2.32, 3.5),
    };
    (gib(decode), gib(prefill))
}

/// One layer's working set for the tokens of a chunk, with the logits of the running batch; the engine itself sets 1.5 MiB
/// per token aside.
fn activations(asked: &InferenceJob, options: &Options, settings: &Settings) -> Interval {
    let Some(job) = job(asked, options, settings) else {
        return Interval::default();
    };
    let plain = Plain {
        batched_tokens: settings.chunk,
        sequences: asked.sequences.min(settings.largest.max(1)),
        sampler: SamplerKernel::FlashInfer,
        ..Plain::of(&job)
    };
    let peak = profile(&job, &plain, true).peak;
    let reserve = Bytes::from_mib(settings.chunk.saturating_add(settings.chunk / 2));
    Interval::new(peak.low, peak.expected, peak.high.max(reserve))
}

/// A drafter: its weights, and bytes per token of its layers in a pool of as many tokens. Without a model of its own or
/// next-token layers it is a head of one layer and a projection of two hidden states (EAGLE), which shares embedding and head.
fn drafter(asked: &InferenceJob, options: &Options, settings: &Settings) -> (Interval, u64) {
    let none = (Interval::default(), 0);
    match (options.speculation, &options.drafter) {
        (None | Some(Speculation::Ngram), _) => none,
        (Some(_), Some(network)) => {
            let loading = Loading {
                positions: settings.context,
                ..Loading::default()
            };
            let weights = loaded::start(asked, network, loading)
                .map(|job| all_weights(&job).iter().map(|stage| stage.reserved).sum())
                .unwrap_or_default();
            let cell = cells::drafter(asked, options, settings, network);
            (Interval::exact(weights), cell)
        }
        (Some(Speculation::Eagle), None) if !asked.network.next_token_tensors.is_empty() => {
            // The weights are counted with the model's.
            (Interval::default(), cells::one_layer(asked, options, settings))
        }
        (Some(_), None) => {
            let width = (asked.compute.bits() / 8).max(1);
            let layer = asked
                .network
                .layer_parameters()
                .into_iter()
                .max()
                .unwrap_or_default();
            let projection = asked
                .network
                .hidden_size
                .saturating_mul(asked.network.hidden_size)
                .saturating_mul(2);
            let bytes = layer
                .get()
                .div_ceil(asked.tensor.max(1))
                .saturating_add(projection)
                .saturating_mul(width);
            let bytes = Bytes::new(bytes);
            // With embedding and head of its own, until they are shared.
            let own = Bytes::new(
                asked
                    .network
                    .vocabulary
                    .saturating_mul(asked.network.hidden_size)
                    .saturating_mul(2 * width)
                    / asked.tensor.max(1),
            );
            let interval = Interval::new(bytes, bytes, bytes + own);
            (interval, cells::one_layer(asked, options, settings))
        }
    }
}

/// LoRA slots, for a mapping of records as well as for the door.
pub const fn adapters(slots: u64, rank: u64) -> Adapters {
    Adapters { slots, rank }
}
