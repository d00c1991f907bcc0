//! What the passes over the layers hold at each instant of a step beside what the engine holds: what layers saved, what the
//! computation at hand needs, and what all layers share.

use super::block::Setting;
use super::composed;
use super::head::ending;
use super::names;
use super::plan::{LayerPlan, Moment, Plan, extend};
use super::sheet::{Held, Sheet};
use super::tape::{Rows, Shape, Storage};
use super::{AttentionKernel, HostMemory, Recomputation, TrainingJob};
use crate::cite::{Citation, Evidence};
use crate::memory::{HostEntry, HostPhase, HostPlace, InstantId};
use crate::model::Mixer;
use crate::units::DType;

/// A point of the step at which memory is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Weights are on the device.
    Load,
    /// Between two steps.
    Rest,
    /// The vision tower runs forward.
    TowerForward,
    /// The embedding has run forward, the first layer has not.
    ForwardStart,
    /// All layers have run forward.
    ForwardEnd,
    /// The loss is being computed.
    LossForward,
    /// The reference of preference training runs through its layers.
    ReferenceLayers,
    /// Its head runs.
    ReferenceHead,
    /// It computes its log-probabilities.
    ReferenceForward,
    /// The forward pass is over, and backward has computed nothing yet.
    BackwardStart,
    /// The gradient of the logits is being computed.
    LossBackward,
    /// The head's gradients are being computed.
    HeadBackward,
    /// Backward of a layer, counted from zero.
    Layer(usize),
    /// The layer's backward is over and its gradients are being reduced.
    Reduced(usize),
    /// Backward of a piece of the vision tower, counted from nought.
    Tower(usize),
    /// Backward of the embedding.
    Embedding,
    /// The gradients of both ends are being reduced.
    EndsReduced,
    /// Clipping.
    Clip,
    /// The optimizer's step.
    Step,
}

impl Point {
    /// Points before the backward pass of the layers.
    pub const BEFORE: [Self; 12] = [
        Self::Load,
        Self::Rest,
        Self::TowerForward,
        Self::ForwardStart,
        Self::ForwardEnd,
        Self::LossForward,
        Self::ReferenceLayers,
        Self::ReferenceHead,
        Self::ReferenceForward,
        Self::BackwardStart,
        Self::LossBackward,
        Self::HeadBackward,
    ];

    /// Points after the backward pass of the layers.
    pub const AFTER: [Self; 4] = [Self::Embedding, Self::EndsReduced, Self::Clip, Self::Step];

    /// What the engine is asked at this point.
    pub const fn moment(self) -> Moment {
        match self {
            Self::Load => Moment::Load,
            Self::Rest => Moment::Rest,
            Self::ForwardEnd => Moment::ForwardEnd,
            Self::TowerForward | Self::LossForward | Self::ReferenceForward => Moment::Loss,
            Self::ForwardStart => Moment::ForwardStart,
            Self::BackwardStart => Moment::BackwardStart,
            Self::ReferenceLayers => Moment::ReferenceLayers,
            Self::ReferenceHead => Moment::ReferenceHead,
            Self::LossBackward | Self::HeadBackward => Moment::Head,
            Self::Layer(layer) => Moment::Layer(layer),
            Self::Reduced(layer) => Moment::Reduced(layer),
            Self::Tower(piece) => Moment::Tower(piece),
            Self::Embedding => Moment::Embedding,
            Self::EndsReduced => Moment::EndsReduced,
            Self::Clip => Moment::Clip,
            Self::Step => Moment::Step,
        }
    }

