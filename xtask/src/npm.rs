//! Packages of tests, as their lock files name them.

use std::fs;

use anyhow::{Context, Result};

use crate::place;
use crate::step::{command, run, step};

/// Those of the browser tests.
pub fn packages() -> Result<()> {
    packages_of("tests/e2e")
}

/// Installs the packages of a folder unless its lock file is the one they were installed from.
pub fn packages_of(name: &str) -> Result<()> {
    let folder = place::root().join(name);
    let lock = fs::read(folder.join("package-lock.json"))
        .with_context(|| format!("reading {name}/package-lock.json"))?;
    let stamp = folder.join("node_modules/.installed-from");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    step(&format!("packages of {name}"), || {
        run(command("npm", &["ci", "--no-audit", "--no-fund"]).current_dir(&folder))?;
        fs::write(&stamp, &lock).context("noting what was installed")
    })
}
