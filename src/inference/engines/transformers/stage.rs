//! The weights of the fullest GPU: all of them, a share of every matrix (tp_plan), or whole layers (device_map).

use super::super::super::job::InferenceJob;
use super::super::super::weights::{Quantisation, Shard, Stored, weights_on_rank};
use crate::model::Network;
use crate::units::DType;

/// The part of the model on one device of `device_map="balanced"`.
pub fn shards(job: &InferenceJob) -> Vec<Shard> {
    let mut whole = Shard::whole(&job.network);
    whole.tensor = job.tensor;
    if job.pipeline <= 1 {
        return vec![whole];
    }
    let depth = job.network.depth();
    let devices = job.pipeline.min(depth.max(1));
    (0..devices)
        .map(|device| Shard {
            layers: (
                depth.saturating_mul(device) / devices,
                depth.saturating_mul(device.saturating_add(1)) / devices,
            ),
            input: device == 0,
            output: device.saturating_add(1) == devices,
            ..whole.clone()
        })
        .collect()
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
