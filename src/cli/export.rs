//! `export`: a question as the file of a framework. Notes go to standard error as well, so that they are seen where the
//! file is not read.

use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::api;

use crate::failure::Failure;
use crate::table::{Align, Table};
use crate::{output, sources};

/// Runs the command.
pub fn run(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let request = sources::request(given)?;
    if sources::switch(given, "list") {
        let formats = if request.given().next().is_none() {
            api::export_formats()
        } else {
            api::export_formats_for(&request)
        };
        let mut rows = Table::plain(&[Align::Left, Align::Left, Align::Left]);
        for format in formats {
            rows.row([format.name, format.title, format.file_name].map(str::to_owned));
        }
        output::write(given, &rows.text(0))?;
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = sources::text(given, "target").or_else(|| sources::text(given, "format"));
    let Some(wanted) = wanted else {
        return Err(Failure::usage(
            "Say to which format: gpu-mem-calc export accelerate ...; --list names all.",
        ));
    };
    let export = api::export(wanted, &request).map_err(Failure::Input)?;
    output::write(given, &export.text)?;
    for note in &export.notes {
        output::tell(given, &format!("note: {note}\n"));
    }
    Ok(ExitCode::SUCCESS)
}
