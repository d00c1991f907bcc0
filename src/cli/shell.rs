//! What a shell and a system want of a command line: completions and the manual page.

use std::process::ExitCode;

use clap::ArgMatches;
use clap_complete::{Shell, generate};

use crate::args;
use crate::failure::Failure;
use crate::output;

/// `completions`.
pub fn completions(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let Some(shell) = given.get_one::<Shell>("shell").copied() else {
        return Err(Failure::usage(
            "Name a shell: bash, zsh, fish, powershell or elvish.",
        ));
    };
    let mut text = Vec::new();
    generate(shell, &mut args::command(), "gpu-mem-calc", &mut text);
    output::write(given, &String::from_utf8_lossy(&text))?;
    Ok(ExitCode::SUCCESS)
}

/// `man`: the page of the whole program, or of one command.
pub fn man(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let mut whole = args::command();
    whole.build();
    let page = match given.get_one::<String>("command") {
        None => whole,
        Some(name) => {
            let found = whole.find_subcommand(name).cloned();
            found.ok_or_else(|| Failure::usage(format!("There is no command {name}.")))?
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut text)
        .map_err(|error| Failure::Io(error.to_string()))?;
    output::write(given, &String::from_utf8_lossy(&text))?;
    Ok(ExitCode::SUCCESS)
}
