//! The lines on memory that SGLang prints at its start, and the error where it does not start. It writes GB and means GiB
//! (`model_executor/model_runner.py`, `mem_cache/memory_pool.py`, `managers/scheduler.py`).

use super::super::super::job::InferenceJob;
use super::Options;
use super::settings::has_latent;
use super::start::{Failure, Start};
use crate::units::Bytes;

fn gb(bytes: Bytes) -> String {
    format!("{:.2}", bytes.to_gib())
}

/// The lines in the order in which they appear, of the first rank.
pub fn lines(asked: &InferenceJob, options: &Options, found: &Start) -> Vec<String> {
    let free = found.free.expected;
    let mut lines = vec![format!("Load weight begin. avail mem={} GB", gb(free))];
    if found.failure == Some(Failure::OutOfMemory) {
        lines.push("torch.OutOfMemoryError: CUDA out of memory.".into());
        return lines;
    }
    let after = free.saturating_sub(found.weights.expected);
    lines.push(format!(
        "Load weight end. avail mem={} GB, mem usage={} GB.",
        gb(after),
        gb(found.weights.expected)
    ));
    if found.failure == Some(Failure::NoPool) {
        let current = match options.release.piecewise {
            true => format!(
                " Current value: self.server_args.mem_fraction_static={}",
                found.settings.fraction
            ),
            false => String::new(),
        };
        lines.push(format!(
            "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.{current}"
        ));
        return lines;
    }
    lines.extend(pools(asked, found));
    let pools = found.pools();
    let after = after.saturating_sub(pools.kept + pools.states + pools.table);
    lines.push(format!("Memory pool end. avail mem={} GB", gb(after)));
    let after = after.saturating_sub(found.workspace.expected);
    if found.settings.captured > 0 {
        lines.push(format!("Capture cuda graph begin. avail mem={} GB", gb(after)));
        if found.failure == Some(Failure::Capture) {
            lines.push("Exception: Capture cuda graph failed: CUDA out of memory.".into());
            return lines;
        }
        let left = after.saturating_sub(found.graphs.expected);
        lines.push(format!(
            "Capture cuda graph end. mem usage={} GB. avail mem={} GB.",
            gb(found.graphs.expected),
            gb(left)
        ));
        if found.settings.piecewise > 0 {
            let last = left.saturating_sub(found.piecewise.expected);
            lines.push(format!(
                "Capture piecewise CUDA graph end. mem usage={} GB. avail mem={} GB.",
                gb(found.piecewise.expected),
                gb(last)
            ));
        }
    } else if found.failure == Some(Failure::Capture) {
        lines.push("torch.OutOfMemoryError: CUDA out of memory.".into());
        return lines;
    }
    lines.push(format!(
        "max_total_num_tokens={}, chunked_prefill_size={}, max_prefill_tokens={}, max_running_requests={}, context_len={}",
        pools.tokens,
        options.chunk.map_or_else(|| found.settings.chunk.to_string(), |chunk| match chunk {
            0 => "-1".to_string(),
            chunk => chunk.to_string(),
        }),
        options.prefill.unwrap_or(16_384),
        pools.running,
        found.settings.context
    ));
    lines
}

fn pools(asked: &InferenceJob, found: &Start) -> Vec<String> {
    let pools = found.pools();
    let mut lines = Vec::new();
    if pools.slots > 0 {
        lines.push(format!(
            "Mamba Cache is allocated. max_mamba_cache_size: {}, state size: {}GB",
            pools.slots,
            gb(pools.states)
        ));
    }
    if found.cells.compressed.is_none() && pools.window_tokens > 0 {
        lines.push(format!(
            "Use sliding window memory pool. full_layer_tokens={}, swa_layer_tokens={}",
            pools.tokens, pools.window_tokens
        ));
    }
    if pools.kept == Bytes::ZERO {
        return lines;
    }
    if found.cells.compressed.is_some() {
        lines.push(format!(
            "DSv4 pool sizes: full={}, swa={}, c4={}, c128={}",
            pools.tokens,
            pools.window_tokens,
            pools.tokens / 4,
            pools.tokens / 128
        ));
    } else if has_latent(&asked.network) {
        lines.push(format!(
            "KV Cache is allocated. #tokens: {}, KV size: {} GB",
            pools.tokens,
            gb(pools.kept)
        ));
    } else {
        let half = Bytes::new(pools.kept.get() / 2);
        lines.push(format!(
            "KV Cache is allocated. #tokens: {}, K size: {} GB, V size: {} GB",
            pools.tokens,
            gb(half),
            gb(half)
        ));
    }
    lines
}
