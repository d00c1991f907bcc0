//! What DeepSpeed's optimizer step makes beside weights, states and gradients. Read in DeepSpeed 0.19.8, runtime/zero/
//! stage_1_and_2.py (`step`, `scaled_global_norm`), stage3.py.

use super::deepspeed::{Flat, SUB_GROUP};
use super::{Held, Plan};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::block;
use crate::memory::{Group, Symbol};
use crate::training::job::Zero;
use crate::training::sheet::{EntryId, Item};
use crate::training::{Optimizer, OptimizerImplementation, Precision};
use crate::units::{Bytes, DType};

/// The tightest moment of the step. Stages 1 and 2: the norm of each piece of the partition in fp64 beside its gradients; or their
/// flattened copy and its fp32 copy beside them; or the fp32 gradients and torch's list of square roots when they are gone.
pub(super) fn step(
    plan: &Plan<'_>,
    zero: Zero,
    own: u64,
    (partition, piece): (EntryId, u64),
    flat: &mut Flat<'_>,
) -> Held {
    let [wide, _] = states_types(plan);
    let [_, _, gradients_as] = named(wide);
    let part = if zero.stage == 3 { own.min(SUB_GROUP) } else { own };
    let gradients = flat.item(
        ("zero.fp32_gradients", gradients_as, Group::Gradients),
        (wide, part),
        "β·n",
    );
    let list = flat.item(
        (
            "optimizer.temporaries",
            "temporaries of the optimizer's step",
            Group::Overhead,
        ),
        (wide, part),
        "β·n",
    );
    let narrow = flat.item(
        (
            "zero.flattened",
            "flattened 16-bit gradients of the partition",
            Group::Gradients,
        ),
        (plan.types.computed, part),
        "β·n",
    );
    let foreach = plan.job.implementation == OptimizerImplementation::Foreach
        && matches!(plan.job.optimizer, Optimizer::AdamW);
    let plain = zero.stage == 0 && plan.types.computed == DType::Fp32;
    // In stages 1 and 2 the flattened ones are taken as they are where no cast is due.
    let uncast = matches!(zero.stage, 1 | 2) && wide == plan.types.computed;
    let mut run = vec![(gradients, u64::from(!plain))];
    match (zero.stage, foreach) {
        (_, true) => run.push((list, 1)),
        (3, false) => run.push((narrow, 1)),
        _ => {}
    }
    if !matches!(zero.stage, 1 | 2) {
        return run;
    }
    let norm = flat.sheet.item(norm(piece), "");
    let moments = [
        vec![(partition, 1), (norm, 1)],
        vec![(partition, 1), (narrow, 1), (gradients, u64::from(!uncast))],
        run,
    ];
    let tightest = moments.into_iter().max_by_key(|held| flat.sheet.bytes(held));
    tightest.unwrap_or_default()
}

/// The fp64 copy of a piece of the gradients, of which the norm is taken.
fn norm(piece: u64) -> Item {
    Item {
        id: "zero.norm",
        label: "fp64 copy of the largest gradient, for its norm",
        group: Group::Overhead,
        dtype: None,
        unit: block(Bytes::new(piece.saturating_mul(8))),
        formula: "8·n",
        symbols: vec![Symbol::new(
            "n",
            "elements of the largest piece of a tensor in this rank's part",
            piece,
        )],
        terms: Vec::new(),
        citation: Citation::new(
            Evidence::Source,
            "DeepSpeed 0.19.8 runtime/zero/stage_1_and_2.py (`get_grad_norm_direct`), utils.py (`get_norm_dtype`)",
        ),
    }
}

/// Types of master weights and moments: fp32, or bf16 with `bf16_master_weights_and_grads` and `bf16_optimizer_states`
/// (DeepSpeed 0.19.8 runtime/base_optimizer.py, `_configure_master_weights`). bitsandbytes' moments are fp32 whatever the weights.
pub(super) const fn states_types(plan: &Plan<'_>) -> [DType; 2] {
    match (plan.job.precision, plan.job.optimizer) {
        (Precision::Pure(low), Optimizer::BitsAndBytes { .. }) => [low, DType::Fp32],
        (Precision::Pure(low), _) => [low, low],
        _ => [DType::Fp32, DType::Fp32],
    }
}

/// Master weights, moments and gradients of the step in a type, for a person.
pub(super) const fn named(dtype: DType) -> [&'static str; 3] {
    match dtype {
        DType::Bf16 => [
            "bf16 master weights",
            "bf16 moments",
            "bf16 gradients of the step",
        ],
        _ => [
            "fp32 master weights",
            "fp32 moments",
            "fp32 gradients of the step",
        ],
    }
}

pub(super) const fn states_of(optimizer: Optimizer) -> u64 {
    match optimizer {
        Optimizer::AdamW | Optimizer::ScheduleFree | Optimizer::TorchAo { .. } => 2,
        Optimizer::Sgd { momentum: true } | Optimizer::Muon | Optimizer::GaLore { .. } => 1,
        Optimizer::Sgd { momentum: false } | Optimizer::Adafactor | Optimizer::AdafactorFp32 => 0,
        Optimizer::BitsAndBytes { states, .. } => states,
    }
}