    /// Its instant and label, where it always has an instant of its own.
    pub const fn instant(self) -> Option<(InstantId, &'static str)> {
        match self {
            Self::Load => Some((InstantId::Load, "weights loaded")),
            Self::Rest => Some((InstantId::Rest, "between two steps")),
            Self::TowerForward => Some((InstantId::TowerForward, "the vision tower runs forward")),
            Self::ForwardStart => Some((
                InstantId::ForwardStart,
                "the root is gathered and the first layer on its way",
            )),
            Self::ForwardEnd => Some((InstantId::ForwardEnd, "all layers have run forward")),
            Self::LossForward => Some((InstantId::LossForward, "loss")),
            Self::ReferenceLayers => Some((InstantId::ReferenceLayers, "layers of the reference")),
            Self::ReferenceForward => {
                Some((InstantId::ReferenceForward, "log-probabilities of the reference"))
            }
            Self::BackwardStart => Some((InstantId::BackwardStart, "the root is gathered again")),
            Self::LossBackward => Some((InstantId::LossBackward, "gradient of the loss")),
            Self::HeadBackward => Some((InstantId::HeadBackward, "backward of the head and the final norm")),
            Self::Clip => Some((InstantId::Clip, "gradient clipping")),
            Self::Step => Some((InstantId::OptimizerStep, "optimizer step")),
            Self::ReferenceHead
            | Self::Layer(_)
            | Self::Reduced(_)
            | Self::Tower(_)
            | Self::Embedding
            | Self::EndsReduced => None,
        }
    }
}

/// What the passes hold.
pub struct Pass<'a> {
    plan: &'a Plan<'a>,
    /// What all layers use until the forward pass is over.
    shared_forward: Held,
    /// What all layers use until the backward pass is over.
    shared_backward: Held,
    /// The token ids, to which the loop still refers between two steps.
    batch: Held,
    /// The last layer's output.
    hidden: Held,
    /// Whether the last layer's forward pass needs more at a moment than it leaves behind.
    passing: bool,
    loss_forward: Held,
    /// Nothing outside preference training: what stands beside the reference's layers, at its head, and at its
    /// log-probabilities.
    reference: [Held; 3],
    /// What is left of the loss when the forward pass is over.
    loss_kept: Held,
    loss_backward: Held,
    head_backward: Held,
    /// The gradient that arrives at a layer.
    gradient: Held,
    /// The gradient that arrives at the embedding, of all tokens, and the partial sums of its backward.
    whole_gradient: Held,
    /// That gradient alone.
    whole_hidden: Held,
    /// The logits, where the program still refers to them.
    outputs: Held,
    /// What every other micro-batch in flight holds of a chunk of a pipeline rank.
    waiting: Vec<Held>,
    /// Hidden states that the pipeline received or made, and keeps through the step.
    received: Held,
}

impl<'a> Pass<'a> {
    /// Records the end of the network and registers what it and all layers hold.
    pub fn new(job: &TrainingJob, plan: &'a Plan<'a>, sheet: &mut Sheet) -> Self {
        let place = "head and loss";
        let setting = &plan.setting;
        let ending = composed::ending(job, setting).unwrap_or_else(|| ending(job, setting));
        packed(plan, &ending.packed, sheet);
        let (forward, backward) = shared(plan);
        let gradient = |of: Storage| Storage { gradient: true, ..of };
        let ids = Storage::new(
            &names::TOKEN_IDS,
            Shape {
                axis: &names::IDS,
                width: 1,
                rows: Rows::Tokens(setting.tokens),
            },
            DType::Int64,
        );
        let hidden = sheet.storages([setting.hidden_state()], "");
        let (waiting, received) = composed::beside(plan, sheet);
        let passing = plan.order.last().and_then(|kind| plan.layers.get(*kind));
        let passing = passing.is_some_and(|layer| {
            let left = sheet.bytes(&layer.kept) + sheet.bytes(&layer.casts) + sheet.bytes(&hidden);
            sheet.bytes(&layer.passing) > left
        });
        Self {
            passing,
            hidden,
            batch: {
                let mut batch = sheet.storages([ids], "");
                batch.extend(&plan.tower.batch);
                batch
            },
            shared_forward: sheet.storages(forward, ""),
            shared_backward: sheet.storages(backward, ""),
            loss_forward: sheet.storages(ending.loss_forward, place),
            reference: ending.reference.map(|storages| sheet.storages(storages, place)),
            loss_kept: sheet.storages(ending.loss_kept, place),
            loss_backward: sheet.storages(ending.loss_backward, place),
            head_backward: sheet.storages(ending.head_backward, place),
            gradient: sheet.storages([gradient(setting.hidden_state())], ""),
            whole_gradient: sheet.storages(
                std::iter::once(gradient(setting.whole_hidden_state())).chain(after_gradient(job, setting)),
                "",
            ),
            whole_hidden: sheet.storages([gradient(setting.whole_hidden_state())], ""),
            outputs: sheet.storages(ending.after, place),
            waiting,
            received,
            plan,
        }
    }

