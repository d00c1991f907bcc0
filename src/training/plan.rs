//! What the engines and the timeline share: the pieces of the network on this rank, the layers with what they save and
//! what their backward needs, and how many layers of each kind lie below a given one.

use super::block::{Setting, record};
use super::names;
use super::parts::Part;
use super::sheet::{EntryId, Held, Sheet};
use super::states::Kind;
use super::tape::{Peak, Start, Storage, WeightGradients};
use super::vision::TowerPlan;
use super::{BaseFormat, Engine, Precision, Recomputation, TrainingJob};
use crate::memory::Group;
use crate::model::{Layer, Network, Tensor};
use crate::units::DType;

/// A moment of the step at which the engine is asked what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Weights are on the device.
    Load,
    /// Between two steps.
    Rest,
    /// The embedding is done and the first layer's weights arrive.
    ForwardStart,
    /// Forward of the last layer ends: its weights are still there.
    ForwardEnd,
    /// Forward of the last layer is over; the head and the loss follow.
    Loss,
    /// The reference of preference training runs through its layers, what trains waits for its backward.
    ReferenceLayers,
    /// The head of the reference.
    ReferenceHead,
    /// Backward begins: what was given up of the root after the forward pass comes again.
    BackwardStart,
    /// Backward of the loss and the head.
    Head,
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

/// Types of what is stored and of what is computed.
#[derive(Clone, Copy, Debug)]
pub struct StateTypes {
    /// Weights, gradients and states at rest.
    pub stored: DType,
    /// Weights as the arithmetic sees them, and fresh gradients.
    pub computed: DType,
    /// Gradients while they are reduced.
    pub reduced: DType,
    /// What trains: its stored weights, final gradients and states.
    pub trained: DType,
}

impl StateTypes {
    /// Of a job. Beside adapters the frozen weights are in the type of the arithmetic.
    pub fn of(job: &TrainingJob) -> Self {
        let one = |dtype| Self {
            stored: dtype,
            computed: dtype,
            reduced: dtype,
            trained: dtype,
        };
        let full = match job.precision {
            Precision::Pure(dtype) => one(dtype),
            Precision::Master(dtype) => one(dtype),
            Precision::Autocast(_) => one(DType::Fp32),
            Precision::ShardedMixed {
                stored,
                compute,
                reduce,
            } => Self {
                computed: compute,
                reduced: reduce,
                ..one(stored)
            },
        };
        match job.adapter {
            None => full,
            Some(adapter) => {
                let compute = job.precision.compute();
                Self {
                    trained: adapter.dtype,
                    reduced: adapter.dtype,
                    ..one(compute)
                }
            }
        }
    }
}

/// One kind of layer.
#[derive(Clone, Debug)]
pub struct LayerPlan {
    /// Which layers, where there is more than one kind.
    pub place: String,
    /// Its weights.
    pub part: Part,
    /// What one such layer keeps after its forward.
    pub kept: Held,
    /// What exists until the forward pass is over although the layer is recomputed: autocast's copies of its weights, and
    /// what a cache of keys and values refers to.
    pub casts: Held,
    /// What one such layer sends to the host in its forward, where saved activations wait there.
    pub packed: Vec<Storage>,
    /// What is alive at the tightest moment of its backward beside the layers below.
    pub backward: Held,
    /// What is alive of such a layer at the tightest moment of its forward pass that its operations tell.
    pub passing: Held,
    /// What operations of such a layer hold until backward is over, whatever is recomputed.
    pub outside: Held,
    /// Its final gradients.
    pub gradients: EntryId,
}

impl LayerPlan {
    /// Nothing, at a place.
    pub fn empty(place: String) -> Self {
        Self {
            place,
            part: Part::default(),
            kept: Held::new(),
            casts: Held::new(),
            packed: Vec::new(),
            backward: Held::new(),
            passing: Held::new(),
            outside: Held::new(),
            gradients: 0,
        }
    }
}

/// What of a plan is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    Whole,
    /// What engines ask for: weights, not what layers save.
    Engine,
    /// What the passes hold, not the weights of the layers.
    Passes,
}

