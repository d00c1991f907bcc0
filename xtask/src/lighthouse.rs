//! What Lighthouse says of the built page, against the committed least scores. Its packages are larger than those of the other tests,
//! so this is a command of its own and no part of every test run.

use anyhow::Result;

use crate::step::{command, run, step};
use crate::{browser, npm, place};

/// Judges the page in `dist/`; `--write` commits the scores.
pub fn check(options: &[&str]) -> Result<()> {
    let browser = browser::find_or_bring()?;
    npm::packages_of("tests/e2e/lighthouse")?;
    step("Lighthouse", || {
        let mut node = command("node", &["tests/e2e/lighthouse/check.mjs"]);
        node.args(options);
        node.env("DIST", place::dist());
        node.env("CHROMIUM", &browser.chromium);
        run(&mut node)
    })
}
