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
use crate::training::Precision;
use crate::training::job::{BaseFormat, Zero};
use crate::training::plan::extend;
use crate::training::sheet::EntryId;
use crate::units::DType;

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

/// Weights that get neither gradients nor states: beside adapters, and of towers that do not train.
pub(super) fn frozen(plan: &Plan<'_>) -> u64 {
    if plan.job.adapter.is_none() {
        return plan.tower.frozen.plain.elements;
    }
    let layers = plan.layers.iter().enumerate();
    let within: u64 = layers
        .map(|(kind, layer)| {
            let packed = layer.part.packed_elements(plan.job);
            (layer.part.plain.elements + packed) * plan.layers_of(kind)
        })
        .sum();
    let tower = &plan.tower.frozen;
    let tower = tower.plain.elements + tower.packed_elements(plan.job);
    within + plan.input.plain.elements + plan.output.plain.elements + tower
}

/// Frozen weights where the stage does not divide them, and what of packed ones no stage divides.
fn frozen_weights(plan: &Plan<'_>, zero: Zero, sheet: &mut Sheet) -> Held {
    let mut held = Held::new();
    let low = plan.types.computed;
    let Some(adapter) = plan.job.adapter else {
        if zero.stage < 3 && plan.tower.frozen.plain.elements > 0 {
            let tower = plan
                .tower
                .frozen
                .frozen(BaseFormat::Plain, low, super::TOWERS, sheet);
            held.extend(tower);
        }
        return held;
    };
    if zero.stage == 3 {
        for (kind, layer) in plan.layers.iter().enumerate() {
            let scales =
                layer
                    .part
                    .scales((plan.job, adapter.base), &super::layer_place(&layer.place), sheet);
            extend(&mut held, &scales, plan.layers_of(kind));
        }
        let tower = &plan.tower.frozen;
        held.extend(tower.scales((plan.job, adapter.base), super::TOWERS, sheet));
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

/// The type in which stage 3 gathers weights: autocast's for those of linear layers, which are nearly all (DeepSpeed 0.19.8
/// runtime/zero/partition_parameters.py, `get_allgather_dtype`).
pub(super) const fn gathered_type(plan: &Plan<'_>) -> DType {
    match plan.job.precision {
        Precision::Autocast(dtype) => dtype,
        _ => plan.types.computed,
    }
}

/// Under autocast: gradients of linear layers are reduced in its type, from a bucket of their own, whose elements have the type
/// of the weights all the same up to stage 2 (DeepSpeed 0.19.8 runtime/torch_autocast.py; zero/stage_1_and_2.py, `setup_buckets`;
/// zero/stage3.py).
pub(super) fn narrow_bucket(plan: &Plan<'_>, zero: Zero, low: DType, flat: &mut Flat<'_>) -> Option<EntryId> {
    let Precision::Autocast(dtype) = plan.job.precision else {
        return None;
    };
    let name = (
        "zero.bucket_narrow",
        "bucket of the gradients of linear layers",
        Group::Gradients,
    );
    let dtype = if zero.stage == 3 { dtype } else { low };
    Some(flat.item(name, (dtype, zero.reduce_bucket), "β·n"))
}

/// Which elements an entry counts.
pub(super) fn elements_of(id: &str) -> &'static str {
    match id {
        "zero.reference_ahead" => "weights of the reference that are gathered at once",
        "zero.reference_head" => "weights of the head",
        "zero.persistent" | "zero.reference_persistent" => {
            "weights in tensors up to the persistence threshold"
        }
        "zero.frozen" => "frozen weights over the ranks that share them, rounded up",
        "zero.secondary" => "weights over the ranks that share the second copy, rounded up",
        "zero.master" => "elements of this rank's part whose states are on the GPU",
        "zero.moments" => "elements of this rank's part whose states are on the GPU, once for each moment",
        "zero.bucket" | "zero.bucket_narrow" => "elements of a reduction, reduce_bucket_size",
        "zero.waiting" | "zero.flattened_bucket" | "zero.narrowed" => "elements that are reduced together",
        "zero.interleaved" => {
            "elements that are reduced together, less those of weights that were let go of by then"
        }
        "zero.partition" => "elements of all tensors that this rank's part reaches into",
        "zero.staging" | "average.gathered" => "elements of the largest tensor",
        _ => "elements of this rank's part that one step of the optimizer takes",
    }
}
