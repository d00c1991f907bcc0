//! The conformance vectors of `tests/vectors/`: calls with their arguments and what is kept of each answer. The format is
//! described in `tests/vectors/README.md`.
//!
//! They say that the calculator computes what it computed; whether that is right is said by the measured records, the traces
//! and the worked examples, and never by a vector.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use gpu_mem_calc::calls;
use serde_json::{Map, Value, json};

/// What is kept of long answers, by call: members by path, lists by the members of their items. Answers of other calls are
/// kept whole.
const KEPT: [(&str, &[&str]); 5] = [
    (
        "calculate",
        &[
            "total_memory_per_gpu_bytes",
            "total_memory_all_gpus_bytes",
            "cpu_memory_bytes",
            "breakdown.model_params_bytes",
            "breakdown.gradients_bytes",
            "breakdown.optimizer_states_bytes",
            "breakdown.activations_bytes",
            "breakdown.overhead_bytes",
            "verdict",
            "recommended_batch_size",
            "meters",
            "need",
            "capacity.usable_bytes",
            "gpus_used",
            "global_batch_size",
            "instants.id",
            "instants.allocated_bytes",
            "model.total_parameters",
            "model.active_parameters",
        ],
    ),
    (
        "calculateInference",
        &[
            "total_memory_per_gpu_bytes",
            "breakdown.model_params_bytes",
            "breakdown.kv_cache_bytes",
            "breakdown.activations_bytes",
            "breakdown.overhead_bytes",
            "verdict",
            "meters",
            "need",
            "capacity.usable_bytes",
            "parts.id",
            "parts.bytes",
            "pool",
            "model.total_parameters",
        ],
    ),
    (
        "calculateMultiNode",
        &[
            "traffic.id",
            "traffic.payload_bytes",
            "traffic.bytes_per_step",
            "traffic.node_bytes_per_step",
            "step.step_ms",
            "step.mfu_percent",
        ],
    ),
    ("importText", &["kind", "found", "measured", "request"]),
    ("optimizeBatchSize", &["max_batch_size", "memory_result.need"]),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// The files with their vectors.
fn files() -> Vec<(String, Vec<Value>)> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("the folder")
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".json"))
        .collect();
    names.sort();
    let read = |name: String| {
        let text = std::fs::read_to_string(folder().join(&name)).expect("a file");
        let value: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| unreachable!("{name}: {error}"));
        assert_eq!(value["format"], 1, "{name}");
        let vectors = value["vectors"].as_array().expect("vectors").clone();
        (name, vectors)
    };
    names.into_iter().map(read).collect()
}

