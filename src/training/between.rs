//! What happens between two steps: evaluation (a pass without gradients, and the loss over all positions) and saving a
//! checkpoint. Here is what the engine holds then, what autocast caches, the loss, and what a checkpoint gathers; the
//! working set of a layer and the cache of generated sequences are those of inference, and whoever asks adds them.

use super::engines::Holder;
use super::head::ending;
use super::job::TrainingJob;
use super::names;
use super::plan::{Moment, Plan, elements, largest_tensor};
use super::preference::evaluated;
use super::sheet::{Held, Item, Sheet};
use super::{Engine, LossKind, Objective, Precision, Projection};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::block;
use crate::memory::{Group, InstantId, Symbol};
use crate::model::{FeedForward, Layer, Mixer};
use crate::units::{Bytes, DType};

/// An evaluation between two steps, without gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// Sequences per rank; `None` for those of the micro-batch.
    pub batch: Option<u64>,
    /// Tokens of each; the prompt where answers are generated.
    pub length: u64,
    /// New tokens per sequence, where answers are generated as well.
    pub generated: Option<u64>,
}

impl Evaluation {
    /// Sequences per rank.
    pub fn sequences(&self, job: &TrainingJob) -> u64 {
        self.batch.unwrap_or(job.micro_batch)
    }

    /// Tokens per rank.
    fn tokens(&self, job: &TrainingJob) -> u64 {
        self.sequences(job).saturating_mul(self.length)
    }
}

/// How a checkpoint is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Save {
    /// Not at all.
    None,
    /// Each rank writes its part.
    Sharded,
    /// Gathered piece by piece and moved to the host.
    Full,
    /// Gathered on the device, all of it.
    FullOnDevice,
}

const EVALUATION: &str = "evaluation";

/// Adds the instants between two steps that the job asks for.
pub fn between(job: &TrainingJob, plan: &Plan<'_>, holder: &Holder, sheet: &mut Sheet) {
    if let Some(evaluation) = job.evaluation {
        let engine = running(plan, holder, sheet);
        let unit = unit(plan, sheet);
        let again = root_again(plan, sheet);
        let mut forward = [engine.as_slice(), &unit].concat();
        forward.extend(casts(plan, true, sheet));
        forward.extend(wide_hidden(evaluation, plan, sheet));
        forward.extend(adapters(evaluation, plan, sheet));
        sheet.instant(
            InstantId::EvaluationForward,
            "evaluation: the tightest layer",
            &forward,
        );
        let mut loss = engine.clone();
        loss.extend(head_and_loss(job, evaluation, plan, sheet));
        loss.extend(casts(plan, false, sheet));
        sheet.instant(InstantId::EvaluationLoss, "evaluation: loss", &loss);
        if evaluation.generated.is_some() {
            // Each new token is a pass of its own, and the cache is there from its beginning.
            let tighter = if sheet.bytes(&again) > sheet.bytes(&unit) {
                again
            } else {
                unit
            };
            let mut generation = [engine, tighter].concat();
            generation.extend(casts(plan, false, sheet));
            sheet.instant(
                InstantId::EvaluationGeneration,
                "evaluation: answers are generated",
                &generation,
            );
        }
    }
    if job.save != Save::None {
        let mut held = resting(plan, holder, sheet);
        held.extend(gathered(job, plan, sheet));
        sheet.instant(InstantId::CheckpointSave, "saving a checkpoint", &held);
    }
}

/// What the engine holds in a pass without gradients: as at the loss of a step, but without the gradients of earlier
/// micro-batches.
fn running(plan: &Plan<'_>, holder: &Holder, sheet: &Sheet) -> Held {
    let rest = resting(plan, holder, sheet);
    let mut held = holder.at(plan, Moment::Loss);
    held.retain(|(entry, _)| {
        sheet.group(*entry) != Some(Group::Gradients) || rest.iter().any(|(other, _)| other == entry)
    });
    held
}

