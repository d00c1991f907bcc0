//! Which gathered weights ZeRO-3 keeps because they are used again soon. What else it gathers is told in `deepspeed`.

use super::Plan;
use crate::training::Recomputation;

/// Elements of the recorded order of modules within which a gathered tensor is kept for its next use (zero/config.py,
/// `stage3_max_reuse_distance`).
pub(super) const REUSE_DISTANCE: u64 = 1_000_000_000;

/// Elements that are gathered still when the loss is computed, because they are used again within the reuse distance: a
/// module after which so many elements follow that they, passed again on the way back (once more where layers are
/// recomputed), stay below it (partitioned_param_coordinator.py, `__params_to_release`). With the lowest
/// layer among them.
pub(super) fn kept(plan: &Plan<'_>) -> (u64, usize) {
    let passes = if plan.job.recomputation == Recomputation::None {
        2
    } else {
        3
    };
    let head = plan.output.plain.elements;
    let (mut distance, mut kept) = (head.saturating_mul(2), head);
    let mut lowest = plan.order.len();
    for (layer, kind) in plan.order.iter().enumerate().rev() {
        if distance >= REUSE_DISTANCE {
            break;
        }
        lowest = layer;
        let elements = plan.layers.get(*kind).map_or(0, |layer| {
            layer.part.plain.elements + layer.part.packed_elements(plan.job)
        });
        kept = kept.saturating_add(elements);
        distance = distance.saturating_add(elements.saturating_mul(passes));
    }
    (kept, lowest)
}

/// By how much less than `gathered` elements is gathered in the backward of each layer: the weights above have been let go of, and
/// what is left is the layer with those below it that are gathered ahead, down to the embedding, or, where nothing is gathered
/// ahead, with those that were kept, of which the lowest is given.
pub(super) fn released(plan: &Plan<'_>, gathered: u64, lowest: Option<usize>) -> Vec<u64> {
    let head = if plan.network.head.tied {
        plan.output.plain.elements
    } else {
        0
    };
    let mut below = match lowest {
        None => plan.input.plain.elements.saturating_add(head),
        Some(_) => 0,
    };
    let layers = plan.order.iter().enumerate().map(|(layer, kind)| {
        let own = plan
            .layers
            .get(*kind)
            .map_or(0, |layer| layer.part.plain.elements);
        if lowest.is_some_and(|lowest| layer < lowest) {
            return gathered.saturating_sub(own);
        }
        below = below.saturating_add(own);
        gathered.saturating_sub(below)
    });
    layers.collect()
}
