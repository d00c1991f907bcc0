//! Weights, main gradients, master weights and moments of a pipeline rank: contiguous buffers, allocated from the start. The
//! distributed optimizer divides what the step alone needs, Megatron-FSDP more, and DeepSpeed's wrappers keep gradients of
//! their own. `workspace` has what the libraries keep.
//!
//! Read in NVIDIA/Megatron-LM core/distributed/param_and_grad_buffer.py, core/optimizer/distrib_optimizer.py,
//! layer_wise_optimizer.py, core/optimizer/cpu_offloading/hybrid_optimizer.py, core/distributed/fsdp/src/megatron_fsdp and
//! docs/user-guide/features/dist_optimizer.md; deepspeedai/DeepSpeed runtime/fp16/fused_optimizer.py, runtime/bf16_optimizer.py,
//! runtime/zero/stage_1_and_2.py and runtime/pipe/engine.py.

use super::settings::{Sharding, Wrapper};
use super::share::{Kind, Share};
use super::workspace::workspaces;
use super::{Megatron, host};
use crate::cite::{Citation, Evidence};
use crate::memory::{Group, Symbol};
use crate::training::sheet::{Held, Item, Sheet};
use crate::training::{Optimizer, Precision, TrainingJob};
use crate::units::{Bytes, DType};

/// Elements that DeepSpeed reduces at once (runtime/zero/config.py `reduce_bucket_size`, runtime/pipe/engine.py through
/// runtime/engine.py `MEMORY_OPT_ALLREDUCE_SIZE`).
const REDUCED_AT_ONCE: u64 = 500_000_000;

/// Bytes per parameter of what is kept.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Weights.
    pub weights: u64,
    /// Main gradients, from the start on.
    pub gradients: u64,
    /// fp32 master weights, where the weights are narrower.
    pub master: u64,
    /// fp32 copies of fp16 gradients, from the step of one iteration to the forward pass of the next.
    pub copies: u64,
    /// Moments.
    pub moments: u64,
    /// The moment of a matrix, with Muon.
    pub matrix_moments: u64,
}

impl Recipe {
    /// Of a job: 2 + 4 + 4 + 8 in bf16, 2 + 2 + 4 + 4 + 8 in fp16, 4 + 4 + 8 in fp32 (dist_optimizer.md). DeepSpeed's wrappers
    /// have no gradients between steps but for bf16, and make those of the step when it runs.
    pub fn of(job: &TrainingJob, settings: &Megatron) -> Self {
        let each = settings.moment_bytes;
        let moments = match job.optimizer {
            Optimizer::Sgd { momentum: false } => 0,
            Optimizer::Sgd { momentum: true } => each,
            _ => each.saturating_mul(2),
        };
        let matrix_moments = match job.optimizer {
            Optimizer::Muon => each,
            _ => moments,
        };
        let narrow = job.precision.compute() == DType::Fp16;
        let deepspeed = settings.wrapper != Wrapper::Megatron;
        match job.precision {
            Precision::Pure(DType::Fp32) | Precision::Autocast(_) | Precision::ShardedMixed { .. } => Self {
                weights: 4,
                gradients: 4,
                master: 0,
                copies: 0,
                moments,
                matrix_moments,
            },
            Precision::Pure(_) | Precision::Master(_) => Self {
                weights: 2,
                gradients: match (narrow, deepspeed) {
                    (true, true) => 0,
                    (true, false) => 2,
                    (false, _) => 4,
                },
                master: 4,
                copies: if narrow && !deepspeed { 4 } else { 0 },
                moments,
                matrix_moments,
            },
        }
    }
}

/// Entries of the states.
#[derive(Default)]
pub struct States {
    /// What never goes away.
    pub always: Held,
    /// What the first step makes.
    pub optimizer: Held,
    /// fp32 copies of fp16 gradients.
    pub copies: Held,
    /// Workspaces of cuBLAS and Transformer Engine.
    pub workspaces: Held,
    /// Gathered weights, while layers run.
    pub gathered: Held,
    /// Gradients beside the main ones, from the first backward pass to the step.
    pub backward: Held,
    /// Gradients of the ends before Megatron-FSDP scatters them.
    pub whole: Held,
    /// Gradients of layers before Megatron-FSDP scatters them.
    pub layers: Held,
    /// What reducing gradients needs when backward is over.
    pub reduction: Held,
    /// What the step alone needs.
    pub step: Held,
}

