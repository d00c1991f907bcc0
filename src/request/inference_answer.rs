//! The answer to an inference question. Plain data that serialises to JSON; keys that end in `_gb` hold GiB and have a
//! twin in bytes.

use serde::Serialize;

use super::answer::{Assumed, Capacity, Meters, Range, Validation, Verdict};
use super::host::HostNeed;
use super::ledger_rows::{Component, InstantRow, LedgerRow};
use super::model_summary::ModelSummary;
use super::speed_answer::ServingSpeed;
use crate::units::Bytes;
use crate::warn::Issue;

/// The breakdown of the total; its four parts add up to it in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InferenceBreakdown {
    /// Weights of one GPU, in GiB.
    pub model_params_gb: f64,
    /// The same in bytes.
    pub model_params_bytes: Bytes,
    /// Cache and states of the asked sequences, in GiB.
    pub kv_cache_gb: f64,
    /// The same in bytes.
    pub kv_cache_bytes: Bytes,
    /// Temporaries of the tightest moment, in GiB.
    pub activations_gb: f64,
    /// The same in bytes.
    pub activations_bytes: Bytes,
    /// Workspaces, graphs, what lies outside the allocator, in GiB.
    pub overhead_gb: f64,
    /// The same in bytes.
    pub overhead_bytes: Bytes,
}

/// One part of what a GPU holds, with its bounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PartRow {
    /// Key: `weights`, `kv_cache`, `state`, `activations`, `workspaces`, `graphs`, `non_torch`, `context`.
    pub id: &'static str,
    /// For a person.
    pub label: &'static str,
    /// Bytes.
    pub bytes: Range,
    /// Where it comes from.
    pub source: String,
}

/// The cache that an engine with a budget makes of what is left.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Pool {
    /// Bytes of the pool on one GPU.
    pub bytes: Range,
    /// Tokens that it holds.
    pub tokens: u64,
    /// Sequences of the asked length that it holds, as the engine prints them.
    pub max_concurrency: f64,
}

/// One GPU of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeviceRow {
    /// Weights before rounding to blocks of the allocator.
    pub weights_bytes: Bytes,
    /// Keys, values and states at the end.
    pub cache_bytes: Bytes,
    /// Peak of the pass over the prompt.
    pub prefill_peak_bytes: Bytes,
    /// Peak of the steps of the answer.
    pub decode_peak_bytes: Bytes,
}

/// The cards of one kind in a node of unlike ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CardRow {
    /// Name of the card.
    pub name: String,
    /// How many of them.
    pub gpus: u64,
    /// What a program gets of one.
    pub usable_bytes: Bytes,
    /// Expected need of one.
    pub need_bytes: Bytes,
    /// What the engine may use of one.
    pub budget_bytes: Bytes,
    /// The pool that its budget would leave, where the engine makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_bytes: Option<Bytes>,
    /// The verdict on this kind.
    pub verdict: Verdict,
    /// Whether it has the least room: the answer is for it.
    pub binding: bool,
}

/// One of several engines on a GPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ShareRow {
    /// Its place in the order of starts, from one.
    pub order: u64,
    /// The engine as it was named.
    pub engine: String,
    /// Whether it is the one that the rest of the answer is about.
    pub asked: bool,
    /// The share of the card's total that it must be given.
    pub gpu_memory_utilization: f64,
    /// The share for the low end of its need.
    pub utilization_low: f64,
    /// The share for the high end, with which it starts in any case.
    pub utilization_high: f64,
    /// Expected need within its budget.
    pub budget_bytes: Bytes,
    /// What it holds outside its budget: context, and graphs where the release captures them outside.
    pub outside_bytes: Bytes,
    /// What is free before it starts.
    pub free_before_bytes: Bytes,
    /// Whether that is enough.
    pub starts: bool,
}

/// Several engines on one GPU, in the order in which they must start.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sharing {
    /// The engines, the first to start first.
    pub rows: Vec<ShareRow>,
    /// Whether all of them start.
    pub starts: bool,
    /// What is left when all that start have started.
    pub left_bytes: Bytes,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InferenceAnswer {
    /// Expected need of one GPU, in GiB.
    pub total_memory_per_gpu_gb: f64,
    /// The same in bytes; the breakdown adds up to it.
    pub total_memory_per_gpu_bytes: Bytes,
    /// Over all GPUs of the job, in GiB.
    pub total_memory_all_gpus_gb: f64,
    /// The same in bytes.
    pub total_memory_all_gpus_bytes: Bytes,
    /// The four groups.
    pub breakdown: InferenceBreakdown,
    /// Weights, cache, state, activations, workspaces, graphs, non-torch, context.
    pub parts: Vec<PartRow>,
    /// Every GPU of one copy, where they differ; else the one that stands for all. Empty where an engine's GPUs are alike.
    pub devices: Vec<DeviceRow>,
    /// The kinds of cards of a node of unlike ones; empty where all are alike.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<CardRow>,
    /// The engines that share each GPU, where there are others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
    /// Whether the verdict is "fits" or "tight".
    pub fits_on_gpu: bool,
    /// The verdict.
    pub verdict: Verdict,
    /// What the engine would print if it does not start, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Expected need over usable capacity.
    pub memory_utilization_percent: f64,
    /// Expected need over the engine's budget.
    pub budget_utilization_percent: f64,
    /// The most sequences of this length that fit; zero where not even one does.
    pub max_supported_batch_size: u64,
    /// The longest sequence that fits with so many at once; zero where none does.
    pub max_context_len: u64,
    /// The fewest GPUs of this kind on which one copy fits, by tensor parallelism; null where none of those tried does.
    pub fewest_gpus: Option<u64>,
    /// The most layers that fit on the GPUs, the output counted as one; null for an engine that keeps none on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_gpu_layers: Option<u64>,
    /// Upper bound of the rate of new tokens over all sequences; null where the card's figures are not known.
    pub estimated_throughput_tokens_per_sec: Option<f64>,
    /// How fast it can go; null where the card's figures are not known.
    pub speed: Option<ServingSpeed>,
    /// The pool of an engine that makes one, in GiB; without one the cache that would fit.
    pub kv_pool_gb: f64,
    /// Tokens in that pool.
    pub kv_pool_tokens: u64,
    /// Sequences of the asked length in that pool.
    pub max_concurrency: f64,
    /// The pool with its bounds, where the engine makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
    /// The lines that the engine prints at its start, where that is known.
    pub start_up: Vec<String>,
    /// What the engine keeps outside its GPUs, where it keeps anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostNeed>,
    /// The three meters.
    pub meters: Meters,
    /// What the verdict judges.
    pub need: Range,
    /// What the engine may use of one GPU.
    pub budget_bytes: Bytes,
    /// The card.
    pub capacity: Capacity,
    /// GPUs that the job uses.
    pub gpus_used: u64,
    /// Copies of the model among them.
    pub replicas: u64,
    /// The parts of the total, in bytes.
    pub components: Vec<Component>,
    /// The instants in the order of time; one of them binds.
    pub instants: Vec<InstantRow>,
    /// Every tensor, when it is alive, its formula and its source.
    pub ledger: Vec<LedgerRow>,
    /// The model that was answered for.
    pub model: ModelSummary,
    /// What was not given and what holds instead.
    pub assumed: Vec<Assumed>,
    /// The engine as records of measured runs name it: transformers, vllm, llama_cpp.
    pub engine: &'static str,
    /// How this kind of answer compares with measured runs.
    pub validation: Validation,
    /// What the reader must know.
    pub warnings: Vec<Issue>,
}
