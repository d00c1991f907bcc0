//! DeepSpeed ZeRO stages 0 to 3 with 16-bit weights and fp32 master weights.
//!
//! Read in DeepSpeed 0.19: runtime/fp16/fused_optimizer.py (stage 0), runtime/zero/stage_1_and_2.py, stage3.py,
//! partition_parameters.py and partitioned_param_coordinator.py. Flat buffers are counted for the whole model, not by layer.

use super::{Held, Moment, Plan, Sheet, buffer, symbol};
use crate::cite::{Citation, Evidence};
use crate::memory::Group;
use crate::memory::allocator::block;
use crate::training::job::Zero;
use crate::training::plan::extend;
use crate::training::sheet::{EntryId, Item};
use crate::training::{Optimizer, OptimizerImplementation};
use crate::units::{Bytes, DType};

/// Elements of one sub-group of stage 3's optimizer step (zero/config.py, `sub_group_size`).
const SUB_GROUP: u64 = 1_000_000_000;

/// Entries of this engine.
pub struct DeepSpeed {
    zero: Zero,
    /// 16-bit weights or their partition, with what stays beside them at all times.
    always: Held,
    /// fp32 master weights and moments.
    states: Held,
    /// Buffers of the reduction, from the first gradient on.
    buckets: Held,
    /// This rank's gradients, of the layers that backward has passed.
    partition: EntryId,
    /// All 16-bit gradients (stages 0 and 1), of the layers that backward has passed.
    whole: Vec<EntryId>,
    ends: [EntryId; 2],
    /// What the step needs on top.
    step: Held,
    /// The second gradient of a tied embedding.
    tied: Held,
    /// A tensor larger than the bucket, copied for its own reduction.
    oversized: Held,
    /// Gathered weights (stage 3).
    gathered: Held,
    layers: u64,
}

/// A flat buffer over all weights.
struct Flat<'a> {
    sheet: &'a mut Sheet,
    weights: u64,
    ranks: u64,
}

impl Flat<'_> {
    fn item(
        &mut self,
        (id, label, group): (&'static str, &'static str, Group),
        (dtype, elements): (DType, u64),
        formula: &'static str,
    ) -> EntryId {
        let item = Item {
            id,
            label,
            group,
            dtype: Some(dtype),
            unit: block(Bytes::new(elements.saturating_mul(dtype.bits() / 8))),
            formula,
            symbols: [
                symbol("β", "bytes per element", dtype.bits() / 8),
                symbol("n", "elements", elements),
                symbol("P", "weights", self.weights),
                symbol("N", "ranks that share them", self.ranks),
            ]
            .into_iter()
            .filter(|symbol| formula.contains(symbol.name))
            .collect(),
            terms: Vec::new(),
            citation: Citation::new(
                Evidence::Source,
                "DeepSpeed 0.19 runtime/zero/stage_1_and_2.py, stage3.py; tests/measured/deepspeed-trace.jsonl",
            ),
        };
        self.sheet.item(item, "")
    }
}