/// Where sizes of states come from.
pub const SOURCE: Citation = Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM core/distributed/param_and_grad_buffer.py, core/optimizer/distrib_optimizer.py, layer_wise_optimizer.py",
);
const FSDP: Citation = Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM core/distributed/fsdp/src/megatron_fsdp/param_and_grad_buffer.py",
);
const DEEPSPEED: Citation = Citation::new(
    Evidence::Source,
    "deepspeedai/DeepSpeed runtime/fp16/fused_optimizer.py, runtime/bf16_optimizer.py, runtime/zero/stage_1_and_2.py, runtime/pipe/engine.py",
);
const NARROW: Citation = Citation::new(
    Evidence::Source,
    "NVIDIA/TransformerEngine pytorch/module/base.py (`get_weight_workspace`), pytorch/tensor; NVIDIA/Megatron-LM core/fp8_utils.py",
);

/// Ranks among which the optimizer's states of dense weights and of routed experts are divided.
pub const fn sharing(job: &TrainingJob, settings: &Megatron) -> (u64, u64) {
    let divided = match settings.wrapper {
        Wrapper::DeepSpeed { stage } => stage > 0,
        Wrapper::Megatron => settings.distributed_optimizer || !matches!(settings.sharding, Sharding::None),
    };
    if !divided {
        return (1, 1);
    }
    let dense = job.data_parallel.saturating_mul(settings.context);
    let within = settings.expert.saturating_mul(settings.expert_tensor);
    let experts = dense.saturating_mul(settings.tensor) / if within == 0 { 1 } else { within };
    (dense, if experts == 0 { 1 } else { experts })
}

/// The parts of a rank's weights.
pub struct Parts {
    /// Each at its place: frozen where there are adapters.
    pub shares: Vec<(&'static str, Share)>,
    /// Adapters.
    pub adapters: Share,
    /// Every tensor, where the optimizer deals them out whole.
    pub tensors: Vec<(u64, Kind)>,
    /// The largest layer.
    pub layer: u64,
}

/// Elements that share a number of bytes and of ranks.
struct Portion {
    elements: u64,
    ranks: u64,
    place: String,
}

impl States {
    /// Registers them for the parts of a rank.
    pub fn new((job, settings): (&TrainingJob, &Megatron), parts: &Parts, sheet: &mut Sheet) -> Self {
        let mut states = Self {
            workspaces: workspaces(job, settings, sheet),
            ..Self::default()
        };
        let maker = Maker {
            job,
            settings,
            recipe: Recipe::of(job, settings),
            ranks: sharing(job, settings),
        };
        for (place, share) in &parts.shares {
            maker.weights(share, place, &mut states, sheet);
        }
        let whole = parts
            .shares
            .iter()
            .fold(Share::default(), |sum, (_, share)| sum.and(*share));
        let trained: Vec<(&'static str, Share)> = if job.adapter.is_some() {
            maker.weights(&parts.adapters, "adapters", &mut states, sheet);
            vec![("adapters", parts.adapters)]
        } else {
            parts.shares.clone()
        };
        for (place, share) in &trained {
            maker.gradients(share, place, &mut states, sheet);
            if !settings.dealt_out {
                maker.optimizer(share, place, &mut states, sheet);
            }
        }
        if settings.dealt_out {
            maker.dealt_out(&parts.tensors, &mut states, sheet);
        }
        let trains = trained
            .iter()
            .fold(Share::default(), |sum, (_, share)| sum.and(*share));
        maker.deepspeed(&trains, &mut states, sheet);
        maker.gathered((&whole, &trains), parts.layer, &mut states, sheet);
        host::register(settings, (maker.recipe, maker.ranks), &trains, sheet);
        states
    }
}

struct Maker<'a> {
    job: &'a TrainingJob,
    settings: &'a Megatron,
    recipe: Recipe,
    ranks: (u64, u64),
}

