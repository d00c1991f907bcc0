//! Which gathered weights ZeRO-3 keeps because they are used again soon. What else it gathers is told in `deepspeed`.

use super::Plan;
use crate::training::Recomputation;

/// Elements of the recorded order of modules within which a gathered tensor is kept for its next use (zero/config.py,
/// `stage3_max_reuse_distance`).
pub(super) const REUSE_DISTANCE: u64 = 1_000_000_000;

/// Elements that are gathered still when the loss is computed, because they are used again within the reuse distance: a
/// module after which so many elements follow that they, passed again on the way back (once more where layers are
/// recomputed), stay below it (partitioned_param_coordinator.py, `__params_to_release`).
pub(super) fn kept(plan: &Plan<'_>) -> u64 {
    let passes = if plan.job.recomputation == Recomputation::None {
        2
    } else {
        3
    };
    let head = plan.output.plain.elements;
    let (mut distance, mut kept) = (head.saturating_mul(2), head);
    for kind in plan.order.iter().rev() {
        if distance >= REUSE_DISTANCE {
            break;
        }
        let elements = plan.layers.get(*kind).map_or(0, |layer| {
            layer.part.plain.elements + layer.part.packed_elements(plan.job)
        });
        kept = kept.saturating_add(elements);
        distance = distance.saturating_add(elements.saturating_mul(passes));
    }
    kept
}
