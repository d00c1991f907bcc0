//! What is listed of a record: each predicted quantity with the model, the source and the question of its run, and the
//! errors over any choice of them. Nothing here filters or sorts.

use super::predict::{Outcome, predict, question};
use super::quantity::Quantity;
use super::record::Record;
use super::statistics::{Line, percentile, rounded};
use crate::request::Request;

/// One predicted quantity of a measured run.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Prediction and measured value.
    pub line: Line,
    /// The model, as the record names it.
    pub model: String,
    /// Where the figures come from: an address or a description.
    pub source: String,
    /// The run as a question, where one request says all of it.
    pub question: Option<Request>,
}

/// The predicted quantities of a record, or why it could not be asked.
pub fn cases(record: &Record) -> Result<Vec<Case>, String> {
    let lines = match predict(record) {
        Outcome::Predicted(lines, _) => lines,
        Outcome::NotMapped(record) => return Err(record.reason),
    };
    let question = question(record).ok().map(|question| question.request);
    let text = |key: &str| record.text(key).unwrap_or_default().to_owned();
    let (model, source) = (text("model"), text("source"));
    Ok(lines
        .into_iter()
        .map(|line| Case {
            line,
            model: model.clone(),
            source: source.clone(),
            question: question.clone(),
        })
        .collect())
}

/// The errors over some cases, in per cent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many have a measured value.
    pub cases: usize,
    /// Median absolute error.
    pub median_percent: f64,
    /// 90th percentile.
    pub p90_percent: f64,
    /// Largest.
    pub worst_percent: f64,
    /// Share of measured values inside the stated interval.
    pub inside_percent: f64,
}

/// The errors over these lines; none where no line has an error: failed runs, and a meter that is not stated.
pub fn summary<'a>(lines: impl Iterator<Item = &'a Line>) -> Option<Summary> {
    let judged: Vec<&Line> = lines.filter(|line| line.quantity != Quantity::Unstated).collect();
    let mut errors: Vec<f64> = judged.iter().filter_map(|line| line.error_percent()).collect();
    errors.sort_by(f64::total_cmp);
    let inside = judged.iter().filter(|line| line.inside() == Some(true)).count();
    Some(Summary {
        cases: errors.len(),
        // As the committed table rounds them, so that both are read alike.
        median_percent: rounded(percentile(&errors, 50.0)?),
        p90_percent: rounded(percentile(&errors, 90.0)?),
        worst_percent: rounded(*errors.last()?),
        inside_percent: rounded(inside as f64 / errors.len() as f64 * 100.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accuracy::evidence;
    use crate::accuracy::record::read;

    const FILE: &str = include_str!("../../tests/measured/deepspeed-trace.jsonl");

    #[test]
    fn the_summary_of_a_file_is_that_of_its_row() {
        let records = read(FILE).expect("records");
        let found: Vec<Case> = records
            .iter()
            .flat_map(|record| cases(record).expect("predicted"))
            .collect();
        let peaks = found
            .iter()
            .map(|case| &case.line)
            .filter(|line| line.quantity == Quantity::MaxAllocated);
        let summary = summary(peaks).expect("errors");
        assert_eq!(summary.cases, records.len());
        assert!(
            summary.median_percent <= summary.p90_percent && summary.p90_percent <= summary.worst_percent
        );
        let row = evidence::row("deepspeed", "max_allocated").expect("a row");
        assert!(row.worst_percent.expect("a worst") >= summary.worst_percent - 0.001);
    }

    #[test]
    fn a_case_names_its_run_and_asks_its_question() {
        let records = read(FILE).expect("records");
        let first = cases(records.first().expect("a record")).expect("predicted");
        let case = first.first().expect("a case");
        assert_eq!(case.model, "gpt2-xl");
        assert!(case.source.starts_with("framework trace: deepspeed"));
        let question = case.question.as_ref().expect("a question");
        let answer = crate::api::calculate(question).expect("answered");
        assert_eq!(answer.engine, "deepspeed");
    }

    #[test]
    fn nothing_has_no_summary() {
        assert_eq!(summary(std::iter::empty()), None);
    }
}
