//! One entry of the ledger: equal tensors (or equal blocks of tensors), how many of them are alive at each instant.

use serde::Serialize;

use super::instant::InstantId;
use crate::cite::Citation;
use crate::units::{Bytes, DType};

/// The groups of the breakdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Weights that stay, and gathered or cast copies of them.
    ModelParams,
    /// Gradients and their buckets.
    Gradients,
    /// Optimizer states.
    OptimizerStates,
    /// Saved activations, logits and loss.
    Activations,
    /// Cached keys, values and states of inference.
    Cache,
    /// Temporaries, buffers and what lies outside the allocator.
    Overhead,
}

/// A symbol of a formula with the value that was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Symbol {
    /// As it stands in the formula: `T`, `h`, `f`.
    pub name: &'static str,
    /// What it means: "tokens per micro-batch".
    pub meaning: &'static str,
    /// The value.
    pub value: u64,
}

impl Symbol {
    /// Name, meaning and value.
    pub const fn new(name: &'static str, meaning: &'static str, value: u64) -> Self {
        Self { name, meaning, value }
    }
}

/// Equal tensors and their lifetime.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Entry {
    /// Stable key: `weights`, `logits_fp32`, `saved.mlp.gate_up`.
    pub id: &'static str,
    /// For a person: "gate and up projection outputs".
    pub label: &'static str,
    /// Its group in the breakdown.
    pub group: Group,
    /// Element type of the tensors, where there is one.
    pub dtype: Option<DType>,
    /// Distinguishes entries of the same id for different kinds of layers: "layers 1-3 (dense)"; empty otherwise.
    pub place: String,
    /// Bytes of one instance, rounded as the caching allocator rounds.
    pub unit: Bytes,
    /// Instances alive at each instant, indexed as [`InstantId::ALL`].
    pub held: [u64; InstantId::ALL.len()],
    /// The formula of `unit` in bytes, with symbols: `2·2·f·T`.
    pub formula: &'static str,
    /// The symbols of the formula and their values.
    pub symbols: Vec<Symbol>,
    /// Where `unit` is a sum over tensors: the bytes of each.
    #[serde(skip)]
    pub terms: Vec<Bytes>,
    /// Where the formula comes from.
    pub citation: Citation,
}

impl Entry {
    /// Bytes alive at an instant.
    pub fn at(&self, instant: InstantId) -> Bytes {
        self.unit * self.held.get(instant.index()).copied().unwrap_or(0)
    }
}