/// Everything that the timeline is made of.
pub struct Plan<'a> {
    /// The job.
    pub job: &'a TrainingJob,
    /// The network.
    pub network: &'a Network,
    /// The common setting of the layers.
    pub setting: Setting,
    /// Types of the states.
    pub types: StateTypes,
    /// Ranks among which states are sharded.
    pub shards: u64,
    /// Kinds of layers: those of the network, each twice where only some of its layers are recomputed.
    pub layers: Vec<LayerPlan>,
    /// For each depth the index of its layer in `layers`.
    pub order: Vec<usize>,
    /// Rows of [`Self::row`], one after another.
    counts: Vec<u64>,
    /// Embedding and other tensors before the layers, less a tied embedding.
    pub input: Part,
    /// Head, a tied embedding, and final norm.
    pub output: Part,
    /// Vision and audio towers.
    pub tower: TowerPlan,
}

/// Whether the gradients are views of DDP's buckets, which stay through the step: as it was asked for, or because the step runs
/// inside backward, on the buckets' views (torch 2.15 distributed/algorithms/ddp_comm_hooks/optimizer_overlap_hooks.py).
pub const fn keeps_buckets(job: &TrainingJob) -> bool {
    match job.engine {
        Engine::Ddp { bucket_view, .. } => bucket_view || job.optimizer_in_backward,
        _ => false,
    }
}

/// Whether gradients outlive the optimizer's step or a micro-batch, so that a fresh one is added to what is there.
pub fn gradients_persist(job: &TrainingJob) -> bool {
    keeps_buckets(job) || job.accumulation_steps > 1
}

/// What happens to a fresh weight gradient inside a layer's backward: engines that shard reduce it afterwards.
pub fn fresh_gradients(job: &TrainingJob) -> WeightGradients {
    match job.engine {
        Engine::Single if job.optimizer_in_backward => WeightGradients::Added,
        Engine::Fsdp1 { .. } | Engine::Fsdp2 { .. } => WeightGradients::Stay,
        Engine::DeepSpeed(zero) if zero.stage >= 2 => WeightGradients::Added,
        _ if gradients_persist(job) => WeightGradients::Added,
        _ => WeightGradients::Stay,
    }
}

/// Final gradients.
pub const GRADIENTS: Kind = Kind {
    id: "gradients",
    label: "gradients",
    group: Group::Gradients,
    sharded: true,
};

