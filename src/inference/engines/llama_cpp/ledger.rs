//! The rows of the fullest GPU, and what stays on the host.

use super::options::Options;
use super::projector::Projector;
use super::start::{Held, Start};
use crate::cite::{Citation, Evidence};
use crate::memory::{Entry, Group, HostEntry, HostPhase, HostPlace, Instant, InstantId, Ledger, Symbol};
use crate::units::Bytes;

const INSTANTS: [(InstantId, &str); 2] = [
    (InstantId::Load, "weights are loaded"),
    (
        InstantId::PrefillFeedForward,
        "cache and scratch are reserved; a full physical batch",
    ),
];

const fn source(text: &'static str) -> Citation {
    Citation::new(Evidence::Source, text)
}

/// Where the weights are from.
pub const LOADER: Citation =
    source("ggml-org/llama.cpp src/llama-model.cpp load_tensors, src/llama-quant.cpp");
/// Where the cache is from.
pub const CACHE: Citation = source(
    "ggml-org/llama.cpp src/llama-kv-cache.cpp, src/llama-kv-cache-iswa.cpp, src/llama-memory-recurrent.cpp",
);
/// Where the scratch is from.
pub const SCRATCH: Citation = source("ggml-org/llama.cpp ggml/src/ggml-alloc.c, src/llama-graph.cpp");
/// Where the pool is from.
pub const POOL: Citation =
    source("ggml-org/llama.cpp ggml/src/ggml-cuda/ggml-cuda.cu, mmq.cu, fattn-common.cuh");

/// Where the model that drafts is from.
const DRAFTER: Citation =
    source("ggml-org/llama.cpp common/speculative.cpp common_base_params_to_speculative");

/// Where the tower is from.
const TOWER: Citation = source("ggml-org/llama.cpp tools/mtmd/clip.cpp, convert_hf_to_gguf.py MmprojModel");

/// The ledger of a GPU.
pub fn ledger(number: usize, found: &Start, options: &Options) -> Ledger {
    let of = |start: &Start| start.gpus.get(number).copied().unwrap_or_default();
    let held: Held = of(found);
    let drafter: Held = found.drafter.as_deref().map(of).unwrap_or_default();
    let tower = match number {
        0 => found.projector.unwrap_or_default(),
        _ => Projector::default(),
    };
    let cells = Symbol::new("C", "cells of all sequences", found.context);
    let tokens = Symbol::new(
        "U",
        "tokens of a physical batch",
        options.ubatch.min(options.batch),
    );
    let row = |id, label, group, bytes: Bytes, later: bool, formula, citation, symbols| {
        let mut alive = [0; InstantId::ALL.len()];
        for (instant, _) in INSTANTS {
            let there = !later || instant != InstantId::Load;
            if let Some(slot) = alive.get_mut(instant.index()) {
                *slot = u64::from(there);
            }
        }
        Entry {
            id,
            label,
            group,
            dtype: None,
            place: String::new(),
            unit: bytes,
            held: alive,
            formula,
            symbols,
            terms: Vec::new(),
            citation,
        }
    };
    let entries = vec![
        row(
            "weights",
            "tensors of the file on this GPU",
            Group::ModelParams,
            Bytes::new(held.weights),
            false,
            "elements / block x bytes of a block, summed over tensors",
            LOADER,
            Vec::new(),
        ),
        row(
            "kv_cache",
            "keys and values of the layers on this GPU",
            Group::Cache,
            Bytes::new(held.cache),
            true,
            "(keys + values) x C, in blocks of the cache types, summed over layers",
            CACHE,
            vec![cells],
        ),
        row(
            "state",
            "states of recurrent layers on this GPU",
            Group::Cache,
            Bytes::new(held.state),
            true,
            "sequences x (convolution + state) x 4, summed over layers",
            CACHE,
            Vec::new(),
        ),
        row(
            "compute_buffer",
            "compute buffer: the tensors of the largest graph",
            Group::Activations,
            held.compute.expected,
            true,
            "highest end of the graph allocator over a physical batch of U tokens",
            SCRATCH,
            vec![tokens],
        ),
        row(
            "pool",
            "pool of the backend: operands in 8 bits, a quantised cache in 16",
            Group::Overhead,
            held.pool.expected,
            true,
            "widest row x U x 36/32 + C x (keys + values) x 2 where the cache is quantised",
            POOL,
            vec![tokens, cells],
        ),
        row(
            "weights.mmproj",
            "tensors of the tower's file",
            Group::ModelParams,
            Bytes::new(tower.weights),
            false,
            "elements / block x bytes of a block, positions and vectors in 32 bits",
            TOWER,
            Vec::new(),
        ),
        row(
            "compute.mmproj",
            "compute buffer of the tower",
            Group::Activations,
            tower.compute.expected,
            true,
            "patches x 4 x (six widths, or the inner width and two) and the image",
            TOWER,
            Vec::new(),
        ),
        row(
            "weights.drafter",
            "tensors of the drafter's file on this GPU",
            Group::ModelParams,
            Bytes::new(drafter.weights),
            false,
            "elements / block x bytes of a block, summed over tensors, in the model's mix",
            DRAFTER,
            Vec::new(),
        ),
        row(
            "cache.drafter",
            "keys, values and states of the drafter, in 16 bits",
            Group::Cache,
            Bytes::new(drafter.cache.saturating_add(drafter.state)),
            true,
            "(keys + values) x C x 2, summed over its layers",
            DRAFTER,
            vec![cells],
        ),
        row(
            "compute_buffer.drafter",
            "compute buffer of the drafter's own context",
            Group::Activations,
            drafter.compute.expected,
            true,
            "as the model's, with one row of logits per sequence",
            DRAFTER,
            vec![tokens],
        ),
        row(
            "pool.drafter",
            "pool of the drafter's context",
            Group::Overhead,
            drafter.pool.expected,
            true,
            "as the model's",
            DRAFTER,
            vec![tokens],
        ),
    ];
    Ledger {
        entries: entries
            .into_iter()
            .filter(|entry| entry.unit > Bytes::ZERO)
            .collect(),
        instants: INSTANTS
            .iter()
            .map(|(id, label)| Instant {
                id: *id,
                label: (*label).to_string(),
            })
            .collect(),
        host: host(found, options),
    }
}

