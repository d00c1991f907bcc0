//! PyTorch `fully_shard` over every layer and the root: sharded states, gathered units, reductions.
//!
//! Read in PyTorch 2.15: torch/distributed/fsdp/_fully_shard/_fsdp_param_group.py and _fsdp_collectives.py. In backward a
//! unit's gathered weights and fresh gradients exist beside the gathered bytes of the unit below (prefetch) and the input
//! of the previous reduction; the root's weights are gathered from its forward on, and its gradients wait for the end.
//! With replicas a reduced shard is reduced again among them, and its buffer is held one unit longer.

use super::gathered::{Shards, Unit, Units};
use super::{Held, Moment, Plan, Sheet, States};

/// Entries of this engine.
pub struct Fsdp2 {
    shards: Shards,
    units: Units,
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
            shards: Shards::new(plan, states),
            units: Units::new(plan, reshard, sheet),
            alone: plan.shards <= 1,
            replicated: replicas > 1,
        }
    }

    /// What every engine keeps.
    pub(super) const fn states(&self) -> &States {
        &self.shards.states
    }

    pub(super) fn at(&self, plan: &Plan<'_>, moment: Moment) -> Held {
        let (depth, units) = (plan.order.len(), &self.units);
        // Its weights stay gathered and its gradients whole until the last micro-batch is over.
        let pipelined = plan.job.pipeline_rank().is_some();
        let mut held = self.shards.always(plan, units, moment);
        match moment {
            Moment::Load | Moment::Rest => {}
            Moment::ForwardStart => {
                held.extend(units.root_gathered());
                self.root_arrives(&mut held);
                self.arrives(units.of(plan, 0), &mut held);
            }
            Moment::ForwardEnd | Moment::Loss | Moment::ReferenceLayers | Moment::ReferenceHead => {
                held.extend(units.root_gathered());
                if let (true, Moment::ForwardEnd, Some(last)) =
                    (self.reshards(), moment, units.below(plan, depth))
                {
                    held.extend(last.weights().map(|entry| (entry, 1)));
                }
                held.extend(units.kept(plan, depth));
                self.arrives(units.below(plan, depth), &mut held);
            }
            Moment::BackwardStart => {
                held.extend(units.root_gathered());
                held.extend(units.kept(plan, depth));
                if self.reshards() {
                    self.root_arrives(&mut held);
                }
            }
            Moment::Head => {
                held.extend(units.root_gathered());
                held.extend(units.kept(plan, depth));
                self.prefetched(plan, depth, &mut held);
            }
            Moment::Layer(layer) => {
                self.within_backward(plan, layer, &mut held);
                if let Some(unit) = units.of(plan, layer).filter(|_| !pipelined) {
                    held.extend(unit.weights().map(|entry| (entry, 1)));
                }
                if let Some(above) = units.of(plan, layer + 1).filter(|_| !pipelined) {
                    held.push((above.reduction, 1));
                    if self.replicated && above.cast.is_none() {
                        held.push((above.reduced, 1));
                    }
                }
                self.waiting(plan, layer + 1, &mut held);
                self.shards.layers_from(plan, layer + 1, &mut held);
            }
            Moment::Reduced(layer) => {
                self.within_backward(plan, layer, &mut held);
                if let Some(unit) = units.of(plan, layer) {
                    held.push((unit.gradients, 1));
                    held.extend((!pipelined).then_some((unit.reduction, 1)));
                }
                self.waiting(plan, layer + 1, &mut held);
                self.shards.layers_from(plan, layer, &mut held);
            }
            Moment::Tower(piece) => {
                held.extend(units.root_gathered());
                held.push((units.root.gradients, 1));
                held.extend(units.outer_trained().map(|unit| (unit.gradients, 1)));
                if let Some(block) = units.block(plan, piece) {
                    held.extend(block.weights().map(|entry| (entry, 1)));
                }
                if self.units.reshard {
                    self.arrives(units.block_below(plan, piece), &mut held);
                } else {
                    held.extend(units.kept(plan, 0));
                }
                if let Some(above) = units.reduced_above(plan, piece + 1) {
                    held.push((above.reduction, 1));
                }
                self.waiting(plan, 0, &mut held);
                self.shards.layers_from(plan, 0, &mut held);
                self.shards.tower_from(plan, piece + 1, &mut held);
            }
            Moment::Embedding => {
                held.extend(units.root_gathered());
                held.push((units.root.gradients, 1));
                held.extend(units.outer_trained().map(|unit| (unit.gradients, 1)));
                if !plan.job.cuts_embedding() {
                    held.push((units.input.gradients, 1));
                }
                if let Some(last) = units.reduced_above(plan, 0).filter(|_| !pipelined) {
                    held.push((last.reduction, 1));
                }
                held.extend(&self.shards.states.tied);
                self.waiting(plan, 0, &mut held);
                self.shards.layers_from(plan, 0, &mut held);
                self.shards.tower_from(plan, 0, &mut held);
            }
            Moment::EndsReduced => {
                held.extend([
                    (units.root.gradients, 1),
                    (units.input.gradients, 1),
                    (units.root.reduction, 1),
                    (units.input.reduction, 1),
                ]);
                for unit in units.outer_trained() {
                    held.extend([(unit.gradients, 1), (unit.reduction, 1)]);
                }
                self.shards.tower_from(plan, 0, &mut held);
                self.waiting(plan, 0, &mut held);
                if self.replicated {
                    for unit in units.root_units() {
                        held.extend(
                            unit.cast
                                .map(|cast| [(unit.reduced, 1), (cast, 1)])
                                .into_iter()
                                .flatten(),
                        );
                    }
                }
                self.shards.layers_from(plan, 0, &mut held);
            }
            Moment::Clip | Moment::Step => self.shards.step(plan, moment, &mut held),
        }
        held
    }

    /// What was reduced among replicas in a wider type than the weights', of the layers from this one on: each unit refers to it until
    /// backward is over, beside its cast copy (`_fsdp_param_group.py`, AllReduceState, `finalize_backward`).
    fn waiting(&self, plan: &Plan<'_>, from: usize, held: &mut Held) {
        if self.replicated {
            let counts = plan.between(from, plan.order.len());
            let waiting = self.units.layers.iter().zip(counts);
            held.extend(waiting.filter_map(|(unit, count)| unit.cast.map(|_| (unit.reduced, count))));
        }
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
        if self.units.reshard {
            self.arrives(self.units.below(plan, layer), held);
        }
    }

    /// The output of the all-gather of a unit. In the forward pass it stays until the next unit is copied out, or to the end.
    fn arrives(&self, unit: Option<&Unit>, held: &mut Held) {
        if let (false, Some(unit)) = (self.alone, unit) {
            held.extend(unit.outputs().map(|entry| (entry, 1)));
        }
    }

    /// The output of the all-gather of the root.
    fn root_arrives(&self, held: &mut Held) {
        for unit in self.units.root_units() {
            self.arrives(Some(unit), held);
        }
    }

    /// Whether units are divided again after their forward pass.
    pub(super) const fn reshards(&self) -> bool {
        self.units.reshard
    }
}