impl Maker<'_> {
    /// Linear layers, other dense tensors and routed experts of a part, each among its ranks.
    fn portions(&self, share: &Share, place: &str) -> [Portion; 3] {
        let (dense, experts) = self.ranks;
        let portion = |elements, ranks, place| Portion {
            elements,
            ranks,
            place,
        };
        [
            portion(share.linear, dense, place.to_string()),
            portion(share.routers.saturating_add(share.rest), dense, place.to_string()),
            portion(share.experts, experts, format!("routed experts of the {place}")),
        ]
    }

    fn weights(&self, share: &Share, place: &str, states: &mut States, sheet: &mut Sheet) {
        let divided = self.settings.sharding == Sharding::Weights;
        let narrow = self.settings.narrow;
        let [linear, rest, experts] = self.portions(share, place);
        let dense = Portion {
            elements: linear.elements.saturating_add(rest.elements),
            ranks: linear.ranks,
            place: rest.place.clone(),
        };
        let mut add = |what: &What, portion: &Portion, each: u64| {
            let among = if divided { portion.ranks } else { 1 };
            if portion.elements > 0 && each > 0 {
                let item = what.item(portion.elements, each, among);
                states.always.push((sheet.item(item, &portion.place), 1));
            }
        };
        match narrow {
            Some(narrow) if narrow.primary => {
                add(&WEIGHTS, &rest, self.recipe.weights);
            }
            _ => {
                add(&WEIGHTS, &dense, self.recipe.weights);
                add(&WEIGHTS, &experts, self.recipe.weights);
            }
        }
        if self.job.reference_weights() {
            add(&REFERENCE, &dense, self.recipe.weights);
            add(&REFERENCE, &experts, self.recipe.weights);
        }
        let Some(narrow) = narrow else { return };
        let each = narrow.recipe.weight_32nds(self.job.compute_capability);
        let (id, label) = if narrow.primary {
            ("weights.narrow", "weights in the narrow format")
        } else {
            (
                "weights.narrow_copy",
                "copies of the weights in the narrow format, kept over the micro-batches of a step",
            )
        };
        for portion in [linear, experts].iter().filter(|portion| portion.elements > 0) {
            let item = narrow_item((id, label), portion.elements, each);
            states.always.push((sheet.item(item, &portion.place), 1));
        }
    }

    fn gradients(&self, share: &Share, place: &str, states: &mut States, sheet: &mut Sheet) {
        let divided = matches!(self.settings.sharding, Sharding::Gradients | Sharding::Weights);
        let [linear, rest, experts] = self.portions(share, place);
        let dense = linear.elements.saturating_add(rest.elements);
        for (elements, ranks, place) in [
            (dense, linear.ranks, &rest.place),
            (experts.elements, experts.ranks, &experts.place),
        ] {
            let each = self.recipe.gradients;
            if elements > 0 && each > 0 {
                let item = GRADIENTS.item(elements, each, if divided { ranks } else { 1 });
                states.always.push((sheet.item(item, place), 1));
            }
        }
    }

    fn optimizer(&self, share: &Share, place: &str, states: &mut States, sheet: &mut Sheet) {
        let recipe = self.recipe;
        let away = self.settings.offloaded_millionths;
        let (dense, experts) = self.ranks;
        let matrices = share.linear.saturating_add(share.routers);
        let routed = format!("routed experts of the {place}");
        let muon = recipe.matrix_moments != recipe.moments;
        let split: &[(u64, u64, &str, u64)] = &if muon {
            [
                (matrices, dense, place, recipe.matrix_moments),
                (share.rest, dense, place, recipe.moments),
                (share.experts, experts, routed.as_str(), recipe.matrix_moments),
            ]
        } else {
            [
                (share.dense(), dense, place, recipe.moments),
                (0, dense, place, 0),
                (share.experts, experts, routed.as_str(), recipe.moments),
            ]
        };
        for (elements, ranks, place, moments) in split.iter().copied().filter(|one| one.0 > 0) {
            let mut add = |held: &mut Held, what: &What, each: u64| {
                if each > 0 {
                    held.push((sheet.item(what.kept(elements, each, ranks, away), place), 1));
                }
            };
            add(&mut states.always, &MASTER, recipe.master);
            add(&mut states.optimizer, &MOMENTS, moments);
            add(&mut states.copies, &COPIES, recipe.copies);
        }
    }

    /// Tensors in the order of their sizes, dealt out to and fro (`_shard_params_ping_pong`); the rank with the most.
    fn dealt_out(&self, tensors: &[(u64, Kind)], states: &mut States, sheet: &mut Sheet) {
        let (dense, experts) = self.ranks;
        let recipe = self.recipe;
        let mut sorted = tensors.to_vec();
        sorted.sort_by_key(|(elements, _)| *elements);
        let of = |wanted: fn(Kind) -> bool, ranks: u64| -> (u64, u64) {
            let mine: Vec<&(u64, Kind)> = sorted.iter().filter(|(_, kind)| wanted(*kind)).collect();
            // With more ranks than tensors a rank has one or none.
            let ranks = ranks.min(mine.len() as u64);
            let mut dealt: Vec<(u64, u64)> = (0..ranks).map(|_| (0, 0)).collect();
            let turn = dealt.len().saturating_mul(2).max(1);
            for (at, (elements, kind)) in mine.into_iter().enumerate() {
                let step = at % turn;
                let rank = if step < dealt.len() { step } else { turn - 1 - step };
                if let Some((matrices, vectors)) = dealt.get_mut(rank) {
                    let part = if *kind == Kind::Vector { vectors } else { matrices };
                    *part = part.saturating_add(*elements);
                }
            }
            let bytes = |(matrices, vectors): &(u64, u64)| {
                let each = |moments: u64, elements: u64| {
                    recipe.master.saturating_add(moments).saturating_mul(elements)
                };
                each(recipe.matrix_moments, *matrices).saturating_add(each(recipe.moments, *vectors))
            };
            dealt.into_iter().max_by_key(bytes).unwrap_or_default()
        };
        let dense = of(|kind| kind != Kind::Expert, dense);
        let experts = of(|kind| kind == Kind::Expert, experts);
        for ((matrices, vectors), place) in [(dense, "the rank with the most"), (experts, "routed experts")] {
            for (elements, moments) in [(matrices, recipe.matrix_moments), (vectors, recipe.moments)] {
                if elements > 0 {
                    let master = MASTER.item(elements, recipe.master, 1);
                    states.always.push((sheet.item(master, place), 1));
                    let moments = MOMENTS.item(elements, moments, 1);
                    states.optimizer.push((sheet.item(moments, place), 1));
                }
            }
        }
    }

    /// DeepSpeed's gradients: in the type of the weights from the first backward pass on, flattened and cast for the step; in
    /// bf16 they are added into fp32 ones after every micro-batch.
    fn deepspeed(&self, share: &Share, states: &mut States, sheet: &mut Sheet) {
        let Wrapper::DeepSpeed { stage } = self.settings.wrapper else {
            return;
        };
        let elements = share.all();
        let mut add = |held: &mut Held,
                       (id, label): (&'static str, &'static str),
                       (elements, each, ranks): (u64, u64, u64),
                       group| {
            let what = What { id, label, group };
            let item = Item {
                citation: DEEPSPEED,
                ..what.item(elements, each, ranks)
            };
            held.push((sheet.item(item, "all parts"), 1));
        };
        let gradients = Group::Gradients;
        let narrow = self.job.precision.compute() == DType::Fp16;
        add(
            &mut states.backward,
            ("gradients.low", "gradients in the type of the weights"),
            (elements, 2, 1),
            gradients,
        );
        let reduced = (
            "gradients.reduced",
            "gradients that are reduced at once, as one tensor",
        );
        let at_once = elements.min(REDUCED_AT_ONCE);
        match (narrow, stage) {
            (true, 0) => {
                add(&mut states.reduction, reduced, (at_once, 2, 1), Group::Overhead);
                let copies = (
                    "gradients.fp32_list",
                    "fp32 copies of the gradients, and all of them as one tensor",
                );
                add(&mut states.step, copies, (elements, 8, 1), gradients);
            }
            (true, _) => {
                let bucket = ("reduce.bucket", "bucket of gradients, at its full size");
                add(
                    &mut states.backward,
                    bucket,
                    (REDUCED_AT_ONCE, 2, 1),
                    Group::Overhead,
                );
                add(&mut states.reduction, reduced, (at_once, 2, 1), Group::Overhead);
                let own = (
                    "gradients.partition",
                    "gradients of the own partition, as one tensor and in fp32",
                );
                add(&mut states.step, own, (elements, 6, self.ranks.0), gradients);
            }
            (false, _) => add(&mut states.reduction, reduced, (at_once, 4, 1), Group::Overhead),
        }
    }

    /// What Megatron-FSDP gathers: embedding, head and norms as long as a micro-batch runs, a layer while it runs, and the
    /// next one; and gradients before they are scattered.
    fn gathered(
        &self,
        (whole, trains): (&Share, &Share),
        layer: u64,
        states: &mut States,
        sheet: &mut Sheet,
    ) {
        let sharding = self.settings.sharding;
        if matches!(sharding, Sharding::None | Sharding::Optimizer) || self.ranks.0 <= 1 {
            return;
        }
        let mut add = |held: &mut Held, id, label, elements: u64, each: u64, group| {
            if elements > 0 {
                let item = Item {
                    citation: FSDP,
                    ..What { id, label, group }.item(elements, each, 1)
                };
                held.push((sheet.item(item, "layers and ends"), 1));
            }
        };
        let layers = layer.saturating_mul(2);
        if sharding == Sharding::Weights {
            let root = whole.rest.saturating_add(layers);
            let label = "gathered weights of the ends, of a layer and of the next";
            let each = self.recipe.weights;
            add(
                &mut states.gathered,
                "weights.gathered",
                label,
                root,
                each,
                Group::ModelParams,
            );
        }
        let each = self.recipe.gradients;
        let label = "gradients of the ends before they are scattered";
        let ends = trains.rest;
        add(
            &mut states.whole,
            "gradients.whole",
            label,
            ends,
            each,
            Group::Gradients,
        );
        let label = "gradients of a layer, and of the one before, until they are scattered";
        add(
            &mut states.layers,
            "gradients.layers",
            label,
            layers,
            each,
            Group::Gradients,
        );
    }
}

