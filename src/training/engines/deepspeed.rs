//! DeepSpeed ZeRO stages 0 to 3 with 16-bit weights and fp32 master weights, or bf16 ones.
//!
//! Read in DeepSpeed 0.19: runtime/fp16/fused_optimizer.py (stage 0), runtime/zero/stage_1_and_2.py, stage3.py,
//! partition_parameters.py and partitioned_param_coordinator.py. Flat buffers are counted for the whole model, not by layer.
//! When the bucket is reduced is told in `reduction`, which gradients a rank keeps in `partition`, what is offloaded in
//! `deepspeed_host`. Beside adapters the flat buffers
//! are those of the adapters; frozen weights are whole on every rank up to stage 2, and divided and gathered like the others at
//! stage 3.

use super::deepspeed_packed::Packed;
use super::deepspeed_reference::Reference;
use super::deepspeed_secondary::Secondary;
use super::deepspeed_step::{named, states_of, states_types};
use super::partition::{self, Partition, partitions};
use super::reduction::{Reduction, reductions};
use super::{
    Held, Moment, Plan, Sheet, buffer, deepspeed_beside as beside, deepspeed_host, deepspeed_reuse as reuse,
    deepspeed_step,
};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::block;
use crate::memory::{Group, Symbol};
use crate::training::Precision;
use crate::training::job::Zero;
use crate::training::plan::extend;
use crate::training::sheet::{EntryId, Item};
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
    /// What the largest reduction during the backward of each layer needs (stages that reduce within it).
    reduced: Vec<Held>,
    /// The same for the embedding, and for the last reduction.
    reduced_ends: [Held; 2],
    /// Whether gradients are reduced while backward runs.
    hooks: bool,
    /// Gathered weights (stage 3).
    gathered: Held,
    /// The layer whose backward reduces the first gradients of this rank's partition, which get their buffer then;
    /// where there is none, the last reduction does.
    first_reduced: Option<usize>,
    /// Whether that buffer is larger than what the last reduction needs.
    partition_larger: bool,
    /// The same where weights are packed and the graph holds what was gathered of them.
    packed: Option<Packed>,
    /// The second copy of the weights inside a group (hpZ).
    secondary: Option<Secondary>,
    /// The reference of preference training.
    reference: Reference,
}

/// A flat buffer over all weights.
pub(super) struct Flat<'a> {
    pub(super) sheet: &'a mut Sheet,
    pub(super) weights: u64,
    pub(super) ranks: u64,
}

