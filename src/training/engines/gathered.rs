//! Units that are gathered while they run: what FSDP1 and FSDP2 have in common.

use super::{Held, Moment, Plan, Sheet, States, buffer, layer_gradients};
use crate::memory::{Group, Symbol};
use crate::training::composed::PipelineRank;
use crate::training::parts::Part;
use crate::training::plan::gradients_persist;
use crate::training::sheet::{EntryId, Item};
use crate::training::states::{Kind, Piece};
use crate::training::{Engine, Precision};
use crate::units::{Bytes, DType};

/// Each rank's shards of states and gradients, whichever way the units are gathered.
pub struct Shards {
    /// The states.
    pub states: States,
    /// Whether gradients outlive a micro-batch.
    persist: bool,
    /// Whether shards, reduced gradients and the step are on the host.
    away: bool,
}

impl Shards {
    pub(super) fn new(plan: &Plan<'_>, states: States) -> Self {
        Self {
            states,
            persist: gradients_persist(plan.job),
            away: plan.job.engine.states().away(),
        }
    }

    /// What does not depend on where the pass is: states, and gradients of earlier micro-batches.
    pub(super) fn always(&self, plan: &Plan<'_>, units: &Units, moment: Moment) -> Held {
        let mut held = self.states.always(moment);
        if let Some(rank) = plan.job.pipeline_rank() {
            held.extend(units.of_pipeline(plan, rank, moment));
        } else if self.persist && !matches!(moment, Moment::Load | Moment::Rest) {
            let reduced = plan.job.sync_each_micro_batch || matches!(moment, Moment::Clip | Moment::Step);
            if !reduced {
                held.extend(units.accumulated(plan));
            } else if !self.away {
                held.extend(self.states.all_gradients(plan));
            }
        }
        held
    }

    /// Gradients that are there between two steps.
    pub(super) fn at_rest(&self, plan: &Plan<'_>, held: &mut Held) {
        if !self.away {
            held.extend(self.states.all_gradients(plan));
        }
    }

    /// Gradient shards of the layers from this one on; they are among all gradients where those persist.
    pub(super) fn layers_from(&self, plan: &Plan<'_>, from: usize, held: &mut Held) {
        if plan.job.pipeline_rank().is_some() {
            return;
        }
        if !self.persist && !self.away {
            held.extend(layer_gradients(plan, from, plan.order.len()));
        }
    }

    /// Gradient shards of the pieces of a vision tower from this one on.
    pub(super) fn tower_from(&self, plan: &Plan<'_>, piece: usize, held: &mut Held) {
        if !self.persist && !self.away {
            held.extend(plan.tower.gradients_from(piece));
        }
    }

    /// The same where they stay on the GPU until backward is over although they go to the host (FSDP1).
    pub(super) fn reduced_from(&self, plan: &Plan<'_>, from: usize, held: &mut Held) {
        if (!self.persist || self.away) && !plan.job.optimizer_in_backward {
            held.extend(layer_gradients(plan, from, plan.order.len()));
        }
    }

    /// Clipping or the optimizer's step: all gradients, and what either makes.
    pub(super) fn step(&self, plan: &Plan<'_>, moment: Moment, held: &mut Held) {
        if self.away || plan.job.optimizer_in_backward {
            return;
        }
        if !self.persist || plan.job.pipeline_rank().is_some() {
            held.extend(self.states.all_gradients(plan));
        }
        held.extend(if moment == Moment::Clip {
            &self.states.clip
        } else {
            &self.states.step
        });
    }
}

/// Entries of one unit.
pub struct Unit {
    /// Its weights, gathered.
    pub gathered: EntryId,
    /// What stays of it between forward and backward where it is divided again among fewer ranks.
    pub resharded: Vec<EntryId>,
    /// The shard that came from the host for its all-gather, where shards are there in the type of the arithmetic (FSDP1);
    /// one of another type is cast, and both are freed when they are gathered.
    pub arrived: Option<EntryId>,
    /// Its packed matrices, gathered with them.
    pub packed: Option<EntryId>,
    /// What trains beside frozen weights, gathered with them in its own type (FSDP2).
    pub adapters: Option<EntryId>,
    /// The output of its all-gather before it is copied out (FSDP2).
    pub output: EntryId,
    /// Its fresh gradients, whole.
    pub gradients: EntryId,
    /// Its gradients accumulated whole.
    pub whole: EntryId,
    /// The input of its reduce-scatter.
    pub reduction: EntryId,
    /// The output of its reduce-scatter.
    pub reduced: EntryId,
    /// That in the type of the weights, where gradients are reduced in a wider one.
    pub cast: Option<EntryId>,
}

