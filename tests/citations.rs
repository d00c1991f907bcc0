//! Every constant in the rooms that compute memory says what it means and where it is from, and so does every row of a
//! ledger.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use std::path::{Path, PathBuf};

use gpu_mem_calc::api::{Request, calculate};
use serde_json::json;

/// What a source is recognised by: a file of a framework, a paper, records of this project, a release, an issue.
const SOURCES: [&str; 14] = [
    ".py",
    ".cpp",
    ".cu",
    ".h:",
    ".yaml",
    ".rs",
    "arXiv",
    "tests/measured",
    "records",
    "issue",
    "torch 2.",
    "transformers 5",
    "See [`",
    "DeepSpeed 0.",
];

/// Words that a meaning has at least.
const WORDS: usize = 5;

fn has_source(text: &str) -> bool {
    SOURCES.iter().any(|mark| text.contains(mark))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "tests") {
                files(&path, found);
            }
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

/// A constant or function of a source file: its line, its doc comment, its text up to the next one.
struct Item {
    line: usize,
    doc: String,
    head: String,
    body: String,
}

fn begins_item(line: &str) -> bool {
    let mut words = line.trim_start();
    for prefix in ["pub(super) ", "pub(crate) ", "pub ", "async "] {
        words = words.strip_prefix(prefix).unwrap_or(words);
    }
    ["const ", "static ", "fn ", "impl ", "impl<", "struct ", "enum "]
        .iter()
        .any(|word| words.starts_with(word))
}

/// The items of a file up to its tests.
fn items(text: &str) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let mut doc = String::new();
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("#[cfg(test)]") {
            break;
        }
        if let Some(comment) = trimmed.strip_prefix("///") {
            doc.push_str(comment);
        } else if begins_item(line) {
            items.push(Item {
                line: number + 1,
                doc: std::mem::take(&mut doc),
                head: trimmed.to_string(),
                body: format!("{line}\n"),
            });
        } else {
            if !trimmed.starts_with("#[") {
                doc.clear();
            }
            if let Some(item) = items.last_mut() {
                item.body.push_str(line);
                item.body.push('\n');
            }
        }
    }
    items
}

/// Numbers written in code (not in texts, comments or names) that no counting explains: fractions beside 0.0 and 1.0, and
/// whole numbers from 1000 on.
fn unexplained(body: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in body.lines() {
        let code: String = line
            .split("//")
            .next()
            .unwrap_or_default()
            .split('"')
            .step_by(2)
            .collect();
        let mut word = String::new();
        for letter in code.chars().chain([' ']) {
            if letter.is_alphanumeric() || letter == '_' || letter == '.' && !word.is_empty() {
                word.push(letter);
                continue;
            }
            let number = std::mem::take(&mut word);
            if !number.starts_with(|first: char| first.is_ascii_digit()) {
                continue;
            }
            let plain = number.trim_end_matches('.').replace('_', "");
            let value: Option<f64> = plain.parse().ok();
            let fraction = plain.contains('.') && !["0.0", "1.0"].contains(&plain.as_str());
            if value.is_some_and(|value| fraction || value >= 1000.0) {
                found.push(number);
            }
        }
    }
    found
}

fn is_numeric_constant(head: &str) -> bool {
    let after = head.split_once("const ").map(|(_, after)| after);
    let Some((_, kind)) = after.and_then(|after| after.split_once(": ")) else {
        return false;
    };
    !head.contains("fn ")
        && [
            "u64", "u32", "u16", "f64", "usize", "(f64", "(u64", "[u64", "[f64", "Bytes",
        ]
        .iter()
        .any(|start| kind.starts_with(start))
}

#[test]
fn every_constant_has_a_meaning_and_a_source() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    for room in ["memory", "training"] {
        files(&source.join(room), &mut paths);
    }
    let mut missing = Vec::new();
    let mut judged = 0;
    for path in &paths {
        let text = std::fs::read_to_string(path).expect("a file");
        let header: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let place = |item: &Item| format!("{}:{}: {}", path.display(), item.line, item.head);
        for item in items(&text) {
            let constant = is_numeric_constant(&item.head);
            if constant {
                judged += 1;
                if item.doc.split_whitespace().count() < WORDS {
                    missing.push(format!("{} says not what it means", place(&item)));
                }
                if !has_source(&item.doc) {
                    missing.push(format!("{} names no source", place(&item)));
                }
                continue;
            }
            let numbers = unexplained(&item.body);
            let explained =
                has_source(&item.doc) || has_source(&header) || item.body.contains("Citation::new");
            if !numbers.is_empty() && !explained {
                missing.push(format!("{} uses {numbers:?} without a source", place(&item)));
            }
        }
    }
    assert!(judged >= 10, "only {judged} constants were found");
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn the_reader_of_constants_sees_what_is_missing() {
    let text = "/// Bytes per block of the allocator (CUDACachingAllocator.cpp).\npub const BLOCK: u64 = 512;\nconst BARE: f64 = 0.7;\nfn scaled() -> f64 { 3.5 * 1.0 }\n";
    let found = items(text);
    let sourced: Vec<bool> = found.iter().map(|item| has_source(&item.doc)).collect();
    assert_eq!(sourced, [true, false, false]);
    assert!(is_numeric_constant(&found[0].head) && is_numeric_constant(&found[1].head));
    assert_eq!(unexplained(&found[2].body), ["3.5"]);
}

#[test]
fn every_row_of_a_ledger_has_a_formula_and_a_source() {
    let questions = [
        json!({"engine": {"type": "pytorch_ddp"}, "hardware": {"num_gpus": 1}}),
        json!({"engine": {"type": "pytorch_ddp"}, "hardware": {"num_gpus": 8}, "training": {"attention": "eager"}}),
        json!({"engine": {"type": "fsdp"}, "hardware": {"num_gpus": 8}, "training": {"optimizer": "muon"}}),
        json!({"engine": {"type": "fsdp", "fsdp_version": "1"}, "hardware": {"num_gpus": 8}}),
        json!({"engine": {"type": "deepspeed", "zero_stage": 1}, "hardware": {"num_gpus": 8}}),
        json!({"engine": {"type": "deepspeed", "zero_stage": 3}, "hardware": {"num_gpus": 8}}),
        json!({"engine": {"type": "pytorch_ddp"}, "training": {"adapter": "lora", "base_format": "nf4_double"}}),
        json!({"engine": {"type": "pytorch_ddp"}, "training": {"optimizer": "galore"}}),
        json!({"engine": {"type": "pytorch_ddp"}, "training": {"optimizer": "schedule_free", "loss": "chunked"}}),
        json!({"engine": {"type": "pytorch_ddp"}, "training": {"optimizer": "adamw_4bit_torchao", "loss": "fused"}}),
    ];
    for model in ["llama-3.1-8b", "qwen3-30b-a3b", "gpt2"] {
        for question in &questions {
            let mut question = question.clone();
            question["model"] = json!({"id": model});
            let request = Request::from_json(&question).expect("a request");
            let answer = calculate(&request).unwrap_or_else(|issues| panic!("{question}: {issues:?}"));
            assert!(answer.ledger.len() > 5, "{question}");
            for row in &answer.ledger {
                assert!(
                    !row.formula.trim().is_empty(),
                    "{model}: {} has no formula",
                    row.id
                );
                assert!(row.citation.source.len() > 8, "{model}: {} has no source", row.id);
            }
            for component in &answer.components {
                assert!(
                    !component.source.trim().is_empty(),
                    "{model}: {} has no source",
                    component.id
                );
            }
        }
    }
}
