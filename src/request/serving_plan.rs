//! The answer to a search for ways of serving: what was searched, the best plans, the front of throughput against delay, the
//! best plan for each effect on what the model says, and why the best is the best.

use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::{Assumed, Verdict};
use super::network_answer::Figures;
use super::plan_answer::{PlanAnswer, PlanRefusal, PlanSpace};
use crate::units::Bytes;
use crate::warn::Issue;

/// The answer to a search for plans: of serving where inputs of section `inference` are given, else of training.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Planned {
    /// Plans of training.
    Training(Box<PlanAnswer>),
    /// Plans of serving.
    Serving(Box<ServingPlanAnswer>),
}

/// The answer to a search for ways of serving.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServingPlanAnswer {
    /// `serving`.
    pub kind: &'static str,
    /// What every plan has in common.
    pub asked: ServingPlanQuestion,
    /// What was searched; its ways are engines.
    pub space: PlanSpace,
    /// The best plans, the best first.
    pub plans: Vec<ServingPlanRow>,
    /// Plans than which none makes both more tokens per GPU and each of them sooner, the most tokens first.
    pub front: Vec<ServingPlanPoint>,
    /// The best plan for each effect on what the model says.
    pub by_effect: Vec<ServingPlanPoint>,
    /// Why the best beats the next one that is not as good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<ServingPlanReason>,
    /// Where nothing fits, what is too large by the least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<ServingNearest>,
    /// Engines that cannot be taken, and why.
    pub refused: Vec<PlanRefusal>,
    /// Defaults that were taken.
    pub assumed: Vec<Assumed>,
    /// What the reader must know.
    pub warnings: Vec<Issue>,
}

/// What every plan of serving has in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServingPlanQuestion {
    /// GPUs.
    pub gpus: u64,
    /// GPUs that may exchange something in every layer.
    pub gpus_per_node: u64,
    /// The card.
    pub gpu: String,
    /// Tokens of a prompt.
    pub prompt_tokens: u64,
    /// Tokens of an answer.
    pub new_tokens: u64,
    /// What a program gets of the card.
    pub usable_bytes: Bytes,
    /// By what plans are sorted: `speed` or `capacity`.
    pub rank_by: &'static str,
}

/// A way of serving.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServingPlanPoint {
    /// For a person.
    pub name: String,
    /// New tokens per second and GPU, prompts included, expected; null where no speed of the engine is known.
    pub tokens_per_second_per_gpu: Option<f64>,
    /// Milliseconds per token, expected.
    pub tpot_ms: Option<f64>,
    /// Requests at once of all copies.
    pub at_once: u64,
    /// What it needs per GPU, expected.
    pub need_bytes: Bytes,
    /// Effect on what the model says against the formats that are asked: `none`, `numerics`, `quality`.
    pub effect: &'static str,
    /// The inputs that make it, by key.
    pub values: Map<String, Value>,
}

/// One of the best ways of serving.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServingPlanRow {
    /// The plan.
    #[serde(flatten)]
    pub point: ServingPlanPoint,
    /// The engine.
    pub engine: &'static str,
    /// Tensor-parallel ranks.
    pub tensor: u64,
    /// Pipeline ranks.
    pub pipeline: u64,
    /// Engines that share experts, or copies of attention.
    pub data: u64,
    /// Whether ranks hold whole experts.
    pub expert_parallel: bool,
    /// Copies of the model.
    pub copies: u64,
    /// Format of the weights.
    pub weights: String,
    /// Type of the cache.
    pub cache: String,
    /// Requests at once of a copy.
    pub sequences: u64,
    /// The most that fit.
    pub most_sequences: u64,
    /// The verdict on the plan as a question.
    pub verdict: Verdict,
    /// New tokens per second and GPU with their spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Figures>,
    /// Milliseconds per token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpot: Option<Figures>,
    /// Milliseconds to the first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft: Option<Figures>,
    /// GPU-hours for a million new tokens, expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_hours_per_million_tokens: Option<f64>,
    /// Cost of a million new tokens, where a price of the GPU is typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_per_million_tokens: Option<f64>,
}

/// Why the best way of serving is better than the next.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServingPlanReason {
    /// In words, with the numbers.
    pub words: String,
    /// The next.
    pub other: ServingPlanPoint,
}

/// What is too large by the least.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServingNearest {
    /// For a person.
    pub name: String,
    /// By how much.
    pub shortfall_bytes: Bytes,
    /// The inputs that make it, by key.
    pub values: Map<String, Value>,
}
