//! PyTorch `fully_shard` over every layer and the root: sharded states, gathered units, reductions.
//!
//! Read in PyTorch 2.15: torch/distributed/fsdp/_fully_shard/_fsdp_param_group.py and _fsdp_collectives.py. In backward a
//! unit's gathered weights and fresh gradients exist beside the gathered bytes of the unit below (prefetch) and the input
//! of the previous reduction; the root's weights are gathered from its forward on, and its gradients wait for the end.
//! With replicas a reduced shard is reduced again among them, and its buffer is held one unit longer.

use super::gathered::Units;
use super::{Held, Moment, Plan, Sheet, States, layer_gradients};
use crate::training::plan::gradients_persist;

/// Entries of this engine.
pub struct Fsdp2 {
    states: States,
    units: Units,
    persist: bool,
    alone: bool,
    replicated: bool,
}

impl Fsdp2 {
    pub(super) fn new(
        plan: &Plan<'_>,
        states: States,
        (reshard, replicas): (bool, u64),
        sheet: &mut Sheet,
    ) -> Self {
        Self {
            states,
            units: Units::new(plan, reshard, sheet),
            persist: gradients_persist(plan.job),
            alone: plan.shards <= 1,
            replicated: replicas > 1,
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
            Moment::Loss | Moment::Head => {
                held.extend(units.root_gathered());
                held.extend(units.kept(plan, depth));
                self.prefetched(plan, depth, &mut held);
            }
            Moment::Layer(layer) => {
                self.within_backward(plan, layer, &mut held);
                if let Some(unit) = units.of(plan, layer) {
                    held.push((unit.gathered, 1));
                }
                if let Some(above) = units.of(plan, layer + 1) {
                    held.push((above.reduction, 1));
                    if self.replicated {
                        held.push((above.reduced, 1));
                    }
                }
                self.sharded(plan, layer + 1, &mut held);
            }
            Moment::Reduced(layer) => {
                self.within_backward(plan, layer, &mut held);
                if let Some(unit) = units.of(plan, layer) {
                    held.extend([(unit.gradients, 1), (unit.reduction, 1)]);
                }
                self.sharded(plan, layer, &mut held);
            }
            Moment::Embedding => {
                held.extend(units.root_gathered());
                held.extend([(units.root.gradients, 1), (units.input.gradients, 1)]);
                if let Some(first) = units.of(plan, 0) {
                    held.push((first.reduction, 1));
                }
                held.extend(&self.states.tied);
                self.sharded(plan, 0, &mut held);
            }
            Moment::EndsReduced => {
                held.extend([
                    (units.root.gradients, 1),
                    (units.input.gradients, 1),
                    (units.root.reduction, 1),
                    (units.input.reduction, 1),
                ]);
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

    /// What backward of any layer holds: the root, its gradients, what was never resharded, and the unit below on its way.
    fn within_backward(&self, plan: &Plan<'_>, layer: usize, held: &mut Held) {
        held.extend(self.units.root_gathered());
        held.push((self.units.root.gradients, 1));
        held.extend(self.units.kept(plan, layer));
        self.prefetched(plan, layer, held);
    }

    /// The output of the all-gather of the unit below.
    fn prefetched(&self, plan: &Plan<'_>, layer: usize, held: &mut Held) {
        if let (true, false, Some(below)) = (self.units.reshard, self.alone, self.units.below(plan, layer)) {
            held.push((below.output, 1));
        }
    }

    /// Gradient shards of the layers from this one on; they are among all gradients where those persist.
    fn sharded(&self, plan: &Plan<'_>, from: usize, held: &mut Held) {
        if !self.persist {
            held.extend(layer_gradients(plan, from, plan.order.len()));
        }
    }
}
