//! `accuracy`: predictions against the measured values of record files.

use std::path::Path;
use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::accuracy::record::{Record, read};
use gpu_mem_calc::accuracy::statistics::{Line, Row};
use gpu_mem_calc::accuracy::verdicts::Confusion;
use gpu_mem_calc::accuracy::{Report, compare, evidence_table, markdown, speed};
use gpu_mem_calc::api::Request;
use serde_json::Value;

use crate::failure::Failure;
use crate::table::{Align, Table};
use crate::terminal::Progress;
use crate::{output, sources};

/// Runs the command.
pub fn run(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let progress = Progress::new(given);
    let (mut records, mut worked, mut traced) = (Vec::new(), Vec::new(), Vec::new());
    for path in given.get_many::<String>("files").into_iter().flatten() {
        for file in files(path)? {
            progress.say(&format!("reading {file}"));
            if file.ends_with(".json") {
                worked.push(worked_request(&file)?);
            } else {
                for record in records_of(&file)? {
                    match record.object("question") {
                        Some(question) => traced.push(request(&file, &Value::Object(question.clone()))?),
                        None => records.push(record),
                    }
                }
            }
        }
    }
    if output::format(given) == "evidence" {
        output::write(given, &evidence_table(&records, worked, traced))?;
        return Ok(ExitCode::SUCCESS);
    }
    if output::format(given) == "markdown" {
        output::write(given, &markdown(&records))?;
        return Ok(ExitCode::SUCCESS);
    }
    progress.say(&format!("predicting {} records", records.len()));
    let report = compare(&records);
    drop(progress);
    let worst = given.get_one::<usize>("worst").copied();
    let text = match output::format(given) {
        "json" => json(&report, worst)?,
        "jsonl" => report.objects().map(|object| format!("{object}\n")).collect(),
        _ => table(&report, worst) + &speeds(&records, worst)?,
    };
    output::write(given, &text)?;
    Ok(ExitCode::SUCCESS)
}

/// Published speeds against the roofline.
fn speeds(records: &[Record], worst: Option<usize>) -> Result<String, Failure> {
    let mut lines = speed::lines(records).map_err(Failure::usage)?;
    if lines.is_empty() {
        return Ok(String::new());
    }
    let right = Align::Right;
    let mut rows = Table::headed(&[
        ("published speed", Align::Left),
        ("quantity", Align::Left),
        ("records", right),
        ("bias %", right),
        ("median %", right),
        ("p90 %", right),
        ("worst %", right),
        ("inside %", right),
    ]);
    for row in speed::rows(&lines) {
        rows.row([
            row.kind,
            row.quantity.to_owned(),
            row.records.to_string(),
            format!("{:+.1}", row.bias_percent),
            format!("{:.1}", row.median_percent),
            format!("{:.1}", row.p90_percent),
            format!("{:.1}", row.worst_percent),
            format!("{:.0}", row.inside_percent),
        ]);
    }
    let mut text = format!("\n{}", rows.text(0));
    lines.sort_by(|left, right| right.error_percent().abs().total_cmp(&left.error_percent().abs()));
    let mut rows = Table::headed(&[
        ("record", Align::Left),
        ("measured", right),
        ("roofline", right),
        ("error %", right),
    ]);
    for line in lines.iter().take(worst.unwrap_or_default()) {
        rows.row([
            line.id.clone(),
            format!("{:.1}", line.measured),
            format!("{:.1}", line.predicted.expected),
            format!("{:+.1}", line.error_percent()),
        ]);
    }
    if !rows.is_empty() {
        text.push_str(&format!("\nSpeeds farthest off\n{}", rows.text(0)));
    }
    Ok(text)
}

/// The request of a calculation by hand.
fn worked_request(path: &str) -> Result<Request, Failure> {
    let unreadable = |error: String| Failure::usage(format!("{path}: {error}"));
    let value: Value =
        serde_json::from_str(&sources::read(path)?).map_err(|error| unreadable(error.to_string()))?;
    request(path, value.get("request").unwrap_or(&Value::Null))
}

fn request(path: &str, value: &Value) -> Result<Request, Failure> {
    Request::from_json(value).map_err(|issue| Failure::usage(format!("{path}: {}", issue.message)))
}

