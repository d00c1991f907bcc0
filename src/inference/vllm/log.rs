//! The lines on memory that a start prints, in the words of its release, and the error where it does not start
//! (vllm `v1/worker/gpu_worker.py`, `v1/core/kv_cache_utils.py`, `v1/worker/utils.py`; V0 `worker/worker.py`,
//! `executor/executor_base.py`).

use super::job::Job;
use super::release::Words;
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

/// What Python prints of `round(number, 2)`: 40.5, 16.0, 9.38.
fn rounded(number: f64) -> String {
    format!("{:?}", (number * 100.0).round() / 100.0)
}

/// A line with numbers of GiB put in, in either way of printing.
fn with_gib(line: &str, name: &str, gib: f64) -> String {
    line.replace(&format!("{{{name}:.2f}}"), &format!("{gib:.2}"))
        .replace(&format!("{{{name}}}"), &rounded(gib))
}

/// The lines in the order in which they appear. Times are left out: they are not memory.
pub fn lines(job: &Job<'_>, start: &Start) -> Vec<String> {
    let Some(words) = job.release.log_words(job.v1) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    if let Some(failure @ (Failure::NotFree | Failure::OutOfMemory)) = start.failure {
        lines.push(error(failure, words, job, start));
        return lines;
    }
    let decimals = job.release.printed_decimals;
    let gib = start.weights.expected.to_gib();
    let line = job
        .release
        .weights_line
        .replace("{weights}", &format!("{gib:.decimals$}"))
        .replace("{weights~}", &rounded(gib));
    lines.push(line.replace(" and {seconds} seconds", ""));
    if job.v1 && !job.eager && job.release.graphs_in_budget {
        let graphs = start.graphs.expected.to_gib();
        lines.push(format!("Estimated CUDA graph memory: {graphs:.2} GiB total"));
    }
    if !job.v1 {
        lines.extend(accounting(job, start));
    } else if !words.available.is_empty() {
        lines.push(with_gib(
            &words.available,
            "available",
            signed_gib(start.cache[1]),
        ));
    }
    match start.failure {
        Some(failure) => lines.push(error(failure, words, job, start)),
        None => lines.extend(capacity(words, job, start)),
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

/// Lengths, tokens and blocks put in.
fn with_counts(line: &str, job: &Job<'_>, start: &Start) -> String {
    let pool = start.pool;
    line.replace("{length}", &grouped(job.max_model_len))
        .replace("{length_plain}", &job.max_model_len.to_string())
        .replace("{tokens}", &grouped(pool.tokens))
        .replace("{tokens_plain}", &pool.tokens.to_string())
        .replace("{blocks}", &pool.blocks.to_string())
        .replace("{concurrency}", &format!("{:.2}", pool.concurrency))
        .replace("{longest}", &start.longest.to_string())
}

fn capacity(words: &Words, job: &Job<'_>, start: &Start) -> Vec<String> {
    let mut lines: Vec<String> = words
        .capacity
        .iter()
        .map(|line| with_counts(line, job, start))
        .collect();
    if !job.eager {
        lines.push(format!(
            "Graph capturing finished, took {:.2} GiB",
            start.graphs.expected.to_gib()
        ));
    }
    lines
}

fn error(failure: Failure, words: &Words, job: &Job<'_>, start: &Start) -> String {
    let total = job.device.total.expected;
    let line = match failure {
        Failure::OutOfMemory => "torch.OutOfMemoryError: CUDA out of memory.",
        Failure::NotFree => &words.not_free,
        Failure::NoBlocks => &words.no_blocks,
        Failure::TooLong => &words.too_long,
    };
    let estimate = if start.longest > 0 {
        words.estimate.as_str()
    } else {
        ""
    };
    let line = with_counts(&line.replace("{estimate}", estimate), job, start);
    let needed = Bytes::new(start.layout.bytes_per_sequence(job.max_model_len));
    [
        ("free", total.saturating_sub(job.device.in_use).to_gib()),
        ("total", total.to_gib()),
        ("requested", start.requested.to_gib()),
        ("needed", needed.to_gib()),
        ("available", signed_gib(start.cache[1])),
    ]
    .into_iter()
    .fold(line, |line, (name, gib)| with_gib(&line, name, gib))
    .replace("{utilization}", &start.settings.utilization.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_as_python_does() {
        for (number, text) in [
            (40.5, "40.5"),
            (16.0, "16.0"),
            (9.3841, "9.38"),
            (-1.049, "-1.05"),
        ] {
            assert_eq!(rounded(number), text);
        }
        assert_eq!(with_gib("{free}/{free:.2f}", "free", 40.5), "40.5/40.50");
    }

    #[test]
    fn numbers_are_grouped_as_python_does() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (2_640_144, "2,640,144")] {
            assert_eq!(grouped(number), text);
        }
    }
}