    /// What is held at a point.
    pub fn at(&self, point: Point) -> Held {
        let depth = self.plan.order.len();
        match point {
            Point::Load => Held::new(),
            Point::Rest => self.batch.clone(),
            Point::ForwardStart if !self.plan.gathers_units() => Held::new(),
            Point::ForwardStart => [self.batch.as_slice(), &self.hidden, &self.shared_forward].concat(),
            Point::ForwardEnd if self.passing => {
                let last = depth.saturating_sub(1);
                let passing = self.plan.kind(last).map(|kind| kind.passing.clone());
                let own = [
                    &self.shared_backward,
                    &self.shared_forward,
                    &passing.unwrap_or_default(),
                ];
                self.with_saved(last, true, &own)
            }
            Point::ForwardEnd => {
                let own = [&self.shared_backward, &self.shared_forward, &self.hidden];
                self.with_saved(depth, true, &own)
            }
            Point::LossForward => self.with_saved(depth, true, &[&self.shared_backward, &self.loss_forward]),
            Point::ReferenceLayers | Point::ReferenceHead | Point::ReferenceForward => {
                let [layers, head, log_probabilities] = &self.reference;
                let own = match point {
                    _ if log_probabilities.is_empty() => return Held::new(),
                    Point::ReferenceLayers => layers,
                    Point::ReferenceHead => head,
                    _ => log_probabilities,
                };
                self.with_saved(depth, true, &[&self.shared_backward, own])
            }
            Point::BackwardStart if !self.plan.gathers_units() => Held::new(),
            Point::BackwardStart => self.with_saved(
                depth,
                false,
                &[&self.shared_backward, &self.loss_kept, &self.outputs],
            ),
            Point::LossBackward => {
                self.with_saved(depth, false, &[&self.shared_backward, &self.loss_backward])
            }
            Point::HeadBackward => {
                self.with_saved(depth, false, &[&self.shared_backward, &self.head_backward])
            }
            Point::Layer(layer) => match self.plan.kind(layer) {
                Some(kind) => {
                    let above = self.inputs_above(layer + 1);
                    self.with_saved(layer, false, &[&self.during(kind), &above])
                }
                None => Held::new(),
            },
            Point::Reduced(layer) => {
                self.with_saved(layer, false, &[&self.reduced(), &self.inputs_above(layer + 1)])
            }
            Point::TowerForward if self.plan.tower.forward.is_empty() => Held::new(),
            Point::TowerForward => [self.batch.as_slice(), &self.plan.tower.forward].concat(),
            Point::Tower(piece) => self.tower(piece),
            Point::Embedding => [
                self.whole_gradient.as_slice(),
                &self.in_flight(0),
                &self.outputs,
                &self.outside(),
                &self.inputs_above(0),
                &self.plan.tower.batch,
            ]
            .concat(),
            Point::EndsReduced | Point::Clip | Point::Step => {
                [self.outputs.as_slice(), &self.plan.tower.batch].concat()
            }
        }
    }

    /// What is held in the backward pass of a piece of the tower. The embedding's gradient waits where the embedding trains.
    fn tower(&self, piece: usize) -> Held {
        let tower = &self.plan.tower;
        let mut held = tower.kept_below(piece, false);
        if let Some(kind) = tower.kind(piece) {
            held.extend(&kind.backward);
        }
        let last = piece + 1 >= tower.depth();
        if !last && self.plan.job.adapter.is_none() {
            held.extend(&self.whole_hidden);
        }
        held.extend(tower.waiting_below(piece));
        held.extend(&tower.shared);
        held.extend(&tower.batch);
        held.extend(&self.outputs);
        held
    }