/// Between two steps, without the flat gradients of FSDP1, which a forward pass or a state dict gives up first.
fn resting(plan: &Plan<'_>, holder: &Holder, sheet: &Sheet) -> Held {
    let mut held = holder.at(plan, Moment::Rest);
    if matches!(plan.job.engine, Engine::Fsdp1 { .. }) {
        held.retain(|(entry, _)| sheet.group(*entry) != Some(Group::Gradients));
    }
    held
}

/// The gathered weights of the layer at work, which are gone at the loss.
fn unit(plan: &Plan<'_>, sheet: &mut Sheet) -> Held {
    let reshards = match plan.job.engine {
        Engine::Fsdp1 {
            reshard_after_forward,
            ..
        }
        | Engine::Fsdp2 {
            reshard_after_forward,
            ..
        } => reshard_after_forward && plan.shards > 1,
        // ZeRO-3 keeps what it gathered up to a number of live parameters, which is in what it holds.
        Engine::Single | Engine::Ddp { .. } | Engine::DeepSpeed(_) | Engine::Megatron(_) => false,
    };
    if !reshards {
        return Held::new();
    }
    let item = weights(
        ("evaluation.unit", "gathered weights of the layer at work"),
        plan.largest_layer(),
        plan.types.computed,
        "torch 2.15 _fsdp_param_group.py, _runtime_utils.py: a unit is gathered for its forward, traced without gradients",
    );
    vec![(sheet.item(item, EVALUATION), 1)]
}

/// At the first layer of a pass FSDP2 holds the root twice: its weights, and what its all-gather brought, which goes with the
/// copy out of the next one.
fn root_again(plan: &Plan<'_>, sheet: &mut Sheet) -> Held {
    if !matches!(plan.job.engine, Engine::Fsdp2 { .. }) || plan.shards <= 1 {
        return Held::new();
    }
    let item = weights(
        ("evaluation.root", "the root's all-gather, at the first layer"),
        plan.root(),
        plan.types.computed,
        "torch 2.15 _fsdp_param_group.py: all_gather_state is kept up to the next copy out, traced without gradients",
    );
    vec![(sheet.item(item, EVALUATION), 1)]
}

/// The normalised hidden state and what the loss makes of the vocabulary's width. Kernels that fuse the head with the loss
/// do so in training only (Liger-Kernel: `skip_logits` follows `self.training`).
fn head_and_loss(job: &TrainingJob, evaluation: Evaluation, plan: &Plan<'_>, sheet: &mut Sheet) -> Held {
    let mut setting = plan.setting;
    setting.tokens = evaluation.tokens(job);
    setting.sequence = evaluation.length;
    setting.sequences = evaluation.sequences(job);
    if let Objective::Preference(preference) = job.objective {
        // The policy's log-probabilities are numbers when the reference begins, so one of both passes at a time.
        let mut wide = evaluated(job, &setting, preference.how);
        wide.retain(|storage| storage.name != &names::WEIGHT_CAST);
        return sheet.storages(wide, EVALUATION);
    }
    let plain = TrainingJob {
        loss: match job.loss {
            LossKind::FusedLinear => LossKind::Plain,
            other => other,
        },
        keep_outputs: false,
        ..job.clone()
    };
    let mut wide = ending(&plain, &setting).loss_forward;
    wide.retain(|storage| storage.shape.axis == &names::VOCABULARY && storage.name != &names::WEIGHT_CAST);
    // Without gradients nobody keeps what the soft cap computed on its way.
    let mut capped = false;
    wide.retain(|storage| storage.name != &names::LOGITS_CAPPED || !std::mem::replace(&mut capped, true));
    wide.push(setting.hidden_state());
    sheet.storages(wide, EVALUATION)
}

