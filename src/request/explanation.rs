//! The explanation of an answer: each part of the total as a formula, with the numbers put in and its source. Plain data.

use serde::Serialize;

use super::answer::Breakdown;
use super::ledger_rows::SymbolRow;
use crate::cite::Evidence;
use crate::units::Bytes;

/// One line: equal tensors, or what lies outside the allocator.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FormulaLine {
    /// Key, as in the ledger or among the components.
    pub id: String,
    /// For a person: "gate projection's output, layers 1-3".
    pub name: String,
    /// Group of the breakdown.
    pub group: &'static str,
    /// The formula with its symbols.
    pub formula: String,
    /// The same with the numbers put in; it evaluates to `bytes`.
    pub substituted: String,
    /// What each symbol means, with its value.
    pub symbols: Vec<SymbolRow>,
    /// The result for a person.
    pub result: String,
    /// The result.
    pub bytes: Bytes,
    /// What it is and how many of it there are.
    pub description: String,
    /// Where the formula comes from.
    pub source: String,
    /// What kind of evidence that is.
    pub evidence: Evidence,
}

/// A source of at least one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reference {
    /// Repository and file with version, paper and table, or measured record.
    pub title: String,
    /// The address, where the title holds one.
    pub url: Option<String>,
    /// What kind of evidence it is.
    pub description: &'static str,
}

/// Sizes of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Degrees {
    /// Ranks among which matrices are divided.
    pub tensor_parallel_size: u64,
    /// Stages.
    pub pipeline_parallel_size: u64,
    /// Data-parallel replicas.
    pub data_parallel_size: u64,
    /// Ranks among which sequences are divided.
    pub context_parallel_size: u64,
    /// Ranks among which experts are divided.
    pub expert_parallel_size: u64,
}

/// The explanation of a training answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Explanation {
    /// The engine as it is typed.
    pub engine_type: &'static str,
    /// The engine for a person.
    pub engine_name: &'static str,
    /// How this engine and its settings come to the total.
    pub formula_description: String,
    /// The instant at which the total is reached.
    pub instant: String,
    /// The parts of the total, which they add up to exactly.
    pub formula_components: Vec<FormulaLine>,
    /// Tensors that are not alive at that instant: one of each.
    pub elsewhere: Vec<FormulaLine>,
    /// The total in GiB, with two decimals.
    pub total_memory_gb: f64,
    /// The total.
    pub total_memory_bytes: Bytes,
    /// The five groups.
    pub breakdown: Breakdown,
    /// The sources of the lines, each once.
    pub references: Vec<Reference>,
    /// DeepSpeed's stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zero_stage: Option<u64>,
    /// Where DeepSpeed's optimizer is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offload_optimizer: Option<String>,
    /// Where DeepSpeed's weights are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offload_param: Option<String>,
    /// FSDP's strategy as it is typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharding_strategy: Option<&'static str>,
    /// FSDP's strategy for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy_name: Option<&'static str>,
    /// Sizes of the mesh.
    pub parallelism: Degrees,
}