impl<'a> Plan<'a> {
    /// Records every kind of layer and counts every tensor.
    pub fn new(job: &'a TrainingJob, setting: Setting, scope: Scope, sheet: &mut Sheet) -> Self {
        let network: &Network = &job.network;
        let shards = match job.engine {
            Engine::Fsdp1 { replicas, .. } | Engine::Fsdp2 { replicas, .. } => {
                (job.data_parallel / replicas.max(1)).max(1)
            }
            Engine::Single | Engine::Ddp { .. } | Engine::DeepSpeed(_) | Engine::Megatron(_) => 1,
        };
        let types = StateTypes::of(job);
        let (kinds, order) = kinds(job, network);
        let layers = kinds
            .iter()
            .enumerate()
            .map(|(index, (kind, recomputation, trained))| {
                let place = place(&order, kinds.len(), index);
                layer(
                    (job, *recomputation, *trained),
                    network.kinds.get(*kind),
                    &setting,
                    place,
                    (shards, scope),
                    sheet,
                )
            })
            .collect();
        let tied = network.head.tied;
        let is_shared = |tensor: &&Tensor| tied && tensor.role == crate::model::Role::Embedding;
        let part = |tensors: &mut dyn Iterator<Item = &'a Tensor>| match scope {
            Scope::Whole | Scope::Engine => Part::new(job, tensors, false, shards),
            Scope::Passes => Part::default(),
        };
        let input = part(&mut network.input_tensors.iter().filter(|tensor| !is_shared(tensor)));
        let shared = network.input_tensors.iter().filter(is_shared);
        let output = part(&mut shared.chain(&network.output_tensors));
        let tower = TowerPlan::new(job, (shards, scope), sheet);
        Self {
            job,
            network,
            setting,
            types,
            shards,
            counts: counts(&order, kinds.len()),
            layers,
            order,
            input,
            output,
            tower,
        }
    }

    /// Whether the reference of preference training gathers weights of its own, one after another.
    pub const fn gathers_reference(&self) -> bool {
        matches!(self.job.engine, Engine::DeepSpeed(zero) if zero.stage == 3) && self.job.reference_weights()
    }

    /// Whether units are gathered one after another into buffers of their own (FSDP2 on more than one rank).
    pub const fn gathers_units(&self) -> bool {
        matches!(self.job.engine, Engine::Fsdp2 { .. }) && self.shards > 1
    }

    /// The kind of a layer.
    pub fn kind(&self, layer: usize) -> Option<&LayerPlan> {
        self.layers.get(*self.order.get(layer)?)
    }

    /// Elements of the largest tensor.
    pub fn largest_tensor(&self) -> u64 {
        largest_tensor(self.network)
    }

    /// Elements of the largest unit that FSDP1 gathers at once: a layer, or what belongs to none.
    pub fn largest_unit(&self) -> u64 {
        self.largest_layer().max(self.root())
    }

    /// Elements of the largest layer.
    pub fn largest_layer(&self) -> u64 {
        let layers = self.network.layers();
        layers.map(|layer| elements(&layer.tensors)).max().unwrap_or(0)
    }

    /// Elements of what belongs to no layer: embedding, final norm and head.
    pub fn root(&self) -> u64 {
        elements(
            self.network
                .input_tensors
                .iter()
                .chain(&self.network.output_tensors),
        )
    }

    /// Elements of all tensors up to this size, each copy by itself, adapters among them.
    pub fn small_tensors(&self, threshold: u64) -> u64 {
        let one = |tensor: &Tensor| tensor.elements().get() / tensor.copies.max(1);
        let adapters: u64 = self
            .layers
            .iter()
            .enumerate()
            .filter(|_| self.job.adapter.is_some())
            .map(|(kind, layer)| {
                let sizes = layer.part.trained.local_sizes().iter();
                let small: u64 = sizes.filter(|elements| **elements <= threshold).sum();
                small * self.layers_of(kind)
            })
            .sum();
        let packed: u64 = self
            .layers
            .iter()
            .enumerate()
            .map(|(kind, layer)| layer.part.small_packed(self.job, threshold) * self.layers_of(kind))
            .sum();
        adapters + packed + self.small_weights(threshold, one)
    }

    fn small_weights(&self, threshold: u64, one: impl Fn(&Tensor) -> u64) -> u64 {
        self.network
            .layers()
            .flat_map(|layer| &layer.tensors)
            .chain(&self.network.input_tensors)
            .chain(&self.network.output_tensors)
            .filter(|tensor| one(tensor) <= threshold)
            .map(|tensor| tensor.elements().get())
            .sum()
    }

    /// Elements of the largest tensor that trains.
    pub fn largest_trained(&self) -> u64 {
        if self.job.adapter.is_none() {
            return self.largest_tensor();
        }
        let layers = self.layers.iter().map(|layer| &layer.part);
        layers
            .chain([&self.input, &self.output])
            .flat_map(|part| part.trained.local_sizes())
            .copied()
            .max()
            .unwrap_or(0)
    }

    /// How many layers are of this kind.
    pub fn layers_of(&self, kind: usize) -> u64 {
        self.row(self.order.len()).get(kind).copied().unwrap_or(0)
    }

    /// Whether the inputs of recomputed layers and their gradients stay until backward is over.
    ///
    /// A unit of FSDP1 whose flat parameter is frozen registers its reshard as a hook on its inputs, and keeps the hook until
    /// the pass is over (torch 2.4 and 2.15: `distributed/fsdp/_runtime_utils.py`, `_register_post_backward_reshard_only_hook`,
    /// `_finalize_params`). Where a reentrant checkpoint stands around the unit, those inputs are the leaves of its own
    /// backward pass, and the hook holds their accumulation nodes, so both the input and its gradient. Transformers up to
    /// 4.51 put the checkpoint around the unit; later ones put it inside the layer.
    pub fn holds_inputs(&self) -> bool {
        let inside = self.job.transformers_version >= (4, 52);
        let recomputed = matches!(
            self.job.recomputation,
            Recomputation::Full | Recomputation::EveryNth(_)
        );
        let frozen = matches!(self.job.engine, Engine::Fsdp1 { .. }) && self.job.adapter.is_some();
        frozen && recomputed && self.job.reentrant && !inside
    }

    /// How many layers of each kind lie below this one.
    pub fn below(&self, layer: usize) -> impl Iterator<Item = u64> {
        self.row(layer).iter().copied()
    }

    /// How many layers of each kind lie from one layer on and below another.
    pub fn between(&self, from: usize, to: usize) -> impl Iterator<Item = u64> {
        let all = self.row(to).iter().zip(self.row(from));
        all.map(|(to, from)| to.saturating_sub(*from))
    }

    fn row(&self, layer: usize) -> &[u64] {
        let (kinds, layer) = (self.layers.len(), layer.min(self.order.len()));
        self.counts
            .get(layer * kinds..(layer + 1) * kinds)
            .unwrap_or_default()
    }
}