/// The record files of a folder in the order of their names, or the file itself.
fn files(path: &str) -> Result<Vec<String>, Failure> {
    if path == "-" || !Path::new(path).is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |error: std::io::Error| Failure::Io(format!("{path}: {error}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file
            .extension()
            .is_some_and(|extension| extension == "jsonl" || extension == "json")
        {
            files.push(file.to_string_lossy().into_owned());
        }
    }
    files.sort();
    Ok(files)
}

fn records_of(path: &str) -> Result<Vec<Record>, Failure> {
    read(&sources::read(path)?).map_err(|error| Failure::usage(format!("{path}: {error}")))
}

fn json(report: &Report, worst: Option<usize>) -> Result<String, Failure> {
    let table = report.table();
    match worst {
        None => output::json(&table),
        Some(most) => {
            let worst: Vec<_> = report.worst(most).into_iter().map(Line::to_json).collect();
            output::json(&serde_json::json!({
                "records": table.records, "mapped": table.mapped, "rows": table.rows, "verdicts": table.verdicts,
                "worst": worst,
            }))
        }
    }
}

fn table(report: &Report, worst: Option<usize>) -> String {
    let table = report.table();
    let mut text = format!("{} records, {} mapped\n\n", table.records, table.mapped);
    let mut rows = Table::headed(&[
        ("engine", Align::Left),
        ("quantity", Align::Left),
        ("records", Align::Right),
        ("mapped", Align::Right),
        ("median %", Align::Right),
        ("p90 %", Align::Right),
        ("p95 %", Align::Right),
        ("worst %", Align::Right),
        ("inside %", Align::Right),
        ("width %", Align::Right),
    ]);
    for row in &table.rows {
        rows.row(cells(row));
    }
    text.push_str(&rows.text(0));
    text.push_str(&failed(&table.rows));
    text.push_str(&verdicts(table.verdicts));
    text.push_str(&reasons(&table.rows));
    if let Some(most) = worst {
        text.push_str(&worst_table(report, most));
    }
    text
}

fn cells(row: &Row) -> Vec<String> {
    let mut cells = vec![
        row.engine.clone(),
        row.quantity.clone(),
        row.records.to_string(),
        row.mapped.to_string(),
    ];
    if row.mapped == 0 {
        cells.push("not validated".into());
        cells.resize(10, String::new());
        return cells;
    }
    cells.extend(
        [
            row.median_percent,
            row.p90_percent,
            row.p95_percent,
            row.worst_percent,
            row.inside_percent,
            row.median_width_percent,
        ]
        .map(percent),
    );
    cells
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.2}"))
}

fn failed(rows: &[Row]) -> String {
    let mut table = Table::headed(&[
        ("engine", Align::Left),
        ("failed runs", Align::Right),
        ("expected need reaches the card, %", Align::Right),
        ("high end reaches it, %", Align::Right),
    ]);
    for row in rows.iter().filter(|row| row.failed_runs > 0) {
        table.row([
            row.engine.clone(),
            row.failed_runs.to_string(),
            percent(row.failed_expected_percent),
            percent(row.failed_high_percent),
        ]);
    }
    match table.is_empty() {
        true => String::new(),
        false => format!("\nRuns that failed for memory\n{}", table.text(0)),
    }
}

fn verdicts(confusion: Confusion) -> String {
    if confusion.all() == 0 {
        return String::new();
    }
    let mut table = Table::headed(&[
        ("published runs", Align::Left),
        ("called fits", Align::Right),
        ("tight", Align::Right),
        ("does not fit", Align::Right),
    ]);
    for (name, counts) in [
        ("completed", confusion.completed),
        ("failed for memory", confusion.failed),
    ] {
        table.row([
            name.to_owned(),
            counts.fits.to_string(),
            counts.tight.to_string(),
            counts.does_not_fit.to_string(),
        ]);
    }
    let (large, small, tight) = confusion.wrong_percent();
    format!(
        "\nVerdicts (known card, confidence not low)\n{}completed, called too large: {large:.1} %; failed, called to fit: {small:.1} %; tight: {tight:.1} %\n",
        table.text(0)
    )
}

fn reasons(rows: &[Row]) -> String {
    let mut table = Table::headed(&[
        ("engine", Align::Left),
        ("quantity", Align::Left),
        ("not mapped", Align::Right),
        ("reason", Align::Left),
    ]);
    for row in rows {
        for (reason, count) in &row.not_mapped {
            table.row([
                row.engine.clone(),
                row.quantity.clone(),
                count.to_string(),
                reason.clone(),
            ]);
        }
    }
    match table.is_empty() {
        true => String::new(),
        false => format!("\n{}", table.text(0)),
    }
}

fn worst_table(report: &Report, most: usize) -> String {
    let mut table = Table::headed(&[
        ("record", Align::Left),
        ("engine", Align::Left),
        ("quantity", Align::Left),
        ("measured GiB", Align::Right),
        ("expected GiB", Align::Right),
        ("error %", Align::Right),
        ("inside", Align::Left),
    ]);
    for line in report.worst(most) {
        table.row([
            line.id.clone(),
            line.engine.key().to_owned(),
            line.quantity.key().to_owned(),
            line.measured
                .map_or_else(String::new, |bytes| format!("{:.3}", bytes.to_gib())),
            format!("{:.3}", line.predicted.expected.to_gib()),
            percent(line.error_percent()),
            if line.inside() == Some(true) { "yes" } else { "no" }.to_owned(),
        ]);
    }
    format!("\nWorst\n{}", table.text(0))
}
