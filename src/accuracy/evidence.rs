//! The committed statistics over the project's own records, `assets/accuracy.json`, as the page and the README show them, and the few
//! of them that answers carry, `assets/checked.csv`. Tests keep the files equal to what the records give.

use std::sync::OnceLock;

use super::quantity::Quantity;
use super::report::Table;
use super::statistics::Row;
use crate::api::{
    self, Answer, BatchSizeResult, Checked, InferenceAnswer, Issue, Request, Strictness, Validation,
};

const TABLE: &str = include_str!("../../assets/accuracy.json");
/// Engine, quantity, origin of the runs, their number, and the median, 90th percentile and largest error in percent.
const CHECKED: &str = include_str!("../../assets/checked.csv");

/// The statistics over the project's own records.
pub fn evidence() -> &'static Table {
    static PARSED: OnceLock<Table> = OnceLock::new();
    PARSED.get_or_init(|| serde_json::from_str(TABLE).unwrap_or_default())
}

/// The row of an engine (as records name it) and a quantity, where at least one record was predicted.
pub fn row(engine: &str, quantity: &str) -> Option<&'static Row> {
    evidence()
        .rows
        .iter()
        .find(|row| row.engine == engine && row.quantity == quantity && row.mapped > 0)
}

/// Answers a request as [`api::calculate_with`] does, and says how this engine's answers compare with measured runs.
pub fn calculate(request: &Request, strictness: Strictness) -> Result<Answer, Vec<Issue>> {
    api::calculate_with(request, strictness).map(compared)
}

/// Solves as [`api::optimize_batch_size`] does, and says the same of its answer.
pub fn optimize_batch_size(request: &Request) -> Result<BatchSizeResult, Vec<Issue>> {
    let mut result = api::optimize_batch_size(request)?;
    result.memory_result = compared(result.memory_result);
    Ok(result)
}

fn compared(mut answer: Answer) -> Answer {
    answer.validation = checked(answer.engine, Quantity::MaxAllocated);
    answer
}

/// Answers an inference request in the same way.
pub fn calculate_inference(request: &Request, strictness: Strictness) -> Result<InferenceAnswer, Vec<Issue>> {
    let mut answer = api::calculate_inference_with(request, strictness)?;
    // What a server's log prints is its pool; llama.cpp prints its scratch.
    let judged = match answer.pool {
        Some(_) => Quantity::KvCache,
        None if answer.most_gpu_layers.is_some() => Quantity::ComputeBuffer,
        None => Quantity::MaxAllocated,
    };
    answer.validation = checked(answer.engine, judged);
    Ok(answer)
}

/// What is known of an engine's predictions of a quantity.
fn checked(engine: &str, quantity: Quantity) -> Validation {
    let (traced, published) = (
        of_origin(engine, quantity, "traced"),
        of_origin(engine, quantity, "published"),
    );
    if traced.is_none() && published.is_none() {
        return Validation::NOT_VALIDATED;
    }
    Validation::Records {
        engine: engine.to_owned(),
        traced,
        published,
    }
}

fn of_origin(engine: &str, quantity: Quantity, origin: &str) -> Option<Checked> {
    let start = format!("{engine},{},{origin},", quantity.key());
    let line = CHECKED
        .lines()
        .find_map(|line| line.strip_prefix(start.as_str()))?;
    let mut cells = line.split(',');
    let runs = cells.next()?.parse().ok()?;
    let mut percent = || cells.next()?.parse::<f64>().ok();
    Some(Checked {
        runs,
        median_percent: percent()?,
        p90_percent: percent()?,
        worst_percent: percent()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_table_is_readable() {
        assert!(serde_json::from_str::<Table>(TABLE).is_ok());
        assert_eq!(row("no such engine", "max_allocated"), None);
        assert_eq!(
            checked("no such engine", Quantity::MaxAllocated),
            Validation::NOT_VALIDATED
        );
    }

    #[test]
    fn what_answers_carry_is_what_the_table_says() {
        let judged = [Quantity::MaxAllocated, Quantity::KvCache, Quantity::ComputeBuffer];
        let mut lines = 0;
        for row in &evidence().rows {
            let Some(quantity) = judged.iter().find(|quantity| quantity.key() == row.quantity) else {
                continue;
            };
            for (origin, known) in [("traced", row.traced), ("published", row.published)] {
                assert_eq!(
                    of_origin(&row.engine, *quantity, origin),
                    known,
                    "{} {origin}",
                    row.engine
                );
                lines += usize::from(known.is_some());
            }
        }
        assert_eq!(CHECKED.lines().count(), lines, "run `cargo xtask accuracy`");
    }
}