/// 16-bit copies of the matrices, which autocast's cache holds to the end of the pass; in the last layer those of the layers
/// but for its last matrix, which is not cast yet.
fn casts(plan: &Plan<'_>, within_layers: bool, sheet: &mut Sheet) -> Held {
    let Precision::Autocast(low) = plan.job.precision else {
        return Held::new();
    };
    if plan.job.adapter.is_some() {
        // Only leaves that train are cached.
        return Held::new();
    }
    let matrices = |layer: &Layer| elements(layer.tensors.iter().filter(|tensor| tensor.shape.len() > 1));
    let layers: u64 = plan.network.layers().map(matrices).sum();
    let hidden = plan.network.hidden_size;
    let copied = if within_layers {
        let last = plan.network.layers().last().map_or(0, feed_forward_width);
        layers.saturating_sub(last.saturating_mul(hidden))
    } else {
        layers.saturating_add(plan.network.vocabulary.saturating_mul(hidden))
    };
    let item = weights(
        (
            "evaluation.casts",
            "16-bit copies of the matrices, cached by autocast",
        ),
        copied,
        low,
        "torch 2.15 amp/autocast_mode.cpp: cached_cast keeps the copies of leaves that train, also without gradients",
    );
    vec![(sheet.item(item, EVALUATION), 1)]
}

/// Whether generated sequences are cached in fp32: under autocast rotated keys are, and a new cache takes their type for the
/// values too (transformers 5.23 cache_utils.py: `DynamicLayer.lazy_initialization`).
pub fn caches_in_fp32(job: &TrainingJob) -> bool {
    let rotary = |layer: &Layer| match &layer.mixer {
        Mixer::Attention(attention) => attention.rotary,
        _ => false,
    };
    matches!(job.precision, Precision::Autocast(_)) && job.network.layers().any(rotary)
}

/// Under autocast residual stream and norms are in fp32: what the four tensors of hidden width beside a feed-forward (the
/// embedded tokens, the layer's input, the residual and the normed input) take beyond 16 bits.
fn wide_hidden(evaluation: Evaluation, plan: &Plan<'_>, sheet: &mut Sheet) -> Held {
    let Precision::Autocast(low) = plan.job.precision else {
        return Held::new();
    };
    let tokens = evaluation.tokens(plan.job);
    let bytes = DType::Fp32.bits().saturating_sub(low.bits()) / 8;
    let hidden = plan.network.hidden_size;
    let item = Item {
        id: "evaluation.wide_hidden",
        label: "hidden states in fp32, beyond 16 bits",
        group: Group::Activations,
        dtype: Some(DType::Fp32),
        unit: block(Bytes::new(tokens.saturating_mul(hidden).saturating_mul(bytes))),
        formula: "β·h·T",
        symbols: vec![
            Symbol::new("β", "bytes per element beyond 16 bits", bytes),
            Symbol::new("h", "hidden size", hidden),
            Symbol::new("T", "tokens of the evaluated batch", tokens),
        ],
        terms: Vec::new(),
        citation: Citation::new(
            Evidence::Traced,
            "transformers 5.23 modeling_llama.py under torch 2.15 autocast, without gradients",
        ),
    };
    vec![(sheet.item(item, EVALUATION), 4)]
}

/// What adapters on a feed-forward's first products add to its working set: of the adapted product there are the frozen
/// result, the adapter's and its scaled copy beside the other operand, and the input once more where the adapter has
/// another type.
fn adapters(evaluation: Evaluation, plan: &Plan<'_>, sheet: &mut Sheet) -> Held {
    let Some(adapter) = plan
        .job
        .adapter
        .filter(|adapter| adapter.targets.has(Projection::Up))
    else {
        return Held::new();
    };
    let hidden = plan.network.hidden_size;
    let (own, low) = (adapter.dtype.bits() / 8, plan.job.precision.compute().bits() / 8);
    let width = plan.network.layers().map(feed_forward_width).max().unwrap_or(0);
    let copied = if own == low { 0 } else { own.saturating_mul(hidden) };
    let each = (own * 2)
        .saturating_sub(low)
        .saturating_mul(width)
        .saturating_add(copied);
    let tokens = evaluation.tokens(plan.job);
    let item = Item {
        id: "evaluation.adapters",
        label: "results of the adapters beside the frozen ones",
        group: Group::Activations,
        dtype: Some(adapter.dtype),
        unit: block(Bytes::new(tokens.saturating_mul(each))),
        formula: "T·((2·α - β)·f + γ)",
        symbols: vec![
            Symbol::new("T", "tokens of the evaluated batch", tokens),
            Symbol::new("α", "bytes per element of the adapters", own),
            Symbol::new("β", "bytes per element of the arithmetic", low),
            Symbol::new("f", "feed-forward width", width),
            Symbol::new(
                "γ",
                "bytes per token of the input in the adapters' type, where it is another",
                copied,
            ),
        ],
        terms: Vec::new(),
        citation: Citation::new(
            Evidence::Traced,
            "peft 0.21 tuners/lora/layer.py: Linear.forward, without gradients",
        ),
    };
    vec![(sheet.item(item, EVALUATION), 1)]
}

