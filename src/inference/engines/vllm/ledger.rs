//! The rows of a start for the asked sequences: weights, the blocks that they hold, and what a full pass adds.

use super::super::super::job::InferenceJob;
use super::super::super::vllm::Start;
use super::super::super::vllm::tensors::padded_vocabulary;
use crate::cite::{Citation, Evidence};
use crate::memory::{Entry, Group, Instant, InstantId, Ledger, Symbol};
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
    symbols: Vec<Symbol>,
}

/// The ledger of the tightest stage.
pub(super) fn ledger(asked: &InferenceJob, found: &Start, blocks: u64, state: Bytes) -> Ledger {
    let rows = weights(found)
        .into_iter()
        .chain(cache(found, blocks, state))
        .chain(pass(found, asked));
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
        host: Vec::new(),
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
        symbols: Vec::new(),
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
    let row = |id, label, unit, count, formula, symbols| Row {
        id,
        label,
        group: Group::Cache,
        unit,
        count,
        alive: PASSES,
        formula,
        symbols,
    };
    let per_block = vec![
        Symbol::new("bs", "tokens of a block", found.layout.block_size),
        Symbol::new(
            "L",
            "layers of this stage with a cache per token",
            found.layout.layers,
        ),
    ];
    [
        row(
            "cache.blocks",
            "blocks of the cache that the sequences hold",
            Bytes::new(found.layout.block_bytes),
            blocks,
            "layers of a group x bs x bytes per token and layer",
            per_block,
        ),
        row(
            "cache.state",
            "states of fixed size",
            state,
            1,
            "convolution and recurrent state of each sequence",
            Vec::new(),
        ),
    ]
}

fn pass(found: &Start, asked: &InferenceJob) -> [Row; 4] {
    let settings = &found.settings;
    let tokens = Symbol::new("T", "tokens of one pass", settings.batched_tokens);
    let width = Symbol::new("H", "hidden size", asked.network.hidden_size);
    let bytes = Symbol::new("b", "bytes of an activation", (asked.compute.bits() / 8).max(1));
    let ranks = Symbol::new("t", "tensor parallel ranks", asked.tensor);
    let sequences = Symbol::new("S", "sequences of one step", settings.sequences);
    let vocabulary = Symbol::new(
        "V",
        "padded vocabulary",
        padded_vocabulary(asked.network.vocabulary),
    );
    let rows = Symbol::new("R", "rows of the vocabulary", asked.network.vocabulary);
    let row = |id, label, unit, alive, formula, symbols| Row {
        id,
        label,
        group: Group::Activations,
        unit,
        count: 1,
        alive,
        formula,
        symbols,
    };
    [
        row(
            "activations.layer",
            "inner activations of the fullest layer",
            found.profile.forward,
            &[InstantId::PrefillFeedForward],
            "T x b x (inner width of the fullest layer / t + 3 H)",
            vec![tokens, bytes, ranks, width],
        ),
        row(
            "activations.sampler",
            "logits and sampler",
            found.profile.sampler,
            &[InstantId::PrefillHead],
            "bytes per logit of the sampler's kernel x S x V + T x H x b",
            vec![sequences, vocabulary, tokens, width, bytes],
        ),
        row(
            "activations.penalties",
            "counts of sampled tokens",
            found.profile.kept,
            PASSES,
            "4 x S x (R + R / 32)",
            vec![sequences, rows],
        ),
        row(
            "activations.encoder",
            "encoder outputs",
            found.profile.encoder,
            PASSES,
            "encoder tokens x H x b",
            vec![width, bytes],
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
        symbols: row.symbols,
        terms: Vec::new(),
        citation: Citation::new(
            Evidence::Source,
            "vllm-project/vllm 0.6.6 to 0.33.0, files named in the parts",
        ),
    }
}