/// What the process holds in the memory of its machine.
fn host(found: &Start, options: &Options) -> Vec<HostEntry> {
    let drafter = found.drafter.as_deref();
    // Without GPUs the tower is computed on the host, too.
    let tower = found
        .projector
        .filter(|_| found.gpus.is_empty())
        .unwrap_or_default();
    let seen = Held {
        weights: tower.weights,
        compute: tower.compute,
        ..Held::default()
    };
    let held = found.host + drafter.map(|start| start.host).unwrap_or_default() + seen;
    let output = found
        .output
        .saturating_add(drafter.map_or(0, |start| start.output));
    let row = |id, label, bytes: u64, formula, citation| HostEntry {
        id,
        label,
        place: HostPlace::Memory,
        phase: HostPhase::Serving,
        pinned: false,
        unit: Bytes::new(bytes),
        count: 1,
        formula,
        symbols: Vec::new(),
        citation,
    };
    let weights = if options.mapped {
        "tensors that stay on the host, as pages of the mapped file"
    } else {
        "tensors that stay on the host"
    };
    [
        row(
            "host_weights",
            weights,
            held.weights,
            "bytes of the token embedding, of layers that are not offloaded, and of tensors placed by name",
            LOADER,
        ),
        row(
            "host_cache",
            "keys, values and states of layers on the host",
            held.cache.saturating_add(held.state),
            "as on a GPU",
            CACHE,
        ),
        row(
            "host_compute",
            "compute buffer of the host: masks and embeddings of a batch",
            held.compute.expected.get(),
            "U x (C x 4 + hidden x 4) with a GPU",
            SCRATCH,
        ),
        row(
            "host_output",
            "logits that are returned",
            output,
            "vocabulary x sequences x 4",
            SCRATCH,
        ),
    ]
    .into_iter()
    .filter(|entry| entry.unit > Bytes::ZERO)
    .collect()
}
