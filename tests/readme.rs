//! What the README and `assets/accuracy.json` state as figures is what the program says.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::path::Path;

use gpu_mem_calc::accuracy::{compare, evidence, markdown, record};

fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

#[test]
fn the_accuracy_of_the_readme_is_that_of_the_records() {
    let readme = text("README.md");
    let (_, after) = readme.split_once("<!-- accuracy -->\n").expect("the first mark");
    let (table, _) = after.split_once("<!-- /accuracy -->").expect("the second mark");
    let mut records = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/measured");
    for file in std::fs::read_dir(folder).expect("the folder").flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.ends_with(".jsonl") {
            records.extend(record::read(&text(&format!("tests/measured/{name}"))).expect(&name));
        }
    }
    assert_eq!(
        table.trim(),
        markdown(&records).trim(),
        "the table is of other records or of another state: run `cargo xtask accuracy`"
    );
}

#[test]
fn an_edit_is_painted_within_the_committed_limit() {
    // `cargo xtask bench page --write` measures in Chromium and fails above these limits; here stands what it found last.
    let found: serde_json::Value =
        serde_json::from_str(&text("tests/e2e/paint.json")).expect("figures as JSON");
    let edits = found["all"]["edits"].as_u64().expect("how many were timed");
    let worst = found["all"]["worst"].as_f64().expect("the slowest");
    assert!(edits >= 200, "{edits} edits");
    assert!(worst < 50.0, "an edit took {worst} ms");
}

#[test]
fn the_committed_statistics_are_those_of_the_records() {
    let mut records = Vec::new();
    for name in [
        "adapter-trace.jsonl",
        "assisted-trace.jsonl",
        "deepspeed-adapter-trace.jsonl",
        "deepspeed-preference-trace.jsonl",
        "deepspeed-trace.jsonl",
        "deepspeed-variants-trace.jsonl",
        "fsdp2-adapter-trace.jsonl",
        "options-trace.jsonl",
        "saved-activations.jsonl",
        "serving.jsonl",
        "settings-trace.jsonl",
        "vision-trace.jsonl",
        "smallest-card.jsonl",
        "torch-trace-variants.jsonl",
        "torch-trace.jsonl",
        "training-extras-trace.jsonl",
        "training.jsonl",
        "transformers-inference-trace.jsonl",
        "vllm.jsonl",
    ] {
        records.extend(record::read(&text(&format!("tests/measured/{name}"))).expect(name));
    }
    assert_eq!(
        &compare(&records).table(),
        evidence(),
        "run: gpu-mem-calc accuracy tests/measured --format json --output assets/accuracy.json --force"
    );
}
