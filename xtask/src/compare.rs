//! The original calculator's outputs beside this one's answers to the same questions: the tables of `assets/docs/COMPARE.md`. The
//! outputs are those of George614/gpu-mem-calculator at commit 2f345d1, called as a library (`tests/compat/original_outputs.jsonl`).

#![allow(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value is null, and nothing else is indexed"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::step::{cargo, command, run, step};
use crate::{marked, place};

const OUTPUTS: &str = "tests/compat/original_outputs.jsonl";
const PAGE: &str = "assets/docs/COMPARE.md";

/// What the original has a figure for, by its key and in words.
const PARTS: [(&str, &str); 6] = [
    ("total", "total of a GPU"),
    ("model_params_gb", "weights"),
    ("gradients_gb", "gradients"),
    ("optimizer_states_gb", "optimizer"),
    ("kv_cache_gb", "keys and values"),
    ("activations_gb", "activations"),
];

/// Writes the tables anew.
pub fn write() -> Result<()> {
    let own = ["build", "--locked", "--features", "cli", "--bin", "gpu-mem-calc"];
    step("command line", || run(&mut cargo(&own)))?;
    let read =
        |name: &str| fs::read_to_string(place::root().join(name)).with_context(|| format!("reading {name}"));
    let mut differences: BTreeMap<(String, String, usize), Vec<f64>> = BTreeMap::new();
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    let (mut asked, mut answered) = (0, 0);
    for line in read(OUTPUTS)?.lines() {
        let row: Value = serde_json::from_str(line).context(OUTPUTS)?;
        let kind = row["kind"].as_str().unwrap_or_default();
        let command = match kind {
            "training" => "calculate",
            "inference" => "inference",
            _ => continue,
        };
        if row["original"].is_null() {
            continue;
        }
        asked += 1;
        let (question, engine) = question(&row);
        let answer = ask(command, &question)?;
        if answer["error"].is_string() {
            let message = answer["message"].as_str().unwrap_or_default();
            *refused.entry(message.to_owned()).or_default() += 1;
            continue;
        }
        answered += 1;
        for (at, (part, _)) in PARTS.iter().enumerate() {
            let figure = |of: &Value| match *part {
                "total" => of["total_memory_per_gpu_gb"].as_f64(),
                part => of["breakdown"][part].as_f64(),
            };
            let (Some(theirs), Some(ours)) = (figure(&row["original"]), figure(&answer)) else {
                continue;
            };
            if ours > 0.0 {
                let key = (kind.to_owned(), engine.clone(), at);
                differences
                    .entry(key)
                    .or_default()
                    .push((theirs / ours - 1.0) * 100.0);
            }
        }
    }
    let mut text = format!(
        "\n{asked} questions, of which this calculator answers {answered}. Original / ours - 1:\n\n\
         | kind | engine | figure | questions | median | lowest | highest |\n|---|---|---|---:|---:|---:|---:|\n"
    );
    for ((kind, engine, at), mut values) in differences {
        values.sort_by(f64::total_cmp);
        let part = PARTS.get(at).map_or("", |(_, words)| words);
        let of = |index: usize| values.get(index).copied().unwrap_or_default();
        let (count, last) = (values.len(), values.len().saturating_sub(1));
        let median = (of(last / 2) + of(count / 2)) / 2.0;
        writeln!(
            text,
            "| {kind} | {engine} | {part} | {count} | {median:+.0} % | {:+.0} % | {:+.0} % |",
            of(0),
            of(last)
        )?;
    }
    writeln!(
        text,
        "\nThe original answers the others too. Here they are refused:\n\n| questions | why |\n|---:|---|"
    )?;
    let mut refused: Vec<(String, usize)> = refused.into_iter().collect();
    refused.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (why, count) in refused {
        writeln!(text, "| {count} | {why} |")?;
    }
    marked::put(PAGE, "compared", &text)
}

/// A question of the original in our words, and its engine: the model's own configuration takes the place of the fields that the
/// original knows of it.
fn question(row: &Value) -> (Value, String) {
    let mut question = row["input"].clone();
    let longest = question["model"]["max_seq_len"].clone();
    question["model"] = json!({"id": row["architecture"], "max_seq_len": longest});
    if let Some(server) = question["engine"].as_str().map(str::to_owned) {
        question["inference"]["engine_type"] = json!(server);
        if let Some(object) = question.as_object_mut() {
            object.remove("engine");
        }
        return (question, server);
    }
    let engine = question["engine"]["type"].as_str().unwrap_or_default().to_owned();
    (question, engine)
}

/// The answer of the command line, or its error.
fn ask(name: &str, question: &Value) -> Result<Value> {
    let program = place::target().join("debug/gpu-mem-calc");
    let mut asked = command(program, &[name, "--config", "-", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("the command line")?;
    if let Some(mut input) = asked.stdin.take() {
        input.write_all(question.to_string().as_bytes())?;
    }
    let output = asked.wait_with_output()?;
    let of = |bytes: &[u8]| serde_json::from_slice(bytes).ok();
    of(&output.stdout)
        .or_else(|| of(&output.stderr))
        .context("an answer as JSON")
}
