//! The comparison as Markdown tables, as the README shows them: traced and published training runs apart per engine, and
//! what servers print.

use std::fmt::Write as _;

use super::quantity::Quantity;
use super::record::{EngineName, Format, Record};
use super::report::compare;
use super::speed;
use super::statistics::Row;

/// Where runs come from: what the table calls it, the formats, and the quantities that are shown.
const KINDS: [(&str, &[Format], &[Quantity]); 2] = [
    (
        "traced",
        &[Format::TorchTrace, Format::TrainingExtras, Format::DeepSpeedTrace],
        &[Quantity::MaxAllocated],
    ),
    (
        "published",
        &[Format::Training],
        &[Quantity::MaxAllocated, Quantity::MaxReserved],
    ),
];

/// What servers print, and what is traced of them.
const SERVED: [Quantity; 7] = [
    Quantity::Weights,
    Quantity::KvBytesPerToken,
    Quantity::KvTokens,
    Quantity::KvCache,
    Quantity::ComputeBuffer,
    Quantity::ActivationPeak,
    Quantity::MaxAllocated,
];

/// One row per engine of training, origin and meter; an engine of which no record could be predicted is "not validated".
pub fn markdown(records: &[Record]) -> String {
    let mut text = String::from(
        "| engine | runs | meter | records | predicted | median error | 90 % within | worst | inside the interval |\n\
         |---|---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    let compared: Vec<_> = KINDS
        .iter()
        .map(|(kind, formats, quantities)| {
            let own = records.iter().filter(|record| formats.contains(&record.format));
            (*kind, *quantities, compare(own).table())
        })
        .collect();
    for engine in EngineName::ALL.into_iter().filter(|engine| engine.trains()) {
        let rows: Vec<(&str, &Row)> = compared
            .iter()
            .flat_map(|(kind, quantities, table)| {
                let rows = table.rows.iter().filter(|row| row.engine == engine.key());
                rows.filter(|row| quantities.iter().any(|quantity| quantity.key() == row.quantity))
                    .map(|row| (*kind, row))
            })
            .collect();
        let predicted: Vec<_> = rows.iter().filter(|(_, row)| row.mapped > 0).collect();
        for (kind, row) in &predicted {
            line(&mut text, kind, row);
        }
        // Runs of which only the total of a device is known.
        let device = compared.iter().flat_map(|(kind, _, table)| {
            let rows = table.rows.iter().filter(|row| row.engine == engine.key());
            rows.filter(|row| row.quantity == Quantity::Device.key() && row.mapped > 0)
                .map(|row| (*kind, row))
        });
        let device: Vec<(&str, &Row)> = device.filter(|_| predicted.is_empty()).collect();
        for (kind, row) in &device {
            line(&mut text, kind, row);
        }
        if predicted.is_empty() && device.is_empty() {
            let records: usize = rows.iter().map(|(_, row)| row.records).sum();
            let _ = writeln!(
                text,
                "| {} | | | {records} | 0 | not validated | | | |",
                engine.key()
            );
        }
    }
    let published = records.iter().filter(|record| record.format == Format::Training);
    let verdicts = compare(published).table().verdicts;
    if verdicts.all() > 0 {
        let (large, small, tight) = verdicts.wrong_percent();
        let _ = writeln!(
            text,
            "\nVerdicts on published runs whose card is known and whose record is not of low confidence: {large:.1} % of those \
             that completed are called too large, {small:.1} % of those that failed for memory are called to fit, \
             {tight:.1} % of all are called tight.\n"
        );
        text.push_str(&verdicts.markdown());
    }
    served(&mut text, records);
    text.push_str(&speed::markdown(records));
    text
}

/// One row per server and quantity of which records were predicted.
fn served(text: &mut String, records: &[Record]) {
    let own = records.iter().filter(|record| !record.engine().trains());
    let table = compare(own).table();
    let rows = table.rows.iter().filter(|row| {
        let listed = SERVED.iter().any(|quantity| quantity.key() == row.quantity);
        listed && row.mapped > 0
    });
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    text.push_str(
        "\n| server | runs | quantity | records | predicted | median error | 90 % within | worst | inside the interval |\n\
         |---|---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let kind = if row.published.is_some() {
            "published"
        } else {
            "traced"
        };
        line(text, kind, row);
    }
}

fn line(text: &mut String, kind: &str, row: &Row) {
    let percent = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.1} %"));
    let _ = writeln!(
        text,
        "| {} | {kind} | {} | {} | {} | {} | {} | {} | {} |",
        row.engine,
        row.quantity,
        row.records,
        row.mapped,
        percent(row.median_percent),
        percent(row.p90_percent),
        percent(row.worst_percent),
        percent(row.inside_percent),
    );
}
