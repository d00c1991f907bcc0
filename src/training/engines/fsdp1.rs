//! PyTorch `FullyShardedDataParallel` over every layer and the root: flat parameters.
//!
//! Read in PyTorch 2.15: torch/distributed/fsdp/_runtime_utils.py and _flat_param.py. The root is gathered from its forward to
//! its backward; backward gathers the unit below before a unit's gradients are computed (BACKWARD_PRE). A unit's gradients
//! are concatenated into a flat one while both and the gathered weights exist, then reduced in the compute type.

use super::gathered::Units;
use super::{Held, Moment, Plan, Sheet, States, layer_gradients};
use crate::training::plan::gradients_persist;

/// Entries of this engine.
pub struct Fsdp1 {
    states: States,
    units: Units,
    persist: bool,
}

impl Fsdp1 {
    pub(super) fn new(plan: &Plan<'_>, states: States, reshard: bool, sheet: &mut Sheet) -> Self {
        Self {
            states,
            units: Units::new(plan, reshard, sheet),
            persist: gradients_persist(plan.job),
        }
    }

    pub(super) fn at(&self, plan: &Plan<'_>, moment: Moment) -> Held {
        let (depth, units) = (plan.order.len(), &self.units);
        let mut held = self.states.always(moment);
        if moment == Moment::Load {
            return held;
        }
        if self.persist && !matches!(moment, Moment::Rest) {
            let reduced = plan.job.sync_each_micro_batch || matches!(moment, Moment::Clip | Moment::Step);
            held.extend(if reduced {
                self.states.all_gradients(plan)
            } else {
                self.units.accumulated(plan)
            });
        }
        match moment {
            Moment::Load | Moment::Rest => {}
            Moment::Loss => {
                held.extend(units.root_gathered());
                held.extend(units.kept(plan, depth));
            }
            Moment::Head => {
                held.extend(units.root_gathered());
                held.extend(units.kept(plan, depth));
                if let (true, Some(last)) = (units.reshard, units.below(plan, depth)) {
                    held.push((last.gathered, 1));
                }
            }
            Moment::Layer(layer) | Moment::Reduced(layer) => {
                held.extend(units.root_gathered());
                held.push((units.root.gradients, 1));
                held.extend(units.kept(plan, layer));
                if let Some(unit) = units.of(plan, layer) {
                    held.push((unit.gathered, 1));
                    if matches!(moment, Moment::Reduced(_)) {
                        held.push((unit.gradients, 2));
                    }
                }
                if let (true, Some(below)) = (units.reshard, units.below(plan, layer)) {
                    held.push((below.gathered, 1));
                }
                self.sharded(plan, layer + 1, &mut held);
            }
            Moment::Embedding => {
                held.extend(units.root_gathered());
                held.extend([(units.root.gradients, 1), (units.input.gradients, 1)]);
                held.extend(&self.states.tied);
                self.sharded(plan, 0, &mut held);
            }
            Moment::EndsReduced => {
                held.extend(units.root_gathered());
                held.extend([(units.root.gradients, 2), (units.input.gradients, 2)]);
                self.sharded(plan, 0, &mut held);
            }
            Moment::Clip | Moment::Step => {
                if !self.persist {
                    held.extend(self.states.all_gradients(plan));
                }
                held.extend(if moment == Moment::Clip {
                    &self.states.clip
                } else {
                    &self.states.step
                });
            }
        }
        held
    }

    /// Gradient shards of the layers from this one on; they are among all gradients where those persist.
    fn sharded(&self, plan: &Plan<'_>, from: usize, held: &mut Held) {
        if !self.persist {
            held.extend(layer_gradients(plan, from, plan.order.len()));
        }
    }
}
