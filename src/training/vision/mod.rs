//! A vision tower in a training step: its pieces in the order of the forward pass, what each keeps for backward and what its
//! backward needs, and what is there of the images as long as they are.
//!
//! `parts` records the operations of the pieces. Read in transformers 5.23 (models/siglip, gemma3, qwen3_vl: a tower runs
//! after the embedding and before the layers of the text, so its backward lies between theirs; blocks are recomputed like
//! the text's layers, what stands around them is not) and in PyTorch 2.15 (`masked_scatter` and its backward).

mod parts;

use super::head::alive;
use super::images::{Images, TowerTraining};
use super::parts::Part;
use super::plan::{GRADIENTS, LayerPlan, Scope, StateTypes, fresh_gradients};
use super::sheet::{Held, Sheet};
use super::tape::{Start, Storage, Tape};
use super::{Recomputation, TrainingJob, names};
use crate::model::{Network, Tensor, Vision, VisionClass, VisionPart};
use parts::{Eye, Piece};

/// The tower of a job.
#[derive(Clone, Debug, Default)]
pub struct TowerPlan {
    /// Weights without gradients.
    pub frozen: Part,
    /// The kinds of pieces that take part in backward.
    pub kinds: Vec<LayerPlan>,
    /// For each piece in the order of the forward pass its kind.
    pub order: Vec<usize>,
    /// The images, to which the loop refers from one step to the next.
    pub batch: Held,
    /// What all pieces use until the backward pass is over.
    pub shared: Held,
    /// What the text's backward leaves for each merger in the middle.
    pub waiting: Held,
    /// What is there beside the images at the tightest moment of the tower's forward pass.
    pub forward: Held,
    /// Which kind is a merger in the middle.
    merger: Option<usize>,
    /// Which kind is a block.
    block: Option<usize>,
    /// The weights of one block and those around the blocks, where neither trains.
    frozen_units: [Part; 2],
}

impl TowerPlan {
    /// Of a job.
    pub fn new(job: &TrainingJob, (shards, scope): (u64, Scope), sheet: &mut Sheet) -> Self {
        let network = &*job.network;
        let trained = |part: VisionPart| job.images.is_some_and(|images| trains(images.training, part));
        let all = || network.towers.iter().flat_map(|tower| &tower.tensors);
        let single: Vec<Tensor> = all()
            .filter(|tensor| !trained(VisionPart::of(tensor)))
            .flat_map(one_by_one)
            .collect();
        let mut plan = Self {
            frozen: match scope {
                Scope::Passes => Part::default(),
                Scope::Whole | Scope::Engine => Part::tower(job, single.iter(), shards),
            },
            ..Self::default()
        };
        if job.images.is_some() && scope != Scope::Passes {
            let frozen = |block: bool| {
                let tensors = all().filter(|tensor| {
                    let part = VisionPart::of(tensor);
                    !trained(part) && (part == VisionPart::Block) == block
                });
                let tensors: Vec<Tensor> = if block {
                    tensors.map(single_copy).collect()
                } else {
                    tensors.flat_map(one_by_one).collect()
                };
                Part::tower(job, tensors.iter(), shards)
            };
            plan.frozen_units = [frozen(true), frozen(false)];
        }
        if let (Some(images), Some(vision)) = (job.images, network.vision()) {
            plan.pieces(job, (images, vision), (shards, scope), sheet);
        }
        plan
    }

    /// The weights of one block, which engines that gather take by itself: accelerate wraps the classes that a model and its parts
    /// name (transformers 5.23 modeling_utils.py, `_no_split_modules`; accelerate utils/dataclasses.py).
    pub fn block_part(&self) -> Option<&Part> {
        let trained = self
            .block
            .and_then(|kind| self.kinds.get(kind))
            .map(|kind| &kind.part);
        let frozen = self.frozen_units.first().filter(|part| part.plain.elements > 0);
        trained.filter(|part| part.trained.elements > 0).or(frozen)
    }

    /// The weights around the blocks, with whether they train.
    pub fn outer_parts(&self) -> impl Iterator<Item = (&Part, bool)> {
        let trained = self
            .kinds
            .iter()
            .enumerate()
            .filter(|(kind, plan)| Some(*kind) != self.block && plan.part.trained.elements > 0);
        let frozen = self.frozen_units.get(1).filter(|part| part.plain.elements > 0);
        trained
            .map(|(_, plan)| (&plan.part, true))
            .chain(frozen.map(|part| (part, false)))
    }

    /// Whether a piece is a block.
    pub fn is_block(&self, piece: usize) -> bool {
        self.block.is_some() && self.order.get(piece).copied() == self.block
    }

    /// Whether blocks train.
    pub fn trains_blocks(&self) -> bool {
        let block = self.block.and_then(|kind| self.kinds.get(kind));
        block.is_some_and(|kind| kind.part.trained.elements > 0)
    }

    /// Blocks of the tower.
    pub fn blocks(&self, network: &Network) -> u64 {
        network.vision().map_or(0, |vision| vision.depth)
    }

