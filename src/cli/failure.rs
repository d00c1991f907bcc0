//! What can go wrong, how it is reported on standard error, and with which exit code.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::api::Issue;
use serde_json::{Value, json};

use crate::sources;

/// The exit code of an answer: 1 where it does not fit and `--check` asks for a failure then.
pub fn judged(given: &ArgMatches, does_not_fit: bool) -> ExitCode {
    if does_not_fit && sources::switch(given, "check") {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// A file cannot be read or written.
    Io(String),
    /// The input is refused.
    Input(Vec<Issue>),
}

impl Failure {
    /// A refusal without a field of the request.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Input(vec![Issue::error("invalid_config", "", message)])
    }

    /// 2, whatever is wrong: 1 is the verdict of `--check`, which a script must be able to tell from a mistake.
    pub fn code() -> ExitCode {
        ExitCode::from(2)
    }

    /// Writes the failure to standard error: one line per issue, or one JSON object.
    pub fn report(&self, as_json: bool) {
        let text = match (self, as_json) {
            (Self::Io(message), false) => format!("error: {message}\n"),
            (Self::Io(message), true) => {
                pretty(&json!({"error": "io", "message": message, "type": "io", "errors": []}))
            }
            (Self::Input(issues), false) => issues.iter().map(line).collect(),
            (Self::Input(issues), true) => pretty(&json!({
                "error": "validation_error",
                "message": issues.iter().find(|issue| issue.is_error()).map_or("", |issue| &issue.message),
                "type": "validation_error",
                "errors": issues,
            })),
        };
        // Standard error may be closed; then there is nobody to tell.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Whether the issue says that something given has no effect: what `--strict` refuses.
pub fn is_without_effect(issue: &Issue) -> bool {
    matches!(issue.code, "unknown_field" | "not_used")
}

/// One issue for a person: severity, field, message, what would be accepted, what to do.
pub fn line(issue: &Issue) -> String {
    let severity = if issue.is_error() { "error" } else { "warning" };
    let mut text = match issue.path.as_str() {
        "" => format!("{severity}: {}", issue.message),
        path => format!("{severity}: {path}: {}", issue.message),
    };
    if let Some(value) = &issue.value {
        let shown = value.to_string();
        let short: String = shown.chars().take(80).collect();
        let _ = write!(
            text,
            " Given: {short}{}.",
            if short == shown { "" } else { "..." }
        );
    }
    if !issue.allowed.is_empty() {
        let _ = write!(text, " Allowed: {}.", issue.allowed.join(", "));
    }
    if let Some(hint) = &issue.hint {
        let _ = write!(text, " {hint}");
    }
    let _ = writeln!(text, " [{}]", issue.code);
    text
}
