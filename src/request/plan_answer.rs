//! The answer to a search for plans of training: what was searched, the best plans, the front of time against memory, and why the
//! best is the best.

use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::{Assumed, Verdict};
use super::network_answer::Figures;
use super::serving_plan::ServingPlanPoint;
use crate::units::Bytes;
use crate::warn::Issue;

/// The answer to a search for plans of training.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanAnswer {
    /// What every plan has in common.
    pub asked: PlanQuestion,
    /// What was searched.
    pub space: PlanSpace,
    /// The best plans, the fastest first.
    pub plans: Vec<PlanRow>,
    /// Plans than which none is both as fast and as small, the fastest first.
    pub front: Vec<PlanPoint>,
    /// Why the best beats the next one that is not as fast.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<PlanReason>,
    /// Where nothing fits, the combination that needs the least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<PlanPoint>,
    /// By how much that one is too large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortfall_bytes: Option<Bytes>,
    /// Ways that the engines refuse, and why.
    pub refused: Vec<PlanRefusal>,
    /// Defaults that were taken.
    pub assumed: Vec<Assumed>,
    /// What the reader must know.
    pub warnings: Vec<Issue>,
}

/// What every plan has in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanQuestion {
    /// GPUs.
    pub gpus: u64,
    /// GPUs of a node.
    pub gpus_per_node: u64,
    /// The card.
    pub gpu: String,
    /// Sequences per step.
    pub sequences_per_step: u64,
    /// Tokens per step.
    pub tokens_per_step: u64,
    /// Tokens of a sequence.
    pub sequence_length: u64,
    /// What a program gets of the card.
    pub usable_bytes: Bytes,
    /// Share of it that the expected need may be.
    pub target_gpu_utilization: f64,
    /// That in bytes.
    pub limit_bytes: Bytes,
}

/// What was searched.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanSpace {
    /// All combinations: the sum over the ways of training of the product of their lists.
    pub combinations: u64,
    /// Combinations whose memory was calculated.
    pub calculated: u64,
    /// Combinations that fit.
    pub fitting: u64,
    /// Ways of training.
    pub ways: u64,
    /// How many each rule left out, in the order in which rules are tried.
    pub left_out: Vec<LeftOut>,
}

/// How many combinations a rule left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LeftOut {
    /// The rule.
    pub rule: &'static str,
    /// In words.
    pub label: &'static str,
    /// How many.
    pub combinations: u64,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanPoint {
    /// For a person.
    pub name: String,
    /// Expected milliseconds of a step.
    pub step_ms: f64,
    /// What it needs per GPU, expected.
    pub need_bytes: Bytes,
    /// The inputs that make it, by key.
    pub values: Map<String, Value>,
}

/// One of the best plans.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanRow {
    /// The plan.
    #[serde(flatten)]
    pub point: PlanPoint,
    /// The engine.
    pub engine: &'static str,
    /// Sizes of the mesh.
    pub mesh: PlanMesh,
    /// Sequences per micro-batch.
    pub micro_batch: u64,
    /// Micro-batches per step.
    pub micro_batches: u64,
    /// What of the limit is left.
    pub margin_bytes: Bytes,
    /// The verdict on the plan as a question.
    pub verdict: Verdict,
    /// The step with its spread, milliseconds.
    pub step: Figures,
    /// Tokens per second and GPU.
    pub tokens_per_second_per_gpu: Figures,
    /// Utilization, % of dense bf16.
    pub mfu_percent: Figures,
    /// GPU-hours for a billion tokens, expected.
    pub gpu_hours_per_billion_tokens: f64,
    /// Cost of a billion tokens, where a price is typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_per_billion_tokens: Option<f64>,
}

/// Sizes of a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanMesh {
    /// Data-parallel ranks.
    pub data: u64,
    /// Tensor-parallel ranks.
    pub tensor: u64,
    /// Pipeline ranks.
    pub pipeline: u64,
    /// Chunks per pipeline rank.
    pub chunks: u64,
    /// Context-parallel ranks.
    pub context: u64,
    /// Expert-parallel ranks.
    pub expert: u64,
    /// Ranks that share each expert's matrices.
    pub expert_tensor: u64,
}

/// Why the best is faster than the next.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanReason {
    /// In words, with the numbers.
    pub words: String,
    /// The next.
    pub other: PlanPoint,
    /// What it takes longer, milliseconds.
    pub saved_ms: f64,
    /// In per cent of its step.
    pub saved_percent: f64,
    /// The parts in which they differ, the largest difference first.
    pub parts: Vec<PlanPart>,
}

/// A part of the steps of two plans.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanPart {
    /// Which.
    pub label: &'static str,
    /// Of the best, milliseconds.
    pub best_ms: f64,
    /// Of the other.
    pub other_ms: f64,
}

/// A way that is refused.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanRefusal {
    /// The way.
    pub way: String,
    /// Why.
    pub reason: String,
}

/// How far a search is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanProgress {
    /// Combinations that are settled.
    pub settled: u64,
    /// All.
    pub combinations: u64,
    /// Combinations that fit.
    pub fitting: u64,
    /// The best so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<PlanPoint>,
    /// The best way of serving so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<ServingPlanPoint>,
}