    /// Pieces that take part in backward.
    pub const fn depth(&self) -> usize {
        self.order.len()
    }

    /// The kind of a piece.
    pub fn kind(&self, piece: usize) -> Option<&LayerPlan> {
        self.kinds.get(*self.order.get(piece)?)
    }

    /// What the pieces below this one keep, with autocast's copies of their weights or without.
    pub fn kept_below(&self, piece: usize, casts: bool) -> Held {
        let mut held = Held::new();
        for kind in self
            .order
            .iter()
            .take(piece)
            .filter_map(|kind| self.kinds.get(*kind))
        {
            held.extend(&kind.kept);
            if casts {
                held.extend(&kind.casts);
            }
        }
        held
    }

    /// Final gradients of the pieces from this one on.
    pub fn gradients_from(&self, piece: usize) -> Held {
        let kinds = self
            .order
            .iter()
            .skip(piece)
            .filter_map(|kind| self.kinds.get(*kind));
        kinds.map(|kind| (kind.gradients, 1)).collect()
    }

    /// What waits for the mergers below this piece.
    pub fn waiting_below(&self, piece: usize) -> Held {
        let below = self.order.iter().take(piece);
        let mergers = below.filter(|kind| Some(**kind) == self.merger).count() as u64;
        self.waiting
            .iter()
            .map(|(entry, count)| (*entry, count * mergers))
            .collect()
    }

    /// Kinds with how many pieces are of each.
    pub fn parts(&self) -> impl Iterator<Item = (&LayerPlan, u64)> {
        self.kinds.iter().enumerate().map(|(index, kind)| {
            let count = self.order.iter().filter(|of| **of == index).count();
            (kind, count as u64)
        })
    }

    fn pieces(
        &mut self,
        job: &TrainingJob,
        (images, vision): (Images, &Vision),
        (shards, scope): (u64, Scope),
        sheet: &mut Sheet,
    ) {
        let eye = Eye::new(job, images, vision);
        let passes = scope != Scope::Engine;
        if passes {
            self.batch = sheet.storages([eye.pixels()], PLACE);
            self.forward = tightest_frozen(job, &eye, sheet);
        }
        let hooked = images.training != TowerTraining::Whole && asks_for_gradients(job);
        let flows = hooked && vision.class == VisionClass::Siglip;
        let eye = if flows { eye.flowing() } else { eye };
        if hooked && passes {
            let embedding = job.adapter.is_some().then(|| eye.embedding());
            let leaves = embedding.into_iter().chain(flows.then(|| eye.patches_made()));
            self.shared = sheet.storages(leaves, PLACE);
        }
        if images.training == TowerTraining::Frozen && !flows {
            return;
        }
        let whole = images.training == TowerTraining::Whole;
        let mut pieces = Vec::new();
        if whole {
            pieces.push(Piece::Input);
        }
        for block in 0..vision.depth {
            if whole || flows {
                pieces.push(Piece::Block);
            }
            if vision.also_merged.contains(&block) {
                pieces.push(Piece::Merger);
            }
        }
        pieces.extend([Piece::Projector, Piece::Scatter]);
        let mut kinds: Vec<Piece> = Vec::new();
        for piece in pieces {
            let known = kinds.iter().position(|kind| *kind == piece);
            self.order.push(known.unwrap_or(kinds.len()));
            if known.is_none() {
                kinds.push(piece);
            }
        }
        self.merger = kinds.iter().position(|kind| *kind == Piece::Merger);
        self.block = kinds.iter().position(|kind| *kind == Piece::Block);
        if passes {
            self.shared.extend(sheet.storages(eye.shared(whole), PLACE));
            self.waiting = sheet.storages([eye.image_tokens(true)], PLACE);
        }
        self.kinds = kinds
            .iter()
            .map(|piece| kind(job, &eye, *piece, (shards, scope), sheet))
            .collect();
        if passes {
            let forward = (0..self.order.len())
                .filter_map(|piece| {
                    let mut held = self.kept_below(piece, true);
                    held.extend(&self.shared);
                    held.extend(&self.kind(piece)?.passing);
                    Some(held)
                })
                .max_by_key(|held| sheet.bytes(held));
            self.forward = forward.unwrap_or_default();
        }
    }
}

/// Where the entries of a tower are.
const PLACE: &str = "vision tower";

/// Whether the outputs of the embeddings ask for gradients although nothing there trains: for recomputation, from transformers 5
/// on whatever trains, before beside adapters. The hook is on the embedding of every model within the model that names one
/// (transformers 5.23, modeling_utils.py, `_activation_checkpointing_enable`, `enable_input_require_grads`): SigLIP names its
/// convolution, Qwen's tower none.
fn asks_for_gradients(job: &TrainingJob) -> bool {
    let always = job.transformers_version >= (5, 0);
    (always || job.adapter.is_some()) && job.recomputation == Recomputation::Full
}

