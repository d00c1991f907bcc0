//! PyTorch `fully_shard` over every layer and the root: sharded states, gathered units, reductions.
//!
//! Read in PyTorch 2.15: torch/distributed/fsdp/_fully_shard/_fsdp_param_group.py and _fsdp_collectives.py. In backward a
//! unit's gathered weights and fresh gradients exist beside the gathered bytes of the unit below (prefetch) and the input
//! of the previous reduction; the root's weights are gathered from its forward on, and its gradients wait for the end.

use super::{Held, Moment, Plan, Sheet, States, buffer, layer_gradients};
use crate::memory::Group;
use crate::training::plan::gradients_persist;
use crate::training::sheet::EntryId;
use crate::training::states::{Kind, Piece};

/// Entries of one unit.
struct Unit {
    /// Its weights, gathered.
    gathered: EntryId,
    /// The output of its all-gather before it is copied out.
    output: EntryId,
    /// Its fresh gradients, whole.
    gradients: EntryId,
    /// The input of its reduce-scatter.
    reduction: EntryId,
}

/// Entries of this engine.
pub struct Fsdp2 {
    states: States,
    layers: Vec<Unit>,
    input: Unit,
    root: Unit,
    reshard: bool,
    persist: bool,
    alone: bool,
}

impl Fsdp2 {
    pub(super) fn new(plan: &Plan<'_>, states: States, reshard: bool, sheet: &mut Sheet) -> Self {
        let mut unit = |piece: &Piece, place: &str| {
            let mut entry = |kind: Kind, dtype| sheet.item(piece.item(kind, dtype, plan.shards), place);
            let gathered = "gathered weights";
            Unit {
                gathered: entry(
                    buffer("fsdp.gathered", gathered, Group::ModelParams),
                    plan.types.computed,
                ),
                output: entry(
                    buffer("fsdp.all_gather", "output of an all-gather", Group::ModelParams),
                    plan.types.computed,
                ),
                gradients: entry(
                    buffer("fsdp.gradients", "unsharded gradients", Group::Gradients),
                    plan.types.computed,
                ),
                reduction: entry(
                    buffer(
                        "fsdp.reduce_scatter",
                        "input of a reduce-scatter",
                        Group::Gradients,
                    ),
                    plan.types.reduced,
                ),
            }
        };
        let layers = plan
            .layers
            .iter()
            .map(|layer| unit(&layer.piece, &layer.place))
            .collect();
        let input = unit(&plan.input, "before the layers");
        let root = unit(&plan.output, "head and final norm");
        Self {
            states,
            layers,
            input,
            root,
            reshard,
            persist: gradients_persist(plan.job),
            alone: plan.shards <= 1,
        }
    }

    fn unit(&self, plan: &Plan<'_>, layer: usize) -> Option<&Unit> {
        self.layers.get(*plan.order.get(layer)?)
    }

    fn root_gathered(&self) -> Held {
        vec![(self.input.gathered, 1), (self.root.gathered, 1)]
    }

    /// Gathered weights of the layers below `end` that stay gathered without resharding.
    fn kept(&self, plan: &Plan<'_>, end: usize) -> Held {
        if self.reshard {
            return Held::new();
        }
        let counts = plan.below(end);
        self.layers
            .iter()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .map(|(unit, count)| (unit.gathered, count))
            .collect()
    }

    pub(super) fn at(&self, plan: &Plan<'_>, moment: Moment) -> Held {
        let depth = plan.order.len();
        let mut held = self.states.always(moment);
        if moment == Moment::Load {
            return held;
        }
        if self.persist && moment != Moment::Rest {
            held.extend(self.states.all_gradients(plan));
        }
        match moment {
            Moment::Load | Moment::Rest => {}
            Moment::Loss | Moment::Head => {
                held.extend(self.root_gathered());
                held.extend(self.kept(plan, depth));
                let last = self.unit(plan, depth.saturating_sub(1));
                if let (true, false, Some(last)) = (self.reshard, self.alone, last) {
                    held.push((last.output, 1));
                }
            }
            Moment::Layer(layer) => {
                held.extend(self.root_gathered());
                held.push((self.root.gradients, 1));
                held.extend(self.kept(plan, layer));
                if let Some(unit) = self.unit(plan, layer) {
                    held.push((unit.gathered, 1));
                }
                if let (true, false, Some(below)) = (
                    self.reshard,
                    self.alone,
                    layer.checked_sub(1).and_then(|below| self.unit(plan, below)),
                ) {
                    held.push((below.output, 1));
                }
                if let Some(above) = self.unit(plan, layer + 1) {
                    held.push((above.reduction, 1));
                }
                self.sharded(plan, layer + 1, &mut held);
            }
            Moment::Reduced(layer) => {
                held.extend(self.root_gathered());
                held.push((self.root.gradients, 1));
                held.extend(self.kept(plan, layer));
                if let Some(unit) = self.unit(plan, layer) {
                    held.extend([(unit.gradients, 1), (unit.reduction, 1)]);
                }
                if let (true, false, Some(below)) = (
                    self.reshard,
                    self.alone,
                    layer.checked_sub(1).and_then(|below| self.unit(plan, below)),
                ) {
                    held.push((below.output, 1));
                }
                self.sharded(plan, layer, &mut held);
            }
            Moment::Embedding => {
                held.extend(self.root_gathered());
                held.extend([(self.root.gradients, 1), (self.input.gradients, 1)]);
                if let Some(first) = self.unit(plan, 0) {
                    held.push((first.reduction, 1));
                }
                held.extend(&self.states.tied);
                self.sharded(plan, 0, &mut held);
            }
            Moment::EndsReduced => {
                held.extend([
                    (self.root.gradients, 1),
                    (self.input.gradients, 1),
                    (self.root.reduction, 1),
                    (self.input.reduction, 1),
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

    /// Gradient shards of the layers from this one on; they are among all gradients where those persist.
    fn sharded(&self, plan: &Plan<'_>, from: usize, held: &mut Held) {
        if !self.persist {
            held.extend(layer_gradients(plan, from, plan.order.len()));
        }
    }
}
