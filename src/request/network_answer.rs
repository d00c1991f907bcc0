//! The answer to a multi-node question: what travels, how long a step takes, what it costs, and what would save time. Plain
//! data that serialises to JSON; keys that end in `_gb` hold GiB and have a twin in bytes.

use serde::Serialize;

use super::answer::{Assumed, MultiNodeInfo, Range, Verdict};
use super::plan_answer::PlanRow;
use crate::units::Bytes;
use crate::warn::Issue;

/// A number between bounds. Of times the lowest is the fastest case; of rates it is the slowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Figures {
    /// Lower bound.
    pub low: f64,
    /// Expected value.
    pub expected: f64,
    /// Upper bound.
    pub high: f64,
}

/// What leaves a node per step, by collective; the parts add up to the total in bytes. All are zero on one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NetworkOverhead {
    /// All-reduces, but for tensor parallelism, in GiB.
    pub allreduce_gb: f64,
    /// The same in bytes.
    pub allreduce_bytes: Bytes,
    /// All-gathers, but for tensor parallelism, in GiB.
    pub allgather_gb: f64,
    /// The same in bytes.
    pub allgather_bytes: Bytes,
    /// Reduce-scatters, but for tensor parallelism, in GiB.
    pub reducescatter_gb: f64,
    /// The same in bytes.
    pub reducescatter_bytes: Bytes,
    /// Tokens to experts and back, in GiB.
    pub all_to_all_gb: f64,
    /// The same in bytes.
    pub all_to_all_bytes: Bytes,
    /// Messages of pipeline and context parallelism, in GiB.
    pub point_to_point_gb: f64,
    /// The same in bytes.
    pub point_to_point_bytes: Bytes,
    /// Of these, the pipeline's, in GiB.
    pub pipeline_gb: f64,
    /// The same in bytes.
    pub pipeline_bytes: Bytes,
    /// Collectives of tensor parallelism, in GiB.
    pub tensor_parallel_gb: f64,
    /// The same in bytes.
    pub tensor_parallel_bytes: Bytes,
    /// All of it, in GiB.
    pub total_overhead_gb: f64,
    /// The same in bytes.
    pub total_overhead_bytes: Bytes,
    /// Expected time per step that nothing hides, in milliseconds.
    pub estimated_overhead_ms_per_step: f64,
    /// Expected time of all communication, hidden or not.
    pub communication_time_ms_per_step: f64,
    /// Of that, starts and hops.
    pub latency_overhead_ms: f64,
}

/// One kind of transfer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TrafficRow {
    /// Key of what it is for.
    pub id: &'static str,
    /// For a person.
    pub label: &'static str,
    /// `all_reduce`, `all_gather` and so on.
    pub collective: &'static str,
    /// Ranks of a group.
    pub ranks: u64,
    /// Nodes that a group spans.
    pub nodes: u64,
    /// The wire that bounds it.
    pub link: String,
    /// Bytes of one call's buffer.
    pub payload_bytes: Bytes,
    /// Calls per step.
    pub calls_per_step: f64,
    /// How often a rank sends the buffer.
    pub factor: &'static str,
    /// Bytes that a GPU sends per micro-batch; zero where it is sent once per step.
    pub bytes_per_micro_batch: Bytes,
    /// Bytes that a GPU sends per step.
    pub bytes_per_step: Bytes,
    /// Bytes that leave a node per step.
    pub node_bytes_per_step: Bytes,
    /// The algorithm expected.
    pub algorithm: &'static str,
    /// Time per step, in milliseconds.
    pub time_ms: Figures,
    /// What of it nothing hides.
    pub exposed_ms: Figures,
    /// Expected starts and hops.
    pub latency_ms: f64,
    /// What runs beside it.
    pub beside: &'static str,
    /// Where pattern and count come from.
    pub source: &'static str,
}

