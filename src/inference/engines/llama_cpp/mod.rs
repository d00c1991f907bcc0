//! llama.cpp, and what its fork ik_llama.cpp does otherwise: tensors of a GGUF file in their types, a cache of so many cells,
//! and one scratch buffer per device that the engine plans before it answers anything. There is no share of the card: what
//! context, batch and offloaded layers ask for is allocated, or the start fails.
//!
//! `types`, `mix` and `tensors` are the file; `placement` and `pattern` where its tensors are; `cache` keys, values and states;
//! `graph` and `arena` the scratch; `start` puts them together by device, `ledger` and `log` tell it.

mod arena;
mod cache;
mod graph;
mod ledger;
pub mod listed;
mod log;
pub mod mix;
pub mod options;
pub mod pattern;
pub mod placement;
pub mod projector;
pub mod start;
pub mod tensors;
#[cfg(test)]
mod tests;
pub mod types;

use super::super::capacity::{Capacity, LONGEST, MOST_SEQUENCES, SIZES, largest};
use super::super::estimate::{DeviceEstimate, Estimate, Part, PartId};
use super::super::job::InferenceJob;
use super::super::vllm::share::Tenant;
use crate::memory::meters::{self, Fit};
use crate::memory::{Interval, Ledger};
use crate::units::Bytes;
pub use options::{Latent, Options};
use start::{Held, Prepared, Start, start};

/// What a GPU needs: the printed buffers, the pool, and the context.
fn need(held: &Held) -> Interval {
    let exact = |bytes: u64| Interval::exact(Bytes::new(bytes));
    exact(held.weights) + exact(held.cache) + exact(held.state) + held.compute + held.pool + context()
}

/// The context of a backend without torch's libraries: 0.1 to 0.5 GiB. Published logs do not print it (tests/measured/serving.jsonl),
/// so the band is that of bare contexts (see [`crate::memory::meters::context`]).
fn context() -> Interval {
    Interval::new(Bytes::from_gib(0.1), Bytes::from_gib(0.3), Bytes::from_gib(0.5))
}

/// The GPU with the largest need.
fn fullest(found: &Start) -> (usize, Held) {
    found
        .all()
        .into_iter()
        .enumerate()
        .max_by_key(|(number, held)| (need(held).expected, std::cmp::Reverse(*number)))
        .unwrap_or_default()
}

/// What the fullest GPU holds.
pub fn evaluate(job: &InferenceJob, options: &Options) -> Estimate {
    let prepared = Prepared::new(&job.network, options);
    let found = start(job, options, &prepared);
    let (number, held) = fullest(&found);
    let exact = |bytes: u64| Interval::exact(Bytes::new(bytes));
    let parts = vec![
        Part::new(PartId::Weights, exact(held.weights), ledger::LOADER.source),
        Part::new(PartId::KvCache, exact(held.cache), ledger::CACHE.source),
        Part::new(PartId::State, exact(held.state), ledger::CACHE.source),
        Part::new(PartId::Activations, held.compute, ledger::SCRATCH.source),
        Part::new(PartId::Workspaces, held.pool, ledger::POOL.source),
        Part::new(PartId::Context, context(), "derived: bare contexts"),
    ];
    let all = need(&held);
    let short = short(job, options);
    let fit = if short.is_some() {
        Fit::DoesNotFit
    } else {
        meters::fit(all, job.device.usable)
    };
    let allocated = all.expected.saturating_sub(context().expected);
    let buffers = Interval::new(
        all.low.saturating_sub(context().low),
        allocated,
        all.high.saturating_sub(context().high),
    );
    let names = log::Names::of(job.device.nvidia);
    let ledger: Ledger = ledger::ledger(number, &found, options);
    let devices = found
        .all()
        .iter()
        .map(|gpu| DeviceEstimate {
            weights: Bytes::new(gpu.weights),
            cache: Bytes::new(gpu.cache.saturating_add(gpu.state)),
            prefill: need(gpu).expected.saturating_sub(context().expected),
            decode: need(gpu)
                .expected
                .saturating_sub(context().expected + gpu.pool.expected),
        })
        .collect();
    let mut start_up = log::lines(&found, options, job.network.depth(), &names);
    if let (Some(drafter), Some(network)) = (&found.drafter, &options.drafter) {
        let drafting = options.drafting();
        start_up.extend(log::lines(drafter, &drafting, network.depth(), &names));
    }
    Estimate {
        ledger,
        devices,
        parts,
        allocated: buffers,
        reserved: buffers,
        device: all,
        need: all,
        budget: job.device.usable,
        pool: None,
        fit,
        failure: match fit {
            Fit::DoesNotFit => short.or_else(|| log::failure(&held, number, job.device.usable)),
            _ => None,
        },
        start_up,
        loaded: Vec::new(),
        unvalidated: found.bounded,
    }
}