/// Width of a dense feed-forward.
fn feed_forward_width(layer: &Layer) -> u64 {
    match &layer.feed_forward {
        FeedForward::Dense(dense) => dense.width,
        FeedForward::None | FeedForward::Moe(_) | FeedForward::Several(_) => 0,
    }
}

/// What a full checkpoint gathers: one tensor at a time (FSDP2, ZeRO-3), one unit at a time (FSDP1), and the whole model with
/// it where it is not moved to the host. FSDP1 copies a rank's part out of each gathered unit. A tied head is a second key and gets a copy of its own. Whole copies and shards are
/// written from where they are.
fn gathered(job: &TrainingJob, plan: &Plan<'_>, sheet: &mut Sheet) -> Held {
    let stored = match job.engine {
        Engine::DeepSpeed(_) => plan.types.computed,
        _ => plan.types.stored,
    };
    let gathers = match job.engine {
        Engine::Fsdp1 { .. } | Engine::Fsdp2 { .. } => plan.shards > 1,
        Engine::DeepSpeed(zero) => zero.stage == 3,
        Engine::Single | Engine::Ddp { .. } | Engine::Megatron(_) => false,
    } || job.tensor.is_some();
    // FSDP1 cuts each rank's part out of the gathered unit.
    let cut = matches!(job.engine, Engine::Fsdp1 { .. }) && job.save == Save::Sharded;
    if !gathers || (job.save == Save::Sharded && !cut) {
        return Held::new();
    }
    const SOURCE: &str = "torch 2.15 distributed/checkpoint/state_dict.py (full_state_dict), fsdp/_state_dict_utils.py; DeepSpeed 0.19 engine.py: _zero3_consolidated_16bit_state_dict";
    let whole = job.save == Save::FullOnDevice;
    let at_once = match job.engine {
        Engine::Fsdp1 { .. } => Some(plan.largest_unit()),
        // The gathered tensor is the one that stays.
        _ if whole => None,
        // Divided matrices are gathered over both dimensions of the mesh.
        _ => Some(largest_tensor(&job.whole)),
    };
    let mut held = Held::new();
    if let Some(elements) = at_once {
        let label = ("save.gathered", "weights gathered at once for the checkpoint");
        held.push((sheet.item(weights(label, elements, stored, SOURCE), ""), 1));
    }
    if whole || cut {
        let tied = if plan.network.head.tied {
            plan.network.vocabulary.saturating_mul(plan.network.hidden_size)
        } else {
            0
        };
        let all = job.whole.total_parameters().get().saturating_add(tied);
        let (elements, label) = if cut {
            let own = all.div_ceil(plan.shards.max(1));
            (own, ("save.parts", "this rank's part of all weights, copied"))
        } else {
            (all, ("save.whole", "all weights, gathered on the device"))
        };
        held.push((sheet.item(weights(label, elements, stored, SOURCE), ""), 1));
    }
    held
}

fn weights(
    (id, label): (&'static str, &'static str),
    elements: u64,
    dtype: DType,
    source: &'static str,
) -> Item {
    let bytes = dtype.bits() / 8;
    Item {
        id,
        label,
        group: Group::ModelParams,
        dtype: Some(dtype),
        unit: block(Bytes::new(elements.saturating_mul(bytes))),
        formula: "β·n",
        symbols: vec![
            Symbol::new("β", "bytes per element", bytes),
            Symbol::new("n", "elements", elements),
        ],
        terms: Vec::new(),
        citation: Citation::new(Evidence::Traced, source),
    }
}