impl Unit {
    /// Its weights while it is gathered.
    pub fn weights(&self) -> impl Iterator<Item = EntryId> + use<> {
        std::iter::once(self.gathered)
            .chain(self.packed)
            .chain(self.adapters)
    }

    /// The output of its all-gather: all of them, side by side.
    pub fn outputs(&self) -> impl Iterator<Item = EntryId> + use<> {
        std::iter::once(self.output)
            .chain(self.packed)
            .chain(self.adapters)
    }
}

/// What stays of gathered weights that are divided again among fewer ranks.
fn among_fewer(piece: &Piece, (dtype, shards): (DType, u64), ranks: u64) -> Item {
    let name = buffer(
        "fsdp.resharded",
        "weights divided among fewer ranks",
        Group::ModelParams,
    );
    let item = piece.item(name, dtype, shards);
    let terms: Vec<Bytes> = item.terms.iter().map(|term| term.shared_by(ranks)).collect();
    let mut symbols = item.symbols.clone();
    symbols.push(Symbol::new(
        "R",
        "ranks that share them between forward and backward",
        ranks,
    ));
    Item {
        unit: terms.iter().copied().sum(),
        formula: "Σ β·n/R over the tensors (R ranks of reshard_after_forward)",
        symbols,
        terms,
        ..item
    }
}

/// The units of a network: each kind of layer, and the root with both ends.
pub struct Units {
    /// One per kind of layer.
    pub layers: Vec<Unit>,
    /// Tensors before the layers.
    pub input: Unit,
    /// Head and final norm.
    pub root: Unit,
    /// What of the vision tower stands around its blocks and belongs to the root, with whether it trains.
    pub outer: Vec<(Unit, bool)>,
    /// A block of the vision tower.
    tower: Option<Unit>,
    /// Whether gathered weights are freed after the forward pass of a layer.
    pub reshard: bool,
    /// Whether the weights as stored are those of the arithmetic, whole: nothing is gathered.
    whole: bool,
}