/// The members at a path; in lists those of every item.
fn keep(value: &Value, path: &[&str]) -> Option<Value> {
    match (value, path) {
        (value, []) => Some(value.clone()),
        (Value::Array(items), _) => {
            let kept: Vec<Value> = items
                .iter()
                .map(|item| keep(item, path).unwrap_or(json!({})))
                .collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        (Value::Object(fields), [first, rest @ ..]) => {
            let inner = keep(fields.get(*first)?, rest)?;
            Some(Value::Object(Map::from_iter([((*first).to_owned(), inner)])))
        }
        _ => None,
    }
}

fn merge(into: &mut Value, other: Value) {
    match (into, other) {
        (Value::Object(into), Value::Object(other)) => {
            for (key, value) in other {
                match into.get_mut(&key) {
                    Some(known) => merge(known, value),
                    None => {
                        into.insert(key, value);
                    }
                }
            }
        }
        (Value::Array(into), Value::Array(other)) => {
            into.iter_mut()
                .zip(other)
                .for_each(|(into, other)| merge(into, other));
        }
        (into, other) => *into = other,
    }
}

/// What is kept of the outcome of a vector.
fn outcome(vector: &Value) -> (&'static str, Value) {
    let name = vector["call"].as_str().expect("a call");
    let arguments = vector["arguments"].as_array().expect("arguments");
    match calls::run(name, arguments) {
        Ok(answer) => {
            let paths = KEPT.iter().find(|(call, _)| *call == name);
            let kept = paths.map(|(_, paths)| {
                let mut kept = json!({});
                for path in *paths {
                    let parts: Vec<&str> = path.split('.').collect();
                    if let Some(found) = keep(&answer, &parts) {
                        merge(&mut kept, found);
                    }
                }
                kept
            });
            ("answer", kept.unwrap_or(answer))
        }
        Err(fault) => {
            let issues = fault.issues.iter().filter(|issue| issue.is_error());
            let errors: Vec<Value> = issues
                .map(|issue| json!({"code": issue.code, "path": issue.path}))
                .collect();
            ("fault", json!({"type": fault.kind.key(), "errors": errors}))
        }
    }
}

/// The places at which two values differ, with both.
fn differences(path: &str, kept: &Value, now: &Value, found: &mut Vec<String>) {
    match (kept, now) {
        (Value::Object(left), Value::Object(right)) => {
            for (key, value) in left {
                differences(
                    &format!("{path}.{key}"),
                    value,
                    right.get(key).unwrap_or(&Value::Null),
                    found,
                );
            }
            for (key, value) in right.iter().filter(|(key, _)| !left.contains_key(*key)) {
                found.push(format!("{path}.{key}: was not there, is {value}"));
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (at, (left, right)) in left.iter().zip(right).enumerate() {
                differences(&format!("{path}[{at}]"), left, right, found);
            }
        }
        _ if kept == now => {}
        _ => found.push(format!("{path}: was {kept}, is {now}")),
    }
}

/// The text of a file: one vector a line, so that a change shows which it is.
fn file_text(vectors: &[Value]) -> String {
    let mut text = "{\"format\":1,\"vectors\":[\n".to_owned();
    for (at, vector) in vectors.iter().enumerate() {
        let comma = if at + 1 == vectors.len() { "" } else { "," };
        writeln!(text, "{vector}{comma}").expect("text grows");
    }
    text + "]}\n"
}

/// With `GPU_MEM_CALC_WRITE` the files are written anew. `cargo xtask vectors` does that.
#[test]
fn every_vector_gives_what_it_gave() {
    let write = std::env::var_os("GPU_MEM_CALC_WRITE").is_some();
    let mut drift = Vec::new();
    for (name, vectors) in files() {
        let mut anew = Vec::new();
        for vector in vectors {
            let (kind, kept) = outcome(&vector);
            if !write {
                let mut found = Vec::new();
                differences("", &vector[kind], &kept, &mut found);
                if !found.is_empty() {
                    let shown: Vec<&str> = found.iter().take(6).map(String::as_str).collect();
                    drift.push(format!(
                        "{name}, {}:\n    {}",
                        vector["name"],
                        shown.join("\n    ")
                    ));
                }
                continue;
            }
            let mut fresh = Map::new();
            for key in ["name", "call", "arguments"] {
                fresh.insert(key.to_owned(), vector[key].clone());
            }
            fresh.insert(kind.to_owned(), kept);
            anew.push(Value::Object(fresh));
        }
        if write {
            std::fs::write(folder().join(&name), file_text(&anew)).expect("the file is written");
        }
    }
    let shown: Vec<&str> = drift.iter().take(20).map(String::as_str).collect();
    assert!(
        drift.is_empty(),
        "{} vectors differ. If the new answers are meant: cargo xtask vectors, and look at the difference.\n{}",
        drift.len(),
        shown.join("\n")
    );
}

#[test]
fn there_are_vectors_of_every_kind() {
    let files = files();
    let count: usize = files.iter().map(|(_, vectors)| vectors.len()).sum();
    assert!(count >= 200, "{count}");
    let mut names: Vec<String> = files
        .iter()
        .flat_map(|(_, vectors)| vectors.iter().map(|vector| vector["name"].to_string()))
        .collect();
    names.sort();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before, "a name stands twice");
    for (call, least) in [
        ("calculate", 60),
        ("calculateInference", 60),
        ("calculateMultiNode", 20),
        ("importText", 60),
        ("parseParameterCount", 60),
        ("exportConfig", 10),
    ] {
        let found = files
            .iter()
            .flat_map(|(_, vectors)| vectors)
            .filter(|vector| vector["call"] == call)
            .count();
        assert!(found >= least, "{call}: {found}");
    }
    let faults = files
        .iter()
        .flat_map(|(_, vectors)| vectors)
        .filter(|vector| vector.get("fault").is_some())
        .count();
    assert!(faults >= 50, "{faults}");
}

/// With a folder in `GPU_MEM_CALC_OUTCOMES`, the whole text of every outcome is written there for the comparison with the
/// same module in Node and in a browser.
#[test]
fn outcomes_are_written_for_other_machines() {
    let mut all = Map::new();
    for (_, vectors) in files() {
        for vector in vectors {
            let arguments = vector["arguments"].to_string();
            let call = vector["call"].as_str().expect("a call");
            let text = calls::run_text(call, &arguments);
            assert!(
                text.starts_with("{\"answer\":") || text.starts_with("{\"fault\":"),
                "{text}"
            );
            let name = vector["name"].as_str().expect("a name").to_owned();
            all.insert(name, json!({"call": call, "arguments": arguments, "text": text}));
        }
    }
    if let Some(folder) = std::env::var_os("GPU_MEM_CALC_OUTCOMES") {
        let file = Path::new(&folder).join("outcomes.json");
        std::fs::write(file, Value::Object(all).to_string()).expect("the file is written");
    }
}
