//! The ledger as it is shown: rows, instants, groups and components. Plain data of the answer.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cite::Citation;
use crate::units::{Bytes, DType};

/// Bytes of the five groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GroupBytes {
    /// Weights that stay, and gathered or cast copies.
    pub model_params: Bytes,
    /// Gradients and their buckets.
    pub gradients: Bytes,
    /// Optimizer states.
    pub optimizer_states: Bytes,
    /// Saved activations, logits and loss.
    pub activations: Bytes,
    /// Temporaries, buffers, what lies outside the allocator.
    pub overhead: Bytes,
}

impl GroupBytes {
    /// The sum of the five.
    pub fn total(&self) -> Bytes {
        [
            self.model_params,
            self.gradients,
            self.optimizer_states,
            self.activations,
            self.overhead,
        ]
        .into_iter()
        .sum()
    }
}

/// One instant of the step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InstantRow {
    /// Key: `loss_backward`.
    pub id: &'static str,
    /// For a person: "backward of layer 31 of 32".
    pub label: String,
    /// Bytes in allocated blocks.
    pub allocated_bytes: Bytes,
    /// Whether it is the tightest one.
    pub binding: bool,
    /// The five groups at this instant.
    pub groups: GroupBytes,
}

/// A symbol of a formula.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SymbolRow {
    /// As it stands in the formula.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// The value.
    pub value: u64,
}

/// One row of the ledger: equal tensors.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LedgerRow {
    /// Key: `weights`, `logits_fp32`.
    pub id: &'static str,
    /// For a person.
    pub label: &'static str,
    /// Which layers, where rows of the same key differ by it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// Group of the breakdown.
    pub group: &'static str,
    /// Element type, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<DType>,
    /// Bytes of one instance.
    pub unit_bytes: Bytes,
    /// Instances alive at the binding instant.
    pub held: u64,
    /// Bytes alive at the binding instant.
    pub bytes: Bytes,
    /// Instances alive at each instant that occurs, by its key.
    pub held_at: BTreeMap<&'static str, u64>,
    /// Formula of one instance in bytes.
    pub formula: &'static str,
    /// The symbols of the formula.
    pub symbols: Vec<SymbolRow>,
    /// Where one is a sum over tensors: the bytes of each. The explanation shows them.
    #[serde(skip)]
    pub terms: Vec<Bytes>,
    /// Where the formula comes from.
    pub citation: Citation,
}

/// One part of the total.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Component {
    /// Key.
    pub id: String,
    /// For a person.
    pub label: String,
    /// Group of the breakdown.
    pub group: &'static str,
    /// Bytes; the components add up to the total.
    pub bytes: Bytes,
    /// How it is computed.
    pub formula: String,
    /// Where that comes from.
    pub source: String,
}
