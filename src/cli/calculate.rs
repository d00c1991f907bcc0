//! `calculate`: the answer as a table or as JSON.

use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::accuracy;
use gpu_mem_calc::api::{self, Answer, Backing, HostNeed, Request, StageRow, Strictness, Verdict};
use gpu_mem_calc::units::Bytes;
use serde_json::json;

use crate::failure::{self, Failure};
use crate::parts::{heading, instants, ledger, meters, notes, totals};
use crate::table::{Align, Table, gib};
use crate::{explain, output, solve, sources};

/// Runs the command.
pub fn run(given: &ArgMatches) -> Result<ExitCode, Failure> {
    answer(given, &sources::request(given)?)
}

/// Answers a request as the flags want it printed and judged.
pub fn answer(given: &ArgMatches, request: &Request) -> Result<ExitCode, Failure> {
    sources::save(given, request)?;
    if sources::switch(given, "max-batch") {
        return solve::max_batch(given, request);
    }
    let strict = sources::switch(given, "strict");
    let strictness = Strictness {
        unknown_fields: strict,
    };
    let answer = accuracy::calculate(request, strictness).map_err(Failure::Input)?;
    if strict && answer.warnings.iter().any(failure::is_without_effect) {
        return Err(Failure::Input(answer.warnings));
    }
    let explained = match sources::switch(given, "explain") {
        true => Some(api::explain(request).map_err(Failure::Input)?),
        false => None,
    };
    let table = || {
        let table = table(&answer, sources::switch(given, "ledger"));
        match &explained {
            Some(explanation) => format!("{table}\n{}", explain::text(explanation)),
            None => table,
        }
    };
    match &explained {
        Some(explanation) => {
            let both = json!({"answer": answer, "explanation": explanation});
            output::answer(given, &both, table)?;
        }
        None if output::is_sheet(given) => output::sheet(given, request)?,
        None => output::answer(given, &answer, table)?,
    }
    let failed = answer.verdict == Verdict::DoesNotFit;
    Ok(failure::judged(given, failed))
}

/// The answer for a person.
pub fn table(answer: &Answer, whole_ledger: bool) -> String {
    let mut text = heading(
        (&answer.model, answer.gpus_used),
        (answer.verdict, answer.need),
        &answer.capacity,
    );
    text.push('\n');
    text.push_str(&summary(answer));
    text.push_str("\nMeters (low, expected, high)\n");
    text.push_str(&meters(&answer.meters, answer.need));
    if let Some(host) = &answer.host {
        text.push_str(&format!(
            "\nOutside the GPUs, per node of {} ranks (low, expected, high)\n",
            host.ranks_per_node
        ));
        text.push_str(&node(host));
    }
    text.push_str("\nInstants\n");
    text.push_str(&instants(&answer.instants));
    text.push_str(&ranks(answer));
    text.push_str(&stages(&answer.stages));
    text.push_str(&ledger(&answer.ledger, whole_ledger));
    text.push_str(&unproven(&answer.evidence));
    text.push_str(&notes(&answer.assumed, &answer.validation, &answer.warnings));
    text
}

/// Classes of ranks, or that all hold the same.
fn ranks(answer: &Answer) -> String {
    let (rows, reason) = (&answer.ranks, answer.ranks_reason);
    if rows.len() < 2 {
        return format!("\nRanks: one class. {reason}\n");
    }
    let mut table = Table::plain(&[Align::Left, Align::Right, Align::Left]);
    for row in rows {
        table.row([
            format!(
                "{}{} to {}",
                if row.among == "tensor" {
                    "tensor-parallel "
                } else {
                    ""
                },
                row.first,
                row.last
            ),
            gib(row.peak_allocated_bytes),
            match row.less_bytes.get() {
                0 => format!("the most, at {}", row.instant),
                less => format!("{less} bytes less, at {}", row.instant),
            },
        ]);
    }
    format!(
        "\nRanks, the fullest first (the rest of the answer is about it). {reason}\n{}",
        table.text(2)
    )
}

/// Pipeline stages, where there are several.
fn stages(rows: &[StageRow]) -> String {
    if rows.len() < 2 {
        return String::new();
    }
    let mut table = Table::plain(&[
        Align::Right,
        Align::Left,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Left,
    ]);
    table.row(["rank", "layers", "in flight", "at rest", "peak", "at"].map(str::to_owned));
    for row in rows {
        let layers: Vec<String> = row
            .layers
            .iter()
            .map(|(first, last)| format!("{first}-{last}"))
            .collect();
        let flying: Vec<String> = row.in_flight.iter().map(u64::to_string).collect();
        table.row([
            row.rank.to_string(),
            layers.join(" "),
            flying.join("+"),
            gib(row.rest_bytes),
            gib(row.peak_allocated_bytes),
            row.instant.to_owned(),
        ]);
    }
    format!(
        "\nPipeline stages (the rest of the answer is about the fullest)\n{}",
        table.text(2)
    )
}

/// Options behind which nothing stands.
fn unproven(evidence: &Backing) -> String {
    if evidence.options.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\nNot validated, so the interval reaches {:.0} % below and {:.0} % above\n",
        evidence.below_percent, evidence.above_percent
    );
    for option in &evidence.options {
        text.push_str(&format!(
            "  {} = {}, with {}\n",
            option.path, option.value, option.with
        ));
    }
    text
}

fn summary(answer: &Answer) -> String {
    let parts = &answer.breakdown;
    let mut rows = totals(
        &[
            ("Memory per GPU", answer.total_memory_per_gpu_bytes),
            ("Total GPU memory", answer.total_memory_all_gpus_bytes),
            ("CPU memory", answer.cpu_memory_bytes),
            ("  Model parameters", parts.model_params_bytes),
            ("  Gradients", parts.gradients_bytes),
            ("  Optimizer states", parts.optimizer_states_bytes),
            ("  Activations", parts.activations_bytes),
            ("  Overhead", parts.overhead_bytes),
        ],
        answer.verdict,
        answer.memory_utilization_percent,
    );
    if let Some(batch) = answer.recommended_batch_size {
        rows.row(["Recommended batch size".to_owned(), batch.to_string()]);
    }
    rows.text(0)
}

/// What a node needs outside its GPUs.
pub fn node(host: &HostNeed) -> String {
    let mut rows = Table::plain(&[Align::Left, Align::Right, Align::Right, Align::Right, Align::Left]);
    for (label, need, stated) in [
        ("host memory", host.memory_per_node, host.memory_bytes),
        ("disk", host.disk_per_node, host.disk_bytes),
    ] {
        if need.high_bytes > Bytes::ZERO {
            rows.row([
                label.to_owned(),
                gib(need.low_bytes),
                gib(need.expected_bytes),
                gib(need.high_bytes),
                stated.map_or_else(String::new, |stated| format!("of {}", gib(stated))),
            ]);
        }
    }
    let mut text = rows.text(2);
    if let Some(reason) = &host.reason {
        text.push_str(&format!("  {reason}\n"));
    }
    text
}
