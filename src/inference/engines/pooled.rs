//! What engines with a pool of blocks have in common: the blocks of the asked sequences, the verdict by three sizes of the
//! pool, and capacity both ways.

use super::super::capacity::{Capacity, LONGEST, SIZES, largest, least};
use super::super::job::InferenceJob;
use super::super::vllm::tensors::Weights;
use crate::memory::meters::Fit;
use crate::units::Bytes;

/// Tokens in whole blocks that the asked sequences hold: `each` per sequence, the full blocks of a shared prefix once.
pub(super) fn held_tokens(each: u64, shared: u64, sequences: u64, block: u64) -> u64 {
    let block = block.max(1);
    let blocks = each.div_ceil(block);
    let shared = match sequences {
        0 | 1 => 0,
        _ => (shared.min(each) / block).min(blocks.saturating_sub(1)),
    };
    blocks
        .saturating_sub(shared)
        .saturating_mul(sequences)
        .saturating_add(shared)
        .saturating_mul(block)
}

/// The verdict where `pools` are the tokens of the low, the expected and the high pool.
pub(super) const fn verdict(pools: [u64; 3], wanted: u64, runs: bool, starts: bool) -> Fit {
    let [low, _, high] = pools;
    if !runs || high < wanted {
        Fit::DoesNotFit
    } else if starts && low >= wanted {
        Fit::Fits
    } else {
        Fit::Tight
    }
}

/// Capacity both ways. `load` makes the weights, which neither sequences nor lengths change where the model states its longest
/// position; `fits` judges a question with weights that are known.
pub(super) fn capacity(
    asked: &InferenceJob,
    loaded: &[Weights],
    limit: Option<u64>,
    shardable: impl Fn(u64) -> bool,
    most: u64,
    load: impl Fn(&InferenceJob) -> Vec<Weights>,
    fits: impl Fn(&InferenceJob, &[Weights]) -> Fit,
) -> Capacity {
    let runs = |trial: &InferenceJob, loaded: &[Weights]| fits(trial, loaded) != Fit::DoesNotFit;
    let sequences = largest(most.max(1), |count| runs(&asked.with_sequences(count), loaded));
    let longest = limit.unwrap_or(LONGEST).max(2);
    let length = match largest(longest.saturating_sub(1), |length| {
        let trial = asked.with_length(length.saturating_add(1));
        match asked.network.max_positions {
            Some(_) => runs(&trial, loaded),
            None => runs(&trial, &load(&trial)),
        }
    }) {
        0 => 0,
        most => most.saturating_add(1),
    };
    let held: Bytes = loaded.iter().map(|stage| stage.raw).sum();
    let total = asked.device.total.high;
    let gpus = SIZES
        .into_iter()
        .filter(|size| shardable(*size) && least(held, asked.tensor, *size) <= total)
        .find(|size| {
            let divided = InferenceJob {
                tensor: *size,
                pipeline: 1,
                ..asked.clone()
            };
            runs(&divided, &load(&divided))
        });
    Capacity {
        sequences,
        length,
        gpus,
    }
}