impl Units {
    /// Registers the entries.
    pub fn new(plan: &Plan<'_>, reshard: bool, sheet: &mut Sheet) -> Self {
        let engine = plan.job.engine;
        let (flat, among) = match engine {
            Engine::Fsdp2 { resharded_to, .. } => (false, resharded_to.filter(|_| reshard)),
            _ => (true, None),
        };
        let whole = flat && plan.shards <= 1 && plan.types.stored == plan.types.computed;
        let narrowed = plan.job.adapter.is_none() && plan.types.reduced.bits() > plan.types.trained.bits();
        let mut unit = |part: &Part, place: &str| {
            // Only a policy of mixed precision casts what is gathered.
            let own = match plan.job.precision {
                Precision::ShardedMixed { compute, .. } => compute,
                _ => part.dtype,
            };
            let has_adapters = !flat && plan.job.adapter.is_some() && part.trained.elements > 0;
            let pieces = [
                Some((&part.plain, plan.types.computed)),
                has_adapters.then_some((&part.trained, own)),
            ];
            let resharded = among.map_or_else(Vec::new, |ranks| {
                let pieces = pieces.into_iter().flatten();
                pieces
                    .map(|(piece, dtype)| sheet.item(among_fewer(piece, (dtype, plan.shards), ranks), place))
                    .collect()
            });
            let cast = plan.types.stored != plan.types.computed;
            let arrived = (flat && engine.states().away() && !cast).then(|| {
                let name = Kind {
                    sharded: true,
                    ..buffer(
                        "fsdp.arrived",
                        "shard that came from the host",
                        Group::ModelParams,
                    )
                };
                sheet.item(part.plain.item(name, plan.types.stored, plan.shards), place)
            });
            let packed = part.packed_item(plan.job).map(|item| sheet.item(item, place));
            let mut entry = |trained: bool, kind: Kind, dtype| {
                let (piece, shards) = match trained {
                    true => (&part.trained, part.among(plan.shards)),
                    false => (&part.plain, plan.shards),
                };
                sheet.item(piece.item(kind, dtype, shards), place)
            };
            let (computed, reduced) = (plan.types.computed, plan.types.reduced);
            let shard = Kind {
                sharded: true,
                ..buffer("fsdp.reduced", "output of a reduce-scatter", Group::Gradients)
            };
            let gathered = entry(
                false,
                buffer("fsdp.gathered", "gathered weights", Group::ModelParams),
                computed,
            );
            let adapters = has_adapters.then(|| {
                let name = buffer("fsdp.adapters", "gathered adapters", Group::ModelParams);
                entry(true, name, own)
            });
            Unit {
                resharded,
                adapters,
                arrived,
                gathered,
                packed,
                output: entry(
                    false,
                    buffer("fsdp.all_gather", "output of an all-gather", Group::ModelParams),
                    computed,
                ),
                gradients: entry(
                    true,
                    buffer("fsdp.gradients", "unsharded gradients", Group::Gradients),
                    if adapters.is_some() { own } else { computed },
                ),
                reduction: entry(
                    true,
                    buffer(
                        "fsdp.reduce_scatter",
                        "input of a reduce-scatter",
                        Group::Gradients,
                    ),
                    reduced,
                ),
                whole: entry(
                    true,
                    buffer(
                        "fsdp.accumulated",
                        "gradients accumulated whole",
                        Group::Gradients,
                    ),
                    reduced,
                ),
                reduced: entry(true, shard, reduced),
                cast: narrowed.then(|| {
                    let name = Kind {
                        sharded: true,
                        ..buffer(
                            "fsdp.cast",
                            "reduced gradients in the type of the weights",
                            Group::Gradients,
                        )
                    };
                    entry(true, name, plan.types.trained)
                }),
            }
        };
        let layers = plan
            .layers
            .iter()
            .map(|layer| unit(&layer.part, &layer.place))
            .collect();
        Self {
            layers,
            input: unit(&plan.input, super::BEFORE),
            root: unit(&plan.output, super::AFTER),
            outer: plan
                .tower
                .outer_parts()
                .map(|(part, trains)| (unit(part, super::TOWERS), trains))
                .collect(),
            tower: plan.tower.block_part().map(|part| unit(part, super::TOWERS)),
            reshard,
            whole,
        }
    }

    /// A unit's gathered weights, with the shard that they were gathered from where that came from the host.
    pub fn gathered(&self, unit: &Unit, held: &mut Held) {
        if !self.whole {
            held.extend(unit.weights().map(|entry| (entry, 1)));
        }
        held.extend(unit.arrived.map(|shard| (shard, 1)));
    }

    /// The unit of a layer.
    pub fn of(&self, plan: &Plan<'_>, layer: usize) -> Option<&Unit> {
        self.layers.get(*plan.order.get(layer)?)
    }

    /// The unit below a layer.
    pub fn below(&self, plan: &Plan<'_>, layer: usize) -> Option<&Unit> {
        self.of(plan, layer.checked_sub(1)?)
    }

    /// The root's gathered weights.
    pub fn root_gathered(&self) -> Held {
        let mut held = Held::new();
        for unit in self.root_units() {
            self.gathered(unit, &mut held);
        }
        held
    }

    /// What the root is made of.
    pub fn root_units(&self) -> impl Iterator<Item = &Unit> {
        [&self.input, &self.root]
            .into_iter()
            .chain(self.outer.iter().map(|(unit, _)| unit))
    }

    /// What of the root lies around the blocks of a tower and trains.
    pub fn outer_trained(&self) -> impl Iterator<Item = &Unit> {
        self.outer
            .iter()
            .filter(|(_, trains)| *trains)
            .map(|(unit, _)| unit)
    }

    /// The block of the tower at this piece of its backward.
    pub fn block(&self, plan: &Plan<'_>, piece: usize) -> Option<&Unit> {
        self.tower.as_ref().filter(|_| plan.tower.is_block(piece))
    }

    /// The block below a piece.
    pub fn block_below(&self, plan: &Plan<'_>, piece: usize) -> Option<&Unit> {
        (0..piece).rev().find_map(|below| self.block(plan, below))
    }

