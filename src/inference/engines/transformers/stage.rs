//! The weights of the fullest GPU: all of them, a share of every matrix (tp_plan), or whole layers (device_map).

use super::super::super::job::InferenceJob;
use super::super::super::weights::rank::total;
use super::super::super::weights::{Quantisation, Shard, Stored, weights_on_rank};
use crate::model::Network;
use crate::units::DType;

/// The part of the model on one device of `device_map="balanced"`.
pub fn shards(job: &InferenceJob) -> Vec<Shard> {
    let mut whole = Shard::whole(&job.network);
    whole.tensor = job.tensor;
    // The traced plans divide the token embedding as they divide the head.
    whole.vocabulary = true;
    if job.pipeline <= 1 {
        return vec![whole];
    }
    balanced(job, &whole)
}

/// accelerate 1.15.0 `utils/modeling.py`, get_balanced_memory and infer_auto_device_map: every device but the last gets an
/// even share and 1.25 of the largest layer; on the first, room for the largest module stays free. Modules are placed in
/// order, the last device takes the rest.
fn balanced(job: &InferenceJob, whole: &Shard) -> Vec<Shard> {
    let network = &job.network;
    let depth = network.depth();
    let devices = job.pipeline.min(depth.max(1));
    let of = |shard: &Shard| total(&stored(network, &job.weights, job.compute, shard)).get();
    let part = |layers: (u64, u64), input: bool, output: bool| Shard {
        layers,
        input,
        output,
        ..whole.clone()
    };
    // Equal layers are as large: one of each kind is weighed.
    let mut weighed: Vec<Option<u64>> = vec![None; network.kinds.len()];
    let layers: Vec<u64> = (0..depth)
        .zip(&network.order)
        .map(|(depth, kind)| {
            let known = weighed.get(*kind).copied().flatten();
            let bytes = known.unwrap_or_else(|| of(&part((depth, depth.saturating_add(1)), false, false)));
            if let Some(slot) = weighed.get_mut(*kind) {
                *slot = Some(bytes);
            }
            bytes
        })
        .collect();
    let input = of(&part((0, 0), true, false));
    let output = of(&part((0, 0), false, true));
    let all = layers.iter().fold(input.saturating_add(output), |sum, bytes| {
        sum.saturating_add(*bytes)
    });
    let largest = layers.iter().copied().max().unwrap_or(0);
    let share = (all / devices).saturating_add(largest.saturating_add(largest / 4));
    let reserve = largest.max(input).max(output);
    let mut shards = Vec::new();
    let mut next = 0_u64;
    for device in 0..devices {
        let last = device.saturating_add(1) == devices;
        let mut room = if device == 0 {
            share.saturating_sub(reserve).saturating_sub(input)
        } else {
            share
        };
        let first = next;
        while next < depth {
            let bytes = usize::try_from(next)
                .ok()
                .and_then(|at| layers.get(at))
                .copied()
                .unwrap_or(0);
            if !last && bytes > room {
                break;
            }
            room = room.saturating_sub(bytes);
            next = next.saturating_add(1);
        }
        shards.push(part((first, next), device == 0, last));
    }
    shards
}

/// The stored tensors of a part.
pub fn stored(network: &Network, format: &Quantisation, compute: DType, shard: &Shard) -> Vec<Stored> {
    weights_on_rank(network, &replaced(network, format), compute, shard)
}

/// What is really stored so. bitsandbytes replaces only modules whose type is exactly `nn.Linear` (or GPT-2's `Conv1D`), and
/// Falcon's linear layers are a class of their own: they stay as they are (transformers 5.23.0
/// `integrations/bitsandbytes.py`, replace_with_bnb_linear; traced).
pub fn replaced(network: &Network, format: &Quantisation) -> Quantisation {
    if network.model_type == "falcon" && !format.released {
        return Quantisation::none();
    }
    format.clone()
}
