//! Error statistics: how far predictions lie from measured values, per engine and quantity.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::quantity::{Measurement, Quantity};
use super::record::{EngineName, Record};
use crate::api::{Checked, Range};
use crate::memory::Interval;
use crate::units::Bytes;

/// Low, expected and high of a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predicted {
    /// Lower bound.
    pub low: Bytes,
    /// Expected value.
    pub expected: Bytes,
    /// Upper bound.
    pub high: Bytes,
}

impl Predicted {
    /// This value, give or take a share of it.
    pub fn within(expected: Bytes, share: f64) -> Self {
        Self {
            low: expected.scaled(1.0 - share),
            expected,
            high: expected.scaled(1.0 + share),
        }
    }
}

impl From<[Bytes; 3]> for Predicted {
    fn from([low, expected, high]: [Bytes; 3]) -> Self {
        Self { low, expected, high }
    }
}

impl From<Interval> for Predicted {
    fn from(interval: Interval) -> Self {
        Self::from([interval.low, interval.expected, interval.high])
    }
}

impl From<Range> for Predicted {
    fn from(range: Range) -> Self {
        Self::from([range.low_bytes, range.expected_bytes, range.high_bytes])
    }
}

/// One record's quantity, predicted.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Id of the record.
    pub id: String,
    /// Engine.
    pub engine: EngineName,
    /// Whether the run was traced; else it was published.
    pub traced: bool,
    /// Quantity.
    pub quantity: Quantity,
    /// The measured value; `None` for a run that failed for memory.
    pub measured: Option<Bytes>,
    /// The prediction; for a failed run what it needs in all.
    pub predicted: Predicted,
    /// What the card has, for a failed run.
    pub capacity: Option<Bytes>,
}

impl Line {
    /// A record's measurement and its prediction, of a run that did not fail.
    pub fn new(record: &Record, one: &Measurement, predicted: Predicted) -> Self {
        Self {
            id: record.id.clone(),
            engine: record.engine(),
            traced: record.format.is_traced(),
            quantity: one.quantity,
            measured: one.bytes,
            predicted,
            capacity: None,
        }
    }

    /// |expected - measured| / measured in per cent; `None` for a failed run.
    pub fn error_percent(&self) -> Option<f64> {
        let measured = self.measured.filter(|bytes| *bytes > Bytes::ZERO)?.get() as f64;
        Some((self.predicted.expected.get() as f64 - measured).abs() / measured * 100.0)
    }

    /// Whether the measured value lies inside the interval; `None` for a failed run.
    pub fn inside(&self) -> Option<bool> {
        let measured = self.measured?;
        Some(self.predicted.low <= measured && measured <= self.predicted.high)
    }

    /// As one JSON object: id, engine, quantity, measured, low, expected, high; the capacity too for a failed run.
    pub fn to_json(&self) -> Value {
        let mut object = json!({
            "id": self.id,
            "engine": self.engine.key(),
            "quantity": self.quantity.key(),
            "measured": self.measured,
            "low": self.predicted.low,
            "expected": self.predicted.expected,
            "high": self.predicted.high,
        });
        if let (Some(capacity), Some(fields)) = (self.capacity, object.as_object_mut()) {
            fields.insert("capacity".into(), json!(capacity));
        }
        object
    }

    /// (high - low) / expected in per cent.
    pub fn width_percent(&self) -> f64 {
        let expected = self.predicted.expected.get().max(1) as f64;
        self.predicted.high.saturating_sub(self.predicted.low).get() as f64 / expected * 100.0
    }
}

/// A record that could not be turned into a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotMapped {
    /// Id of the record.
    pub id: String,
    /// Engine.
    pub engine: EngineName,
    /// The quantities that it measured.
    pub quantities: Vec<Quantity>,
    /// Why, in words that many records share.
    pub reason: String,
}

