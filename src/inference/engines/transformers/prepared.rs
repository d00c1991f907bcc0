//! What of a question depends on neither sequences nor lengths: the weights of each device and the kinds of layers on it. A
//! search over sequences and lengths prepares once and asks for peaks.

use std::sync::Arc;

use super::super::super::job::InferenceJob;
use super::super::super::weights::{Quantisation, Shard, Stored};
use super::held::held;
use super::shape::{Kind, kinds};
use super::{Options, stage};
use crate::memory::allocator::block;
use crate::model::Network;
use crate::units::Bytes;

/// One device of a copy.
pub struct Device<'a> {
    /// Its part of the model.
    pub shard: Shard,
    /// Weights in the compute type, each tensor in a block of the allocator.
    pub plain: Bytes,
    /// Quantised weights with their scales, likewise.
    pub quantised: Bytes,
    /// All of them before rounding to segments.
    pub exact: Bytes,
    /// Its layers by kind.
    pub kinds: Vec<Kind<'a>>,
}

/// A model that drafts, in the compute type on the first device.
pub struct Assistant<'a> {
    /// Its network.
    pub network: &'a Arc<Network>,
    /// Its weights, each tensor in a block of the allocator.
    pub weights: Bytes,
    /// Its layers by kind.
    pub kinds: Vec<Kind<'a>>,
}

/// Everything that stays the same for other sequences and lengths.
pub struct Prepared<'a> {
    /// The devices of one copy.
    pub devices: Vec<Device<'a>>,
    /// The model that drafts.
    pub assistant: Option<Assistant<'a>>,
    /// How the weights are really stored.
    pub format: Quantisation,
}

impl<'a> Prepared<'a> {
    /// Prepares a question.
    pub fn new(job: &'a InferenceJob, options: &'a Options) -> Self {
        let devices = stage::shards(job)
            .into_iter()
            .map(|shard| device(job, shard))
            .collect();
        let assistant = options.assistant.as_ref().map(|network| {
            let whole = Shard::whole(network);
            let stored = stage::stored(network, &Quantisation::none(), job.compute, &whole);
            Assistant {
                network,
                weights: blocks(&stored, |_| true),
                kinds: kinds(network, whole.layers),
            }
        });
        Self {
            devices,
            assistant,
            format: stage::replaced(&job.network, &job.weights),
        }
    }

    /// The peak of the fullest device for the sequences and lengths of a job that is the prepared one otherwise.
    pub fn peak(&self, job: &InferenceJob, options: &Options) -> Bytes {
        self.devices
            .iter()
            .map(|device| held(job, options, self, device).peak())
            .max()
            .unwrap_or(Bytes::ZERO)
    }
}

fn device(job: &InferenceJob, shard: Shard) -> Device<'_> {
    let stored = stage::stored(&job.network, &job.weights, job.compute, &shard);
    Device {
        plain: blocks(&stored, |one| !one.quantised),
        quantised: blocks(&stored, |one| one.quantised),
        exact: stored.iter().map(|one| one.bytes * one.copies).sum(),
        kinds: kinds(&job.network, shard.layers),
        shard,
    }
}

/// The blocks of the tensors that are chosen.
fn blocks(stored: &[Stored], chosen: impl Fn(&Stored) -> bool) -> Bytes {
    stored
        .iter()
        .filter(|one| chosen(one))
        .map(|one| block(one.bytes) * one.copies)
        .sum()
}