/// For each depth, and for all layers, how many of each kind lie below.
fn counts(order: &[usize], kinds: usize) -> Vec<u64> {
    let mut row = vec![0; kinds];
    let mut all = Vec::with_capacity((order.len() + 1) * kinds);
    for kind in order {
        all.extend_from_slice(&row);
        if let Some(count) = row.get_mut(*kind) {
            *count += 1;
        }
    }
    all.extend(row);
    all
}

/// Elements of the largest tensor of a network.
pub fn largest_tensor(network: &Network) -> u64 {
    let layers = network.kinds.iter().flat_map(|layer| &layer.tensors);
    let all = layers
        .chain(&network.input_tensors)
        .chain(&network.output_tensors);
    all.map(|tensor| tensor.elements().get()).max().unwrap_or(0)
}

/// Elements of tensors.
pub fn elements<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> u64 {
    let each = tensors.into_iter().map(|tensor| tensor.elements().get());
    each.fold(0, u64::saturating_add)
}

/// Adds what is held, so many times.
pub fn extend(held: &mut Held, other: &Held, times: u64) {
    if times > 0 {
        held.extend(other.iter().map(|(entry, count)| (*entry, count * times)));
    }
}

/// A kind of layer of the network, what is recomputed of it, and whether a gradient flows to its input.
type LayerKind = (usize, Recomputation, bool);

/// The kinds of layers, and which layer is of which. Every n-th layer (torchtitan's integer option) counts from the first, so
/// that n layers hold one that is recomputed, the last of them. Beside adapters no gradient flows to the first layer's input, unless recomputation asks for it.
fn kinds(job: &TrainingJob, network: &Network) -> (Vec<LayerKind>, Vec<usize>) {
    let recomputation = job.recomputation;
    if let Recomputation::EveryNth(every) = recomputation {
        let every = usize::try_from(every).unwrap_or(usize::MAX).max(1);
        let kinds = (0..network.kinds.len())
            .flat_map(|kind| {
                [
                    (kind, Recomputation::None, true),
                    (kind, Recomputation::Full, true),
                ]
            })
            .collect();
        let order = network.order.iter().enumerate();
        let recomputed = |layer: usize| usize::from(layer % every == every - 1);
        return (
            kinds,
            order.map(|(layer, kind)| 2 * kind + recomputed(layer)).collect(),
        );
    }
    let mut kinds: Vec<LayerKind> = (0..network.kinds.len())
        .map(|kind| (kind, recomputation, true))
        .collect();
    let mut order = network.order.clone();
    let frozen = job.adapter.is_some_and(|adapter| !adapter.modules.embedding);
    if let (true, Recomputation::None, Some(first)) = (frozen, recomputation, order.first_mut()) {
        kinds.push((*first, recomputation, false));
        *first = kinds.len() - 1;
    }
    (kinds, order)
}

