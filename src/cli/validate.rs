//! `validate`: every issue of a request, training or inference, without calculating.

use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::api::{self, Issue};
use serde_json::json;

use crate::failure::{self, Failure};
use crate::{output, sources};

/// Runs the command. Exit code 0 for a valid request, 2 for another.
pub fn run(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let request = match sources::text(given, "path") {
        None => sources::request(given)?,
        Some(path) => {
            let mut request = sources::from_file(path)?;
            sources::flags(given, &mut request)?;
            request
        }
    };
    let issues = api::validate_request(&request);
    let strict = sources::switch(given, "strict");
    let valid = !issues
        .iter()
        .any(|issue| issue.is_error() || strict && failure::is_without_effect(issue));
    let errors: Vec<&str> = issues
        .iter()
        .filter(|issue| issue.is_error())
        .map(|issue| issue.message.as_str())
        .collect();
    let result = json!({"valid": valid, "errors": errors, "issues": issues});
    output::answer(given, &result, || table(&issues, valid))?;
    Ok(if valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    })
}

fn table(issues: &[Issue], valid: bool) -> String {
    let mut text: String = issues.iter().map(failure::line).collect();
    text.push_str(if valid { "valid\n" } else { "not valid\n" });
    text
}
