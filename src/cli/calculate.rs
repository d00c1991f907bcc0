//! `calculate`: the answer as a table or as JSON.

use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::accuracy;
use gpu_mem_calc::api::{
    Answer, Assumed, Backing, HostNeed, InstantRow, Issue, LedgerRow, Meters, Range, Request, Strictness,
    Validation, Verdict,
};
use gpu_mem_calc::units::Bytes;

use crate::failure::{self, Failure};
use crate::table::{Align, Table, count, gib};
use crate::{output, solve, sources};

/// Runs the command.
pub fn run(given: &ArgMatches) -> Result<ExitCode, Failure> {
    answer(given, &sources::request(given)?)
}

/// Answers a request as the flags want it printed and judged.
pub fn answer(given: &ArgMatches, request: &Request) -> Result<ExitCode, Failure> {
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
    let text = match output::format(given) {
        "json" => output::json(&answer)?,
        _ => table(&answer, sources::switch(given, "ledger")),
    };
    output::write(given, &text)?;
    let failed = answer.verdict == Verdict::DoesNotFit;
    Ok(failure::judged(given, failed))
}

/// Rows of the ledger that are shown unless all are asked for.
const SHOWN: usize = 12;

/// The answer for a person.
pub fn table(answer: &Answer, whole_ledger: bool) -> String {
    let mut text = String::new();
    text.push_str(&format!(
        "{}: {} parameters ({} active), {} GPU{}\n",
        answer.model.name,
        count(answer.model.total_parameters.get()),
        count(answer.model.active_parameters.get()),
        answer.gpus_used,
        if answer.gpus_used == 1 { "" } else { "s" },
    ));
    text.push_str(&format!(
        "{}: needs {} of {} on {}\n\n",
        answer.verdict.words(),
        span(answer.need),
        gib(answer.capacity.usable_bytes),
        answer.capacity.name,
    ));
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
    text.push_str(&ledger(&answer.ledger, whole_ledger));
    text.push_str(&unproven(&answer.evidence));
    text.push_str(&notes(&answer.assumed, &answer.validation, &answer.warnings));
    text
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
    let mut rows = Table::plain(&[Align::Left, Align::Right]);
    let parts = &answer.breakdown;
    for (label, bytes) in [
        ("Memory per GPU", answer.total_memory_per_gpu_bytes),
        ("Total GPU memory", answer.total_memory_all_gpus_bytes),
        ("  Model parameters", parts.model_params_bytes),
        ("  Gradients", parts.gradients_bytes),
        ("  Optimizer states", parts.optimizer_states_bytes),
        ("  Activations", parts.activations_bytes),
        ("  Overhead", parts.overhead_bytes),
    ] {
        rows.row([label.to_owned(), gib(bytes)]);
    }
    rows.row(["Status".to_owned(), status(answer.verdict).to_owned()]);
    rows.row([
        "Memory utilization".to_owned(),
        format!("{:.1} %", answer.memory_utilization_percent),
    ]);
    if let Some(batch) = answer.recommended_batch_size {
        rows.row(["Recommended batch size".to_owned(), batch.to_string()]);
    }
    rows.text(0)
}

/// The verdict as the original names it.
pub fn status(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fits => "Fits",
        Verdict::Tight => "Tight",
        Verdict::DoesNotFit => "OOM (does not fit)",
    }
}

/// The three meters and the need.
pub fn meters(meters: &Meters, need: Range) -> String {
    let mut rows = Table::plain(&[Align::Left, Align::Right, Align::Right, Align::Right]);
    for (label, range) in [
        ("allocated (torch)", meters.allocated),
        ("reserved on a roomy card", meters.reserved),
        ("device (nvidia-smi) on a roomy card", meters.device),
        ("need, which the verdict judges", need),
    ] {
        rows.row([
            label.to_owned(),
            gib(range.low_bytes),
            gib(range.expected_bytes),
            gib(range.high_bytes),
        ]);
    }
    rows.text(2)
}

fn node(host: &HostNeed) -> String {
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

/// The instants, the binding one marked.
pub fn instants(all: &[InstantRow]) -> String {
    let mut rows = Table::plain(&[Align::Left, Align::Right, Align::Left]);
    for instant in all {
        rows.row([
            instant.label.clone(),
            gib(instant.allocated_bytes),
            if instant.binding { "<- binds" } else { "" }.to_owned(),
        ]);
    }
    rows.text(2)
}

/// The rows of the ledger at the binding instant.
pub fn ledger(all: &[LedgerRow], whole: bool) -> String {
    let mut alive: Vec<_> = all
        .iter()
        .filter(|row| whole || row.bytes > Bytes::ZERO)
        .collect();
    if !whole {
        alive.sort_by_key(|row| std::cmp::Reverse(row.bytes));
    }
    let count_of_all = alive.len();
    if !whole {
        alive.truncate(SHOWN);
    }
    let mut rows = Table::headed(&[
        ("tensor", Align::Left),
        ("where", Align::Left),
        ("type", Align::Left),
        ("each", Align::Right),
        ("alive", Align::Right),
        ("bytes", Align::Right),
        ("formula", Align::Left),
    ]);
    for row in &alive {
        rows.row([
            row.label.to_owned(),
            row.place.clone(),
            row.dtype.map(|dtype| dtype.name()).unwrap_or_default().to_owned(),
            count(row.unit_bytes.get()),
            row.held.to_string(),
            count(row.bytes.get()),
            row.formula.to_owned(),
        ]);
    }
    let heading = match whole {
        true => "\nLedger at the binding instant\n".to_owned(),
        false => format!(
            "\nLargest {} of {count_of_all} ledger rows at the binding instant (--ledger for all)\n",
            alive.len()
        ),
    };
    format!("{heading}{}", rows.text(2))
}

/// Assumptions, agreement with measured runs, and warnings.
pub fn notes(assumptions: &[Assumed], validation: &Validation, warnings: &[Issue]) -> String {
    let mut text = String::new();
    if !assumptions.is_empty() {
        text.push_str("\nAssumed\n");
        let mut rows = Table::plain(&[Align::Left, Align::Left, Align::Left]);
        for assumed in assumptions {
            let value = match &assumed.value {
                serde_json::Value::String(word) => word.clone(),
                other => other.to_string(),
            };
            rows.row([assumed.path.to_owned(), value, assumed.reason.clone()]);
        }
        text.push_str(&rows.text(2));
    }
    text.push_str(&match validation {
        Validation::Records {
            engine,
            records,
            median_percent,
            p90_percent,
            worst_percent,
        } => format!(
            "\nChecked on {records} measured runs of {engine}: median error {median_percent:.2} %, \
             90 % of them within {p90_percent:.2} %, worst {worst_percent:.2} %\n"
        ),
        Validation::None(words) => format!("\nAgreement with measured runs: {words}\n"),
    });
    if !warnings.is_empty() {
        text.push('\n');
        for warning in warnings {
            text.push_str(&failure::line(warning));
        }
    }
    text
}

/// "55.10 - 61.20 GiB".
pub fn span(range: Range) -> String {
    format!("{:.2} - {}", range.low_bytes.to_gib(), gib(range.high_bytes))
}
