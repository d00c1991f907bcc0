//! The engines: what each holds of weights, gradients, states and buffers at every moment of a step. One file per engine;
//! activations and the timeline are the same for all and live elsewhere.

mod buffers;
mod deepspeed;
mod deepspeed_beside;
mod deepspeed_host;
mod deepspeed_packed;
mod deepspeed_reference;
mod deepspeed_reuse;
mod deepspeed_secondary;
mod deepspeed_step;
mod embedding;
mod fsdp1;
mod fsdp2;
mod fsdp_host;
mod gathered;
pub mod megatron;
mod partition;
mod reduction;
mod replicated;

pub use partition::{Arrival, arrivals};

use super::parts::Part;
use super::plan::{GRADIENTS, Moment, Plan, extend, gradients_persist, keeps_buckets};
use super::sheet::{EntryId, Held, Item, Sheet};
use super::states::Kind;
use super::temporaries::{Weights, temporaries};
use super::{Engine, LossKind, Precision};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::{BLOCK, block};
use crate::memory::{Group, Symbol};
use crate::units::Bytes;

/// What every engine keeps, registered once.
pub struct States {
    weights: Held,
    optimizer: Held,
    workspaces: Held,
    /// Final gradients of tensors before the layers, and of head and final norm.
    input_gradients: EntryId,
    output_gradients: EntryId,
    /// The optimizer's own temporaries in its step.
    step: Held,
    /// Those of the layers alone, where the step runs inside backward.
    layer_step: Held,
    clip: Held,
    /// What a tied embedding needs when its second gradient arrives.
    tied: Held,
    /// The first gradient of a tied embedding, or this rank's rows of it; nothing where it is not tied.
    waiting: Held,
}

/// Brings the engines that lie in a part of the module; a question about them waits until then.
pub fn bring() {
    megatron::bring();
    deepspeed::bring();
    crate::training::composed::bring();
}

/// An engine with its entries.
pub enum Holder {
    /// One GPU or DDP.
    Replicated(replicated::Replicated),
    /// DeepSpeed.
    DeepSpeed(deepspeed::DeepSpeed),
    /// FSDP1.
    Fsdp1(fsdp1::Fsdp1),
    /// FSDP2.
    Fsdp2(fsdp2::Fsdp2),
}

impl Holder {
    /// Of the job.
    pub fn new(plan: &Plan<'_>, sheet: &mut Sheet) -> Self {
        if let Engine::DeepSpeed(zero) = plan.job.engine
            && let Some(calls) = deepspeed::calls()
        {
            return Self::DeepSpeed((calls.new)(plan, zero, sheet));
        }
        let states = States::new(plan, sheet);
        match plan.job.engine {
            // Megatron's ledger is its own; what it would be here is never asked.
            Engine::Single | Engine::Ddp { .. } | Engine::DeepSpeed(_) | Engine::Megatron(_) => {
                Self::Replicated(replicated::Replicated::new(plan, states, sheet))
            }
            Engine::Fsdp1 {
                reshard_after_forward,
                prefetch,
                forward_prefetch,
                original,
                ..
            } => {
                let settings = fsdp1::Settings {
                    reshard: reshard_after_forward,
                    prefetch: prefetch && reshard_after_forward,
                    late: forward_prefetch && plan.shards > 1 && plan.job.adapter.is_none(),
                    original,
                };
                Self::Fsdp1(fsdp1::Fsdp1::new(plan, states, settings, sheet))
            }
            Engine::Fsdp2 {
                reshard_after_forward,
                replicas,
                ..
            } => {
                let settings = (reshard_after_forward, replicas);
                Self::Fsdp2(fsdp2::Fsdp2::new(plan, states, settings, sheet))
            }
        }
    }

    /// Whether the root is divided again after the forward pass, and gathered anew for backward.
    pub const fn gathers_root_again(&self, plan: &Plan<'_>) -> bool {
        matches!(self, Self::Fsdp2(engine) if engine.reshards()) && plan.gathers_units()
    }

    /// What it holds at a moment.
    pub fn at(&self, plan: &Plan<'_>, moment: Moment) -> Held {
        match self {
            Self::Replicated(engine) => {
                let held = engine.at(plan, moment);
                engine.states().less_consumed(plan, moment, held)
            }
            Self::DeepSpeed(engine) => {
                deepspeed::calls().map_or_else(Held::new, |calls| (calls.at)(engine, plan, moment))
            }
            Self::Fsdp1(engine) => engine.at(plan, moment),
            Self::Fsdp2(engine) => {
                let held = engine.at(plan, moment);
                engine.states().less_consumed(plan, moment, held)
            }
        }
    }
}

