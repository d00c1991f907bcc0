//! A short ledger of an engine with a pool: rows of bytes that are alive after loading, in every pass, or in a prefill.

use crate::cite::{Citation, Evidence};
use crate::memory::{Entry, Group, Instant, InstantId, Ledger, Symbol};
use crate::units::{Bytes, DType};

const INSTANTS: [(InstantId, &str); 3] = [
    (InstantId::Load, "weights are loaded"),
    (InstantId::PrefillFeedForward, "a prefill: the fullest layer"),
    (InstantId::DecodeLayer, "a step of the answer"),
];
/// From loading on.
pub(super) const ALWAYS: &[InstantId] = &[
    InstantId::Load,
    InstantId::PrefillFeedForward,
    InstantId::DecodeLayer,
];
/// In every pass.
pub(super) const PASSES: &[InstantId] = &[InstantId::PrefillFeedForward, InstantId::DecodeLayer];
/// In a prefill.
pub(super) const PREFILL: &[InstantId] = &[InstantId::PrefillFeedForward];

/// Bytes and when they are alive.
pub(super) struct Row {
    /// Stable key.
    pub id: &'static str,
    /// For a person.
    pub label: &'static str,
    /// Its group of the breakdown.
    pub group: Group,
    /// All of it.
    pub bytes: Bytes,
    /// When it is alive.
    pub alive: &'static [InstantId],
    /// How it is calculated.
    pub formula: &'static str,
    /// What is put in.
    pub symbols: Vec<Symbol>,
}

impl Row {
    /// Of its fields in their order.
    pub(super) const fn new(
        id: &'static str,
        label: &'static str,
        group: Group,
        bytes: Bytes,
        alive: &'static [InstantId],
        formula: &'static str,
        symbols: Vec<Symbol>,
    ) -> Self {
        Self {
            id,
            label,
            group,
            bytes,
            alive,
            formula,
            symbols,
        }
    }

    /// The cache in blocks of so many tokens.
    pub(super) fn blocks(bytes: Bytes, tokens: u64, block: u64) -> Self {
        Self::new(
            "cache.blocks",
            "blocks of the cache that the sequences hold",
            Group::Cache,
            bytes,
            PASSES,
            "tokens in whole blocks x bytes per token of all layers",
            vec![
                Symbol::new("n", "tokens of all sequences, in whole blocks", tokens),
                Symbol::new("bs", "tokens of a block", block),
            ],
        )
    }

    /// States that do not grow with the sequence.
    pub(super) const fn states(bytes: Bytes) -> Self {
        Self::new(
            "cache.state",
            "states of fixed size",
            Group::Cache,
            bytes,
            PASSES,
            "convolution and recurrent state of each sequence",
            Vec::new(),
        )
    }
}

/// The ledger of rows that are not empty.
pub(super) fn ledger(rows: Vec<Row>, compute: DType, source: &'static str) -> Ledger {
    Ledger {
        entries: rows
            .into_iter()
            .filter(|row| row.bytes > Bytes::ZERO)
            .map(|row| entry(row, compute, source))
            .collect(),
        instants: INSTANTS
            .iter()
            .map(|(id, label)| Instant {
                id: *id,
                label: (*label).to_string(),
            })
            .collect(),
        host: Vec::new(),
    }
}

fn entry(row: Row, compute: DType, source: &'static str) -> Entry {
    let mut held = [0; InstantId::ALL.len()];
    for instant in row.alive {
        if let Some(slot) = held.get_mut(instant.index()) {
            *slot = 1;
        }
    }
    Entry {
        id: row.id,
        label: row.label,
        group: row.group,
        dtype: matches!(row.group, Group::Activations).then_some(compute),
        place: String::new(),
        unit: row.bytes,
        held,
        formula: row.formula,
        symbols: row.symbols,
        terms: Vec::new(),
        citation: Citation::new(Evidence::Source, source),
    }
}
