//! What a log or a message measured beside what the question predicts, part by part, and why the two differ.

use serde::Serialize;

use super::super::{calculate, calculate_inference, part};
use crate::interop::import::Import;
use crate::request::{Range, Request, Task};
use crate::units::Bytes;

/// A measured quantity beside the predicted one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Compared {
    /// Key of the part.
    pub part: &'static str,
    /// Its name for a person.
    pub label: &'static str,
    /// What the text says.
    pub measured_bytes: Bytes,
    /// What is predicted.
    pub predicted: Range,
    /// Predicted over measured, less one, in percent.
    pub difference_percent: f64,
    /// Whether what was measured lies within the bounds of the prediction.
    pub inside: bool,
    /// Why they differ, or what the row says.
    pub why: String,
}

/// The parts of a budget, which the cache of an engine fills up.
const OF_BUDGET: [&str; 4] = ["weights", "activations", "graphs", "non_torch"];

/// Measured beside predicted; nothing where the question has no answer.
pub(super) fn compare(import: &Import, request: &Request, task: Task) -> Vec<Compared> {
    if import.measured.is_empty() {
        return Vec::new();
    }
    let Some(predicted) = predicted(&part(request, task), task) else {
        return Vec::new();
    };
    // The last line that states a part is the one that holds, and buffers of one part on several cards are alike.
    let mut rows: Vec<Compared> = Vec::new();
    for measured in import.measured.iter().rev() {
        let found = predicted.iter().find(|(part, _)| *part == measured.part);
        let seen = rows.iter().any(|row| row.part == measured.part);
        let Some((part, range)) = found.filter(|_| !seen) else {
            continue;
        };
        let ratio = range.expected_bytes.to_gib() / measured.bytes.to_gib().max(1e-9);
        rows.push(Compared {
            part,
            label: label(part),
            measured_bytes: measured.bytes,
            predicted: *range,
            // No minus before a zero.
            difference_percent: ((ratio - 1.0) * 1000.0).round() / 10.0 + 0.0,
            inside: (range.low_bytes..=range.high_bytes).contains(&measured.bytes),
            why: String::new(),
        });
    }
    rows.reverse();
    let whys: Vec<String> = rows.iter().map(|row| why(row, &rows)).collect();
    for (row, why) in rows.iter_mut().zip(whys) {
        row.why = why;
    }
    rows
}

/// What the question predicts, by part.
fn predicted(request: &Request, task: Task) -> Option<Vec<(&'static str, Range)>> {
    let mut predicted: Vec<(&'static str, Range)> = Vec::new();
    let meters = match task {
        Task::Inference => {
            let answer = calculate_inference(request).ok()?;
            predicted.extend(answer.parts.iter().map(|part| (part.id, part.bytes)));
            if let Some(pool) = &answer.pool {
                predicted.retain(|(id, _)| *id != "kv_cache");
                predicted.push(("kv_cache", pool.bytes));
            }
            answer.meters
        }
        Task::Training | Task::Plan => calculate(request).ok()?.meters,
    };
    predicted.extend([
        ("allocated", meters.allocated),
        ("needed", meters.allocated),
        ("reserved", meters.reserved),
        ("device", meters.device),
    ]);
    Some(predicted)
}

/// The name of a part for a person.
fn label(part: &str) -> &'static str {
    match part {
        "weights" => "Weights",
        "kv_cache" => "KV cache",
        "state" => "States",
        "activations" => "Activations",
        "workspaces" => "Workspaces",
        "graphs" => "CUDA graphs",
        "non_torch" => "Outside torch",
        "context" => "Context",
        "allocated" => "Allocated",
        "needed" => "Allocated, with the request that failed",
        "reserved" => "Reserved",
        "device" => "On the device",
        _ => "Other",
    }
}

/// Why a row differs.
fn why(row: &Compared, rows: &[Compared]) -> String {
    if row.part == "needed" {
        return needed(row);
    }
    if row.inside {
        return "Within the bounds of the prediction.".to_owned();
    }
    let words = match row.part {
        "weights" => {
            "Another format of the checkpoint, another number of GPUs for one copy, or a model that is not the one in the form."
        }
        "kv_cache" | "state" => return cache(row, rows),
        "activations" => {
            "The largest pass decides: tokens in one batch, the attention kernel and its workspace, and what a release compiles."
        }
        "workspaces" => "Buffers of the release and of its kernels.",
        "graphs" => "How many batch sizes are captured, and whether the release counts their pool here.",
        "non_torch" | "context" => {
            "The driver's context, its libraries and NCCL; a log also counts here what other processes hold on the card."
        }
        "allocated" => {
            "A message states the moment at which it was written, a prediction the peak of a step that ends."
        }
        "reserved" => {
            "The allocator also holds what is free between its blocks; how much depends on the order of the run, and on a full card it gives some back first."
        }
        "device" => {
            "Every process on the card is counted here, with a context each, and so is what was reserved and is free."
        }
        _ => "No part of the question is the same quantity.",
    };
    words.to_owned()
}

/// A run that stopped needed at least so much.
fn needed(row: &Compared) -> String {
    let least = row.measured_bytes.to_gib();
    if row.predicted.high_bytes >= row.measured_bytes {
        let more = row.predicted.expected_bytes.to_gib() - least;
        return format!(
            "The run stopped before its peak, so it needs at least {least:.2} GiB. The prediction is {} that.",
            if more >= 0.0 {
                format!("{more:.2} GiB above")
            } else {
                "within its bounds of".to_owned()
            }
        );
    }
    format!(
        "The run needed at least {least:.2} GiB, more than is predicted: something in it is not as in the form. \
         Look at recomputation, sequence length, micro-batch, attention kernel and optimizer first."
    )
}

/// The cache takes what the other parts leave of the budget.
fn cache(row: &Compared, rows: &[Compared]) -> String {
    let over = |row: &Compared| row.predicted.expected_bytes.to_gib() - row.measured_bytes.to_gib();
    let others: Vec<&Compared> = rows
        .iter()
        .filter(|other| OF_BUDGET.contains(&other.part))
        .collect();
    let (difference, from_others) = (over(row), -others.iter().map(|other| over(other)).sum::<f64>());
    let names: Vec<&str> = others.iter().map(|other| other.label).collect();
    let mut words = format!(
        "The cache takes what the other parts leave of the budget, and differs by {difference:+.2} GiB."
    );
    if !names.is_empty() {
        words.push_str(&format!(
            " The difference in {} alone would make {from_others:+.2} GiB.",
            names.join(", ")
        ));
    }
    words.push_str(" The rest is the memory of the card, the share of it that the engine may use, or what the log does not state.");
    words
}
