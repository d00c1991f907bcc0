//! What reinforcement learning adds on the GPUs of the trainer: an engine that generates answers between two steps, and the
//! other models of PPO. Phases that do not coexist are instants of their own and never added up: generation, the hand-over of
//! weights, the step. How much an engine takes is its own setting; no formula of an engine lives here.
//!
//! Read in vllm-project/vllm vllm/config/cache.py (`gpu_memory_utilization` counts weights, cache and activations together) and
//! vllm/device_allocator/cumem.py (sleep: level 1 moves weights to the host, level 2 drops them, both free the cache);
//! huggingface/trl trl/generation/vllm_generation.py (`sync_weights`: what is gathered to be handed over) and volcengine/verl
//! verl/workers (critic and reward beside the actor).

use super::job::Job;
use crate::cite::{Citation, Evidence};
use crate::memory::{Entry, Group, HostEntry, HostPhase, HostPlace, Instant, InstantId, Ledger, Symbol};
use crate::model::{Split, Tensor};
use crate::training::{Engine, TrainingJob};
use crate::units::{Bytes, Count, DType, sort_by_key};

/// An engine on the GPUs of the trainer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colocated {
    /// Its share of the card's memory, in thousandths.
    pub thousandths: u64,
    /// What it gives back while the trainer steps.
    pub sleep: Sleep,
    /// Its tensor-parallel ranks.
    pub tensor: u64,
}

impl Colocated {
    /// Its share of a card.
    pub fn share(&self, card: Bytes) -> Bytes {
        let all = u128::from(card.get()) * u128::from(self.thousandths);
        Bytes::new(u64::try_from(all.div_ceil(1000)).unwrap_or(u64::MAX))
    }
}

/// What an engine gives back while it is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleep {
    /// Nothing.
    None,
    /// The cache is freed, weights move to the host (level 1).
    Offload,
    /// Cache and weights are dropped (level 2).
    Discard,
}

/// What reinforcement learning has beside the model that trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// The engine, where it shares the GPUs.
    pub engine: Option<Colocated>,
    /// Whether a critic trains and a reward model scores beside it (PPO).
    pub critic: bool,
}

const VLLM: Citation = Citation::new(
    Evidence::Source,
    "vllm-project/vllm vllm/config/cache.py, vllm/device_allocator/cumem.py; huggingface/trl trl/generation/vllm_generation.py",
);
const VERL: Citation = Citation::new(
    Evidence::Source,
    "volcengine/verl verl/workers, verl/trainer/ppo; huggingface/trl trl/trainer/ppo_trainer.py",
);

/// The engine's parameters on a GPU: matrices divided among its tensor-parallel ranks, norms whole. Ranks beyond the heads of
/// keys and values hold copies of these, so the smallest share is told.
pub fn engine_parameters(training: &TrainingJob, tensor: u64) -> u64 {
    let network = &training.network;
    let all = network.total_parameters().get();
    let divided = network.parameters_where(|tensor| matches!(tensor.split, Split::Axis(_)));
    let divided = divided.get().min(all);
    all - divided + divided.div_ceil(tensor.max(1))
}

/// Bytes of the engine's weights on a GPU in the compute type.
pub fn engine_weights(training: &TrainingJob, tensor: u64) -> Bytes {
    let parameters = Count::new(engine_parameters(training, tensor));
    Bytes::of(parameters, training.precision.compute())
}

/// Adds engine, hand-over, critic and reward model to the ledger of a job.
pub fn add(job: &Job, training: &TrainingJob, ledger: &mut Ledger) {
    if job.beside.critic {
        others(ledger);
    }
    let Some(engine) = job.beside.engine else { return };
    let rest = InstantId::Rest;
    for (id, label) in [
        (
            InstantId::EvaluationForward,
            "weights are handed over to the engine beside",
        ),
        (
            InstantId::EvaluationGeneration,
            "the engine beside generates answers",
        ),
    ] {
        for entry in &mut ledger.entries {
            let held = entry.held.get(rest.index()).copied().unwrap_or(0);
            if let Some(slot) = entry.held.get_mut(id.index()) {
                *slot = held;
            }
        }
        ledger.instants.push(Instant {
            id,
            label: label.to_string(),
        });
    }
    sort_by_key(&mut ledger.instants, |instant| instant.id);
    let card = job.card.visible.expected;
    let share = engine.share(card);
    let awake: Vec<InstantId> = match engine.sleep {
        Sleep::None => ledger.instants.iter().map(|instant| instant.id).collect(),
        Sleep::Offload | Sleep::Discard => vec![InstantId::EvaluationGeneration],
    };
    let symbols = vec![
        Symbol::new(
            "u",
            "thousandths of the card that the engine takes",
            engine.thousandths,
        ),
        Symbol::new("M", "bytes of the card", card.get()),
    ];
    let label = "engine beside: weights, cache and activations";
    push(
        ledger,
        ("rollout.engine", label, Group::Cache),
        (share, "⌈u·M/1000⌉", symbols),
        VLLM,
        &awake,
    );
    let weights = engine_weights(training, engine.tensor);
    let each = training.precision.compute().bits() / 8;
    let of = |meaning: &'static str, elements: u64| {
        vec![
            Symbol::new("β", "bytes per element", each),
            Symbol::new("P", meaning, elements),
        ]
    };
    let parameters = of(
        "parameters of the engine on a GPU",
        engine_parameters(training, engine.tensor),
    );
    if engine.sleep != Sleep::None {
        let label = "weights of the engine, awake before its cache";
        let at = [InstantId::EvaluationForward];
        let part = (weights, "β·P", parameters.clone());
        push(
            ledger,
            ("rollout.weights", label, Group::ModelParams),
            part,
            VLLM,
            &at,
        );
    }
    if let Some(whole) = handed_over(training) {
        let symbols = vec![
            Symbol::new("β", "bytes per element", whole.dtype.bits() / 8),
            Symbol::new("P", whole.meaning, whole.elements),
        ];
        let bucket = Bytes::of(Count::new(whole.elements), whole.dtype);
        let at = [InstantId::EvaluationForward];
        let entry = ("rollout.bucket", whole.label, Group::ModelParams);
        push(ledger, entry, (bucket, "β·P", symbols), VLLM, &at);
    }
    if engine.sleep == Sleep::Offload {
        ledger.host.push(HostEntry {
            id: "host.engine_weights",
            label: "weights of the sleeping engine",
            place: HostPlace::Memory,
            phase: HostPhase::Training,
            pinned: true,
            unit: weights,
            count: 1,
            formula: "β·P",
            symbols: parameters,
            citation: VLLM,
        });
    }
    sort_by_key(&mut ledger.entries, |entry| entry.group);
}

