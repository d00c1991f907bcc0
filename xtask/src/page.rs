//! Building and serving the page: Trunk does it, this brings Trunk and what Trunk needs.

use std::process::Command;

use anyhow::Result;

use crate::step::{clean, command, run, step};
use crate::{place, tools};

/// How the page is compiled.
#[derive(Clone, Copy, PartialEq)]
pub enum Profile {
    /// Quick to build, with checks.
    Debug,
    /// Small and fast, as it is published.
    Release,
}

/// Builds the page into `dist/`.
pub fn build(profile: Profile) -> Result<()> {
    let mut trunk = trunk("build", profile)?;
    step("page into dist/", || run(&mut trunk))
}

/// Serves the page until it is stopped; options after `--release` go to Trunk.
pub fn serve(options: &[&str]) -> Result<()> {
    let (profile, rest) = match options {
        ["--release", rest @ ..] => (Profile::Release, rest),
        rest => (Profile::Debug, rest),
    };
    let rest = if let ["--", rest @ ..] = rest { rest } else { rest };
    let mut trunk = trunk("serve", profile)?;
    trunk.args(rest);
    println!("==> serving the page (stop with Ctrl-C)");
    run(&mut trunk)
}

/// Trunk with the bindings generator on its search path, and nothing left to fetch.
fn trunk(verb: &str, profile: Profile) -> Result<Command> {
    tools::wasm_target()?;
    let program = tools::trunk()?;
    let bindings = tools::wasm_bindgen()?;
    tools::crates()?;
    let mut trunk = command(&program, &[verb, "--offline"]);
    if profile == Profile::Release {
        trunk.arg("--release");
    }
    clean(&mut trunk);
    trunk.env("PATH", place::path_with([program.as_path(), bindings.as_path()])?);
    // Trunk reads this variable as a switch and stops at any value but true or false.
    trunk.env_remove("NO_COLOR");
    Ok(trunk)
}
