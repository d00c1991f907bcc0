//! Where results go: standard output, or the file of `--output`.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use clap::ArgMatches;

use crate::failure::Failure;

/// Whether `--format json` (or jsonl) was given to any command.
pub fn wants_json(matches: &ArgMatches) -> bool {
    let given = matches.subcommand().map_or(matches, |(_, given)| given);
    format(given).starts_with("json")
}

/// The value of `--format`; "table" where the command has none.
pub fn format(given: &ArgMatches) -> &str {
    given
        .try_get_one::<String>("format")
        .ok()
        .flatten()
        .map_or("table", String::as_str)
}

/// Writes a result, ending in one line break, to where the user wants it.
pub fn write(given: &ArgMatches, text: &str) -> Result<(), Failure> {
    let text = format!("{}\n", text.trim_end_matches('\n'));
    let file = given
        .try_get_one::<String>("output")
        .ok()
        .flatten()
        .filter(|path| *path != "-");
    match file {
        Some(path) => to_file(given, path, &text),
        None => match std::io::stdout().lock().write_all(text.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|error| Failure::Io(format!("standard output: {error}"))),
        },
    }
}

fn to_file(given: &ArgMatches, path: &str, text: &str) -> Result<(), Failure> {
    let force = given.try_get_one::<bool>("force").ok().flatten().copied();
    if Path::new(path).exists() && force != Some(true) {
        return Err(Failure::Io(format!(
            "{path} exists; give --force to overwrite it"
        )));
    }
    std::fs::write(path, text).map_err(|error| Failure::Io(format!("{path}: {error}")))?;
    let note = format!("written to {path}\n");
    // A note only; a closed standard error loses nothing.
    let _ = std::io::stderr().lock().write_all(note.as_bytes());
    Ok(())
}

/// A result as indented JSON.
pub fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|error| Failure::Io(error.to_string()))
}
