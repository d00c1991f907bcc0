//! `import`: a text of another program as a question, with what was found, assumed and not understood.

use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::api::{Imported, Request};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::table::{Align, Table, gib};
use crate::{output, sources};

/// Runs the command.
pub fn run(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let mut base = Request::new();
    sources::flags(given, &mut base)?;
    let path = sources::text(given, "file").unwrap_or("-");
    let imported = sources::imported(path, &base)?;
    if !imported.import.issues.is_empty() {
        return Err(Failure::Input(imported.import.issues));
    }
    let mut value = json!(imported);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("request".to_owned(), imported.request.to_json());
    }
    output::answer(given, &value, || table(&imported))?;
    sources::save(given, &imported.request)?;
    Ok(ExitCode::SUCCESS)
}

fn table(imported: &Imported) -> String {
    let import = &imported.import;
    let mut text = format!("{}\n", import.title);
    let mut rows = Table::plain(&[Align::Left, Align::Left, Align::Left]);
    for found in &import.found {
        let value = match &found.value {
            Value::String(word) => word.clone(),
            Value::Object(_) => "(a configuration)".to_owned(),
            other => other.to_string(),
        };
        rows.row([found.path.to_owned(), value, found.from.clone()]);
    }
    text.push_str(&format!("\nFound\n{}", rows.text(2)));
    for (title, list) in [
        ("Assumed", &import.assumed),
        ("Not understood", &import.not_understood),
    ] {
        if !list.is_empty() {
            text.push_str(&format!("\n{title}\n"));
            for line in list {
                text.push_str(&format!("  {line}\n"));
            }
        }
    }
    if !import.measured.is_empty() {
        let mut rows = Table::plain(&[Align::Left, Align::Right, Align::Left]);
        for measured in &import.measured {
            rows.row([
                measured.part.to_owned(),
                gib(measured.bytes),
                measured.from.clone(),
            ]);
        }
        text.push_str(&format!("\nMeasured\n{}", rows.text(2)));
    }
    if !imported.compared.is_empty() {
        let mut rows = Table::headed(&[
            ("part", Align::Left),
            ("measured", Align::Right),
            ("predicted", Align::Right),
            ("difference", Align::Right),
        ]);
        for row in &imported.compared {
            rows.row([
                row.label.to_owned(),
                gib(row.measured_bytes),
                gib(row.predicted.expected_bytes),
                format!("{:+.1} %", row.difference_percent),
            ]);
        }
        text.push_str(&format!("\nMeasured beside predicted\n{}", rows.text(2)));
        for row in &imported.compared {
            text.push_str(&format!("  {}: {}\n", row.label, row.why));
        }
    }
    text
}
