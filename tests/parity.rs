//! The parity checklist: every row once, and every test that a row names exists.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeSet;
use std::path::Path;

use toml::Value;

/// Collects the names of functions, and of tests in scripts, below a folder.
fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "node_modules") {
                collect(&path, names);
            }
            continue;
        }
        let extension = path
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        match extension {
            "rs" => {
                for line in text.lines() {
                    if let Some((_, after)) = line.split_once("fn ") {
                        names.insert(
                            after
                                .split(['(', '<'])
                                .next()
                                .unwrap_or_default()
                                .trim()
                                .to_string(),
                        );
                    }
                }
            }
            "js" | "mjs" | "ts" => {
                for part in ["test(", "story("]
                    .iter()
                    .flat_map(|call| text.split(call).skip(1))
                {
                    let quote = part.trim_start().chars().next().unwrap_or(' ');
                    if let Some(name) = part.split(quote).nth(1) {
                        names.insert(name.to_string());
                    }
                }
            }
            _ => {}
        }
    }
}

#[test]
fn every_row_of_the_checklist_is_met_open_or_replaced() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for folder in ["src", "tests", "xtask"] {
        collect(&root.join(folder), &mut names);
    }
    let table: toml::Table = include_str!("parity.toml")
        .parse()
        .expect("valid TOML, each row once");
    let mut failures = Vec::new();
    for number in 1..=412 {
        let Some(row) = table.get(&format!("P{number}")).and_then(Value::as_table) else {
            failures.push(format!("P{number} is missing"));
            continue;
        };
        let states: Vec<&str> = ["met", "open", "replaced"]
            .into_iter()
            .filter(|state| row.contains_key(*state))
            .collect();
        match (
            states.as_slice(),
            row.get("met"),
            row.get("open"),
            row.get("replaced"),
        ) {
            (["met"], Some(Value::Array(tests)), _, _) if !tests.is_empty() => {
                for test in tests {
                    let name = test.as_str().unwrap_or_default();
                    if !names.contains(name) {
                        failures.push(format!("P{number} names a test that does not exist: {name}"));
                    }
                }
            }
            (["open"], _, Some(Value::Integer(2..=11)), _) => {}
            (["replaced"], _, _, Some(Value::String(reason))) if !reason.is_empty() => {}
            _ => failures.push(format!(
                "P{number} is not exactly one of met, open (2 to 11), replaced"
            )),
        }
    }
    assert_eq!(failures, Vec::<String>::new());
    assert_eq!(table.len(), 412, "rows that are not in the checklist");
}
