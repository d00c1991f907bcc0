//! Megatron-LM: tensor, sequence, pipeline, context and expert parallelism with the distributed optimizer. `settings` are those of
//! its arguments, `share` says which weights a rank holds, `states` what is kept of them, `saved` what a layer keeps for backward,
//! `ends` what embedding, head and loss hold, `stage` puts one pipeline rank together, and `quick` adds up peaks alone, for searches. Its layers are Transformer Engine's, so
//! the tapes of the other engines are not used here.

mod beside;
mod dispatcher;
mod ends;
mod host;
mod narrow;
mod quick;
mod saved;
mod settings;
mod share;
mod stage;
mod states;
#[cfg(test)]
mod tests;
mod workspace;

pub use dispatcher::has_configuration as has_flex_configuration;
pub use quick::Quick;
pub use settings::{
    Dispatcher, Megatron, Modules, Narrow, Recipe as NarrowRecipe, Recompute, Sharding, VocabularyLoss,
    Wrapper,
};

use crate::memory::Ledger;
use crate::training::TrainingJob;
use crate::units::Bytes;
use stage::Chunks;

/// What the other files of training call. Where the module is in parts, it lies in one of them.
#[derive(Clone, Copy)]
struct Calls {
    ledger: fn(&TrainingJob, &Megatron) -> Ledger,
    stages: fn(&TrainingJob, &Megatron) -> Vec<Stage>,
    outside: fn(&TrainingJob, &Megatron) -> Bytes,
}

const CALLS: Calls = Calls {
    ledger: fullest,
    stages: all_stages,
    outside: dispatcher::outside,
};

brought!(calls: Calls = CALLS);

/// The ledger of the pipeline rank that the settings name, or of the one that holds the most.
pub fn ledger(job: &TrainingJob, settings: &Megatron) -> Ledger {
    calls().map_or_else(Ledger::default, |calls| (calls.ledger)(job, settings))
}

fn fullest(job: &TrainingJob, settings: &Megatron) -> Ledger {
    if let Some(rank) = settings.stage {
        return stage::ledger(job, settings, rank);
    }
    let mut fullest = Ledger::default();
    let mut most = Bytes::ZERO;
    for rank in 0..settings.pipeline.max(1) {
        let found = stage::ledger(job, settings, rank);
        let peak = found.peak().map_or(Bytes::ZERO, |(_, bytes)| bytes);
        if rank == 0 || peak > most {
            (fullest, most) = (found, peak);
        }
    }
    fullest
}

/// A pipeline rank: what it computes, and its ledger.
pub struct Stage {
    /// The rank.
    pub rank: u64,
    /// First and last layer of each chunk, counted from one; chunks without layers are left out.
    pub layers: Vec<(u64, u64)>,
    /// Micro-batches in flight, by chunk.
    pub in_flight: Vec<u64>,
    /// Parameters on each of its GPUs.
    pub parameters: u64,
    /// Its ledger.
    pub ledger: Ledger,
}

/// Buffers of DeepEP, which are not in torch's allocator.
pub fn dispatcher_buffers(job: &TrainingJob, settings: &Megatron) -> Bytes {
    calls().map_or(Bytes::ZERO, |calls| (calls.outside)(job, settings))
}

/// Every pipeline rank.
pub fn stages(job: &TrainingJob, settings: &Megatron) -> Vec<Stage> {
    calls().map_or_else(Vec::new, |calls| (calls.stages)(job, settings))
}

fn all_stages(job: &TrainingJob, settings: &Megatron) -> Vec<Stage> {
    (0..settings.pipeline.max(1))
        .map(|rank| {
            let chunks = Chunks::of(job, settings, rank);
            let parts = stage::shares(job, settings, &chunks);
            let ranges = chunks.layers.iter().filter(|range| range.end > range.start);
            Stage {
                rank,
                layers: ranges.map(|range| (range.start + 1, range.end)).collect(),
                in_flight: chunks.in_flight.chunks.clone(),
                parameters: parts
                    .iter()
                    .fold(0, |sum, (_, share)| sum.saturating_add(share.all())),
                ledger: stage::ledger(job, settings, rank),
            }
        })
        .collect()
}
