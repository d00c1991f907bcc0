//! What stands behind every option: the committed table is what runs and calculations by hand give, every input of a
//! training question has its place in it, and a request without evidence is answered as not validated.

// A test says what it expected by panicking.
#![allow(clippy::expect_used, clippy::panic)]

mod by_hand;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use by_hand::Worked;
use gpu_mem_calc::accuracy::evidence_table;
use gpu_mem_calc::accuracy::record::{Record, read};
use gpu_mem_calc::api::evidence::{UNSEEN, every_option, is_option, is_size, kinds};
use gpu_mem_calc::api::{self, Answer, Availability, BackingStatus, INPUTS, Request, Section};
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).expect("a folder");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn records() -> Vec<Record> {
    let files = files("tests/measured", "jsonl");
    files
        .iter()
        .flat_map(|path| read(&text(path)).expect("records"))
        .collect()
}

/// Calculations by hand: of engines, which tests/engines_complete.rs runs, and of options, which run here.
fn examples(folder: &str) -> Vec<(String, Worked)> {
    let read = |path: PathBuf| {
        let name = path.display().to_string();
        let worked = Worked::read(&name, &text(&path));
        (name, worked)
    };
    files(folder, "json").into_iter().map(read).collect()
}

fn worked() -> Vec<Request> {
    let all = examples("tests/worked")
        .into_iter()
        .chain(examples("tests/worked_options"));
    all.map(|(_, worked)| worked.request()).collect()
}

/// Questions whose traces tests/between.rs compares.
fn traced() -> Vec<Request> {
    let lines = text(&root().join("tests/traces/between.jsonl"));
    let asked = lines.lines().map(|line| {
        let row: Value = serde_json::from_str(line).expect("a trace");
        Request::from_json(row.get("question").expect("a question")).expect("a request")
    });
    asked.collect()
}

#[test]
fn options_are_answered_as_calculated_by_hand() {
    for (path, worked) in examples("tests/worked_options") {
        worked.check(&path);
    }
}

fn answered(request: Value) -> Answer {
    api::calculate(&Request::from_json(&request).expect("a request")).expect("an answer")
}

#[test]
fn the_table_is_what_runs_and_calculations_by_hand_give() {
    let committed = text(&root().join("assets/evidence.csv"));
    let found = evidence_table(&records(), worked(), traced());
    for (found, committed) in found.lines().zip(committed.lines()) {
        assert_eq!(
            found, committed,
            "assets/evidence.csv: run `cargo xtask accuracy`"
        );
    }
    assert_eq!(found.lines().count(), committed.lines().count());
}

#[test]
fn every_input_of_a_training_question_is_an_option_or_a_size() {
    for input in INPUTS {
        let section = matches!(
            input.section,
            Section::Training | Section::Engine | Section::Parallelism
        );
        if section && input.availability == Availability::Built {
            assert!(
                is_option(input) != is_size(input.id),
                "{}: list it in src/api/evidence/options.rs, as a switch or as a size",
                input.key
            );
        }
    }
}

/// An option behind which nothing stands with any engine is listed with the reason, so that a new one is not overlooked.
#[test]
fn options_without_any_evidence_are_listed_with_their_reason() {
    let listed: BTreeMap<String, String> =
        serde_json::from_str(&text(&root().join("tests/inputs/not_validated.json"))).expect("a list");
    let empty: BTreeSet<String> = every_option()
        .iter()
        .map(|option| option.key())
        .filter(|key| kinds(key, None).is_empty())
        .collect();
    assert_eq!(empty, listed.keys().cloned().collect());
    assert!(listed.values().all(|reason| !reason.is_empty()));
}

#[test]
fn what_was_never_seen_is_answered_as_not_validated_and_wider() {
    let with = |optimizer: &str| {
        answered(json!({
            "model": {"id": "llama-3.1-8b"},
            "engine": {"type": "deepspeed", "zero_stage": 2},
            "training": {"optimizer": optimizer},
            "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8},
        }))
    };
    let (seen, unseen) = (with("adamw"), with("lion"));
    assert_eq!(seen.evidence.status, BackingStatus::Validated);
    assert!(seen.evidence.options.is_empty());
    assert_eq!(unseen.evidence.status, BackingStatus::NotValidated);
    let missing = unseen.evidence.options.first().expect("an option");
    assert_eq!(
        (missing.path, missing.value.as_str(), missing.with.as_str()),
        ("training.optimizer", "lion", "deepspeed")
    );
    let warned = unseen.warnings.iter().find(|issue| issue.code == "not_validated");
    assert_eq!(
        warned.map(|issue| issue.path.as_str()),
        Some("training.optimizer")
    );
    let width = |answer: &Answer| {
        let allocated = answer.meters.allocated;
        let share = |bytes: u64| bytes as f64 / allocated.expected_bytes.get() as f64;
        (
            1.0 - share(allocated.low_bytes.get()),
            share(allocated.high_bytes.get()) - 1.0,
        )
    };
    let ((seen_below, _), (below, above)) = (width(&seen), width(&unseen));
    assert!(seen_below < 0.05, "{seen_below}");
    assert!((below - UNSEEN.0).abs() < 1e-6, "{below}");
    assert!((above - UNSEEN.1).abs() < 1e-6, "{above}");
}

/// The bounds for what was never seen are the largest errors of options when they were compared for the first time,
/// rounded up to whole percents.
#[test]
fn the_bounds_of_the_unseen_are_those_of_first_comparisons() {
    let table = text(&root().join("tests/measured/first-comparison.csv"));
    let ids: BTreeSet<String> = records().into_iter().map(|record| record.id).collect();
    let errors: Vec<f64> = table
        .lines()
        .skip(1)
        .map(|line| {
            let (record, error) = line.split_once(',').expect("two columns");
            assert!(ids.contains(record), "{record} is no record");
            error.parse::<f64>().expect("a number")
        })
        .collect();
    assert!(errors.len() > 100);
    let lowest = errors.iter().copied().fold(0.0, f64::min);
    let highest = errors.iter().copied().fold(0.0, f64::max);
    let whole = |percent: f64| percent.ceil() / 100.0;
    assert_eq!(UNSEEN, (whole(-lowest), whole(highest)));
}