/// The statistics of one engine and quantity. Percentages; absent where no record allows them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Engine.
    pub engine: String,
    /// Quantity.
    pub quantity: String,
    /// Records that measured it, failed runs included.
    pub records: usize,
    /// Those that were predicted.
    pub mapped: usize,
    /// How many were not, by reason.
    pub not_mapped: BTreeMap<String, usize>,
    /// Median absolute error.
    pub median_percent: Option<f64>,
    /// 90th percentile.
    pub p90_percent: Option<f64>,
    /// 95th percentile.
    pub p95_percent: Option<f64>,
    /// Largest.
    pub worst_percent: Option<f64>,
    /// Share of measured values inside the stated interval.
    pub inside_percent: Option<f64>,
    /// Median width of the interval relative to the expected value.
    pub median_width_percent: Option<f64>,
    /// Failed runs that were predicted.
    pub failed_runs: usize,
    /// Share of them whose expected need reaches the capacity.
    pub failed_expected_percent: Option<f64>,
    /// Share of them whose high end reaches the capacity.
    pub failed_high_percent: Option<f64>,
    /// The errors on traced runs alone.
    #[serde(default)]
    pub traced: Option<Checked>,
    /// The errors on published runs alone.
    #[serde(default)]
    pub published: Option<Checked>,
}

/// The statistics of every engine and quantity that occurs, in the order of the enums.
pub fn rows(lines: &[Line], not_mapped: &[NotMapped]) -> Vec<Row> {
    let mut groups: BTreeMap<(EngineName, Quantity), Group<'_>> = BTreeMap::new();
    for line in lines {
        let group = groups.entry((line.engine, line.quantity)).or_default();
        group.lines.push(line);
    }
    for record in not_mapped {
        for quantity in &record.quantities {
            let group = groups.entry((record.engine, *quantity)).or_default();
            *group.reasons.entry(record.reason.clone()).or_default() += 1;
        }
    }
    groups
        .into_iter()
        .map(|((engine, quantity), group)| row(engine, quantity, &group.lines, group.reasons))
        .collect()
}

/// What one row is made of.
#[derive(Default)]
struct Group<'a> {
    lines: Vec<&'a Line>,
    reasons: BTreeMap<String, usize>,
}

fn row(engine: EngineName, quantity: Quantity, lines: &[&Line], not_mapped: BTreeMap<String, usize>) -> Row {
    let errors = errors(quantity, lines.iter());
    let of = |traced: bool| {
        checked(&self::errors(
            quantity,
            lines.iter().filter(|line| line.traced == traced),
        ))
    };
    let measured: Vec<&&Line> = lines.iter().filter(|line| line.measured.is_some()).collect();
    let mut widths: Vec<f64> = measured.iter().map(|line| line.width_percent()).collect();
    widths.sort_by(f64::total_cmp);
    let failed: Vec<&&Line> = lines.iter().filter(|line| line.measured.is_none()).collect();
    let reaches = |need: fn(&Predicted) -> Bytes| {
        share(failed.iter().map(|line| {
            line.capacity
                .is_some_and(|capacity| need(&line.predicted) >= capacity)
        }))
    };
    Row {
        engine: engine.key().into(),
        quantity: quantity.key().into(),
        records: lines.len() + not_mapped.values().sum::<usize>(),
        mapped: lines.len(),
        not_mapped,
        median_percent: percentile(&errors, 50.0).map(rounded),
        p90_percent: percentile(&errors, 90.0).map(rounded),
        p95_percent: percentile(&errors, 95.0).map(rounded),
        worst_percent: errors.last().copied().map(rounded),
        inside_percent: share(measured.iter().map(|line| line.inside() == Some(true))),
        median_width_percent: percentile(&widths, 50.0).map(rounded),
        failed_runs: failed.len(),
        failed_expected_percent: reaches(|predicted| predicted.expected),
        failed_high_percent: reaches(|predicted| predicted.high),
        traced: of(true),
        published: of(false),
    }
}

