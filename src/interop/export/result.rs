//! The result as a table: CSV for spreadsheets, Markdown for reports. One row for each quantity, in bytes and GiB.

use crate::request::{Answer, InferenceAnswer, Meters, Range};
use crate::units::Bytes;

/// A row: which table, what, and its bytes with their bounds.
struct Row {
    part: &'static str,
    name: String,
    bytes: Range,
}

/// A result as rows.
pub struct Table {
    title: String,
    lines: Vec<String>,
    rows: Vec<Row>,
}

const fn exact(bytes: Bytes) -> Range {
    Range {
        low_bytes: bytes,
        expected_bytes: bytes,
        high_bytes: bytes,
    }
}

impl Table {
    fn row(&mut self, part: &'static str, name: impl Into<String>, bytes: Range) {
        self.rows.push(Row {
            part,
            name: name.into(),
            bytes,
        });
    }

    fn meters(&mut self, need: Range, usable: Bytes, meters: &Meters) {
        self.row("total", "need", need);
        self.row("total", "usable capacity", exact(usable));
        self.row("meter", "allocated", meters.allocated);
        self.row("meter", "reserved", meters.reserved);
        self.row("meter", "device", meters.device);
    }

    /// Of a training answer.
    pub fn training(answer: &Answer) -> Self {
        let mut table = Self {
            title: format!("{} on {} GPUs", answer.model.name, answer.gpus_used),
            lines: vec![format!(
                "Verdict: {} on {}.",
                answer.verdict.words(),
                answer.capacity.name
            )],
            rows: Vec::new(),
        };
        table.meters(answer.need, answer.capacity.usable_bytes, &answer.meters);
        let parts = &answer.breakdown;
        for (name, bytes) in [
            ("model parameters", parts.model_params_bytes),
            ("gradients", parts.gradients_bytes),
            ("optimizer states", parts.optimizer_states_bytes),
            ("activations", parts.activations_bytes),
            ("overhead", parts.overhead_bytes),
        ] {
            table.row("breakdown", name, exact(bytes));
        }
        for instant in &answer.instants {
            table.row("instant", instant.label.clone(), exact(instant.allocated_bytes));
        }
        for row in &answer.ledger {
            table.row("tensor", place(row.label, &row.place), exact(row.bytes));
        }
        table
    }

    /// Of an inference answer.
    pub fn inference(answer: &InferenceAnswer) -> Self {
        let mut table = Self {
            title: answer.model.name.clone(),
            lines: vec![format!(
                "Verdict: {} on {}.",
                answer.verdict.words(),
                answer.capacity.name
            )],
            rows: Vec::new(),
        };
        table.meters(answer.need, answer.capacity.usable_bytes, &answer.meters);
        for part in &answer.parts {
            table.row("part", part.label, part.bytes);
        }
        for instant in &answer.instants {
            table.row("instant", instant.label.clone(), exact(instant.allocated_bytes));
        }
        for row in &answer.ledger {
            table.row("tensor", place(row.label, &row.place), exact(row.bytes));
        }
        table
    }

    /// As comma-separated values.
    pub fn csv(&self) -> String {
        let mut text = String::from("part,name,low_bytes,expected_bytes,high_bytes,expected_gib\n");
        for row in &self.rows {
            text.push_str(&format!(
                "{},{},{},{},{},{:.4}\n",
                row.part,
                field(&row.name),
                row.bytes.low_bytes.get(),
                row.bytes.expected_bytes.get(),
                row.bytes.high_bytes.get(),
                row.bytes.expected_bytes.to_gib(),
            ));
        }
        text
    }

    /// As a Markdown table.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n", self.title);
        for line in &self.lines {
            text.push_str(&format!("{line}\n\n"));
        }
        text.push_str("| part | name | low GiB | expected GiB | high GiB |\n|---|---|---:|---:|---:|\n");
        for row in &self.rows {
            text.push_str(&format!(
                "| {} | {} | {:.2} | {:.2} | {:.2} |\n",
                row.part,
                row.name.replace('|', "\\|"),
                row.bytes.low_bytes.to_gib(),
                row.bytes.expected_bytes.to_gib(),
                row.bytes.high_bytes.to_gib(),
            ));
        }
        text
    }
}

fn place(label: &str, place: &str) -> String {
    if place.is_empty() {
        label.to_owned()
    } else {
        format!("{label}, {place}")
    }
}

/// A field of CSV, quoted where it must be.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