/// Whether a part of a tower trains.
const fn trains(training: TowerTraining, part: VisionPart) -> bool {
    match training {
        TowerTraining::Frozen => false,
        TowerTraining::Projector => matches!(part, VisionPart::Merger | VisionPart::Projector),
        TowerTraining::Whole => true,
    }
}

/// One of equal blocks.
fn single_copy(tensor: &Tensor) -> Tensor {
    Tensor {
        copies: 1,
        ..tensor.clone()
    }
}

/// Tensors of equal blocks, each by itself.
fn one_by_one(tensor: &Tensor) -> impl Iterator<Item = Tensor> + use<> {
    let one = single_copy(tensor);
    (0..tensor.copies).map(move |_| one.clone())
}

/// The tensors of one piece that train.
fn tensors(network: &Network, piece: Piece, training: TowerTraining) -> Vec<Tensor> {
    let belongs = |part: VisionPart| match piece {
        Piece::Input => part == VisionPart::Input,
        Piece::Block => part == VisionPart::Block,
        Piece::Merger => part == VisionPart::Merger,
        Piece::Projector => matches!(part, VisionPart::Output | VisionPart::Projector),
        Piece::Scatter => false,
    };
    let all = network.towers.iter().flat_map(|tower| &tower.tensors);
    all.filter(|tensor| {
        let part = VisionPart::of(tensor);
        belongs(part) && trains(training, part)
    })
    .map(|tensor| Tensor {
        copies: 1,
        ..tensor.clone()
    })
    .collect()
}

fn kind(
    job: &TrainingJob,
    eye: &Eye<'_>,
    piece: Piece,
    (shards, scope): (u64, Scope),
    sheet: &mut Sheet,
) -> LayerPlan {
    let place = format!("{PLACE}, {}", piece.place());
    let mut plan = LayerPlan::empty(place);
    if scope != Scope::Passes {
        let tensors = tensors(&job.network, piece, eye.training());
        plan.part = Part::new(job, tensors.iter(), false, shards);
        let gradients = plan
            .part
            .trained
            .item(GRADIENTS, plan.part.dtype, plan.part.among(shards));
        plan.gradients = sheet.item(gradients, &plan.place);
    }
    if scope == Scope::Engine {
        return plan;
    }
    let recorded = eye.record(piece);
    let storages = recorded.tape.storages().to_vec();
    let all = |ids: Vec<u32>| -> Vec<Storage> {
        ids.into_iter()
            .filter_map(|id| storages.get(id as usize).copied())
            .collect()
    };
    // Where the tower trains, the block after a merger keeps the same hidden state as its input.
    let shared = piece == Piece::Merger && eye.training() == TowerTraining::Whole;
    let saved = recorded.tape.alive_after_forward();
    let saved = all(saved.into_iter().filter(|id| !shared || *id != 0).collect());
    let recomputed = piece == Piece::Block && job.recomputation == Recomputation::Full;
    let casts = saved
        .iter()
        .copied()
        .filter(|storage| recomputed && storage.name == &names::WEIGHT_CAST)
        .collect::<Vec<_>>();
    let kept = if recomputed {
        let input = storages.first().copied();
        input
            .map(|input| Storage {
                name: &names::CHECKPOINT,
                ..input
            })
            .into_iter()
            .collect()
    } else {
        saved
    };
    // As in the text's layers: `plan::layer`.
    let held: Vec<u32> = match (recomputed, job.reentrant) {
        (false, _) => Vec::new(),
        (true, false) => vec![0],
        (true, true) => std::iter::once(0).chain(recorded.output.storage).collect(),
    };
    let start = Start {
        node: recorded.output.node,
        gradient: recorded.gradient,
        held: recomputed && job.reentrant,
    };
    let played = recorded.tape.play(start, fresh_gradients(job), &held);
    plan.kept = sheet.storages(kept, &plan.place);
    plan.casts = sheet.storages(casts, &plan.place);
    plan.backward = sheet.storages(alive(&played, &played.body.alive), &plan.place);
    plan.passing = sheet.storages(alive(&played, &played.forward.alive), &plan.place);
    plan
}

/// The tightest moment of a tower that keeps nothing.
fn tightest_frozen(job: &TrainingJob, eye: &Eye<'_>, sheet: &mut Sheet) -> Held {
    let frozen = eye.frozen();
    let moments: Vec<Held> = [Piece::Block, Piece::Projector, Piece::Scatter]
        .into_iter()
        .map(|piece| {
            let recorded = frozen.record(piece);
            let played = Tape::play(
                &recorded.tape,
                Start::nowhere(recorded.gradient),
                fresh_gradients(job),
                &[],
            );
            sheet.storages(alive(&played, &played.forward.alive), PLACE)
        })
        .collect();
    moments
        .into_iter()
        .max_by_key(|held| sheet.bytes(held))
        .unwrap_or_default()
}

/// The type of a tower's weights as the arithmetic sees them.
fn weights_type(job: &TrainingJob) -> crate::units::DType {
    StateTypes::of(job).computed
}