/// What a start with nothing set needs of a GPU beside other engines.
pub fn tenant(job: &InferenceJob) -> Tenant {
    let found = start(
        job,
        &Options::usual(1),
        &Prepared::new(&job.network, &Options::usual(1)),
    );
    let (_, held) = fullest(&found);
    let all = need(&held);
    let outside = context().expected;
    Tenant {
        budget: Interval::new(
            all.low.saturating_sub(context().low),
            all.expected.saturating_sub(outside),
            all.high.saturating_sub(context().high),
        ),
        outside,
    }
}

/// What the server answers to a request that is longer than its part of a context that was given (`tools/server/server-context.cpp`,
/// ggml-org/llama.cpp).
fn short(job: &InferenceJob, options: &Options) -> Option<String> {
    let context = options.context?;
    let each = context / job.sequences.max(1);
    let length = job.length();
    (each < length).then(|| {
        format!(
            "request ({length} tokens) exceeds the available context size ({each} tokens), try increasing it"
        )
    })
}

/// Whether the asked sequences fit.
fn fits(job: &InferenceJob, options: &Options, prepared: &Prepared) -> bool {
    if short(job, options).is_some() {
        return false;
    }
    let found = start(job, options, prepared);
    found
        .all()
        .iter()
        .all(|held| meters::fit(need(held), job.device.usable) != Fit::DoesNotFit)
}

/// Capacity both ways, and the fewest GPUs among which the layers must be divided.
pub fn capacity(job: &InferenceJob, options: &Options, limit: Option<u64>) -> Capacity {
    let prepared = Prepared::new(&job.network, options);
    let mut trial = job.clone();
    let sequences = largest(MOST_SEQUENCES, |count| {
        trial.sequences = count;
        fits(&trial, &options.for_sequences(count), &prepared)
    });
    trial.sequences = job.sequences;
    let longest = limit.unwrap_or(LONGEST).max(2);
    let length = match largest(longest.saturating_sub(1), |length| {
        (trial.prompt, trial.new_tokens) = job.lengths_within(length.saturating_add(1));
        fits(&trial, options, &prepared)
    }) {
        0 => 0,
        most => most.saturating_add(1),
    };
    let gpus = SIZES.into_iter().find(|size| {
        let mut divided = options.clone();
        divided.place.gpus = usize::try_from(*size).unwrap_or(1);
        divided.place.shares.clear();
        fits(job, &divided, &prepared.moved(&job.network, &divided))
    });
    Capacity {
        sequences,
        length,
        gpus,
    }
}

/// The most layers that fit on the GPUs of a question, the output counted as one.
pub fn most_layers(job: &InferenceJob, options: &Options) -> u64 {
    let all = job.network.depth().saturating_add(1);
    let prepared = Prepared::new(&job.network, options);
    let with = |layers: u64| {
        let mut trial = options.clone();
        trial.place.layers = Some(layers);
        fits(job, &trial, &prepared.moved(&job.network, &trial))
    };
    largest(all, with)
}
