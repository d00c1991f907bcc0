//! The rows of a start for the asked sequences: weights, the blocks that they hold, and what a full pass adds.

use super::super::super::job::InferenceJob;
use super::super::super::vllm::Start;
use crate::cite::{Citation, Evidence};
use crate::memory::{Entry, Group, Instant, InstantId, Ledger};
use crate::units::Bytes;

const INSTANTS: [(InstantId, &str); 3] = [
    (InstantId::Load, "weights are loaded"),
    (InstantId::PrefillFeedForward, "a full pass: the fullest layer"),
    (InstantId::PrefillHead, "a full pass: logits and sampler"),
];
const ALWAYS: &[InstantId] = &[
    InstantId::Load,
    InstantId::PrefillFeedForward,
    InstantId::PrefillHead,
];
const PASSES: &[InstantId] = &[InstantId::PrefillFeedForward, InstantId::PrefillHead];

/// A row before it is known when it is alive.
struct Row {
    id: &'static str,
    label: &'static str,
    group: Group,
    unit: Bytes,
    count: u64,
    alive: &'static [InstantId],
    formula: &'static str,
}

/// The ledger of the tightest stage.
pub(super) fn ledger(asked: &InferenceJob, found: &Start, blocks: u64, state: Bytes) -> Ledger {
    let rows = weights(found)
        .into_iter()
        .chain(cache(found, blocks, state))
        .chain(pass(found));
    Ledger {
        entries: rows
            .filter(|row| row.unit > Bytes::ZERO && row.count > 0)
            .map(|row| entry(row, asked))
            .collect(),
        instants: INSTANTS
            .iter()
            .map(|(id, label)| Instant {
                id: *id,
                label: (*label).to_string(),
            })
            .collect(),
    }
}

fn weights(found: &Start) -> [Row; 3] {
    let parts = found.weight_parts;
    let special = parts.rotary + parts.latent_copies;
    let row = |id, label, unit, formula| Row {
        id,
        label,
        group: Group::ModelParams,
        unit,
        count: 1,
        alive: ALWAYS,
        formula,
    };
    [
        row(
            "weights",
            "weights of one rank",
            found.weights.expected.saturating_sub(special),
            "tensors fused, divided and padded, in blocks of the allocator",
        ),
        row(
            "weights.rotary",
            "tables of rotary embeddings",
            parts.rotary,
            "positions x rotary width x bytes",
        ),
        row(
            "weights.latent",
            "absorbed copies of latent projections",
            parts.latent_copies,
            "heads x (nope + value width) x rank x bytes, per layer",
        ),
    ]
}

fn cache(found: &Start, blocks: u64, state: Bytes) -> [Row; 2] {
    let row = |id, label, unit, count, formula| Row {
        id,
        label,
        group: Group::Cache,
        unit,
        count,
        alive: PASSES,
        formula,
    };
    [
        row(
            "cache.blocks",
            "blocks of the cache that the sequences hold",
            Bytes::new(found.layout.block_bytes),
            blocks,
            "layers of a group x block size x bytes per token and layer",
        ),
        row(
            "cache.state",
            "states of fixed size",
            state,
            1,
            "convolution and recurrent state of each sequence",
        ),
    ]
}

fn pass(found: &Start) -> [Row; 3] {
    let row = |id, label, unit, alive, formula| Row {
        id,
        label,
        group: Group::Activations,
        unit,
        count: 1,
        alive,
        formula,
    };
    [
        row(
            "activations.layer",
            "inner activations of the fullest layer",
            found.profile.forward,
            &[InstantId::PrefillFeedForward],
            "T x bytes x (3 I / t + 3 H)",
        ),
        row(
            "activations.sampler",
            "logits and sampler",
            found.profile.sampler,
            &[InstantId::PrefillHead],
            "c x min(S, T) x V + T x H x bytes",
        ),
        row(
            "activations.encoder",
            "encoder outputs",
            found.profile.encoder,
            PASSES,
            "encoder tokens x H x bytes",
        ),
    ]
}

fn entry(row: Row, asked: &InferenceJob) -> Entry {
    let mut held = [0; InstantId::ALL.len()];
    for instant in row.alive {
        if let Some(slot) = held.get_mut(instant.index()) {
            *slot = row.count;
        }
    }
    Entry {
        id: row.id,
        label: row.label,
        group: row.group,
        dtype: (row.group != Group::ModelParams).then_some(asked.compute),
        place: String::new(),
        unit: row.unit,
        held,
        formula: row.formula,
        symbols: Vec::new(),
        terms: Vec::new(),
        citation: Citation::new(
            Evidence::Source,
            "vllm-project/vllm 0.6.6 to 0.33.0, files named in the parts",
        ),
    }
}