impl States {
    fn new(plan: &Plan<'_>, sheet: &mut Sheet) -> Self {
        let (job, shards) = (plan.job, plan.shards);
        let (mut weights, mut optimizer) = (Held::new(), Held::new());
        let ends = [
            (&plan.input, BEFORE),
            (&plan.output, AFTER),
            (&plan.tower.frozen, TOWERS),
        ];
        let parts = plan
            .layers
            .iter()
            .enumerate()
            .map(|(kind, layer)| (&layer.part, layer_place(&layer.place), plan.layers_of(kind)))
            .chain(
                plan.tower
                    .parts()
                    .map(|(kind, count)| (&kind.part, kind.place.clone(), count)),
            )
            .chain(ends.iter().map(|(part, place)| (*part, (*place).to_string(), 1)));
        let mut local: Vec<(&Part, u64)> = Vec::new();
        for (part, place, count) in parts {
            let stored = part.weights(job, (plan.types.stored, shards), &place, sheet);
            extend(&mut weights, &stored, count);
            if place != TOWERS {
                if let Some(dtype) = job.moving_average {
                    let item = part.trained.item(MOVING_AVERAGE, dtype, part.among(shards));
                    weights.push((sheet.item(item, &place), count));
                }
                let item = part.trained.states_item(
                    job.optimizer,
                    job.implementation,
                    part.dtype,
                    part.among(shards),
                );
                optimizer.push((sheet.item(item, &place), count));
                // In the order of the module: what precedes the layers comes first.
                let at = if place == BEFORE { 0 } else { local.len() };
                local.insert(at, (part, count));
            }
        }
        let within: Vec<(&Part, u64)> = plan.layers.iter().map(|layer| (&layer.part, 1)).collect();
        let gradients = |part: &Part, place: &str, sheet: &mut Sheet| {
            sheet.item(
                part.trained.item(GRADIENTS, part.dtype, part.among(shards)),
                place,
            )
        };
        let input_gradients = gradients(&plan.input, BEFORE, sheet);
        let embedding = embedding::Embedding::new(plan, sheet);
        let layer_step = step(plan, &within, "layers", sheet);
        let mut step = step(plan, &local, "", sheet);
        step.extend(embedding.iter().flat_map(|embedding| embedding.step(plan)));
        let tied = match embedding {
            Some(_) => Held::new(),
            None => tied(plan, sheet),
        };
        let momentum = embedding.iter().filter_map(|embedding| embedding.momentum);
        optimizer.extend(momentum.map(|entry| (entry, 1)));
        let mut states = Self {
            input_gradients: match &embedding {
                Some(embedding) if embedding.stays() => embedding.whole,
                _ => input_gradients,
            },
            output_gradients: gradients(&plan.output, AFTER, sheet),
            layer_step,
            step,
            clip: clip(plan, &local, sheet),
            workspaces: workspaces(plan, sheet),
            waiting: match &embedding {
                Some(embedding) => vec![(embedding.own, 1)],
                None => tied.iter().map(|(entry, _)| (*entry, 1)).collect(),
            },
            tied: match &embedding {
                Some(embedding) => embedding.made(plan),
                None => tied,
            },
            weights,
            optimizer,
        };
        if job.engine.states().away() {
            states.weights.clear();
            states.optimizer.clear();
            fsdp_host::register(plan, sheet);
        }
        states.weights.extend(buffers::buffers(plan, sheet));
        states
    }

    /// Weights, states and constants.
    fn always(&self, moment: Moment) -> Held {
        let mut held = Held::with_capacity(32);
        held.extend(&self.weights);
        if moment == Moment::Load {
            return held;
        }
        held.extend(&self.optimizer);
        held.extend(&self.workspaces);
        held
    }

    /// Final gradients that exist at a moment when they appear one layer after another.
    fn gradients(&self, plan: &Plan<'_>, moment: Moment) -> Held {
        let depth = plan.order.len();
        let pieces = plan.tower.depth();
        let (from, head, tower, input) = match moment {
            Moment::Load
            | Moment::Rest
            | Moment::ForwardStart
            | Moment::ForwardEnd
            | Moment::Loss
            | Moment::ReferenceLayers
            | Moment::ReferenceHead
            | Moment::BackwardStart
            | Moment::Head => return Held::new(),
            Moment::Layer(layer) => (layer + 1, true, pieces, false),
            Moment::Reduced(layer) => (layer, true, pieces, false),
            Moment::Tower(piece) => (0, true, piece + 1, false),
            Moment::Embedding | Moment::EndsReduced | Moment::Clip | Moment::Step => (0, true, 0, true),
        };
        let mut held = layer_gradients(plan, from, depth);
        held.extend(plan.tower.gradients_from(tower));
        if head {
            held.push((self.output_gradients, 1));
        }
        if input {
            held.push((self.input_gradients, 1));
        }
        held
    }