/// The errors in per cent, sorted; none for a meter that is not stated.
fn errors<'a>(quantity: Quantity, lines: impl Iterator<Item = &'a &'a Line>) -> Vec<f64> {
    let mut errors: Vec<f64> = match quantity {
        Quantity::Unstated => Vec::new(),
        _ => lines.filter_map(|line| line.error_percent()).collect(),
    };
    errors.sort_by(f64::total_cmp);
    errors
}

fn checked(errors: &[f64]) -> Option<Checked> {
    Some(Checked {
        runs: errors.len() as u64,
        median_percent: percentile(errors, 50.0).map(rounded)?,
        p90_percent: percentile(errors, 90.0).map(rounded)?,
        worst_percent: errors.last().copied().map(rounded)?,
    })
}

/// The smallest value that at least this share of the sorted values does not exceed (nearest rank); the median of an
/// even number of values is the mean of the middle two.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    let count = sorted.len();
    if percent == 50.0 && count.is_multiple_of(2) {
        let (left, right) = (sorted.get(count.checked_sub(2)? / 2)?, sorted.get(count / 2)?);
        return Some((left + right) / 2.0);
    }
    let rank = (percent / 100.0 * count as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied()
}

fn share(values: impl Iterator<Item = bool>) -> Option<f64> {
    let (all, yes) = values.fold((0u32, 0u32), |(all, yes), value| {
        (all + 1, yes + u32::from(value))
    });
    (all > 0).then(|| rounded(f64::from(yes) / f64::from(all) * 100.0))
}

/// To three decimals, so that a committed table does not change with the last bits of a platform.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(measured: Option<u64>, low: u64, expected: u64, high: u64) -> Line {
        Line {
            id: "a".into(),
            engine: EngineName::Single,
            traced: expected == 110,
            quantity: Quantity::MaxAllocated,
            measured: measured.map(Bytes::new),
            predicted: Predicted {
                low: Bytes::new(low),
                expected: Bytes::new(expected),
                high: Bytes::new(high),
            },
            capacity: Some(Bytes::new(100)),
        }
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(percentile(&ten, 50.0), Some(5.5));
        assert_eq!(percentile(&ten, 90.0), Some(9.0));
        assert_eq!(percentile(&ten, 95.0), Some(10.0));
        assert_eq!(percentile(&[3.0], 90.0), Some(3.0));
        assert_eq!(percentile(&[1.0, 2.0, 3.0], 50.0), Some(2.0));
        assert_eq!(percentile(&[], 50.0), None);
    }

    #[test]
    fn a_row_counts_errors_intervals_failures_and_reasons() {
        let lines = [
            line(Some(100), 90, 110, 120),
            line(Some(100), 101, 105, 120),
            line(None, 80, 90, 105),
        ];
        let missing = NotMapped {
            id: "b".into(),
            engine: EngineName::Single,
            quantities: vec![Quantity::MaxAllocated],
            reason: "adapters are not built yet".into(),
        };
        let all = rows(&lines, &[missing]);
        let row = all.first().expect("one row");
        assert_eq!((all.len(), row.records, row.mapped), (1, 4, 3));
        assert_eq!(row.median_percent, Some(7.5));
        assert_eq!(row.worst_percent, Some(10.0));
        assert_eq!(row.inside_percent, Some(50.0));
        assert_eq!((row.failed_runs, row.failed_expected_percent), (1, Some(0.0)));
        assert_eq!(row.failed_high_percent, Some(100.0));
        let origin = |found: Option<Checked>| found.map(|found| (found.runs, found.worst_percent));
        assert_eq!(
            (origin(row.traced), origin(row.published)),
            (Some((1, 10.0)), Some((1, 5.0)))
        );
        assert_eq!(row.not_mapped.get("adapters are not built yet"), Some(&1));
    }

    #[test]
    fn an_unstated_meter_has_no_error() {
        let mut unstated = line(Some(100), 90, 110, 120);
        unstated.quantity = Quantity::Unstated;
        let all = rows(&[unstated], &[]);
        let row = all.first().expect("one row");
        assert_eq!((row.median_percent, row.inside_percent), (None, Some(100.0)));
    }
}
