//! Brings the committed figures of accuracy up to date: `assets/evidence.csv` for answers, `assets/accuracy.json` for the page,
//! and the table of the README.

use std::fs;

use anyhow::{Context, Result};

use crate::place;
use crate::step::{cargo, output, run, step};

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
    })
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
