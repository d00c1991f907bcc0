//! Brings the committed figures of accuracy up to date: `assets/evidence.csv` and `assets/checked.csv` for answers,
//! `assets/accuracy.json` for the page, and the table of the README.

#![allow(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value is null, and nothing else is indexed"
)]

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::step::{cargo, output, run, step};
use crate::{marked, place};

/// The quantities by which answers are judged.
const JUDGED: [&str; 3] = ["max_allocated", "kv_cache", "compute_buffer"];

/// Compares the predictions with every record and writes all three.
pub fn refresh() -> Result<()> {
    let compare = |more: &[&str]| {
        let own = [
            "run",
            "--locked",
            "--quiet",
            "--features",
            "cli",
            "--",
            "accuracy",
            "tests/measured",
        ];
        cargo(&[&own, more].concat())
    };
    step("assets/evidence.csv", || {
        run(&mut compare(&[
            "tests/worked",
            "tests/worked_options",
            "tests/traces",
            "--format",
            "evidence",
            "--output",
            "assets/evidence.csv",
            "--force",
        ]))
    })?;
    step("table of the README", || {
        let table = output(&mut compare(&["--format", "markdown"]))?;
        marked::put("README.md", "accuracy", &table)
    })?;
    step("assets/accuracy.json", || {
        run(&mut compare(&[
            "--format",
            "json",
            "--output",
            "assets/accuracy.json",
            "--force",
        ]))
    })?;
    step("assets/checked.csv", || {
        let table = fs::read_to_string(place::root().join("assets/accuracy.json"))?;
        fs::write(
            place::root().join("assets/checked.csv"),
            checked(&serde_json::from_str(&table)?),
        )
        .context("writing assets/checked.csv")
    })
}

/// What answers carry of the table: engine, quantity, origin, runs, and the median, 90th percentile and largest error in percent.
fn checked(table: &Value) -> String {
    let mut text = String::new();
    for row in table["rows"].as_array().into_iter().flatten() {
        for origin in ["traced", "published"] {
            let (engine, quantity, known) = (row["engine"].as_str(), row["quantity"].as_str(), &row[origin]);
            let (Some(engine), Some(quantity), true) = (engine, quantity, known.is_object()) else {
                continue;
            };
            if !JUDGED.contains(&quantity) {
                continue;
            }
            let numbers =
                ["runs", "median_percent", "p90_percent", "worst_percent"].map(|key| known[key].to_string());
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{engine},{quantity},{origin},{}", numbers.join(","));
        }
    }
    text
}
