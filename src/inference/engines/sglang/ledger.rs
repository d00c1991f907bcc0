//! The rows of a start for the asked sequences: weights, their cells and slots, the request table, workspace, and what a
//! chunk of a prefill adds.

use super::super::super::job::InferenceJob;
use super::super::rows::{ALWAYS, PASSES, PREFILL, Row, ledger as build};
use super::Asked;
use super::start::Start;
use crate::memory::{Group, Ledger, Symbol};
use crate::units::Bytes;

/// The ledger of the tightest stage.
pub(super) fn ledger(asked: &InferenceJob, found: &Start, want: Asked) -> Ledger {
    let cells = &found.cells;
    let tokens = Symbol::new("n", "tokens of all sequences, in whole pages", want.tokens);
    let layers = Symbol::new("L", "layers that keep every token", cells.full_layers);
    let (kept, formula) = match cells.compressed {
        Some(each) => (
            Bytes::new(want.tokens).scaled(each),
            "n x bytes per token of windows, compressed streams and rings",
        ),
        None => (
            Bytes::new(cells.full) * want.tokens,
            "n x bytes per token of L layers",
        ),
    };
    let settings = &found.settings;
    let rows = vec![
        Row {
            id: "weights",
            label: "weights of one rank",
            group: Group::ModelParams,
            bytes: found.weights.expected,
            alive: ALWAYS,
            formula: "tensors fused, divided and padded, in segments of the allocator",
            symbols: Vec::new(),
        },
        Row {
            id: "weights.drafter",
            label: "weights of the drafter",
            group: Group::ModelParams,
            bytes: found.drafter.expected,
            alive: ALWAYS,
            formula: "its tensors on one rank",
            symbols: Vec::new(),
        },
        Row {
            id: "cache.tokens",
            label: "cells of the sequences",
            group: Group::Cache,
            bytes: kept,
            alive: PASSES,
            formula,
            symbols: vec![tokens, layers],
        },
        Row {
            id: "cache.windows",
            label: "cells of layers with a window",
            group: Group::Cache,
            bytes: Bytes::new(cells.window) * want.window_tokens,
            alive: PASSES,
            formula: "sequences x min(length, window + chunk) x bytes per token",
            symbols: vec![Symbol::new("w", "window", cells.longest_window)],
        },
        Row {
            id: "cache.state",
            label: "slots of states",
            group: Group::Cache,
            bytes: Bytes::new(cells.slot) * want.slots,
            alive: PASSES,
            formula: "slots x (convolution in 16 bits + recurrent state)",
            symbols: vec![Symbol::new(
                "s",
                "slots, three per sequence with a tree of prefixes",
                want.slots,
            )],
        },
        Row {
            id: "cache.drafter",
            label: "cells of the drafter",
            group: Group::Cache,
            bytes: Bytes::new(cells.draft) * want.tokens,
            alive: PASSES,
            formula: "n x bytes per token of its layers",
            symbols: vec![tokens],
        },
        Row {
            id: "request_table",
            label: "request table",
            group: Group::Overhead,
            bytes: found.pools().table,
            alive: ALWAYS,
            formula: "requests x (context + 4 + drafts) x 4 bytes",
            symbols: vec![
                Symbol::new("r", "running requests", found.pools().running),
                Symbol::new("c", "context", settings.context),
            ],
        },
        Row {
            id: "workspace",
            label: "workspace of the attention kernels and of all-reduce",
            group: Group::Overhead,
            bytes: found.workspace.expected,
            alive: PASSES,
            formula: "measured by backend",
            symbols: Vec::new(),
        },
        Row {
            id: "activations.layer",
            label: "activations of a chunk",
            group: Group::Activations,
            bytes: found.activations.expected,
            alive: PREFILL,
            formula: "T x b x (inner width of the fullest layer / t + 3 H), or the logits of the running batch",
            symbols: vec![
                Symbol::new("T", "tokens of a chunk", settings.chunk),
                Symbol::new("H", "hidden size", asked.network.hidden_size),
                Symbol::new("t", "tensor parallel ranks", asked.tensor),
            ],
        },
    ];
    build(
        rows,
        asked.compute,
        "kvcache-ai/sglang @04653fa, files named in the parts",
    )
}
