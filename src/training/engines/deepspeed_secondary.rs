//! ZeRO++'s second copy of the weights inside a group (hpZ), from which backward gathers them.
//!
//! A part of it is made when a gathered weight is divided again after its use in backward, and all are given up after the step
//! (DeepSpeed 0.19.8 runtime/zero/partition_parameters.py, `_partition_param_sec`; stage3.py, `_post_step`). So it grows while
//! backward goes down, and what is gathered shrinks by as much once the window of gathered weights has reached the first layer:
//! full window and copy of the layers above it exist together, the copy of the rest only without them.

use super::deepspeed::Flat;
use super::{Held, Moment, Plan};
use crate::memory::Group;
use crate::training::parts::Part;
use crate::training::sheet::EntryId;

/// Entries of the copy.
pub struct Secondary {
    /// All of it.
    all: EntryId,
    /// By kind of layer, while backward makes it.
    layers: Vec<EntryId>,
    /// The head's, which backward makes first.
    head: EntryId,
    /// Layers that are divided again before the window of gathered weights shrinks.
    above: usize,
}

impl Secondary {
    /// Of a copy that so many ranks share, where so many elements may be gathered at once.
    pub fn new(plan: &Plan<'_>, (ranks, live): (u64, u64), flat: &mut Flat<'_>) -> Self {
        let whole = |part: &Part| {
            let frozen = if plan.job.adapter.is_some() {
                part.plain.elements.saturating_add(part.packed_elements(plan.job))
            } else {
                0
            };
            part.trained.elements.saturating_add(frozen)
        };
        let name = (
            "zero.secondary",
            "second copy of the weights inside a group (hpZ)",
            Group::ModelParams,
        );
        let low = plan.types.computed;
        let mut item = |elements: u64| flat.item(name, (low, elements.div_ceil(ranks)), "β·n");
        let sizes: Vec<u64> = plan.layers.iter().map(|layer| whole(&layer.part)).collect();
        let layers = sizes.iter().map(|elements| item(*elements)).collect();
        let head = item(whole(&plan.output));
        let within: u64 = plan.order.iter().filter_map(|kind| sizes.get(*kind)).sum();
        let all = item(
            within
                .saturating_add(whole(&plan.input))
                .saturating_add(whole(&plan.output)),
        );
        let (mut room, mut window) = (live, 0);
        for kind in &plan.order {
            room = room.saturating_sub(sizes.get(*kind).copied().unwrap_or(0));
            window += usize::from(room > 0);
        }
        Self {
            all,
            layers,
            head,
            above: plan.order.len().saturating_sub(window),
        }
    }

    /// What of it is there.
    pub fn at(&self, plan: &Plan<'_>, moment: Moment) -> Held {
        // Earlier micro-batches have made all of it.
        let accumulated = plan.job.accumulation_steps > 1 && !matches!(moment, Moment::Load | Moment::Rest);
        match moment {
            _ if accumulated => vec![(self.all, 1)],
            Moment::Layer(layer) | Moment::Reduced(layer) => {
                let depth = plan.order.len();
                let released = depth.saturating_sub(layer + 1).min(self.above);
                let counts = plan.between(depth - released, depth);
                let mut held: Held = self.layers.iter().copied().zip(counts).collect();
                held.push((self.head, u64::from(self.above > 0)));
                held
            }
            Moment::Tower(_) | Moment::Embedding | Moment::EndsReduced | Moment::Clip | Moment::Step => {
                vec![(self.all, 1)]
            }
            _ => Held::new(),
        }
    }
}
