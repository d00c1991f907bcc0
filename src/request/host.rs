//! What a machine must have beside its GPUs, as plain data.

use serde::Serialize;

use super::answer::{Range, Verdict};
use super::ledger_rows::SymbolRow;
use crate::cite::Citation;
use crate::units::Bytes;

/// Memory and disk that the ranks of one node need outside their GPUs, beside the processes themselves.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HostNeed {
    /// Ranks of one node; each needs the same.
    pub ranks_per_node: u64,
    /// Expected memory of a node, in GiB.
    pub memory_per_node_gb: f64,
    /// Memory of a node.
    pub memory_per_node: Range,
    /// Disk of a node.
    pub disk_per_node: Range,
    /// Memory of a node as stated.
    pub memory_bytes: Option<Bytes>,
    /// Disk of a node as stated.
    pub disk_bytes: Option<Bytes>,
    /// Whether it is enough; absent where neither size is stated.
    pub verdict: Option<Verdict>,
    /// Why the verdict is not "fits".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What one rank keeps there.
    pub rows: Vec<HostRow>,
}

/// Equal allocations of one rank outside its GPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HostRow {
    /// Key.
    pub id: &'static str,
    /// For a person.
    pub label: &'static str,
    /// `memory` or `disk`.
    pub place: &'static str,
    /// `build`, `training` or `serving`: what is needed is the larger sum.
    pub phase: &'static str,
    /// Page-locked: torch rounds each allocation up to a power of two.
    pub pinned: bool,
    /// Bytes asked for in one allocation.
    pub unit_bytes: Bytes,
    /// Allocations.
    pub count: u64,
    /// Bytes of all of them as they are expected, rounded.
    pub bytes: Bytes,
    /// Formula of one.
    pub formula: &'static str,
    /// Its symbols.
    pub symbols: Vec<SymbolRow>,
    /// Its source.
    pub citation: Citation,
}