struct What {
    id: &'static str,
    label: &'static str,
    group: Group,
}

const WEIGHTS: What = What {
    id: "weights",
    label: "weights",
    group: Group::ModelParams,
};
const REFERENCE: What = What {
    id: "weights.reference",
    label: "weights of the reference model",
    group: Group::ModelParams,
};
const GRADIENTS: What = What {
    id: "gradients",
    label: "main gradients",
    group: Group::Gradients,
};
const MASTER: What = What {
    id: "optimizer.master",
    label: "fp32 master weights",
    group: Group::OptimizerStates,
};
const MOMENTS: What = What {
    id: "optimizer.states",
    label: "moments",
    group: Group::OptimizerStates,
};
const COPIES: What = What {
    id: "gradients.fp32_copy",
    label: "fp32 copies of the gradients",
    group: Group::Gradients,
};

fn narrow_item((id, label): (&'static str, &'static str), elements: u64, each: u64) -> Item {
    Item {
        id,
        label,
        group: Group::ModelParams,
        dtype: None,
        unit: Bytes::new(elements.saturating_mul(each).div_ceil(32)),
        formula: "⌈n·P/32⌉",
        symbols: vec![
            Symbol::new(
                "n",
                "32nds of a byte per weight, rows and columns and scales",
                each,
            ),
            Symbol::new("P", "weights of linear layers on the rank", elements),
        ],
        terms: Vec::new(),
        citation: NARROW,
    }
}

