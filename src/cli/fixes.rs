//! `fixes`: the changes that lower what a question needs, alone and together.

use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::api::{self, Fix, Fixes, Verdict};

use crate::failure::{self, Failure};
use crate::table::{Align, Table, gib};
use crate::{output, parts, sources};

/// Runs the command.
pub fn run(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let request = sources::request(given)?;
    let found = match request.serves() {
        true => api::inference_fixes(&request),
        false => api::training_fixes(&request),
    };
    let found = found.map_err(Failure::Input)?;
    output::answer(given, &found, || table(&found))?;
    Ok(failure::judged(given, found.verdict == Verdict::DoesNotFit))
}

fn table(found: &Fixes) -> String {
    let mut text = format!(
        "Now: {}, needs {} of {}\n\n",
        found.verdict.words(),
        parts::span(found.need),
        gib(found.usable_bytes)
    );
    if found.single.is_empty() {
        return text + "No change that was tried lowers the need.\n";
    }
    text.push_str(&listed(&found.single));
    if !found.together.is_empty() {
        text.push_str("\nTogether, one after the other:\n\n");
        text.push_str(&listed(&found.together));
    }
    text
}

fn listed(fixes: &[Fix]) -> String {
    let mut rows = Table::headed(&[
        ("change", Align::Left),
        ("verdict", Align::Left),
        ("need after it", Align::Right),
        ("saves", Align::Right),
        ("results", Align::Left),
        ("time", Align::Left),
    ]);
    for fix in fixes {
        rows.row([
            fix.title.clone(),
            fix.verdict.words().to_owned(),
            parts::span(fix.need),
            gib(fix.saves_bytes),
            fix.effect.words().to_owned(),
            fix.time.words().to_owned(),
        ]);
    }
    rows.text(0)
}