    /// Without the gradients that an optimizer inside backward has consumed: all but those of the moment, and that of a
    /// tied embedding, which waits for its second part. DDP's stay in its buckets.
    fn less_consumed(&self, plan: &Plan<'_>, moment: Moment, mut held: Held) -> Held {
        if !plan.job.optimizer_in_backward {
            return held;
        }
        let ends = matches!(moment, Moment::Embedding | Moment::EndsReduced);
        let waits = plan.network.head.tied && !matches!(moment, Moment::Clip | Moment::Step);
        let stays = keeps_buckets(plan.job);
        held.retain(|(entry, _)| {
            let input = *entry == self.input_gradients && !ends;
            let output = *entry == self.output_gradients && !waits;
            let layer = plan.layers.iter().any(|layer| layer.gradients == *entry);
            let step = moment == Moment::Step && self.step.iter().any(|(own, _)| own == entry);
            !(step || !stays && (input || output || layer))
        });
        // The sum of a tied embedding's two gradients leaves more room behind than its step needs.
        if ends && !waits {
            held.extend(&self.step);
        } else if matches!(moment, Moment::Layer(_)) {
            held.extend(&self.layer_step);
        }
        held
    }

    /// Gradients of both ends that are new, beside those that stay from earlier micro-batches or in DDP's buckets: that of a tied
    /// head waits for the embedding's (torch 2.15 autograd/input_buffer.cpp; records gp001 to gp009).
    fn fresh(&self, plan: &Plan<'_>, moment: Moment) -> Held {
        let tied = plan.network.head.tied && plan.job.adapter.is_none();
        match moment {
            Moment::Layer(_) | Moment::Reduced(_) | Moment::Tower(_) | Moment::Embedding if tied => {
                self.waiting.clone()
            }
            // Tensor parallelism's is counted where it is made.
            Moment::Embedding if self.waiting.is_empty() => vec![(self.input_gradients, 1)],
            _ => Held::new(),
        }
    }

    /// What the step of a flat unit of FSDP1 holds where it runs inside backward, right after the reduction: the unit's flat
    /// gradient, this rank's shard of it, and what the step makes (torch 2.15 distributed/fsdp/_runtime_utils.py,
    /// `_post_backward_use_sharded_grad_views`, which `_reduce_grad` calls).
    fn stepping(&self, plan: &Plan<'_>, (flat, shard): (EntryId, EntryId)) -> Held {
        if !plan.job.optimizer_in_backward {
            return Held::new();
        }
        let mut held = vec![(flat, 1)];
        // Without a division the flat gradient is the final one.
        held.extend((plan.shards > 1).then_some((shard, 1)));
        held.extend(&self.layer_step);
        held
    }

    /// All final gradients.
    fn all_gradients(&self, plan: &Plan<'_>) -> Held {
        self.gradients(plan, Moment::Step)
    }
}

const MOVING_AVERAGE: Kind = Kind {
    id: "weights.average",
    label: "moving average of the weights",
    group: Group::ModelParams,
    sharded: true,
};

/// Places of entries outside the layers.
const BEFORE: &str = "before the layers";
const AFTER: &str = "head and final norm";
const TOWERS: &str = "towers";

fn layer_place(place: &str) -> String {
    if place.is_empty() {
        "layers".to_string()
    } else {
        place.to_string()
    }
}

fn layer_gradients(plan: &Plan<'_>, from: usize, to: usize) -> Held {
    plan.layers
        .iter()
        .zip(plan.between(from, to))
        .filter(|(_, count)| *count > 0)
        .map(|(layer, count)| (layer.gradients, count))
        .collect()
}

