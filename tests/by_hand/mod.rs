//! Calculations by hand of one instant of a question, as `tests/worked` and `tests/worked_options` hold them.

use gpu_mem_calc::api::{self, Answer, Request};
use serde::Deserialize;
use serde_json::Value;

/// A calculation by hand.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worked {
    title: String,
    source: String,
    request: Value,
    instant: String,
    lines: Vec<Line>,
    total_bytes: u64,
    within_percent: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    entries: Vec<String>,
    formula: String,
    bytes: u64,
}

impl Worked {
    /// That of a file; `path` names it where something is wrong.
    pub fn read(path: &str, text: &str) -> Self {
        let worked: Self = serde_json::from_str(text).unwrap_or_else(|error| unreachable!("{path}: {error}"));
        assert!(!worked.title.is_empty() && !worked.source.is_empty(), "{path}");
        worked
    }

    /// The question.
    pub fn request(&self) -> Request {
        Request::from_json(&self.request).expect("a request")
    }

    /// Compares every line, their sum and the instant with the answer, which is handed back.
    #[track_caller]
    pub fn check(&self, path: &str) -> Answer {
        let answer = match api::calculate(&self.request()) {
            Ok(answer) => answer,
            Err(issues) => unreachable!("{path}: {issues:?}"),
        };
        for line in &self.lines {
            let rows = answer
                .ledger
                .iter()
                .filter(|row| line.entries.iter().any(|entry| entry == row.id));
            let held = rows.map(|row| {
                row.unit_bytes.get() * row.held_at.get(self.instant.as_str()).copied().unwrap_or(0)
            });
            let what = format!("{path}: {:?} = {}", line.entries, line.formula);
            self.close(&what, held.sum(), line.bytes);
        }
        let by_hand: u64 = self.lines.iter().map(|line| line.bytes).sum();
        assert_eq!(by_hand, self.total_bytes, "{path}: the lines do not add up");
        let instant = answer.instants.iter().find(|row| row.id == self.instant);
        let allocated = instant.expect("an instant of the step").allocated_bytes;
        self.close(path, allocated.get(), self.total_bytes);
        answer
    }

    #[track_caller]
    fn close(&self, what: &str, found: u64, expected: u64) {
        let error = (found as f64 - expected as f64).abs() / expected as f64 * 100.0;
        assert!(
            error <= self.within_percent,
            "{what}: {found} is {error:.3} % from {expected}"
        );
    }
}
