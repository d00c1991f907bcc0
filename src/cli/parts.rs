//! What the tables of training and of inference have in common: heading, totals, meters, instants, ledger and notes.

use gpu_mem_calc::api::{
    Assumed, Capacity, InstantRow, Issue, LedgerRow, Meters, ModelSummary, Range, Validation, Verdict,
};
use gpu_mem_calc::units::Bytes;

use crate::table::{Align, Table, count, gib};
use crate::{failure, terminal};

/// Rows of the ledger that are shown unless all are asked for.
const SHOWN: usize = 12;

/// What was asked about, and the verdict with the need against the card.
pub fn heading(
    (model, gpus): (&ModelSummary, u64),
    (verdict, need): (Verdict, Range),
    capacity: &Capacity,
) -> String {
    format!(
        "{}: {} parameters ({} active), {gpus} GPU{}\n{}: needs {} of {} on {}\n",
        model.name,
        count(model.total_parameters.get()),
        count(model.active_parameters.get()),
        if gpus == 1 { "" } else { "s" },
        terminal::verdict(verdict),
        span(need),
        gib(capacity.usable_bytes),
        capacity.name,
    )
}

/// The totals with their parts, and how full the card is.
pub fn totals(sizes: &[(&str, Bytes)], verdict: Verdict, percent: f64) -> Table {
    let mut rows = Table::plain(&[Align::Left, Align::Right]);
    for (label, bytes) in sizes {
        rows.row([(*label).to_owned(), gib(*bytes)]);
    }
    rows.row(["Status".to_owned(), status(verdict).to_owned()]);
    rows.row(["Memory utilization".to_owned(), format!("{percent:.1} %")]);
    rows
}

/// The verdict as the original names it.
fn status(verdict: Verdict) -> &'static str {
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
    let (checked, errors) = validation.words();
    text.push_str(&format!("\nAgreement with measured runs: {checked} ({errors})\n"));
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