/// The optimizer's temporaries over these pieces. Inside backward the step runs for one tensor at a time.
fn step(plan: &Plan<'_>, local: &[(&Part, u64)], place: &str, sheet: &mut Sheet) -> Held {
    let (stored, job) = (plan.types.trained, plan.job);
    // Before torch 2.15 workspaces stay; from then on each product makes one.
    let transient = if job.torch_version >= (2, 15) {
        workspace(job.compute_capability).unit
    } else {
        Bytes::ZERO
    };
    let of = |pieces: &[Weights<'_>]| temporaries(job.optimizer, job.implementation, pieces, transient);
    let needs = if job.optimizer_in_backward {
        let alone = |(part, _): &(&Part, u64)| {
            let piece = part.trained.largest_alone();
            of(&[(&piece, part.dtype, 1)])
        };
        local.iter().filter_map(alone).max_by_key(|needs| needs.bytes)
    } else {
        let pieces: Vec<Weights<'_>> = local
            .iter()
            .map(|(part, count)| (&part.trained, part.dtype, *count))
            .collect();
        of(&pieces)
    };
    let Some(needs) = needs else {
        return Held::new();
    };
    let item = Item {
        id: "optimizer.temporaries",
        label: "temporaries of the optimizer's step",
        group: Group::Overhead,
        dtype: Some(stored),
        unit: needs.bytes,
        formula: needs.formula,
        symbols: vec![Symbol::new("β", "bytes per element", stored.bits() / 8)],
        terms: needs.terms,
        citation: needs.citation,
    };
    vec![(sheet.item(item, place), 1)]
}

/// Clipping makes one norm per tensor, and scales in place.
fn clip(plan: &Plan<'_>, local: &[(&Part, u64)], sheet: &mut Sheet) -> Held {
    if !plan.job.gradient_clipping {
        return Held::new();
    }
    let tensors: u64 = local
        .iter()
        .map(|(part, count)| part.trained.tensors() * count)
        .sum();
    let item = Item {
        id: "clip.norms",
        label: "norms of the gradients, one per tensor",
        group: Group::Overhead,
        dtype: None,
        unit: Bytes::new(BLOCK),
        formula: "512",
        symbols: Vec::new(),
        terms: Vec::new(),
        citation: Citation::new(Evidence::Source, "torch 2.15 nn/utils/clip_grad.py"),
    };
    vec![(sheet.item(item, ""), tensors)]
}

/// cuBLAS workspaces: up to torch 2.14 one per handle and stream stays allocated, that of the forward thread and that of
/// autograd's thread.
fn workspaces(plan: &Plan<'_>, sheet: &mut Sheet) -> Held {
    if plan.job.torch_version >= (2, 15) {
        return Held::new();
    }
    vec![(sheet.item(workspace(plan.job.compute_capability), ""), 2)]
}

/// One cuBLAS workspace.
fn workspace(compute_capability: u16) -> Item {
    let hopper = compute_capability >= 90;
    Item {
        id: "cublas.workspace",
        label: "cuBLAS workspaces",
        group: Group::Overhead,
        dtype: None,
        unit: Bytes::new(if hopper { 33_554_432 } else { 8_519_680 }),
        formula: if hopper { "32 MiB" } else { "8,519,680" },
        symbols: Vec::new(),
        terms: Vec::new(),
        citation: Citation::new(
            Evidence::Source,
            "pytorch aten/src/ATen/cuda/CublasHandlePool.cpp: 4096:2:16:8 before Hopper, 32 MiB from Hopper on",
        ),
    }
}

/// The gradient of a tied embedding meets the head's: out of place in the type of the weights, after a cast under autocast.
fn tied(plan: &Plan<'_>, sheet: &mut Sheet) -> Held {
    // Copies of embedding and head are tensors of their own.
    if !plan.network.head.tied || plan.job.adapter.is_some() {
        return Held::new();
    }
    let dtype = plan.types.computed;
    let elements = plan.network.vocabulary.saturating_mul(plan.network.hidden_size);
    let item = Item {
        id: "gradients.tied",
        label: "second gradient of the tied embedding, and the sum of both",
        group: Group::Gradients,
        dtype: Some(dtype),
        unit: block(Bytes::new(elements.saturating_mul(dtype.bits() / 8))),
        formula: "β·V·h",
        symbols: vec![
            Symbol::new("β", "bytes per element", dtype.bits() / 8),
            Symbol::new("V", "vocabulary", plan.network.vocabulary),
            Symbol::new("h", "hidden size", plan.network.hidden_size),
        ],
        terms: Vec::new(),
        citation: Citation::new(
            Evidence::Traced,
            "torch 2.15 autograd: input_buffer.cpp adds out of place here",
        ),
    };
    // After several chunks the sum is one that nobody else holds, and is added to in place.
    let in_place = matches!(plan.job.loss, LossKind::Chunked { .. });
    let count = if in_place || matches!(plan.job.precision, Precision::Autocast(_)) {
        1
    } else {
        2
    };
    vec![(sheet.item(item, ""), count)]
}

/// An item with one value per weight that is neither weights nor gradients.
fn buffer(id: &'static str, label: &'static str, group: Group) -> Kind {
    Kind {
        id,
        label,
        group,
        sharded: false,
    }
}
