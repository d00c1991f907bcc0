//! How results are printed and where they go: a table, JSON, YAML, CSV or Markdown; standard output, or the file of
//! `--output`.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use clap::ArgMatches;
use gpu_mem_calc::api;

use crate::failure::Failure;
use crate::{sources, tabular};

/// What `--format` takes where a result is a table for a person and data for programs.
pub const FORMATS: &[&str] = &["table", "json", "yaml", "csv", "markdown"];

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

/// Writes a result as `--format` wants it.
pub fn answer(
    given: &ArgMatches,
    value: &impl serde::Serialize,
    table: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let text = match format(given) {
        "json" => json(value)?,
        "yaml" => api::yaml_text(&data(value)?),
        "csv" => tabular::csv(&data(value)?),
        "markdown" => tabular::markdown(&data(value)?),
        _ => table(),
    };
    write(given, &text)
}

/// Whether the answer to a question is wanted as a sheet of its quantities.
pub fn is_sheet(given: &ArgMatches) -> bool {
    matches!(format(given), "csv" | "markdown")
}

/// The quantities of an answer as the export of that name has them.
pub fn sheet(given: &ArgMatches, request: &api::Request) -> Result<(), Failure> {
    let export = api::export(format(given), request).map_err(Failure::Input)?;
    write(given, &export.text)
}

/// A result as JSON data.
pub fn data(value: &impl serde::Serialize) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::Io(error.to_string()))
}

/// Says something on standard error that is no result, unless `--quiet`.
pub fn tell(given: &ArgMatches, words: &str) {
    if !sources::switch(given, "quiet") {
        // A closed standard error loses nothing that is not in the result.
        let _ = std::io::stderr().lock().write_all(words.as_bytes());
    }
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

/// Writes a file, unless it is there and `--force` was not given.
pub fn to_file(given: &ArgMatches, path: &str, text: &str) -> Result<(), Failure> {
    let force = given.try_get_one::<bool>("force").ok().flatten().copied();
    if Path::new(path).exists() && force != Some(true) {
        return Err(Failure::Io(format!(
            "{path} exists; give --force to overwrite it"
        )));
    }
    std::fs::write(path, text).map_err(|error| Failure::Io(format!("{path}: {error}")))?;
    tell(given, &format!("written to {path}\n"));
    Ok(())
}

/// A result as indented JSON.
pub fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|error| Failure::Io(error.to_string()))
}
