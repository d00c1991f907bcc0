//! The reference model of preference training under DeepSpeed: a second engine without an optimizer. Its weights are 16-bit
//! and whole on every GPU up to stage 2; at stage 3 they are divided like those that train, and gathered ahead in a pass of
//! its own. What trains is told in `deepspeed`.
//!
//! Read in TRL 1.16 (models/utils.py, `prepare_deepspeed`: stage 3 stays, any other stage becomes stage 0; its keys with a dot,
//! such as `zero_optimization.stage3_prefetch_bucket_size`, are none that DeepSpeed reads, so the settings of stage 3 are those
//! of the engine that trains) and DeepSpeed 0.19 (runtime/engine.py: an engine without an optimizer makes neither master weights
//! nor buffers; zero/partitioned_param_coordinator.py: weights are gathered ahead while less than `max_live_parameters` are there,
//! so at most one tensor more).

use super::deepspeed::Flat;
use super::deepspeed_reuse::REUSE_DISTANCE;
use super::{Held, Moment, Plan};
use crate::memory::{Group, Symbol};
use crate::training::job::Zero;
use crate::training::sheet::EntryId;
use crate::units::DType;

/// What the reference holds; nothing where an adapter that is switched off stands for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Reference {
    /// At all times.
    weights: Held,
    /// Gathered while its layers run, and for its head.
    gathered: Option<[EntryId; 2]>,
}

/// Whether a tied embedding stays gathered for the head, as so few weights lie between.
fn kept_for_head(plan: &Plan<'_>, between: u64) -> bool {
    plan.network.head.tied && between < REUSE_DISTANCE
}

impl Reference {
    /// Registers it.
    pub(super) fn new(plan: &Plan<'_>, zero: Zero, low: DType, flat: &mut Flat<'_>) -> Self {
        if !plan.job.reference_weights() {
            return Self::default();
        }
        let params = Group::ModelParams;
        let weights = flat.weights;
        if zero.stage < 3 {
            let id = ("zero.reference", "16-bit weights of the reference model", params);
            return Self {
                weights: vec![(flat.item(id, (low, weights), "β·P"), 1)],
                gathered: None,
            };
        }
        let part = (
            "zero.reference",
            "partition of the reference model's 16-bit weights",
            params,
        );
        let whole = (
            "zero.reference_persistent",
            "small weights of the reference model, never divided",
            params,
        );
        let small = plan.small_tensors(zero.persistence_threshold);
        let weights_held = vec![
            (flat.item(part, (low, weights.div_ceil(flat.ranks)), "β·⌈P/N⌉"), 1),
            (flat.item(whole, (low, small), "β·n"), 1),
        ];
        let head = plan.network.vocabulary.saturating_mul(plan.network.hidden_size);
        let largest = if kept_for_head(plan, weights.saturating_sub(head)) {
            let tensors = plan.network.layers().flat_map(|layer| &layer.tensors);
            let one = tensors.map(|tensor| tensor.elements().get() / tensor.copies.max(1));
            one.max().unwrap_or(0)
        } else {
            plan.largest_tensor()
        };
        let ahead = if zero.prefetch {
            weights.min(zero.max_live.saturating_add(largest))
        } else {
            plan.largest_tensor()
        };
        let layers = (
            "zero.reference_ahead",
            "gathered weights of the reference, while its layers run",
            params,
        );
        let last = ("zero.reference_head", "gathered head of the reference", params);
        let ahead = flat.item_with(
            layers,
            (low, ahead),
            if zero.prefetch {
                "β·min(P, A + M)"
            } else {
                "β·M"
            },
            &[
                Symbol::new("A", "weights that may be gathered ahead", zero.max_live),
                Symbol::new(
                    "M",
                    "weights of the largest tensor that is still to come",
                    largest,
                ),
            ],
        );
        Self {
            weights: weights_held,
            gathered: Some([ahead, flat.item(last, (low, head), "β·n")]),
        }
    }

    /// What it holds at all times.
    pub(super) fn weights(&self) -> &Held {
        &self.weights
    }

    /// What it has gathered at a moment.
    pub(super) fn gathered(&self, moment: Moment) -> Option<(EntryId, u64)> {
        let [layers, head] = self.gathered?;
        match moment {
            Moment::ReferenceLayers => Some((layers, 1)),
            Moment::ReferenceHead => Some((head, 1)),
            _ => None,
        }
    }
}
