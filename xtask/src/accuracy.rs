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

use crate::place;
use crate::step::{cargo, output, run, step};

/// The quantities by which answers are judged.
const JUDGED: [&str; 3] = ["max_allocated", "kv_cache", "compute_buffer"];
const MARKS: [&str; 2] = ["<!-- accuracy -->\n", "<!-- /accuracy -->"];

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
        let path = place::root().join("README.md");
        let readme = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        fs::write(&path, replaced(&readme, &table)?).with_context(|| format!("writing {}", path.display()))
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

/// The text with what stands between the marks replaced.
fn replaced(text: &str, table: &str) -> Result<String> {
    let [first, last] = MARKS;
    let (before, rest) = text
        .split_once(first)
        .context("the README has no mark before the table")?;
    let (_, after) = rest
        .split_once(last)
        .context("the README has no mark after the table")?;
    Ok(format!("{before}{first}\n{}\n\n{last}{after}", table.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = "a\n<!-- accuracy -->\nold\n<!-- /accuracy -->\nb\n";
        let expected = "a\n<!-- accuracy -->\n\nnew\n\n<!-- /accuracy -->\nb\n";
        assert_eq!(replaced(text, "new\n").ok().as_deref(), Some(expected));
        assert!(replaced("no marks", "new").is_err());
    }
}