    /// The unit whose gradients were reduced before those of a piece of the tower: the block above, or the first layer. The first
    /// block that a gradient passes lets go of what the layer reduced, though it has no gradients of its own (torch 2.15
    /// _fsdp_param_group.py, `post_backward`: buffers are recycled before it returns).
    pub fn reduced_above(&self, plan: &Plan<'_>, piece: usize) -> Option<&Unit> {
        let above = (piece..plan.tower.depth()).find_map(|above| self.block(plan, above));
        match above {
            Some(block) => plan.tower.trains_blocks().then_some(block),
            None => self.of(plan, 0),
        }
    }

    /// All gradients whole, as they accumulate without a reduction, in the type of the reduction.
    pub fn accumulated(&self, plan: &Plan<'_>) -> Held {
        let layers = self.layers.iter().enumerate();
        let mut held: Held = layers
            .map(|(kind, unit)| (unit.whole, plan.layers_of(kind)))
            .collect();
        held.extend([(self.input.whole, 1), (self.root.whole, 1)]);
        held.extend(self.outer_trained().map(|unit| (unit.whole, 1)));
        if plan.tower.trains_blocks() {
            let blocks = plan.tower.blocks(plan.network);
            held.extend(self.tower.iter().map(|unit| (unit.whole, blocks)));
        }
        held
    }

    /// Gradients of a pipeline rank that earlier micro-batches left, whole and in the type of the reduction, until the last one has
    /// run: those of all chunks, or, where chunks end one after another, of the one whose backward runs, or of its layers above
    /// where all forward passes precede it, and the shards of the chunks that ended.
    fn of_pipeline(&self, plan: &Plan<'_>, rank: &PipelineRank, moment: Moment) -> Held {
        let depth = plan.order.len();
        let whole = |from: usize, to: usize| -> Held {
            let counts = plan.between(from, to);
            let units = self.layers.iter().zip(counts);
            units.map(|(unit, count)| (unit.whole, count)).collect()
        };
        let shards = |from: usize| layer_gradients(plan, from, depth);
        let ends = [(self.input.whole, 1), (self.root.whole, 1)];
        let of = |layer: usize, above: usize| {
            let chunk = rank.chunks.get(rank.chunk(layer));
            let (begin, end) = chunk.map_or((0, depth), |chunk| (chunk.begin, chunk.end));
            let mut held = whole(if rank.drained { above } else { begin }, end);
            held.extend(shards(end));
            held
        };
        match moment {
            Moment::Load | Moment::Rest | Moment::Clip | Moment::Step => Held::new(),
            _ if !rank.drained && !rank.apart => [whole(0, depth), ends.to_vec()].concat(),
            Moment::ForwardStart
            | Moment::ForwardEnd
            | Moment::Loss
            | Moment::BackwardStart
            | Moment::Head
                if !rank.drained =>
            {
                [of(depth, depth), vec![(self.root.whole, 1)]].concat()
            }
            Moment::Layer(layer) => [of(layer, layer + 1), vec![(self.root.whole, 1)]].concat(),
            Moment::Reduced(layer) => [of(layer, layer), vec![(self.root.whole, 1)]].concat(),
            Moment::Tower(_) | Moment::Embedding | Moment::EndsReduced => [of(0, 0), ends.to_vec()].concat(),
            _ => Held::new(),
        }
    }

    /// Gathered weights of the layers below `end` that stay gathered without resharding, or what stays of them with it.
    pub fn kept(&self, plan: &Plan<'_>, end: usize) -> Held {
        // A pipeline rank gives up nothing before its last micro-batch.
        let end = if plan.job.pipeline_rank().is_some() {
            plan.order.len()
        } else {
            end
        };
        let of = |unit: &Unit| -> Vec<EntryId> {
            if self.reshard {
                unit.resharded.clone()
            } else if self.whole {
                Vec::new()
            } else {
                unit.weights().collect()
            }
        };
        let blocks = plan.tower.blocks(plan.network);
        let tower = self.tower.iter().map(|unit| (unit, blocks));
        self.layers
            .iter()
            .zip(plan.below(end))
            .chain(tower)
            .filter(|(_, count)| *count > 0)
            .flat_map(|(unit, count)| of(unit).into_iter().map(move |entry| (entry, count)))
            .collect()
    }
}
