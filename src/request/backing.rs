//! What stands behind an answer's options, and which ranks it is about: plain data of the answer.

use serde::Serialize;

use super::ledger_rows::GroupBytes;
use crate::units::Bytes;

/// Ranks that hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RankRow {
    /// Among which ranks: "data" (those that share states or copy them) or "tensor" (those that divide each matrix).
    pub among: &'static str,
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// The expected `max_memory_allocated` of the fullest of them.
    pub peak_allocated_bytes: Bytes,
    /// The instant at which they hold the most.
    pub instant: &'static str,
    /// How much less that is than on the fullest rank, of which the rest of the answer is.
    pub less_bytes: Bytes,
}

/// A pipeline rank.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StageRow {
    /// The rank, from zero.
    pub rank: u64,
    /// First and last layer of each of its chunks, counted from one.
    pub layers: Vec<(u64, u64)>,
    /// Micro-batches in flight when it has the most, for each chunk.
    pub in_flight: Vec<u64>,
    /// Parameters on each of its GPUs.
    pub parameters: u64,
    /// Allocated between two steps.
    pub rest_bytes: Bytes,
    /// Expected `max_memory_allocated`.
    pub peak_allocated_bytes: Bytes,
    /// The instant at which it holds the most.
    pub instant: &'static str,
    /// What it holds then, by group.
    pub groups: GroupBytes,
    /// With experts dealt out: what an expert rank of this stage holds that gets its even share of the routed rows, and what
    /// the fullest one may hold. Empty where all get the same.
    pub experts: Vec<ExpertRow>,
}

/// Expert ranks of a pipeline rank.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExpertRow {
    /// "expected" (an even share of the routed rows) or "hot" (the fullest rank).
    pub class: &'static str,
    /// Routed rows, in thousandths of an even share.
    pub load_thousandths: u64,
    /// Expected `max_memory_allocated`.
    pub peak_allocated_bytes: Bytes,
    /// The instant at which it holds the most.
    pub instant: &'static str,
    /// What it holds then, by group.
    pub groups: GroupBytes,
}

/// Whether every option was seen in a run or calculated by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BackingStatus {
    /// Each has a trace, a record or a worked example.
    #[default]
    Validated,
    /// At least one has none: the interval is widened.
    NotValidated,
}

/// What stands behind an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Backing {
    /// Whether everything has evidence.
    pub status: BackingStatus,
    /// Options without evidence.
    pub options: Vec<Unproven>,
    /// How far below what is expected the interval reaches because of them, in percent.
    pub below_percent: f64,
    /// How far above.
    pub above_percent: f64,
}

/// An option without evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Unproven {
    /// The input.
    pub path: &'static str,
    /// Its value.
    pub value: String,
    /// The engine, or the other option, with which it was never seen.
    pub with: String,
}