impl Flat<'_> {
    pub(super) fn item(
        &mut self,
        (id, label, group): (&'static str, &'static str, Group),
        (dtype, elements): (DType, u64),
        formula: &'static str,
    ) -> EntryId {
        self.item_with((id, label, group), (dtype, elements), formula, &[])
    }

    pub(super) fn item_with(
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
                Symbol::new("n", beside::elements_of(id), elements),
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

/// What the other files of this room call. Where the module is in parts, it lies in one of them.
#[derive(Clone, Copy)]
pub struct Calls {
    /// The engine of a job.
    pub new: fn(&Plan<'_>, Zero, &mut Sheet) -> DeepSpeed,
    /// What it holds at a moment.
    pub at: fn(&DeepSpeed, &Plan<'_>, Moment) -> Held,
}

const CALLS: Calls = Calls {
    new: DeepSpeed::new,
    at: DeepSpeed::at,
};

brought!(pub calls: Calls = CALLS);

impl DeepSpeed {
    pub(super) fn new(plan: &Plan<'_>, zero: Zero, sheet: &mut Sheet) -> Self {
        let ranks = if zero.stage == 0 {
            1
        } else {
            plan.job.data_parallel.max(1)
        };
        let low = plan.types.computed;
        let weights = partition::weights(plan);
        let own = match zero.stage {
            1 | 2 => partition::size(weights, ranks),
            _ => weights.div_ceil(ranks),
        };
        let reached = reached(plan, zero, (own, ranks));
        let largest = plan.largest_trained();
        let frozen = beside::frozen(plan);
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
        let beside = beside::held(plan, zero, sheet);
        let mut flat = Flat {
            sheet,
            weights,
            ranks,
        };
        let params = Group::ModelParams;
        let mut always = workspaces;
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
        let reference = Reference::new(plan, zero, low, &mut flat);
        always.extend(reference.weights());
        let optimizer = Group::OptimizerStates;
        let here = deepspeed_host::on_gpu(zero, own);
        let [wide, kept] = states_types(plan);
        let [[masters, ..], [_, kept_as, _]] = [wide, kept].map(named);
        let master = flat.item(("zero.master", masters, optimizer), (wide, here), "β·n");
        let moments = flat.item(
            ("zero.moments", kept_as, optimizer),
            (kept, here * states_of(plan.job.optimizer)),
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
        let narrow = beside::narrow_bucket(plan, zero, low, &mut flat);
        let mut buckets = Held::new();
        // Without contiguous gradients there is no bucket; in stage 3 the gradients of one wait where they are.
        match (zero.stage, zero.contiguous) {
            (0, _) | (1 | 2, false) => {}
            (3, true) => {
                always.push((bucket, 1));
                always.extend(narrow.map(|bucket| (bucket, 1)));
            }
            (3, false) => {
                let waiting = (
                    "zero.waiting",
                    "gradients that wait for their reduction",
                    Group::Gradients,
                );
                let elements = zero.reduce_bucket.min(weights);
                buckets.push((flat.item(waiting, (low, elements), "β·n"), 1));
            }
            _ => {
                let times = if zero.overlap { 2 } else { 1 };
                buckets.push((bucket, times));
                buckets.extend(narrow.map(|bucket| (bucket, times)));
            }
        }
        let partition = flat.item(
            (
                "zero.partition",
                "gradients of this rank's partition",
                Group::Gradients,
            ),
            (low, reached.whole),
            "β·n",
        );
        let ahead = if zero.prefetch { zero.max_live } else { 0 };
        let (reused, lowest) = reuse::kept(plan);
        let kept = ahead.max(reused);
        let lowest = (!zero.prefetch).then_some(lowest);
        let packed = if zero.stage == 3 {
            Packed::new(plan, (kept, ahead > 0), flat.sheet)
        } else {
            None
        };
        let secondary = (zero.stage == 3 && zero.secondary > 1)
            .then(|| Secondary::new(plan, (zero.secondary, kept), &mut flat));
        let module = zero.largest_module.unwrap_or_else(|| plan.largest_tensor());
        let all = weights.saturating_add(frozen).min(kept).max(module);
        let gathered = if zero.stage == 3 && packed.is_none() {
            let copies = flat.item_with(
                ("zero.gathered", "gathered weights", params),
                (beside::gathered_type(plan), all),
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
        let hooks = zero.reduces_in_backward(plan.job);
        let (reduced, mut reduced_ends) = reduced(plan, zero, (hooks, all, lowest), &mut flat);
        let mut tied = tied;
        if (hooks || zero.stage == 3) && waits_for_embedding(plan) {
            // The parts of a tied gradient are gone when its sum comes to the bucket.
            let [embedding, _] = &mut reduced_ends;
            if flat.sheet.bytes(embedding) > flat.sheet.bytes(&tied) {
                tied.clear();
            } else {
                embedding.clear();
            }
        }
        let first_reduced = partition::first_reduction(&reduced, |held| !held.is_empty(), reached);
        let [_, end] = &reduced_ends;
        let partition_larger = flat.sheet.bytes(&vec![(partition, 1)]) > flat.sheet.bytes(end);
        let (step, states_held) = if here == 0 {
            (Held::new(), 0)
        } else {
            (
                deepspeed_step::step(plan, zero, here, (partition, reached.piece), &mut flat),
                1,
            )
        };
        if zero.optimizer.away() && zero.stage < 3 {
            let id = (
                "zero.staging",
                "gradient on its way to the host",
                Group::Gradients,
            );
            always.push((flat.item(id, (low, largest), "β·n"), 1));
        }
        let (average, mixed) = beside::averaged(plan, zero, own, &mut flat);
        always.extend(average);
        let step = if flat.sheet.bytes(&mixed) > flat.sheet.bytes(&step) {
            mixed
        } else {
            step
        };
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
            packed,
            first_reduced,
            partition_larger,
            secondary,
            reference,
        }
    }

    pub(super) fn at(&self, plan: &Plan<'_>, moment: Moment) -> Held {
        let mut held = self.always.clone();
        held.extend(self.secondary.iter().flat_map(|copy| copy.at(plan, moment)));
        if moment == Moment::Load {
            return held;
        }
        extend(&mut held, &self.states, 1);
        held.extend(self.packed.iter().flat_map(|packed| packed.at(plan, moment)));
        let accumulating = plan.job.accumulation_steps > 1;
        match moment {
            Moment::Load | Moment::Rest => {}
            Moment::ForwardStart
            | Moment::ForwardEnd
            | Moment::Loss
            | Moment::ReferenceLayers
            | Moment::ReferenceHead
            | Moment::BackwardStart
            | Moment::Head => {
                extend(&mut held, &self.gathered, 1);
                held.extend(self.reference.gathered(moment));
                if accumulating {
                    self.reduced_gradients(plan, 0, &mut held);
                    // Stage 1 reduces after the last micro-batch, and its bucket waits for that.
                    if self.zero.stage == 1 {
                        extend(&mut held, &self.buckets, 1);
                    }
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
            Moment::Tower(_) | Moment::Embedding => {
                let [embedding, _] = &self.reduced_ends;
                if let Moment::Tower(piece) = moment {
                    extend(&mut held, &self.gathered, 1);
                    self.tower_gradients(plan, piece + 1, &mut held);
                } else {
                    self.tower_gradients(plan, 0, &mut held);
                }
                extend(&mut held, &self.buckets, 1);
                extend(&mut held, &self.tied, 1);
                extend(&mut held, embedding, 1);
                self.gradients(plan, 0, &mut held);
            }
            Moment::EndsReduced => {
                // Stage 1 makes its partition of the gradients when the buckets are gone; where hooks reduce, the last
                // reduction is over before the partition gets its buffer, unless an earlier one made it.
                let [_, end] = &self.reduced_ends;
                self.reduced_gradients(plan, 0, &mut held);
                self.tower_gradients(plan, 0, &mut held);
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
                    self.reduced_gradients(plan, 0, &mut held);
                    self.tower_gradients(plan, 0, &mut held);
                }
                extend(&mut held, &self.step, 1);
            }
        }
        held
    }

    /// Gradients of a vision tower from this piece on, where they stay whole until the step.
    fn tower_gradients(&self, plan: &Plan<'_>, piece: usize, held: &mut Held) {
        if self.zero.stage <= 1 && !self.hooks {
            held.extend(plan.tower.gradients_from(piece));
        }
    }

    /// 16-bit gradients of the layers from this one on.
    fn gradients(&self, plan: &Plan<'_>, from: usize, held: &mut Held) {
        let [head, _] = self.ends;
        if waits_for_embedding(plan) && (self.hooks || self.zero.stage == 3) {
            held.push((head, 1));
        }
        self.reduced_gradients(plan, from, held);
    }

    /// The same without what waits for the rest of itself.
    fn reduced_gradients(&self, plan: &Plan<'_>, from: usize, held: &mut Held) {
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
            0 => {
                self.reduced_gradients(plan, 0, held);
                self.tower_gradients(plan, 0, held);
            }
            1 | 2 if !self.zero.optimizer.away() => held.push((self.partition, 1)),
            _ => {}
        }
    }
}

/// Whether autograd keeps the head's gradient until the embedding's comes, the other part of it, and only then the hook runs.
fn waits_for_embedding(plan: &Plan<'_>) -> bool {
    plan.network.head.tied && plan.job.adapter.is_none()
}

/// What this rank's partition reaches into; nothing in stages without one.
fn reached(plan: &Plan<'_>, zero: Zero, (own, ranks): (u64, u64)) -> Partition {
    if !matches!(zero.stage, 1 | 2) {
        return Partition::default();
    }
    let all = partitions(plan, (own, ranks));
    let holds = all.into_iter().find(|reach| plan.job.rank <= reach.last);
    holds.map(|reach| reach.partition).unwrap_or_default()
}

/// What reductions need beside the bucket: the flattened copy, and what the bucket does not hold of them.
fn reduced(
    plan: &Plan<'_>,
    zero: Zero,
    (hooks, gathered, lowest): (bool, u64, Option<usize>),
    flat: &mut Flat<'_>,
) -> (Vec<Held>, [Held; 2]) {
    let third = zero.stage == 3;
    let low = match plan.job.precision {
        Precision::Autocast(narrow) if third => narrow,
        _ => plan.types.computed,
    };
    if zero.stage == 0 {
        return (Vec::new(), [Held::new(), Held::new()]);
    }
    let mut found = reductions(plan, zero.reduce_bucket);
    if third {
        let layers = found
            .layers
            .iter_mut()
            .zip(reuse::released(plan, gathered, lowest));
        for (reduction, room) in layers.filter_map(|(slot, room)| Some((slot.as_mut()?, room))) {
            reduction.elements = reduction.elements.saturating_sub(room);
        }
    }
    let copied = if third {
        (
            "zero.interleaved",
            "interleaved copy of the bucket, beyond the room of weights that were let go of",
        )
    } else {
        ("zero.flattened_bucket", "flattened copy of the bucket, reduced")
    };
    let item = |flat: &mut Flat<'_>, id, label, elements| {
        let name = (id, label, Group::Gradients);
        flat.item(name, (low, elements), "β·n")
    };
    let mut held = |reduction: Option<Reduction>| {
        // Stage 3 interleaves the parts of all ranks in a copy, but for a tensor by itself (runtime/comm/
        // coalesced_collectives.py, `reduce_scatter_coalesced`).
        let Some(reduction) = reduction.filter(|one| !(third && one.oversized)) else {
            return Held::new();
        };
        let copy = item(flat, copied.0, copied.1, reduction.elements);
        let outside = hooks && (reduction.oversized || !zero.contiguous);
        let mut held = vec![(copy, 1)];
        if let (Precision::Autocast(dtype), false) = (plan.job.precision, third) {
            let name = (
                "zero.narrowed",
                "gradients as they are sent, in the narrow type",
                Group::Gradients,
            );
            held.push((flat.item(name, (dtype, reduction.elements), "β·n"), 1));
        }
        if outside {
            // With the overlap the gradients before them are freed at this reduction only.
            let times = if zero.overlap && !zero.contiguous { 2 } else { 1 };
            let waiting = item(
                flat,
                "zero.waiting",
                "gradients that wait for their reduction",
                reduction.elements,
            );
            held.push((waiting, times));
        }
        held
    };
    if !hooks && !third {
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
