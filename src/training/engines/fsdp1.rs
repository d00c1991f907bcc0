//! PyTorch `FullyShardedDataParallel` over every layer and the root: flat parameters.
//!
//! Read in PyTorch 2.15: torch/distributed/fsdp/_runtime_utils.py and _flat_param.py. The root is gathered from its forward to
//! its backward; backward gathers the unit below before a unit's gradients are computed (BACKWARD_PRE). Beside adapters
//! that is the unit of one small matrix within layers: PEFT's wrapping policy (utils/other.py, `fsdp_auto_wrap_policy`) gives
//! each a unit of its own; only the head's backward gathers the last layer. A unit's gradients are concatenated into a flat one while both and the gathered weights exist, then reduced in the
//! compute type.
//! BACKWARD_POST gathers the unit below after that, when the unit's own weights are freed already. On one rank, and with
//! NO_SHARD, a flat parameter in the type of the arithmetic is used as it is.
//!
//! A reduction in a wider type first copies the flat gradient, when the gathered weights are gone already
//! (`_post_backward_hook`, `_reduce_grad`). With `forward_prefetch` a unit's views are made before the unit below runs, so
//! autograd comes to the node that flattens its gradients only when backward of the unit below is over. With
//! `use_orig_params` the optimizer sets the gradients of the original parameters to None, the flat ones stay until the
//! next forward pass (`_reset_flat_param_grad_info_if_needed` in `_root_pre_forward`). With CPU offload a reduced shard is
//! copied to the host and stays on the GPU until backward is over (`_saved_grad_shard`). Where optimizers were put into backward
//! (`_apply_optimizer_in_backward`), each unit steps right after its reduction and its gradient is gone.

use super::gathered::{Shards, Unit, Units};
use super::{Held, Moment, Plan, Sheet, States};

/// How it gathers and reduces.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether gathered weights are freed after the forward pass of a unit.
    pub reshard: bool,
    /// Whether the unit below is gathered before a unit's gradients are computed.
    pub prefetch: bool,
    /// Whether a unit's gradients are flattened after the backward of the unit below (`forward_prefetch`).
    pub late: bool,
    /// Whether flat gradients stay until the next forward pass (`use_orig_params`).
    pub original: bool,
}

/// Entries of this engine.
pub struct Fsdp1 {
    shards: Shards,
    units: Units,
    settings: Settings,
    /// The tightest moment of the reduction of each kind of layer, and of both ends.
    reductions: Vec<Held>,
    ends: Held,
}

impl Fsdp1 {
    pub(super) fn new(plan: &Plan<'_>, states: States, settings: Settings, sheet: &mut Sheet) -> Self {
        let units = Units::new(plan, settings.reshard, sheet);
        let widens = plan.types.reduced.bits() > plan.types.computed.bits() && plan.job.adapter.is_none();
        // Gradients of modules that it ignores are reduced where they are.
        let copies = if plan.job.adapters_outside() { 1 } else { 2 };
        let tightest = |reduced: &[&Unit]| reduction(&units, reduced, (widens, copies), sheet);
        let reductions = units.layers.iter().zip(&plan.layers).map(|(unit, layer)| {
            let before = tightest(&[unit]);
            let stepping = states.stepping(plan, (unit.gradients, layer.gradients));
            larger(before, stepping, sheet)
        });
        Self {
            settings,
            reductions: reductions.collect(),
            ends: {
                let mut all = vec![&units.root, &units.input];
                all.extend(units.outer_trained());
                tightest(&all)
            },
            shards: Shards::new(plan, states),
            units,
        }
    }

