//! PyTorch `FullyShardedDataParallel` over every layer and the root: flat parameters.
//!
//! Read in PyTorch 2.15: torch/distributed/fsdp/_runtime_utils.py and _flat_param.py. The root is gathered from its forward to
//! its backward; backward gathers the unit below before a unit's gradients are computed (BACKWARD_PRE). Beside adapters
//! that is the unit of one small matrix: PEFT's wrapping policy (utils/other.py, `fsdp_auto_wrap_policy`) gives each a unit of
//! its own. A unit's gradients are concatenated into a flat one while both and the gathered weights exist, then reduced in the
//! compute type.
//! BACKWARD_POST gathers the unit below after that, when the unit's own weights are freed already. On one rank, and with
//! NO_SHARD, a flat parameter in the type of the arithmetic is used as it is. With `use_orig_params` the optimizer's `zero_grad`
//! reaches the views only: the flat gradients go when the next forward pass finds all of those without one
//! (`_reset_flat_param_grad_info_if_needed`), so they are there between two steps.

use super::gathered::{Shards, Units};
use super::{Held, Moment, Plan, Sheet, States};

/// Entries of this engine.
pub struct Fsdp1 {
    shards: Shards,
    units: Units,
    /// Whether the unit below is gathered before a unit's gradients are computed.
    prefetch: bool,
    /// Whether flat gradients outlive `zero_grad`.
    original: bool,
}

impl Fsdp1 {
    pub(super) fn new(
        plan: &Plan<'_>,
        states: States,
        (reshard, prefetch, original): (bool, bool, bool),
        sheet: &mut Sheet,
    ) -> Self {
        Self {
            prefetch: prefetch && reshard,
            original,
            shards: Shards::new(plan, states),
            units: Units::new(plan, reshard, sheet),
        }
    }

    pub(super) fn at(&self, plan: &Plan<'_>, moment: Moment) -> Held {
        let (depth, units) = (plan.order.len(), &self.units);
        let mut held = self.shards.always(plan, units, moment);
        let prefetches = self.prefetch && plan.job.adapter.is_none();
        match moment {
            Moment::Rest if self.original => self.shards.at_rest(plan, &mut held),
            Moment::Load | Moment::Rest => {}
            Moment::Loss => {
                held.extend(units.root_gathered());
                held.extend(units.kept(plan, depth));
            }
            Moment::Head => {
                held.extend(units.root_gathered());
                held.extend(units.kept(plan, depth));
                if let (true, Some(last)) = (prefetches, units.below(plan, depth)) {
                    units.gathered(last, &mut held);
                }
            }
            Moment::Layer(layer) | Moment::Reduced(layer) => {
                held.extend(units.root_gathered());
                held.push((units.root.gradients, 1));
                held.extend(units.kept(plan, layer));
                if let Some(unit) = units.of(plan, layer) {
                    units.gathered(unit, &mut held);
                    if matches!(moment, Moment::Reduced(_)) {
                        // Those of ignored modules are reduced where they are.
                        held.push((unit.gradients, if plan.job.adapters_outside() { 1 } else { 2 }));
                    }
                }
                if let (true, Some(below)) = (prefetches, units.below(plan, layer)) {
                    units.gathered(below, &mut held);
                }
                self.shards.layers_from(plan, layer + 1, &mut held);
            }
            Moment::Embedding => {
                held.extend(units.root_gathered());
                held.extend([(units.root.gradients, 1), (units.input.gradients, 1)]);
                held.extend(&self.shards.states.tied);
                self.shards.layers_from(plan, 0, &mut held);
            }
            Moment::EndsReduced => {
                held.extend(units.root_gathered());
                held.extend([(units.root.gradients, 2), (units.input.gradients, 2)]);
                self.shards.layers_from(plan, 0, &mut held);
            }
            Moment::Clip | Moment::Step => self.shards.step(plan, moment, &mut held),
        }
        held
    }
}