impl DeepSpeed {
    pub(super) fn new(plan: &Plan<'_>, zero: Zero, sheet: &mut Sheet) -> Self {
        let ranks = if zero.stage == 0 {
            1
        } else {
            plan.job.data_parallel.max(1)
        };
        let low = plan.types.computed;
        let all: Vec<(u64, u64)> = plan
            .layers
            .iter()
            .enumerate()
            .map(|(kind, layer)| (layer.part.trained.elements, plan.layers_of(kind)))
            .chain([
                (plan.input.trained.elements, 1),
                (plan.output.trained.elements, 1),
            ])
            .collect();
        let weights: u64 = all.iter().map(|(elements, count)| elements * count).sum();
        let own = weights.div_ceil(ranks);
        let largest = plan.largest_tensor();
        let workspaces = super::workspaces(plan, sheet);
        let tied = super::tied(plan, sheet);
        let gradient = buffer("gradients", "16-bit gradients", Group::Gradients);
        let whole = plan
            .layers
            .iter()
            .map(|layer| {
                sheet.item(
                    layer.part.trained.item(gradient, low, 1),
                    &super::layer_place(&layer.place),
                )
            })
            .collect();
        let ends = [(&plan.output, super::AFTER), (&plan.input, super::BEFORE)]
            .map(|(part, place)| sheet.item(part.trained.item(gradient, low, 1), place));
        let mut flat = Flat {
            sheet,
            weights,
            ranks,
        };
        let params = Group::ModelParams;
        let mut always = workspaces;
        if zero.stage == 3 {
            if !zero.weights_on_host {
                let id = ("zero.weights", "partition of the 16-bit weights", params);
                always.push((flat.item(id, (low, own), "β·⌈P/N⌉"), 1));
            }
            if !zero.optimizer_on_host {
                let id = ("zero.gradients", "partition of the gradients", Group::Gradients);
                always.push((flat.item(id, (low, own), "β·⌈P/N⌉"), 1));
            }
            let small = plan.small_tensors(zero.persistence_threshold);
            always.push((
                flat.item(
                    ("zero.persistent", "small weights that are never divided", params),
                    (low, small),
                    "β·n",
                ),
                1,
            ));
        } else {
            always.push((
                flat.item(
                    ("zero.weights", "16-bit weights, flat", params),
                    (low, weights),
                    "β·P",
                ),
                1,
            ));
        }
        let optimizer = Group::OptimizerStates;
        let master = flat.item(
            ("zero.master", "fp32 master weights", optimizer),
            (DType::Fp32, own),
            "β·⌈P/N⌉",
        );
        let moments = flat.item(
            ("zero.moments", "fp32 moments", optimizer),
            (DType::Fp32, own * states_of(plan.job.optimizer)),
            "β·n",
        );
        let bucket = flat.item(
            (
                "zero.bucket",
                "bucket of the gradient reduction",
                Group::Gradients,
            ),
            (low, zero.reduce_bucket),
            "β·n",
        );
        let mut buckets = Held::new();
        match zero.stage {
            0 => {}
            3 => always.push((bucket, 1)),
            _ => buckets.push((bucket, if zero.overlap { 2 } else { 1 })),
        }
        let partition = flat.item(
            (
                "zero.partition",
                "gradients of this rank's partition",
                Group::Gradients,
            ),
            (low, own + if ranks > 16 { largest } else { 0 }),
            "β·n (n = ⌈P/N⌉, from 17 ranks on with the largest tensor)",
        );
        let gathered = if zero.stage == 3 {
            let live = weights.min(zero.max_live).max(plan.largest_module());
            let copies = flat.item(
                ("zero.gathered", "gathered weights", params),
                (low, live),
                "β·n (n = max(min(P, max_live), largest module))",
            );
            vec![(copies, 1)]
        } else {
            Held::new()
        };
        let oversized = if matches!(zero.stage, 1 | 2) && largest > zero.reduce_bucket {
            let copy = flat.item(
                (
                    "zero.oversized",
                    "a tensor larger than the bucket, reduced by itself",
                    Group::Gradients,
                ),
                (low, largest),
                "β·n",
            );
            vec![(copy, 1)]
        } else {
            Held::new()
        };
        let (step, states_held) = if zero.optimizer_on_host {
            (Held::new(), 0)
        } else {
            (step(plan, zero, own, &mut flat), 1)
        };
        if zero.optimizer_on_host && zero.stage < 3 {
            let id = (
                "zero.staging",
                "gradients on their way to the host",
                Group::Gradients,
            );
            buckets.push((flat.item(id, (low, largest), "β·n of the largest tensor"), 2));
        }
        // Stage 0 in fp32 runs torch's optimizer on the weights themselves.
        let master_copies = u64::from(!(zero.stage == 0 && low == DType::Fp32));
        Self {
            zero,
            always,
            states: vec![(master, master_copies * states_held), (moments, states_held)],
            buckets,
            partition,
            whole,
            ends,
            step,
            tied,
            oversized,
            gathered,
            layers: plan.order.len() as u64,
        }
    }