/// A part of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TimePart {
    /// Key.
    pub id: &'static str,
    /// For a person.
    pub label: &'static str,
    /// In milliseconds.
    pub ms: Figures,
}

/// Something on the timeline of the expected step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Segment {
    /// Whether it is communication; arithmetic otherwise.
    pub communication: bool,
    /// For a person.
    pub label: &'static str,
    /// Start, as a share of the step.
    pub start: f64,
    /// Length, as a share of the step.
    pub length: f64,
    /// What of its length nothing hides.
    pub exposed: f64,
}

/// A rate that was calculated with.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RateRow {
    /// For a person.
    pub label: &'static str,
    /// The rate, slowest to fastest.
    pub value: Figures,
    /// Its unit.
    pub unit: &'static str,
    /// Where it comes from.
    pub source: String,
}

/// A whole run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunBudget {
    /// Tokens.
    pub tokens: u64,
    /// Steps.
    pub steps: f64,
    /// Days.
    pub days: Figures,
    /// GPU-hours.
    pub gpu_hours: Figures,
    /// Cost, where a price is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Figures>,
}

/// How long a step takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StepAnswer {
    /// One step, in milliseconds.
    pub step_ms: Figures,
    /// Its parts, which add up to it in each case.
    pub parts: Vec<TimePart>,
    /// What runs when.
    pub timeline: Vec<Segment>,
    /// Operations of the model per token, forward and backward (no recomputation, whole square of attention).
    pub model_flops_per_token: f64,
    /// Model operations over the nominal rate of dense bf16.
    pub mfu_percent: Figures,
    /// TFLOP/s of the model on each GPU.
    pub model_tflops_per_gpu: Figures,
    /// Tokens of a step.
    pub tokens_per_step: f64,
    /// Tokens per second of the whole job.
    pub tokens_per_second: Figures,
    /// Tokens per second of a GPU.
    pub tokens_per_second_per_gpu: Figures,
    /// Tokens per day of the whole job.
    pub tokens_per_day: Figures,
    /// The run, where its tokens are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<RunBudget>,
    /// Cost of a billion tokens, where a price is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_per_billion_tokens: Option<Figures>,
    /// Rates that were calculated with.
    pub rates: Vec<RateRow>,
}

/// A change that saves time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Alternative {
    /// For a person.
    pub label: String,
    /// Inputs with their values.
    pub changes: serde_json::Map<String, serde_json::Value>,
    /// Expected milliseconds saved per as many tokens as a step has now.
    pub saved_ms: f64,
    /// The same as a share of the step, in percent.
    pub saved_percent: f64,
    /// Bytes that a node sends less for as many tokens; negative where it sends more.
    pub saved_node_bytes: f64,
    /// Change of the expected need of a GPU in GiB.
    pub need_change_gb: f64,
    /// Whether the tokens of a step change, and so the training itself.
    pub changes_batch: bool,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MultiNodeAnswer {
    /// What leaves a node.
    pub network_overhead: NetworkOverhead,
    /// Nodes, where there is more than one.
    pub multi_node_info: Option<MultiNodeInfo>,
    /// GPUs of the job.
    pub gpus_used: u64,
    /// Everything that is sent.
    pub traffic: Vec<TrafficRow>,
    /// How long a step takes; absent where a rate of the card is not known.
    pub step: Option<StepAnswer>,
    /// Why there is no time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_missing: Option<String>,
    /// Changes that save time, in words.
    pub suggestions: Vec<String>,
    /// The same with their numbers.
    pub alternatives: Vec<Alternative>,
    /// Whether it fits.
    pub verdict: Verdict,
    /// What the verdict judges.
    pub need: Range,
    /// NCCL's buffers within it: communicators take memory, traffic does not.
    pub communicator_bytes: Bytes,
    /// What was not given and what holds instead.
    pub assumed: Vec<Assumed>,
    /// The best plans, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plans: Option<Vec<PlanRow>>,
    /// What the reader must know.
    pub warnings: Vec<Issue>,
}
