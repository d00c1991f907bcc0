//! A question with its answer as one column of a comparison: verdict, need, meters, and the parts under the same names for training
//! and serving.

use super::super::tabs::Tab;
use crate::accuracy;
use crate::api::{
    self, EngineId, InputId, Issue, Meters, Range, Request, ServerId, Strictness, Task, Verdict,
};
use crate::units::Bytes;

/// The parts of a need, as they are compared: key of the colour, name.
pub const PARTS: [(&str, &str); 6] = [
    ("model_params", "Weights"),
    ("gradients", "Gradients"),
    ("optimizer_states", "Optimizer states"),
    ("kv_cache", "KV cache and states"),
    ("activations", "Activations"),
    ("overhead", "Everything else"),
];

/// What the answer says.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// The need.
    pub need: Range,
    /// What it is judged against.
    pub usable: Bytes,
    /// The three meters.
    pub meters: Meters,
    /// The parts of the expected need, in the order of [`PARTS`].
    pub parts: [Bytes; PARTS.len()],
}

/// One column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name of the scenario.
    pub name: String,
    /// What is asked, in one line.
    pub title: String,
    /// The kind of question.
    pub task: Task,
    /// Name of the engine.
    pub engine: &'static str,
    /// The part of the question that is asked.
    pub request: Request,
    /// The answer, or why there is none.
    pub outcome: Result<Outcome, Vec<Issue>>,
}

/// The column of a question in a tab.
pub fn column(name: String, tab: Tab, request: &Request) -> Column {
    let task = match tab {
        Tab::Inference => Task::Inference,
        Tab::Training | Tab::MultiNode | Tab::Accuracy => Task::Training,
    };
    let request = api::part(request, task);
    let (engine, answered) = match task {
        Task::Training | Task::Plan => {
            let id = api::chosen(&request, InputId::EngineType).and_then(EngineId::from_key);
            (id.map_or("training", EngineId::name), training(&request))
        }
        Task::Inference => {
            let id = api::chosen(&request, InputId::ServerType).and_then(ServerId::from_key);
            (id.map_or("serving", ServerId::name), serving(&request))
        }
    };
    let title = match &answered {
        Ok((model, card, gpus, _)) => format!("{model}, {engine}, {gpus} × {card}"),
        Err(_) => engine.to_owned(),
    };
    Column {
        name,
        title,
        task,
        engine,
        request,
        outcome: answered.map(|(_, _, _, outcome)| outcome),
    }
}

type Answered = Result<(String, String, u64, Outcome), Vec<Issue>>;

fn training(request: &Request) -> Answered {
    let answer = accuracy::calculate(request, Strictness::default())?;
    let parts = &answer.breakdown;
    Ok((
        answer.model.name.clone(),
        answer.capacity.name.clone(),
        answer.gpus_used,
        Outcome {
            verdict: answer.verdict,
            need: answer.need,
            usable: answer.capacity.usable_bytes,
            meters: answer.meters,
            parts: [
                parts.model_params_bytes,
                parts.gradients_bytes,
                parts.optimizer_states_bytes,
                Bytes::ZERO,
                parts.activations_bytes,
                parts.overhead_bytes,
            ],
        },
    ))
}

fn serving(request: &Request) -> Answered {
    let answer = accuracy::calculate_inference(request, Strictness::default())?;
    let parts = &answer.breakdown;
    Ok((
        answer.model.name.clone(),
        answer.capacity.name.clone(),
        answer.gpus_used,
        Outcome {
            verdict: answer.verdict,
            need: answer.need,
            usable: answer.capacity.usable_bytes,
            meters: answer.meters,
            parts: [
                parts.model_params_bytes,
                Bytes::ZERO,
                Bytes::ZERO,
                parts.kv_cache_bytes,
                parts.activations_bytes,
                parts.overhead_bytes,
            ],
        },
    ))
}