    /// What the tower keeps until its backward, and what waits there for it, while the text's passes run.
    pub fn beside_text(&self, casts: bool) -> Held {
        let tower = &self.plan.tower;
        let mut held = tower.kept_below(tower.depth(), casts);
        held.extend(&tower.shared);
        held.extend(&tower.batch);
        held
    }

    /// What is held in the backward pass of a layer of this kind, beside what the layers below it keep.
    pub fn during(&self, kind: &LayerPlan) -> Held {
        [self.shared_backward.as_slice(), &kind.backward, &self.outputs].concat()
    }

    /// What is held while a layer's gradients are reduced, beside what the layers below it keep.
    pub fn reduced(&self) -> Held {
        [self.shared_backward.as_slice(), &self.gradient, &self.outputs].concat()
    }

    /// What the layers below `end` keep, with autocast's copies of their weights or without, and what else is held.
    fn with_saved(&self, end: usize, casts: bool, others: &[&Held]) -> Held {
        let mut held = Held::new();
        for other in others {
            held.extend_from_slice(other);
        }
        for (layer, count) in self.plan.layers.iter().zip(self.plan.below(end)) {
            extend(&mut held, &layer.kept, count);
            if casts {
                extend(&mut held, &layer.casts, count);
            }
        }
        held.extend(self.outside());
        held.extend(self.beside_text(casts));
        held.extend(self.in_flight(end));
        held
    }

    /// What a pipeline rank holds of its other micro-batches when the layers below `end` are saved: of all chunks, or, where
    /// those above are done with, of those up to the chunk whose backward runs.
    pub fn in_flight(&self, end: usize) -> Held {
        let mut held = self.received.clone();
        if let Some(rank) = self.plan.job.pipeline_rank() {
            let chunks = if rank.drained || rank.apart {
                rank.chunk(end) + 1
            } else {
                self.waiting.len()
            };
            held.extend(self.waiting.iter().take(chunks).flatten());
        }
        held
    }

    /// What operations of all layers hold until backward is over.
    pub fn outside(&self) -> Held {
        let mut held = Held::new();
        for (kind, layer) in self.plan.layers.iter().enumerate() {
            extend(&mut held, &layer.outside, self.plan.layers_of(kind));
        }
        held
    }

    /// What the layers from this one on still hold of their inputs and of the gradients of these, but for the gradient that
    /// the layer below works on.
    pub fn inputs_above(&self, from: usize) -> Held {
        let mut held = Held::new();
        let depth = self.plan.order.len();
        if !self.plan.holds_inputs() || from >= depth {
            return held;
        }
        for (layer, count) in self.plan.layers.iter().zip(self.plan.between(from, depth)) {
            extend(&mut held, &layer.kept, count);
        }
        extend(&mut held, &self.gradient, (depth - from) as u64 - 1);
        held
    }
}

/// Registers what waits in host memory, by size.
fn packed(plan: &Plan<'_>, ends: &[Storage], sheet: &mut Sheet) {
    let mut one = |storage: &Storage, count: u64| {
        sheet.host(HostEntry {
            id: "host.activations",
            label: "what is saved for backward, with the weights among it",
            place: HostPlace::Memory,
            phase: HostPhase::Training,
            pinned: plan.job.saved == HostMemory::Pinned,
            unit: storage.bytes(),
            count,
            formula: storage.formula(),
            symbols: storage.symbols(),
            citation: Citation::new(
                Evidence::Source,
                "torch 2.15 autograd/graph.py: save_on_cpu copies each saved tensor by itself",
            ),
        });
    };
    for (kind, layer) in plan.layers.iter().enumerate() {
        for storage in &layer.packed {
            one(storage, plan.layers_of(kind));
        }
    }
    for storage in ends {
        one(storage, 1);
    }
}

