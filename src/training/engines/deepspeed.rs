//! DeepSpeed ZeRO stages 0 to 3 with 16-bit weights and fp32 master weights.
//!
//! Read in DeepSpeed 0.19: runtime/fp16/fused_optimizer.py (stage 0), runtime/zero/stage_1_and_2.py, stage3.py,
//! partition_parameters.py and partitioned_param_coordinator.py. Flat buffers are counted for the whole model, not by layer.
//! When the bucket is reduced is told in `reduction`, what is offloaded in `deepspeed_host`. Beside adapters the flat buffers
//! are those of the adapters; frozen weights are whole on every rank up to stage 2, and divided and gathered like the others at
//! stage 3.

use super::reduction::{Reduction, reductions};
use super::{Held, Moment, Plan, Sheet, buffer, deepspeed_host, deepspeed_reuse as reuse};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::block;
use crate::memory::{Group, Symbol};
use crate::training::job::Zero;
use crate::training::plan::{elements, extend};
use crate::training::sheet::{EntryId, Item};
use crate::training::{Optimizer, OptimizerImplementation};
use crate::units::{Bytes, DType};

/// Elements of one sub-group of stage 3's optimizer step (zero/config.py, `sub_group_size`).
pub(super) const SUB_GROUP: u64 = 1_000_000_000;

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
    /// What the largest reduction during the backward of each layer needs (stages whose hooks reduce).
    reduced: Vec<Held>,
    /// The same for the embedding, and for the last reduction.
    reduced_ends: [Held; 2],
    /// Whether gradients are reduced while backward runs.
    hooks: bool,
    /// Gathered weights (stage 3).
    gathered: Held,
    /// The layer whose backward reduces the first gradients of the first rank's partition, which get their buffer then;
    /// where there is none, the last reduction does.
    first_reduced: Option<usize>,
    /// Whether that buffer is larger than what the last reduction needs.
    partition_larger: bool,
    /// The second copy of the weights inside a group (hpZ).
    secondary: Held,
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
        self.item_with((id, label, group), (dtype, elements), formula, &[])
    }

    fn item_with(
        &mut self,
        (id, label, group): (&'static str, &'static str, Group),
        (dtype, elements): (DType, u64),
        formula: &'static str,
        more: &[Symbol],
    ) -> EntryId {
        let item = Item {
            id,
            label,
            group,
            dtype: Some(dtype),
            unit: block(Bytes::new(elements.saturating_mul(dtype.bits() / 8))),
            formula,
            symbols: [
                Symbol::new("β", "bytes per element", dtype.bits() / 8),
                Symbol::new("n", elements_of(id), elements),
                Symbol::new("P", "weights", self.weights),
                Symbol::new("N", "ranks that share them", self.ranks),
            ]
            .into_iter()
            .chain(more.iter().copied())
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

/// Which elements an entry counts.
fn elements_of(id: &str) -> &'static str {
    match id {
        "zero.persistent" => "weights in tensors up to the persistence threshold",
        "zero.frozen" => "frozen weights over the ranks that share them, rounded up",
        "zero.secondary" => "weights over the ranks that share the second copy, rounded up",
        "zero.master" => "elements of this rank's part whose states are on the GPU",
        "zero.moments" => "elements of this rank's part whose states are on the GPU, once for each moment",
        "zero.bucket" => "elements of a reduction, reduce_bucket_size",
        "zero.waiting" | "zero.flattened_bucket" => "elements that are reduced together",
        "zero.partition" => "elements of this rank's part",
        "zero.staging" => "elements of the largest tensor",
        _ => "elements of this rank's part that one step of the optimizer takes",
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
        let largest = plan.largest_trained();
        let frozen = frozen(plan);
        let mut workspaces = super::workspaces(plan, sheet);
        workspaces.extend(super::buffers::buffers(plan, sheet));
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
        let beside = frozen_weights(plan, zero, sheet);
        let mut flat = Flat {
            sheet,
            weights,
            ranks,
        };
        let params = Group::ModelParams;
        let (mut always, mut secondary) = (workspaces, Held::new());
        always.extend(beside);
        if zero.stage == 3 {
            if !zero.weights.away() {
                if frozen > 0 {
                    let id = ("zero.frozen", "partition of the frozen 16-bit weights", params);
                    always.push((flat.item(id, (low, frozen.div_ceil(ranks)), "β·n"), 1));
                }
                let id = ("zero.weights", "partition of the 16-bit weights", params);
                always.push((flat.item(id, (low, own), "β·⌈P/N⌉"), 1));
            }
            if !zero.optimizer.away() {
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
            if zero.secondary > 1 {
                let id = (
                    "zero.secondary",
                    "second copy of the weights inside a group (hpZ)",
                    params,
                );
                let elements = weights.saturating_add(frozen).div_ceil(zero.secondary);
                secondary.push((flat.item(id, (low, elements), "β·n"), 1));
            }
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
        let here = deepspeed_host::on_gpu(zero, own);
        let master = flat.item(
            ("zero.master", "fp32 master weights", optimizer),
            (DType::Fp32, here),
            "β·n",
        );
        let moments = flat.item(
            ("zero.moments", "fp32 moments", optimizer),
            (DType::Fp32, here * states_of(plan.job.optimizer)),
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
        // Without contiguous gradients there is no bucket; in stage 3 the gradients of one wait where they are.
        match (zero.stage, zero.contiguous) {
            (0, _) | (1 | 2, false) => {}
            (3, true) => always.push((bucket, 1)),
            (3, false) => {
                let waiting = (
                    "zero.waiting",
                    "gradients that wait for their reduction",
                    Group::Gradients,
                );
                let elements = zero.reduce_bucket.min(weights);
                buckets.push((flat.item(waiting, (low, elements), "β·n"), 1));
            }
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
            let ahead = if zero.prefetch { zero.max_live } else { 0 };
            let kept = ahead.max(reuse::kept(plan));
            let module = zero.largest_module.unwrap_or_else(|| plan.largest_tensor());
            let copies = flat.item_with(
                ("zero.gathered", "gathered weights", params),
                (low, weights.saturating_add(frozen).min(kept).max(module)),
                "β·max(min(P + F, A), M)",
                &[
                    Symbol::new("F", "frozen weights", frozen),
                    Symbol::new(
                        "A",
                        "weights that may be gathered ahead, or are kept for their next use",
                        kept,
                    ),
                    Symbol::new("M", "weights of the largest module", module),
                ],
            );
            vec![(copies, 1)]
        } else {
            Held::new()
        };
        let hooks = zero.stage == 2 || (zero.stage == 1 && zero.overlap && plan.job.accumulation_steps == 1);
        let (reduced, reduced_ends) = reduced(plan, zero, hooks, &mut flat);
        let own_layers = reduced.iter().take(touched(plan, own));
        let first_reduced = own_layers.enumerate().rfind(|(_, held)| !held.is_empty());
        let first_reduced = first_reduced.map(|(layer, _)| layer);
        let [_, end] = &reduced_ends;
        let partition_larger = flat.sheet.bytes(&vec![(partition, 1)]) > flat.sheet.bytes(end);
        let (step, states_held) = if here == 0 {
            (Held::new(), 0)
        } else {
            (step(plan, zero, here, &mut flat), 1)
        };
        if zero.optimizer.away() && zero.stage < 3 {
            let id = (
                "zero.staging",
                "gradient on its way to the host",
                Group::Gradients,
            );
            always.push((flat.item(id, (low, largest), "β·n"), 1));
        }
        deepspeed_host::register(plan, zero, (weights, own, frozen), flat.sheet);
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
            reduced,
            reduced_ends,
            hooks,
            gathered,
            first_reduced,
            partition_larger,
            secondary,
        }
    }

    pub(super) fn at(&self, plan: &Plan<'_>, moment: Moment) -> Held {
        let mut held = self.always.clone();
        // Made when a gathered weight is divided again, which begins in backward, and given up after the step.
        if !matches!(moment, Moment::Rest | Moment::Loss) {
            extend(&mut held, &self.secondary, 1);
        }
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
                if let Some(reduced) = self.reduced.get(layer) {
                    extend(&mut held, reduced, 1);
                }
                let from = if accumulating { 0 } else { layer + 1 };
                self.gradients(plan, from, &mut held);
            }
            // A tower that trains is refused under this engine.
            Moment::Tower(_) | Moment::Embedding => {
                let [embedding, _] = &self.reduced_ends;
                extend(&mut held, &self.buckets, 1);
                extend(&mut held, &self.tied, 1);
                extend(&mut held, embedding, 1);
                self.gradients(plan, 0, &mut held);
            }
            Moment::EndsReduced => {
                // Stage 1 makes its partition of the gradients when the buckets are gone; where hooks reduce, the last
                // reduction is over before the partition gets its buffer, unless an earlier one made it.
                let [_, end] = &self.reduced_ends;
                self.gradients(plan, 0, &mut held);
                let partition = vec![(self.partition, 1)];
                let here = !self.zero.optimizer.away();
                if matches!(self.zero.stage, 1 | 2) && self.hooks {
                    extend(&mut held, &self.buckets, 1);
                    let alone = here && self.partition_larger && !self.has_partition(plan, 0);
                    extend(&mut held, if alone { &partition } else { end }, 1);
                } else if self.zero.stage == 1 && here {
                    extend(&mut held, end, 1);
                    extend(&mut held, &partition, 1);
                } else {
                    extend(&mut held, end, 1);
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
        if self.zero.stage <= 1 && !self.hooks {
            let counts = plan.between(from, plan.order.len());
            held.extend(self.whole.iter().copied().zip(counts));
            let ends = if from == 0 {
                &self.ends[..]
            } else {
                &self.ends[..1]
            };
            held.extend(ends.iter().map(|entry| (*entry, 1)));
        }
        let here = !self.zero.optimizer.away();
        if here && (self.zero.stage == 2 || self.hooks) && self.has_partition(plan, from) {
            held.push((self.partition, 1));
        }
    }

    /// Whether gradients of the partition are there when backward has passed this layer: from earlier micro-batches, or from a
    /// reduction before.
    fn has_partition(&self, plan: &Plan<'_>, from: usize) -> bool {
        plan.job.accumulation_steps > 1 || self.first_reduced.is_some_and(|layer| from <= layer)
    }

    /// Gradients as the step finds them: all 16-bit ones in stage 0, this rank's in stages 1 and 2.
    fn gradients_of_step(&self, plan: &Plan<'_>, held: &mut Held) {
        match self.zero.stage {
            0 => self.gradients(plan, 0, held),
            1 | 2 if !self.zero.optimizer.away() => held.push((self.partition, 1)),
            _ => {}
        }
    }
}

/// Weights beside adapters, which get neither gradients nor states.
fn frozen(plan: &Plan<'_>) -> u64 {
    if plan.job.adapter.is_none() {
        return 0;
    }
    let layers = plan.layers.iter().enumerate();
    let within: u64 = layers
        .map(|(kind, layer)| layer.part.plain.elements * plan.layers_of(kind))
        .sum();
    within + plan.input.plain.elements + plan.output.plain.elements + plan.tower.frozen.plain.elements
}

/// Frozen weights where the stage does not divide them.
fn frozen_weights(plan: &Plan<'_>, zero: Zero, sheet: &mut Sheet) -> Held {
    let mut held = Held::new();
    let Some(adapter) = plan.job.adapter.filter(|_| zero.stage < 3) else {
        return held;
    };
    let low = plan.types.computed;
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

/// How many layers, from the first on, the partition of the first rank reaches into: its gradients get their buffer when
/// backward has come to them.
fn touched(plan: &Plan<'_>, own: u64) -> usize {
    let mut before: u64 = match plan.job.adapter {
        Some(_) => plan.input.trained.elements,
        None => elements(&plan.network.input_tensors),
    };
    plan.order
        .iter()
        .take_while(|kind| {
            let touches = before < own;
            let elements = plan
                .layers
                .get(**kind)
                .map_or(0, |layer| layer.part.trained.elements);
            before = before.saturating_add(elements);
            touches
        })
        .count()
}

/// What reductions need beside the bucket: the flattened copy, and what the bucket does not hold of them.
fn reduced(plan: &Plan<'_>, zero: Zero, hooks: bool, flat: &mut Flat<'_>) -> (Vec<Held>, [Held; 2]) {
    let low = plan.types.computed;
    if !matches!(zero.stage, 1 | 2) {
        return (Vec::new(), [Held::new(), Held::new()]);
    }
    let found = reductions(plan, zero.reduce_bucket);
    let mut item = |id, label, elements| {
        let name = (id, label, Group::Gradients);
        flat.item(name, (low, elements), "β·n")
    };
    let mut held = |reduction: Option<Reduction>| {
        let Some(reduction) = reduction else {
            return Held::new();
        };
        let copy = item(
            "zero.flattened_bucket",
            "flattened copy of the bucket, reduced",
            reduction.elements,
        );
        let outside = hooks && (reduction.oversized || !zero.contiguous);
        let mut held = vec![(copy, 1)];
        if outside {
            // With the overlap the gradients before them are freed at this reduction only.
            let times = if zero.overlap && !zero.contiguous { 2 } else { 1 };
            let waiting = item(
                "zero.waiting",
                "gradients that wait for their reduction",
                reduction.elements,
            );
            held.push((waiting, times));
        }
        held
    };
    if !hooks {
        // All gradients are there; the bucket takes them in turn, so only what it cannot hold is copied beside it.
        let large = plan.largest_trained();
        let oversized = (large > zero.reduce_bucket).then_some(Reduction {
            elements: large,
            oversized: true,
        });
        return (Vec::new(), [Held::new(), held(oversized)]);
    }
    let layers = found.layers.into_iter().map(&mut held).collect();
    (layers, [held(found.embedding), held(found.end)])
}

pub(super) const fn states_of(optimizer: Optimizer) -> u64 {
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