    pub(super) fn at(&self, plan: &Plan<'_>, moment: Moment) -> Held {
        let (depth, units) = (plan.order.len(), &self.units);
        let mut held = self.shards.always(plan, units, moment);
        let prefetches = self.settings.prefetch && plan.job.adapter.is_none();
        match moment {
            // A step inside backward has let go of them.
            Moment::Rest if plan.job.optimizer_in_backward => {}
            Moment::Rest if self.settings.original => self.shards.at_rest(plan, &mut held),
            Moment::Load | Moment::Rest => {}
            Moment::ForwardStart
            | Moment::ForwardEnd
            | Moment::Loss
            | Moment::ReferenceLayers
            | Moment::ReferenceHead
            | Moment::BackwardStart => {
                held.extend(units.root_gathered());
                held.extend(units.kept(plan, depth));
            }
            Moment::Head => {
                held.extend(units.root_gathered());
                held.extend(units.kept(plan, depth));
                if let (true, Some(last)) = (self.settings.prefetch, units.below(plan, depth)) {
                    units.gathered(last, &mut held);
                }
            }
            Moment::Layer(layer) | Moment::Reduced(layer) => {
                held.extend(units.root_gathered());
                held.push((units.root.gradients, 1));
                held.extend(units.kept(plan, layer));
                if let (true, Some(below)) = (prefetches, units.below(plan, layer)) {
                    units.gathered(below, &mut held);
                }
                let unit = units.of(plan, layer);
                let above = units.of(plan, layer + 1).filter(|_| self.settings.late);
                let reduces = matches!(moment, Moment::Reduced(_));
                if let Some(unit) = unit.filter(|_| self.settings.late || !reduces) {
                    units.gathered(unit, &mut held);
                }
                if let Some(above) = above.filter(|_| !reduces) {
                    units.gathered(above, &mut held);
                    held.push((above.gradients, 1));
                }
                if reduces {
                    if let Some(unit) = unit.filter(|_| self.settings.late) {
                        held.push((unit.gradients, 1));
                    }
                    let reduced = layer + usize::from(self.settings.late);
                    let kind = plan
                        .order
                        .get(reduced)
                        .and_then(|kind| self.reductions.get(*kind));
                    held.extend(kind.into_iter().flatten());
                }
                let done = layer + 1 + usize::from(self.settings.late);
                self.shards.reduced_from(plan, done, &mut held);
            }
            Moment::Tower(piece) => {
                held.extend(units.root_gathered());
                held.push((units.root.gradients, 1));
                held.extend(units.outer_trained().map(|unit| (unit.gradients, 1)));
                held.extend(units.kept(plan, 0));
                if let Some(block) = units.block(plan, piece) {
                    units.gathered(block, &mut held);
                }
                if let (true, Some(below)) = (prefetches, units.block_below(plan, piece)) {
                    units.gathered(below, &mut held);
                }
                self.shards.reduced_from(plan, 0, &mut held);
                self.shards.tower_from(plan, piece + 1, &mut held);
            }
            Moment::Embedding => {
                held.extend(units.root_gathered());
                held.extend([(units.root.gradients, 1), (units.input.gradients, 1)]);
                held.extend(units.outer_trained().map(|unit| (unit.gradients, 1)));
                self.shards.tower_from(plan, 0, &mut held);
                held.extend(&self.shards.states.tied);
                if let Some(first) = units.of(plan, 0).filter(|_| self.settings.late) {
                    units.gathered(first, &mut held);
                    held.push((first.gradients, 1));
                }
                self.shards
                    .reduced_from(plan, usize::from(self.settings.late), &mut held);
            }
            Moment::EndsReduced => {
                held.extend(&self.ends);
                self.shards.reduced_from(plan, 0, &mut held);
                self.shards.tower_from(plan, 0, &mut held);
            }
            Moment::Clip | Moment::Step => self.shards.step(plan, moment, &mut held),
        }
        held
    }
}

/// The tightest moment of a reduction: the gradients are flattened beside the gathered weights, or copied to the wider type
/// of the reduction, beside its output.
fn reduction(units: &Units, reduced: &[&Unit], (widens, times): (bool, u64), sheet: &Sheet) -> Held {
    let mut flattened = Held::new();
    for unit in reduced {
        units.gathered(unit, &mut flattened);
        flattened.push((unit.gradients, times));
    }
    let mut copied = Held::new();
    for unit in reduced {
        copied.extend([(unit.gradients, 1), (unit.reduction, 1), (unit.reduced, 1)]);
        copied.extend(unit.cast.map(|cast| (cast, 1)));
    }
    if widens {
        larger(flattened, copied, sheet)
    } else {
        flattened
    }
}

/// The one that takes more.
fn larger(first: Held, second: Held, sheet: &Sheet) -> Held {
    if sheet.bytes(&second) > sheet.bytes(&first) {
        second
    } else {
        first
    }
}