/// Token ids, rotary tables, and the attention mask that the layers share. Recomputed layers hold the mask until they have
/// run again. Those until the forward pass is over, and those until the backward pass is.
fn shared(plan: &Plan<'_>) -> (Vec<Storage>, Vec<Storage>) {
    let setting: &Setting = &plan.setting;
    let one = |axis, width, dtype, name, rows| {
        Storage::new(
            name,
            Shape {
                axis,
                width,
                rows: Rows::Tokens(rows),
            },
            dtype,
        )
    };
    let mut backward = vec![one(
        &names::IDS,
        3,
        DType::Int64,
        &names::TOKEN_IDS,
        setting.tokens,
    )];
    let attention = plan.network.layers().find_map(|layer| match &layer.mixer {
        Mixer::Attention(attention) if attention.rotary => Some(attention.rotary_dim),
        Mixer::Latent(latent) => Some(latent.rope_dim),
        _ => None,
    });
    if let Some(width) = attention {
        let table = one(
            &names::ROTATED_PART,
            width,
            setting.shared(),
            &names::ROTARY_TABLE,
            setting.sequence,
        );
        backward.extend([table, table]);
    }
    if plan.network.embedding_dropout > 0.0 {
        let mask = one(
            &names::WIDTH,
            setting.hidden,
            DType::Int8,
            &names::DROPOUT_MASK,
            setting.tokens,
        );
        backward.push(mask);
    }
    let dense = match setting.kernel {
        AttentionKernel::Eager => Some(setting.shared()),
        AttentionKernel::Masked => Some(DType::Int8),
        AttentionKernel::Flash | AttentionKernel::Package => None,
    };
    let mut forward = Vec::new();
    if let Some(dtype) = dense {
        let mask = one(
            &names::MASK_ROW,
            setting.sequence,
            dtype,
            &names::SHARED_MASK,
            setting.tokens,
        );
        if plan.job.recomputation == Recomputation::None {
            forward.push(mask);
        } else {
            backward.push(mask);
        }
    }
    (forward, backward)
}

/// Up to so many tokens the embedding's backward adds rows one by one (aten/src/ATen/native/cuda/Embedding.cu).
const FEW_TOKENS: u64 = 3072;
/// Rows that one thread adds up to a partial sum (aten/src/ATen/native/cuda/EmbeddingBackwardKernel.cu: `NROWS_PER_THREAD`).
const ROWS_PER_THREAD: u64 = 10;

/// Partial sums of the embedding's gradient in fp32: one per ten tokens and one per token that can differ (torch 2.15,
/// aten/src/ATen/native/cuda/EmbeddingBackwardKernel.cu, `embedding_backward_cuda_kernel`; Embedding.cu for the bound).
/// They are gone when the gradient of a tied head is added, which takes more unless there are nearly as many tokens as
/// words.
fn partial_sums(job: &TrainingJob, setting: &Setting) -> Option<Storage> {
    let trained = job.adapter.is_none() && !job.network.head.tied && setting.tokens > FEW_TOKENS;
    trained.then(|| {
        let segments = setting.tokens / ROWS_PER_THREAD + setting.tokens.min(job.network.vocabulary);
        let shape = Shape {
            axis: &names::WIDTH,
            width: setting.hidden.next_multiple_of(32),
            rows: Rows::Tokens(segments),
        };
        Storage::new(&names::EMBEDDING_SUMS, shape, DType::Fp32)
    })
}

/// What backward of the embedding makes beside its gradient: partial sums, which are gone when FSDP2 cuts this rank's rows
/// out of a gradient of all rows.
fn after_gradient(job: &TrainingJob, setting: &Setting) -> Option<Storage> {
    let sums = partial_sums(job, setting);
    if !job.cuts_embedding() {
        return sums;
    }
    let shape = Shape {
        axis: &names::WEIGHTS,
        width: setting
            .part(job.network.vocabulary)
            .saturating_mul(setting.hidden),
        rows: Rows::One,
    };
    let own = Storage::gradient(&names::WEIGHT, shape, setting.types.weights);
    sums.filter(|sums| sums.bytes() > own.bytes()).or(Some(own))
}