fn layer(
    (job, recomputation, trained): (&TrainingJob, Recomputation, bool),
    layer: Option<&Layer>,
    setting: &Setting,
    place: String,
    (shards, scope): (u64, Scope),
    sheet: &mut Sheet,
) -> LayerPlan {
    let mut plan = LayerPlan::empty(place);
    let Some(layer) = layer else {
        return plan;
    };
    if scope != Scope::Passes {
        plan.part = Part::new(job, layer.tensors.iter(), true, shards);
        let among = plan.part.among(shards);
        let gradients = plan.part.trained.item(GRADIENTS, plan.part.dtype, among);
        plan.gradients = sheet.item(gradients, &plan.place);
    }
    if scope == Scope::Engine {
        return plan;
    }
    let recomputed = !matches!(recomputation, Recomputation::None | Recomputation::AttentionCore);
    let in_bytes = job
        .adapter
        .is_some_and(|adapter| adapter.base == BaseFormat::Int8);
    let setting = &Setting {
        outside: in_bytes && recomputed && !job.reentrant,
        ..*setting
    };
    let mut block = record(layer, setting, trained);
    let storages = block.tape.storages().to_vec();
    let all = |ids: Vec<u32>| -> Vec<Storage> {
        ids.into_iter()
            .filter_map(|id| storages.get(id as usize).copied())
            .collect()
    };
    let saved = all(block.tape.alive_after_forward());
    let checkpoint = Storage {
        name: &names::CHECKPOINT,
        ..setting.hidden_state()
    };
    let recomputed = !matches!(recomputation, Recomputation::None | Recomputation::AttentionCore);
    if setting.away {
        plan.packed = if recomputed {
            vec![checkpoint]
        } else {
            block.tape.packed()
        };
    }
    let named = match recomputation {
        Recomputation::Operations => block.tape.kept_by_operations(),
        Recomputation::Products => block.tape.kept_by_products(),
        Recomputation::Chosen(_) => block.tape.kept_by_choice(),
        _ => Vec::new(),
    };
    let kept = match recomputation {
        _ if setting.away => all(named),
        Recomputation::None => saved.clone(),
        Recomputation::AttentionCore => saved
            .iter()
            .copied()
            .filter(|storage| storage.shape.axis != &names::SCORE_ROW)
            .collect(),
        _ => all(named).into_iter().chain([checkpoint]).collect(),
    };
    let casts: Vec<Storage> = match recomputation {
        _ if setting.reference.casts_anew => Vec::new(),
        Recomputation::None | Recomputation::AttentionCore if !setting.away => Vec::new(),
        _ => saved
            .into_iter()
            .filter(|storage| storage.name == &names::WEIGHT_CAST)
            .collect(),
    };
    let mut casts = casts;
    if recomputed {
        casts.extend(all(block.tape.cached()));
    }
    // What is recomputed runs in backward, outside of save_on_cpu.
    block.tape.keep_on_host(setting.away && !recomputed);
    // A checkpoint that re-enters autograd refers to the layer's output and to its gradient until its own pass is over
    // (torch/utils/checkpoint.py, `CheckpointFunction.backward`).
    let held: Vec<u32> = match (recomputed, job.reentrant) {
        (false, _) => Vec::new(),
        (true, false) => vec![0],
        (true, true) => std::iter::once(0).chain(block.output.storage).collect(),
    };
    let gradient = Storage {
        gradient: true,
        ..setting.hidden_state()
    };
    let start = Start {
        node: block.output.node,
        gradient,
        held: recomputed && job.reentrant,
    };
    let played = block.tape.play(start, fresh_gradients(job), &held);
    let alive = |peak: &Peak| -> Vec<Storage> {
        let ids = peak.alive.iter();
        ids.filter_map(|id| played.storages.get(*id as usize).copied())
            .collect()
    };
    let outside = all(block.tape.held_outside()).into_iter().map(|storage| Storage {
        name: &names::KEPT_INPUT,
        ..storage
    });
    plan.outside = sheet.storages(outside, &plan.place);
    plan.kept = sheet.storages(kept, &plan.place);
    plan.casts = sheet.storages(casts, &plan.place);
    plan.backward = sheet.storages(alive(&played.body), &plan.place);
    plan.passing = sheet.storages(alive(&played.forward), &plan.place);
    plan
}

/// Which layers are of a kind, in words; nothing where all are of one kind.
fn place(order: &[usize], kinds: usize, kind: usize) -> String {
    if kinds <= 1 {
        return String::new();
    }
    let numbers: Vec<usize> = order
        .iter()
        .enumerate()
        .filter(|(_, of)| **of == kind)
        .map(|(layer, _)| layer + 1)
        .collect();
    match (numbers.first(), numbers.last()) {
        (Some(first), Some(last)) if first == last => format!("layer {first}"),
        (Some(first), Some(last)) if last - first + 1 == numbers.len() => format!("layers {first}-{last}"),
        (Some(first), Some(last)) => format!("{} layers between {first} and {last}", numbers.len()),
        _ => String::new(),
    }
}
