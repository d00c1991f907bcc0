//! The committed statistics over the project's own records, `assets/accuracy.json`, as the page and the README show them.
//! A test keeps the file equal to what the records give.

use std::sync::OnceLock;

use super::quantity::Quantity;
use super::report::Table;
use super::statistics::Row;
use crate::api::{self, Answer, BatchSizeResult, InferenceAnswer, Issue, Request, Strictness, Validation};

const TABLE: &str = include_str!("../../assets/accuracy.json");

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
    answer.validation =
        row(answer.engine, Quantity::MaxAllocated.key()).map_or(Validation::NOT_VALIDATED, checked);
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
    answer.validation = row(answer.engine, judged.key()).map_or(Validation::NOT_VALIDATED, checked);
    Ok(answer)
}

fn checked(row: &Row) -> Validation {
    if row.traced.is_none() && row.published.is_none() {
        return Validation::NOT_VALIDATED;
    }
    Validation::Records {
        engine: row.engine.clone(),
        traced: row.traced,
        published: row.published,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_table_is_readable() {
        assert!(serde_json::from_str::<Table>(TABLE).is_ok());
        assert_eq!(row("no such engine", "max_allocated"), None);
    }
}
