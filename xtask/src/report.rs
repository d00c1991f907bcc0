//! The figures that must not drift, in one place: sizes and instructions with their budgets, accuracy, records, vectors.

#![allow(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value is null, and nothing else is indexed"
)]

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::budget::Budget;
use crate::place;

/// Prints the report as Markdown. Sizes are those of the last build; instructions are counted now where `valgrind` is there.
pub fn print() -> Result<()> {
    let budget = Budget::read()?;
    println!("# Figures\n\n## Sizes and cost\n\n| figure | now | budget |\n| --- | ---: | ---: |");
    let mut known = crate::size::sizes().unwrap_or_default();
    known.extend(crate::package::sizes().unwrap_or_default());
    if place::on_path("valgrind").is_some() {
        known.extend(crate::cost::measure()?);
    }
    for (name, limit) in budget.all() {
        let now = known.iter().find(|(own, _)| own == name);
        let now = now.map_or("not measured".to_owned(), |(_, value)| value.to_string());
        println!("| {name} | {now} | {limit} |");
    }
    let read =
        |name: &str| fs::read_to_string(place::root().join(name)).with_context(|| format!("reading {name}"));
    let accuracy: Value =
        serde_json::from_str(&read("assets/accuracy.json")?).context("assets/accuracy.json")?;
    println!(
        "\n## Accuracy\n\n| engine | quantity | records | mapped | median % | p90 % |\n| --- | --- | ---: | ---: | ---: | ---: |"
    );
    for row in accuracy["rows"].as_array().into_iter().flatten() {
        let cell = |key: &str| match &row[key] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let cells = [
            "engine",
            "quantity",
            "records",
            "mapped",
            "median_percent",
            "p90_percent",
        ]
        .map(cell);
        println!("| {} |", cells.join(" | "));
    }
    let mut vectors = 0;
    for entry in fs::read_dir(place::root().join("tests/vectors"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let file: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
            vectors += file["vectors"].as_array().map_or(0, Vec::len);
        }
    }
    let parity = read("tests/parity.toml")?;
    let open = parity.lines().filter(|line| line.contains(", open = ")).count();
    println!("\n{vectors} conformance vectors; {open} rows of the parity checklist are open.");
    Ok(())
}
