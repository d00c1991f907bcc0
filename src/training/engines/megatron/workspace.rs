//! Workspaces that the libraries keep on a rank of Megatron-LM.

use super::Megatron;
use super::dispatcher::gathered;
use super::settings::Wrapper;
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::block;
use crate::memory::{Group, Symbol};
use crate::training::TrainingJob;
use crate::training::sheet::{Held, Item, Sheet};
use crate::units::Bytes;

/// Workspaces that stay: that of cuBLAS for the forward thread's handle and for autograd's (up to torch 2.14), in deterministic
/// mode as large as `CUBLAS_WORKSPACE_CONFIG=:4096:8` says; and Transformer Engine's, with four more for grouped products
/// (pytorch/cpp_extensions/gemm.py, `get_cublas_workspace_size_bytes` and `_NUM_MAX_UB_STREAMS`; module/base.py,
/// `get_multi_stream_cublas_workspace`).
pub fn workspaces(job: &TrainingJob, settings: &Megatron, sheet: &mut Sheet) -> Held {
    let modern = job.compute_capability >= super::saved::HOPPER;
    let mut held = Held::new();
    if job.torch_version < (2, 15) {
        let large = settings.deterministic || job.compute_capability == super::saved::HOPPER;
        let unit = if large { 33_554_432 } else { 8_519_680 };
        let item = workspace(
            ("cublas.workspace", "cuBLAS workspaces"),
            (unit, if large { "32 MiB" } else { "8,519,680" }),
            "pytorch aten/src/ATen/cuda/CublasHandlePool.cpp: 32 MiB on compute capability 9.0, else 4096:2:16:8; CUBLAS_WORKSPACE_CONFIG=:4096:8 is 32 MiB",
        );
        held.push((sheet.item(item, ""), 2));
    }
    // DeepSpeed's fork of Megatron has layers of its own.
    if settings.wrapper != Wrapper::Megatron {
        return held;
    }
    let (unit, formula) = if modern {
        (33_554_432, "32 MiB")
    } else {
        (4_194_304, "4 MiB")
    };
    let item = workspace(
        ("transformer_engine.workspace", "workspaces of Transformer Engine"),
        (unit, formula),
        "NVIDIA/TransformerEngine transformer_engine/pytorch/module/base.py: 32 MiB from compute capability 9 on, else 4 MiB; one per stream of grouped products",
    );
    let streams = match (settings.grouped_experts, settings.comm_overlap) {
        (true, false) => 5,
        (false, false) => 1,
        (grouped, true) => OVERLAPPED_STREAMS + if grouped { 4 } else { 0 },
    };
    held.push((sheet.item(item, ""), streams));
    if let Some(item) = gathered(job, settings) {
        held.push((sheet.item(item, ""), 1));
    }
    if settings.comm_overlap {
        held.push((sheet.item(buffer(job, settings), ""), OVERLAPPED));
    }
    held
}

/// Streams of products that overlap with collectives (NVIDIA/TransformerEngine transformer_engine/pytorch/module/base.py,
/// `_NUM_MAX_UB_STREAMS`).
const OVERLAPPED_STREAMS: u64 = 3;

/// Places in a layer that have a buffer for their collective (module/base.py, `initialize_ub`: four gathered in a ring, two
/// scattered in a pipeline, four in bulk; read as of 2025, newer ones keep the workspaces in cpp_extensions/gemm.py).
const OVERLAPPED: u64 = 10;

/// A buffer for the hidden states of all tokens.
fn buffer(job: &TrainingJob, settings: &Megatron) -> Item {
    let tokens = job
        .micro_batch
        .saturating_mul(job.sequence_length.div_ceil(settings.context.max(1)));
    let each = job.precision.compute().bits() / 8;
    let hidden = job.network.hidden_size;
    Item {
        id: "transformer_engine.overlap_buffer",
        label: "buffers of collectives that overlap with products",
        group: Group::Overhead,
        dtype: None,
        unit: block(Bytes::new(each.saturating_mul(hidden).saturating_mul(tokens))),
        formula: "β·h·T",
        symbols: vec![
            Symbol::new("β", "bytes per element", each),
            Symbol::new("h", "hidden size", hidden),
            Symbol::new("T", "tokens per micro-batch", tokens),
        ],
        terms: Vec::new(),
        citation: Citation::new(
            Evidence::Source,
            "NVIDIA/TransformerEngine transformer_engine/pytorch/module/base.py, initialize_ub",
        ),
    }
}

fn workspace(
    (id, label): (&'static str, &'static str),
    (unit, formula): (u64, &'static str),
    source: &'static str,
) -> Item {
    Item {
        id,
        label,
        group: Group::Overhead,
        dtype: None,
        unit: Bytes::new(unit),
        formula,
        symbols: Vec::new(),
        terms: Vec::new(),
        citation: Citation::new(Evidence::Source, source),
    }
}
