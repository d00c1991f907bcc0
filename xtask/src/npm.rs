//! The packages of the browser tests, as their lock file names them.

use std::fs;

use anyhow::{Context, Result};

use crate::place;
use crate::step::{command, run, step};

/// Installs the packages unless the lock file is the one they were installed from.
pub fn packages() -> Result<()> {
    let folder = place::end_to_end();
    let lock = fs::read(folder.join("package-lock.json")).context("reading tests/e2e/package-lock.json")?;
    let stamp = folder.join("node_modules/.installed-from");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    step("packages of the browser tests", || {
        run(command("npm", &["ci", "--no-audit", "--no-fund"]).current_dir(&folder))?;
        fs::write(&stamp, &lock).context("noting what was installed")
    })
}
