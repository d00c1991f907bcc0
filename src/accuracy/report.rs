//! The report over record files: the table, one line per record and quantity, the worst cases.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::predict::{Outcome, predict};
use super::record::{Format, Record};
use super::statistics::{Line, NotMapped, Row, rows};
use super::verdicts::{Confusion, Judged};

/// Everything that a comparison gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Predicted quantities, in the order of the records.
    pub lines: Vec<Line>,
    /// Records that could not be asked.
    pub not_mapped: Vec<NotMapped>,
    /// Verdicts on published runs.
    pub verdicts: Vec<Judged>,
    order: Vec<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Line(usize),
    NotMapped(usize),
}

/// The table of a report: what is printed, and what the page shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Records read.
    pub records: usize,
    /// Those that were predicted.
    pub mapped: usize,
    /// One row per engine and quantity.
    pub rows: Vec<Row>,
    /// What became of published runs, against the verdict on them.
    #[serde(default)]
    pub verdicts: Confusion,
}

/// Compares every record with its prediction.
pub fn compare<'a>(records: impl IntoIterator<Item = &'a Record>) -> Report {
    let mut report = Report::default();
    // Speeds are compared apart, by `speed`.
    for record in records
        .into_iter()
        .filter(|record| record.format != Format::Speed)
    {
        report.add(predict(record));
    }
    report
}

impl Report {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Predicted(lines, verdict) => {
                self.verdicts.extend(verdict);
                for line in lines {
                    self.order.push(Place::Line(self.lines.len()));
                    self.lines.push(line);
                }
            }
            Outcome::NotMapped(record) => {
                self.order.push(Place::NotMapped(self.not_mapped.len()));
                self.not_mapped.push(record);
            }
        }
    }

    /// The statistics per engine and quantity.
    pub fn table(&self) -> Table {
        let mut predicted: Vec<&str> = self.lines.iter().map(|line| line.id.as_str()).collect();
        predicted.dedup();
        Table {
            records: predicted.len() + self.not_mapped.len(),
            mapped: predicted.len(),
            rows: rows(&self.lines, &self.not_mapped),
            verdicts: Confusion::of(&self.verdicts),
        }
    }

    /// One JSON object per predicted quantity and per record that was not mapped, in the order of the records.
    pub fn objects(&self) -> impl Iterator<Item = Value> + '_ {
        self.order.iter().filter_map(|place| match place {
            Place::Line(index) => self.lines.get(*index).map(Line::to_json),
            Place::NotMapped(index) => self
                .not_mapped
                .get(*index)
                .map(|record| json!({"id": record.id, "reason": record.reason})),
        })
    }

    /// The lines with the largest errors, the worst first.
    pub fn worst(&self, most: usize) -> Vec<&Line> {
        let mut judged: Vec<(f64, &Line)> = self
            .lines
            .iter()
            .filter(|line| line.quantity != super::quantity::Quantity::Unstated)
            .filter_map(|line| Some((line.error_percent()?, line)))
            .collect();
        judged.sort_by(|left, right| right.0.total_cmp(&left.0));
        judged.into_iter().take(most).map(|(_, line)| line).collect()
    }
}