impl What {
    /// What stays on the GPU of a state of which a share is on the host.
    fn kept(&self, elements: u64, each: u64, ranks: u64, away: u64) -> Item {
        let item = self.item(elements, each, ranks);
        if away == 0 {
            return item;
        }
        let mut symbols = item.symbols;
        symbols.push(Symbol::new("φ", "millionths of the states on the host", away));
        let left = 1_000_000_u64.saturating_sub(away);
        let kept = (u128::from(item.unit.get()) * u128::from(left)).div_ceil(1_000_000);
        Item {
            unit: Bytes::new(u64::try_from(kept).unwrap_or(u64::MAX)),
            formula: "⌈β·⌈P/D⌉·(1000000 − φ)/1000000⌉",
            symbols,
            ..item
        }
    }

    fn item(&self, elements: u64, each: u64, ranks: u64) -> Item {
        let bytes = each.saturating_mul(elements.div_ceil(ranks.max(1)));
        Item {
            id: self.id,
            label: self.label,
            group: self.group,
            dtype: None,
            // Views of contiguous buffers: what is rounded is the buffer alone.
            unit: Bytes::new(bytes),
            formula: "β·⌈P/D⌉",
            symbols: vec![
                Symbol::new("β", "bytes per parameter", each),
                Symbol::new("P", "parameters on the rank", elements),
                Symbol::new("D", "ranks that share them", ranks),
            ],
            terms: Vec::new(),
            citation: SOURCE,
        }
    }
}
