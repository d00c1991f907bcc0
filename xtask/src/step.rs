//! One step of a command: says what runs, runs it, says how long it took.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::place;

/// Runs a step and prints its name before and its duration after.
pub fn step<T>(what: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("==> {what}");
    let start = Instant::now();
    let result = run();
    let ended = if result.is_ok() { "done" } else { "FAILED" };
    println!("<== {what}: {ended} after {:.1} s", start.elapsed().as_secs_f64());
    result
}

/// A command that runs in the workspace's folder.
pub fn command(program: impl AsRef<Path>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program.as_ref());
    command.current_dir(place::root()).args(arguments);
    command
}

/// Cargo in the workspace's folder.
///
/// What cargo told *this* program about itself is taken away again, so that the inner builds see the same
/// environment as when they are called by hand and reuse each other's outputs.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = command("cargo", arguments);
    clean(&mut command);
    command
}

/// Takes the variables away that cargo set for this program.
pub fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}

/// Runs a command and fails unless it succeeds; what it prints is passed on.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("{shown} could not be started"))?;
    if !status.success() {
        bail!("{shown} ended with {status}");
    }
    Ok(())
}

/// Runs a command quietly and returns what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{shown} could not be started"))?;
    if !output.status.success() {
        bail!(
            "{shown} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
