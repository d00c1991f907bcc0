//! The lines on memory that TensorRT-LLM prints at its start, by backend, and the error where it does not start
//! (cpp/tensorrt_llm/batch_manager, tensorrt_llm/_torch/pyexecutor/_util.py; docs/source/reference/memory.md).

use super::super::super::job::InferenceJob;
use super::Backend;
use super::start::Start;
use crate::memory::Interval;
use crate::units::Bytes;

fn mib(interval: Interval) -> f64 {
    interval.expected.to_gib() * 1024.0
}

/// The lines in the order in which they appear, of the first rank.
pub fn lines(asked: &InferenceJob, found: &Start) -> Vec<String> {
    let mut lines = match found.settings.backend {
        Backend::TensorRt => built(asked, found),
        Backend::PyTorch => profiled(asked, found),
    };
    if found.failure.is_some() {
        lines.push(
            "RuntimeError: [TensorRT-LLM][ERROR] CUDA runtime error in ::cudaMalloc(ptr, n): out of memory"
                .to_string(),
        );
        return lines;
    }
    let [_, blocks, _] = found.blocks;
    let [_, tokens, _] = found.tokens();
    let [_, pool, _] = found.pool();
    if found.settings.backend == Backend::TensorRt && tokens < found.settings.length {
        lines.push(format!(
            "[TensorRT-LLM][WARNING] maxAttentionWindow and maxSequenceLen are too large for at least one sequence to fit in kvCache. they are reduced to {}",
            tokens.saturating_sub(found.settings.block).saturating_add(1)
        ));
    }
    lines.push(format!(
        "[TensorRT-LLM][INFO] Number of tokens per block: {}.",
        found.settings.block
    ));
    lines.push(format!(
        "[TensorRT-LLM][INFO] Number of blocks in KV cache primary pool: {blocks}"
    ));
    lines.push(format!(
        "[TensorRT-LLM][INFO] [MemUsageChange] Allocated {:.2} GiB for max tokens in paged KV cache ({tokens}).",
        pool.to_gib()
    ));
    lines
}

fn built(asked: &InferenceJob, found: &Start) -> Vec<String> {
    let info = "[TensorRT-LLM][INFO]";
    let [_, free, _] = found.free;
    vec![
        format!("{info} Loaded engine size: {:.0} MiB", mib(found.weights)),
        format!(
            "{info} [MemUsageChange] Allocated {:.2} MiB for execution context memory.",
            mib(found.activations)
        ),
        format!(
            "{info} [MemUsageChange] Allocated {:.2} MB GPU memory for runtime buffers.",
            mib(found.runtime)
        ),
        format!(
            "{info} [MemUsageChange] Allocated {:.2} MB GPU memory for decoder.",
            mib(found.decoder)
        ),
        format!(
            "{info} Memory usage when calculating max tokens in paged kv cache: total: {:.2} GiB, available: {:.2} GiB",
            asked.device.total.expected.to_gib(),
            free.to_gib()
        ),
    ]
}

fn profiled(asked: &InferenceJob, found: &Start) -> Vec<String> {
    let [_, free, _] = found.free;
    let total = asked.device.total.expected;
    vec![format!(
        "Peak memory during memory usage profiling (torch + non-torch): {:.2} GiB, available KV cache memory when calculating max tokens: {:.2} GiB, fraction is set {}, kv size is {}. device total memory {:.2} GiB",
        total.saturating_sub(free).to_gib(),
        Bytes::new(free.get()).scaled(found.settings.fraction).to_gib(),
        found.settings.fraction,
        found.cell,
        total.to_gib()
    )]
}