/// What is made whole at once to be handed over.
struct Whole {
    label: &'static str,
    meaning: &'static str,
    elements: u64,
    dtype: DType,
}

/// What is gathered at once while weights are handed over; nothing where every rank has them whole. FSDP's first version gathers
/// a unit, and the second a tensor, in the type of the shards (`summon_full_params`, `full_tensor`); ZeRO-3 a tensor, and with
/// adapters all of the model, since they are merged first.
fn handed_over(training: &TrainingJob) -> Option<Whole> {
    let network = &training.network;
    let ends = || network.input_tensors.iter().chain(&network.output_tensors);
    let elements = |tensor: &Tensor| tensor.elements().get();
    let tensor = |dtype| Whole {
        label: "the largest tensor, gathered to be handed over",
        meaning: "elements of the largest tensor",
        elements: network
            .layers()
            .flat_map(|layer| &layer.tensors)
            .chain(ends())
            .map(elements)
            .max()
            .unwrap_or(0),
        dtype,
    };
    match training.engine {
        Engine::Single | Engine::Ddp { .. } => None,
        Engine::DeepSpeed(zero) if zero.stage < 3 => None,
        Engine::DeepSpeed(_) if training.adapter.is_some() => Some(Whole {
            label: "the whole model, gathered to merge its adapters",
            meaning: "parameters of the model",
            elements: network.total_parameters().get(),
            dtype: training.precision.compute(),
        }),
        Engine::DeepSpeed(_) | Engine::Megatron(_) => Some(tensor(training.precision.compute())),
        Engine::Fsdp1 { .. } => Some(Whole {
            label: "the largest unit, gathered to be handed over",
            meaning: "elements of the largest unit",
            elements: network
                .layers()
                .map(|layer| layer.tensors.iter().map(elements).sum::<u64>())
                .chain([ends().map(elements).sum()])
                .max()
                .unwrap_or(0),
            dtype: training.precision.stored(),
        }),
        Engine::Fsdp2 { .. } => Some(tensor(training.precision.stored())),
    }
}

/// A critic with states like the actor's, and a reward model's weights, at every instant: their own steps hold no logits and are
/// never tighter.
fn others(ledger: &mut Ledger) {
    let rest = InstantId::Rest;
    let own = |entry: &&Entry| !entry.id.contains("reference");
    let states = |entry: &&Entry| {
        matches!(
            entry.group,
            Group::ModelParams | Group::Gradients | Group::OptimizerStates
        )
    };
    let at_rest: Bytes = ledger
        .entries
        .iter()
        .filter(own)
        .filter(states)
        .map(|entry| entry.at(rest))
        .sum();
    let weights = ledger
        .entries
        .iter()
        .filter(own)
        .filter(|entry| entry.group == Group::ModelParams);
    let weights: Bytes = weights.map(|entry| entry.at(rest)).sum();
    let all: Vec<InstantId> = ledger.instants.iter().map(|instant| instant.id).collect();
    let formula = "Σ of the same states of the actor at rest";
    let critic = ("critic.states", "states of the critic", Group::OptimizerStates);
    push(ledger, critic, (at_rest, formula, Vec::new()), VERL, &all);
    let reward = (
        "reward.weights",
        "weights of the reward model",
        Group::ModelParams,
    );
    push(ledger, reward, (weights, formula, Vec::new()), VERL, &all);
    sort_by_key(&mut ledger.entries, |entry| entry.group);
}

fn push(
    ledger: &mut Ledger,
    (id, label, group): (&'static str, &'static str, Group),
    (unit, formula, symbols): (Bytes, &'static str, Vec<Symbol>),
    citation: Citation,
    at: &[InstantId],
) {
    let mut held = [0; InstantId::ALL.len()];
    for instant in at {
        if let Some(slot) = held.get_mut(instant.index()) {
            *slot = 1;
        }
    }
    ledger.entries.push(Entry {
        id,
        label,
        group,
        dtype: None,
        place: String::new(),
        unit,
        held,
        formula,
        terms: if symbols.is_empty() {
            vec![unit]
        } else {
            Vec::new()
        },
        symbols,
        citation,
    });
}
