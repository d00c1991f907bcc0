//! The lines on memory that a start prints, in the words of its release, and the error where it does not start
//! (vllm `v1/worker/gpu_worker.py`, `v1/core/kv_cache_utils.py`, `v1/worker/utils.py`; V0 `worker/worker.py`,
//! `executor/executor_base.py`).

use super::job::Job;
use super::start::{Failure, Start};
use crate::units::Bytes;

/// A whole number with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn signed_gib(bytes: i64) -> f64 {
    bytes as f64 / Bytes::from_gib(1.0).get() as f64
}

/// The lines in the order in which they appear. Times are left out: they are not memory.
pub fn lines(job: &Job<'_>, start: &Start) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(failure @ (Failure::NotFree | Failure::OutOfMemory)) = start.failure {
        lines.push(error(failure, job, start));
        return lines;
    }
    let decimals = job.release.printed_decimals;
    let weights = format!("{:.decimals$}", start.weights.expected.to_gib());
    let line = job.release.weights_line.replace("{weights}", &weights);
    lines.push(line.replace(" and {seconds} seconds", ""));
    if job.v1 {
        lines.push(format!(
            "Available KV cache memory: {:.2} GiB",
            signed_gib(start.cache[1])
        ));
    } else {
        lines.extend(accounting(job, start));
    }
    match start.failure {
        Some(failure) => lines.push(error(failure, job, start)),
        None => lines.extend(capacity(job, start)),
    }
    lines
}

/// V0's account of its budget.
fn accounting(job: &Job<'_>, start: &Start) -> [String; 2] {
    [
        format!(
            "the current vLLM instance can use total_gpu_memory ({:.2}GiB) x gpu_memory_utilization ({:.2}) = {:.2}GiB",
            job.device.total.expected.to_gib(),
            start.settings.utilization,
            start.requested.to_gib()
        ),
        format!(
            "model weights take {:.2}GiB; non_torch_memory takes {:.2}GiB; PyTorch activation peak memory takes {:.2}GiB; the rest of the memory reserved for KV Cache is {:.2}GiB.",
            start.weights.expected.to_gib(),
            start.non_torch.expected.to_gib(),
            start.profile.peak.expected.to_gib(),
            signed_gib(start.cache[1])
        ),
    ]
}

fn capacity(job: &Job<'_>, start: &Start) -> Vec<String> {
    let pool = start.pool;
    let mut lines = match job.v1 {
        true => vec![
            format!("GPU KV cache size: {} tokens", grouped(pool.tokens)),
            format!(
                "Maximum concurrency for {} tokens per request: {:.2}x",
                grouped(job.max_model_len),
                pool.concurrency
            ),
        ],
        false => vec![
            format!("# GPU blocks: {}", pool.blocks),
            format!(
                "Maximum concurrency for {} tokens per request: {:.2}x",
                job.max_model_len, pool.concurrency
            ),
        ],
    };
    if !job.eager {
        lines.push(format!(
            "Graph capturing finished, took {:.2} GiB",
            start.graphs.expected.to_gib()
        ));
    }
    lines
}

fn error(failure: Failure, job: &Job<'_>, start: &Start) -> String {
    let utilization = start.settings.utilization;
    let total = job.device.total.expected;
    match failure {
        Failure::NotFree => format!(
            "ValueError: Free memory on device ({:.2}/{:.2} GiB) on startup is less than desired GPU memory utilization ({utilization}, {:.2} GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
            total.saturating_sub(job.device.in_use).to_gib(),
            total.to_gib(),
            start.requested.to_gib()
        ),
        Failure::OutOfMemory => "torch.OutOfMemoryError: CUDA out of memory.".into(),
        Failure::NoBlocks => "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine.".into(),
        Failure::TooLong if job.v1 => format!(
            "ValueError: To serve at least one request with the models's max seq len ({}), ({:.2} GiB KV cache is needed, which is larger than the available KV cache memory ({:.2} GiB). Based on the available memory, the estimated maximum model length is {}. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine.",
            job.max_model_len,
            Bytes::new(start.layout.bytes_per_sequence(job.max_model_len)).to_gib(),
            signed_gib(start.cache[1]),
            start.longest
        ),
        Failure::TooLong => format!(
            "ValueError: The model's max seq len ({}) is larger than the maximum number of tokens that can be stored in KV cache ({}). Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine.",
            job.max_model_len, start.pool.tokens
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_as_python_does() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (2_640_144, "2,640,144")] {
            assert_eq!(grouped(number), text);
        }
    }
}
