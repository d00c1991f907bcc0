//! The GPUs on which a question can be answered: of each kind the least number, with what that costs in GPU-hours and in money.

use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::{Range, Verdict};
use crate::units::Bytes;
use crate::warn::Issue;

/// The GPUs on which a question can be answered, the cheapest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cheapest {
    /// `training` or `serving`.
    pub kind: &'static str,
    /// By what they are sorted: `gpus`, `gpu_hours` or `cost`.
    pub sorted_by: &'static str,
    /// Whether nodes are counted whole.
    pub whole_nodes: bool,
    /// For how many tokens hours and costs are: a billion of training, a million new ones of serving.
    pub per_tokens: u64,
    /// A row for each kind.
    pub rows: Vec<CheapestRow>,
    /// Kinds on which no number is enough, and why.
    pub left_out: Vec<CheapestLeftOut>,
    /// What the reader must know.
    pub warnings: Vec<Issue>,
}

/// A kind of GPU with its least number.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheapestRow {
    /// Id of the table.
    pub gpu: String,
    /// Name.
    pub name: String,
    /// The least number that works.
    pub gpus: u64,
    /// Nodes on which they stand.
    pub nodes: u64,
    /// GPUs of such a node.
    pub gpus_per_node: u64,
    /// What a program gets of one, less what is in use.
    pub usable_bytes: Bytes,
    /// What the verdict judges.
    pub need: Range,
    /// "fits" or "tight".
    pub verdict: Verdict,
    /// Tokens per second of all of them, expected: trained or new ones; null where a rate of the GPU is not known.
    pub tokens_per_second: Option<f64>,
    /// GPU-hours for `per_tokens` tokens.
    pub gpu_hours: Option<f64>,
    /// Price of a GPU-hour, where it is typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_per_gpu_hour: Option<f64>,
    /// Price of an hour of all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_per_hour: Option<f64>,
    /// Cost of `per_tokens` tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// The inputs that make the question this row, by key.
    pub values: Map<String, Value>,
}

/// A kind of GPU on which no number is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheapestLeftOut {
    /// Id of the table.
    pub gpu: String,
    /// Why.
    pub reason: String,
}