    pub(super) fn at(&self, plan: &Plan<'_>, moment: Moment) -> Held {
        let mut held = self.always.clone();
        if moment == Moment::Load {
            return held;
        }
        extend(&mut held, &self.states, 1);
        let accumulating = plan.job.accumulation_steps > 1;
        match moment {
            Moment::Load | Moment::Rest => {}
            Moment::Loss | Moment::Head => {
                extend(&mut held, &self.gathered, 1);
                if accumulating {
                    self.gradients(plan, 0, &mut held);
                }
            }
            Moment::Layer(layer) | Moment::Reduced(layer) => {
                extend(&mut held, &self.gathered, 1);
                extend(&mut held, &self.buckets, 1);
                let from = if accumulating { 0 } else { layer + 1 };
                self.gradients(plan, from, &mut held);
            }
            Moment::Embedding => {
                extend(&mut held, &self.buckets, 1);
                extend(&mut held, &self.tied, 1);
                self.gradients(plan, 0, &mut held);
            }
            Moment::EndsReduced => {
                // Stage 1 makes its partition of the gradients when the buckets are gone.
                self.gradients(plan, 0, &mut held);
                extend(&mut held, &self.oversized, 1);
                if self.zero.stage == 1 && !self.zero.optimizer_on_host {
                    held.push((self.partition, 1));
                } else {
                    extend(&mut held, &self.buckets, 1);
                }
            }
            Moment::Clip => self.gradients_of_step(plan, &mut held),
            Moment::Step => {
                if self.zero.stage == 0 {
                    self.gradients(plan, 0, &mut held);
                }
                extend(&mut held, &self.step, 1);
            }
        }
        held
    }

    /// 16-bit gradients of the layers from this one on.
    fn gradients(&self, plan: &Plan<'_>, from: usize, held: &mut Held) {
        if self.zero.stage <= 1 {
            let counts = plan.between(from, plan.order.len());
            held.extend(self.whole.iter().copied().zip(counts));
            let ends = if from == 0 {
                &self.ends[..]
            } else {
                &self.ends[..1]
            };
            held.extend(ends.iter().map(|entry| (*entry, 1)));
        }
        let here = !self.zero.optimizer_on_host;
        if here && self.zero.stage == 2 && from as u64 * 2 < self.layers {
            held.push((self.partition, 1));
        }
    }

    /// Gradients as the step finds them: all 16-bit ones in stage 0, this rank's in stages 1 and 2.
    fn gradients_of_step(&self, plan: &Plan<'_>, held: &mut Held) {
        match self.zero.stage {
            0 => self.gradients(plan, 0, held),
            1 | 2 if !self.zero.optimizer_on_host => held.push((self.partition, 1)),
            _ => {}
        }
    }
}

const fn states_of(optimizer: Optimizer) -> u64 {
    match optimizer {
        Optimizer::AdamW | Optimizer::ScheduleFree | Optimizer::TorchAo { .. } => 2,
        Optimizer::Sgd { momentum: true } | Optimizer::Muon | Optimizer::GaLore { .. } => 1,
        Optimizer::Sgd { momentum: false } | Optimizer::Adafactor | Optimizer::AdafactorFp32 => 0,
        Optimizer::BitsAndBytes { states, .. } => states,
    }
}

/// What the step makes: fp32 gradients, a flattened 16-bit partition in stages 1 and 2, and torch's list of square roots.
fn step(plan: &Plan<'_>, zero: Zero, own: u64, flat: &mut Flat<'_>) -> Held {
    let part = if zero.stage == 3 { own.min(SUB_GROUP) } else { own };
    let gradients = flat.item(
        (
            "zero.fp32_gradients",
            "fp32 gradients of the step",
            Group::Gradients,
        ),
        (DType::Fp32, part),
        "β·n",
    );
    let list = flat.item(
        (
            "optimizer.temporaries",
            "temporaries of the optimizer's step",
            Group::Overhead,
        ),
        (DType::Fp32, part),
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
    let mut held = vec![(gradients, u64::from(!plain))];
    match (zero.stage, foreach) {
        (_, true) => held.push((list, 1)),
        (3, false) => held.push((narrow, 1)),
        // The partition and its flattened copy are there until the fp32 copy is made.
        (1 | 2, false) => held.push((narrow, 2)),
        _ => {}
    }
    held
}
