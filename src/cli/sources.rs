//! From files, presets and flags to one request. Later sources override earlier ones: preset or file, then the header
//! of a file with weights, then flags.

use std::io::Read;

use clap::ArgMatches;
use gpu_mem_calc::api::{self, INPUTS, Imported, Input, InputId, InputKind, Issue, Request};
use serde_json::Value;

use crate::failure::Failure;
use crate::output;

/// What is read of a file at first: more than any text that can be imported has.
const FIRST_BYTES: u64 = 16_000_000;
/// Longest header that is read.
const MOST_BYTES: u64 = 1_024_000_000;

/// The text of a file, or of standard input for "-".
pub fn read(path: &str) -> Result<String, Failure> {
    if path == "-" {
        let mut text = String::new();
        return match std::io::stdin().lock().read_to_string(&mut text) {
            Ok(_) => Ok(text),
            Err(error) => Err(Failure::Io(format!("standard input: {error}"))),
        };
    }
    std::fs::read_to_string(path).map_err(|error| Failure::Io(format!("{path}: {error}")))
}

/// What a file of any kind says, laid over a question. Of a file with weights only the header is read.
pub fn imported(path: &str, base: &Request) -> Result<Imported, Failure> {
    let failed = |error: std::io::Error| Failure::Io(format!("{path}: {error}"));
    let mut file: Box<dyn Read> = if path == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).map_err(failed)?)
    };
    let mut bytes = Vec::new();
    let mut most = FIRST_BYTES;
    loop {
        let before = bytes.len();
        let wanted = most.saturating_sub(before as u64);
        (&mut file).take(wanted).read_to_end(&mut bytes).map_err(failed)?;
        let imported = api::import_bytes(&bytes, base);
        let cut_off = imported
            .import
            .issues
            .iter()
            .any(|issue| issue.code == "header_cut_off");
        let whole = bytes.len() as u64 <= most.saturating_sub(1) || bytes.len() == before;
        if !cut_off || whole || most >= MOST_BYTES {
            return Ok(imported);
        }
        most = most.saturating_mul(4);
    }
}

/// The request that the flags of a command describe.
pub fn request(given: &ArgMatches) -> Result<Request, Failure> {
    let mut request = match (text(given, "config"), text(given, "preset")) {
        (Some(path), _) => from_file(path)?,
        (None, Some(name)) => api::preset_request(name).map_err(|issue| Failure::Input(vec![issue]))?,
        (None, None) => Request::new(),
    };
    if let Some(path) = text(given, "gguf") {
        let found = imported(path, &request)?;
        if !found.import.issues.is_empty() {
            return Err(Failure::Input(found.import.issues));
        }
        request = found.request;
    }
    settings(given, &mut request)?;
    flags(given, &mut request)?;
    Ok(request)
}

/// Sets what `--set key=value` names: a key of the registry or one of its aliases.
fn settings(given: &ArgMatches, request: &mut Request) -> Result<(), Failure> {
    let all = given.try_get_many::<String>("set").ok().flatten();
    for setting in all.into_iter().flatten() {
        let Some((key, word)) = setting.split_once('=') else {
            return Err(Failure::usage(format!(
                "--set {setting}: write it as key=value, for example training.batch_size=4."
            )));
        };
        let Some(input) = Input::by_key(key.trim()) else {
            let words = format!("There is no input {}.", key.trim());
            return Err(Failure::Input(vec![Issue::error(
                "unknown_field",
                key.trim(),
                words,
            )]));
        };
        request.set(input.id, value(input, word.trim())?);
    }
    Ok(())
}

/// A request from a file.
pub fn from_file(path: &str) -> Result<Request, Failure> {
    api::request_from_text(&read(path)?).map_err(|issue| Failure::Input(vec![issue]))
}

/// Sets every input that was given as a flag.
pub fn flags(given: &ArgMatches, request: &mut Request) -> Result<(), Failure> {
    for input in INPUTS {
        if let Some(word) = text(given, input.key) {
            request.set(input.id, value(input, word)?);
        }
    }
    Ok(())
}

/// Saves the request where `--save-config` wants it: as YAML under such a name, else as JSON.
pub fn save(given: &ArgMatches, request: &Request) -> Result<(), Failure> {
    let Some(path) = text(given, "save-config") else {
        return Ok(());
    };
    let value = request.to_json();
    let yaml = [".yaml", ".yml"].iter().any(|end| path.ends_with(end));
    let written = if yaml {
        api::yaml_text(&value)
    } else {
        format!("{value:#}\n")
    };
    output::to_file(given, path, &written)
}

/// A text argument; `None` where the command does not have it or it was not given.
pub fn text<'a>(given: &'a ArgMatches, name: &str) -> Option<&'a str> {
    given
        .try_get_one::<String>(name)
        .ok()
        .flatten()
        .map(String::as_str)
}

/// Whether a switch was given.
pub fn switch(given: &ArgMatches, name: &str) -> bool {
    given.try_get_one::<bool>(name).ok().flatten() == Some(&true)
}

/// The JSON value of a word, by the kind of its input. A word that is not of that kind stays text, for the validation to
/// refuse by field.
fn value(input: &Input, word: &str) -> Result<Value, Failure> {
    let number = || match serde_json::from_str(word) {
        Ok(number @ Value::Number(_)) => number,
        _ => Value::from(word),
    };
    Ok(match input.kind {
        InputKind::Integer { .. } | InputKind::Number { .. } | InputKind::Count { .. } => number(),
        InputKind::Toggle => match word {
            "true" | "yes" | "on" | "1" => Value::Bool(true),
            "false" | "no" | "off" | "0" => Value::Bool(false),
            other => Value::from(other),
        },
        InputKind::Choice(_) | InputKind::Text { .. } => Value::from(word),
        InputKind::List { .. } => word.split(',').map(str::trim).map(Value::from).collect(),
        InputKind::Json => json_file(input.id, word)?,
    })
}

fn json_file(id: InputId, path: &str) -> Result<Value, Failure> {
    let text = read(path)?;
    serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
        let message = format!(
            "{path} is not valid JSON: line {}, column {}.",
            error.line(),
            error.column()
        );
        Failure::Input(vec![Issue::error("json_invalid", id.key(), message)])
    })
}
