//! `cheapest`: of each kind of GPU the least number on which a question can be answered, sorted by numbers, GPU-hours or money.

use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::api::{self, Cheapest, CheapestSort};

use crate::failure::{self, Failure};
use crate::table::{Align, Table, count, gib};
use crate::{output, sources};

/// Runs the command.
pub fn run(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let request = sources::request(given)?;
    let sort = sources::text(given, "sort").and_then(CheapestSort::from_key);
    let whole = sources::switch(given, "whole-nodes");
    let answer = api::cheapest(&request, sort.unwrap_or_default(), whole).map_err(Failure::Input)?;
    output::answer(given, &answer, || table(&answer))?;
    Ok(failure::judged(given, answer.rows.is_empty()))
}

fn table(answer: &Cheapest) -> String {
    let right = Align::Right;
    let per = match answer.kind {
        "serving" => "10⁶ new tokens",
        _ => "10⁹ tokens",
    };
    let hours = format!("GPU-hours per {per}");
    let money = format!("cost per {per}");
    let mut rows = Table::headed(&[
        ("GPU", Align::Left),
        ("GPUs", right),
        ("nodes", right),
        ("need", right),
        ("of", right),
        ("verdict", Align::Left),
        ("tokens/s", right),
        (&hours, right),
        ("cost per hour", right),
        (&money, right),
    ]);
    let number = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    };
    for row in &answer.rows {
        rows.row([
            row.gpu.clone(),
            count(row.gpus),
            count(row.nodes),
            gib(row.need.expected_bytes),
            gib(row.usable_bytes),
            match row.verdict {
                api::Verdict::Fits => "fits",
                api::Verdict::Tight => "tight",
                api::Verdict::DoesNotFit => "does not fit",
            }
            .to_owned(),
            number(row.tokens_per_second, 0),
            number(row.gpu_hours, 2),
            number(row.cost_per_hour, 2),
            number(row.cost, 2),
        ]);
    }
    let mut text = match answer.rows.is_empty() {
        true => "No number of any GPU of the table is enough.\n".to_owned(),
        false => rows.text(0),
    };
    if !answer.left_out.is_empty() {
        text.push_str(&format!("\n{} GPUs are left out:\n", answer.left_out.len()));
    }
    for one in &answer.left_out {
        text.push_str(&format!("  {}: {}\n", one.gpu, one.reason));
    }
    for issue in &answer.warnings {
        text.push_str(&format!("Note: {}\n", issue.message));
    }
    text
}
