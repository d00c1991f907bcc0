//! What DeepSpeed holds beside its flat buffers: frozen weights, the scales of packed ones, a moving average.
//!
//! A moving average is kept by the training loop: copies of the parameters of the module, which up to stage 2 are whole on every
//! rank and have the type of the arithmetic (DeepSpeed 0.19.8 runtime/zero/stage_1_and_2.py: they are views of the flat weights).
//! At stage 3 the averaged model is divided like the one that trains, and each parameter is gathered with its average while the
//! two are mixed (DeepSpeedExamples applications/DeepSpeed-Chat/dschat/utils/utils.py, `moving_average`: `GatheredParameters`
//! over both, `torch.lerp`).

use super::deepspeed::Flat;
use super::{Held, MOVING_AVERAGE, Plan, Sheet};
use crate::memory::Group;
use crate::training::job::Zero;
use crate::training::plan::extend;

/// All of it.
pub(super) fn held(plan: &Plan<'_>, zero: Zero, sheet: &mut Sheet) -> Held {
    let mut held = frozen_weights(plan, zero, sheet);
    let Some(dtype) = plan.job.moving_average.filter(|_| zero.stage < 3) else {
        return held;
    };
    for (kind, layer) in plan.layers.iter().enumerate() {
        let item = layer.part.trained.item(MOVING_AVERAGE, dtype, 1);
        held.push((
            sheet.item(item, &super::layer_place(&layer.place)),
            plan.layers_of(kind),
        ));
    }
    for (part, place) in [(&plan.input, super::BEFORE), (&plan.output, super::AFTER)] {
        held.push((sheet.item(part.trained.item(MOVING_AVERAGE, dtype, 1), place), 1));
    }
    held
}

/// At stage 3: this rank's part of the averaged weights, and a parameter with its average, gathered, and what both become.
pub(super) fn averaged(plan: &Plan<'_>, zero: Zero, own: u64, flat: &mut Flat<'_>) -> (Held, Held) {
    let Some(dtype) = plan.job.moving_average.filter(|_| zero.stage == 3) else {
        return (Held::new(), Held::new());
    };
    let part = (
        "zero.average",
        "partition of the averaged weights",
        Group::ModelParams,
    );
    let part = vec![(flat.item(part, (dtype, own), "β·⌈P/N⌉"), 1)];
    let name = (
        "average.gathered",
        "the largest weight and its average, gathered, and what both become",
        Group::ModelParams,
    );
    let mixed = flat.item(name, (dtype, plan.largest_trained()), "β·n");
    (part, vec![(mixed, 3)])
}

/// Weights beside adapters, which get neither gradients nor states.
pub(super) fn frozen(plan: &Plan<'_>) -> u64 {
    if plan.job.adapter.is_none() {
        return 0;
    }
    let layers = plan.layers.iter().enumerate();
    let within: u64 = layers
        .map(|(kind, layer)| {
            let packed = layer.part.packed_elements(plan.job);
            (layer.part.plain.elements + packed) * plan.layers_of(kind)
        })
        .sum();
    within + plan.input.plain.elements + plan.output.plain.elements + plan.tower.frozen.plain.elements
}

/// Frozen weights where the stage does not divide them, and what of packed ones no stage divides.
fn frozen_weights(plan: &Plan<'_>, zero: Zero, sheet: &mut Sheet) -> Held {
    let mut held = Held::new();
    let Some(adapter) = plan.job.adapter else {
        return held;
    };
    let low = plan.types.computed;
    if zero.stage == 3 {
        for (kind, layer) in plan.layers.iter().enumerate() {
            let scales = layer
                .part
                .scales(adapter.base, &super::layer_place(&layer.place), sheet);
            extend(&mut held, &scales, plan.layers_of(kind));
        }
        return held;
    }
    for (kind, layer) in plan.layers.iter().enumerate() {
        let place = super::layer_place(&layer.place);
        let one = layer.part.frozen(adapter.base, low, &place, sheet);
        extend(&mut held, &one, plan.layers_of(kind));
    }
    for (part, place) in [
        (&plan.input, super::BEFORE),
        (&plan.output, super::AFTER),
        (&plan.tower.frozen, super::TOWERS),
    ] {
        held.extend(part.frozen(adapter.base, low, place, sheet));
    }
    held
}
