//! From a record to predictions: its question through the same door as everybody's, and from the answer the meters that
//! the record measured.

use super::quantity::{Measurement, Quantity, measurements};
use super::question::{Differences, Question};
use super::record::{Format, Record};
use super::statistics::{Line, NotMapped, Predicted};
use super::{published, trace};
use crate::api;
use crate::request::{Answer, Range};
use crate::units::Bytes;

/// What became of one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// One line per quantity that it measured.
    Predicted(Vec<Line>),
    /// It could not be asked.
    NotMapped(NotMapped),
}

/// Predicts every quantity that a record measured.
pub fn predict(record: &Record) -> Outcome {
    let measured = measurements(record);
    match lines(record, &measured) {
        Ok(lines) => Outcome::Predicted(lines),
        Err(reason) => Outcome::NotMapped(NotMapped {
            id: record.id.clone(),
            engine: record.engine(),
            quantities: measured.iter().map(|one| one.quantity).collect(),
            reason,
        }),
    }
}

/// The question that a record asks, or why it cannot be asked.
pub fn question(record: &Record) -> Result<Question, String> {
    match record.format {
        Format::TorchTrace => trace::question(record),
        Format::Training => published::question(record),
        Format::DeepSpeedTrace => Err("engine deepspeed is not built yet".into()),
        Format::TrainingExtras => Err("adapters, quantised bases and other extras are not built yet".into()),
        Format::TransformersInference | Format::Vllm | Format::Serving => {
            Err("inference is not built yet".into())
        }
        Format::SavedActivations | Format::SmallestCard => Err("a table for unit tests, not a run".into()),
        Format::Unknown => Err("the fields are of no known format".into()),
    }
}

/// The answer to a record's question; an error of the validation becomes the reason.
pub fn answer(question: &Question) -> Result<Answer, String> {
    api::calculate(&question.request).map_err(|issues| {
        let errors: Vec<String> = issues
            .iter()
            .filter(|issue| issue.is_error())
            .map(|issue| format!("{}: {}", issue.code, issue.path))
            .collect();
        format!("refused ({})", errors.join(", "))
    })
}

fn lines(record: &Record, measured: &[Measurement]) -> Result<Vec<Line>, String> {
    let question = question(record)?;
    let answer = answer(&question)?;
    measured
        .iter()
        .map(|one| {
            let failed = one.bytes.is_none();
            let predicted = match failed {
                true => of(answer.need),
                false => meter(&answer, one.quantity, question.differences)
                    .ok_or_else(|| format!("{} is not predicted", one.quantity.key()))?,
            };
            Ok(Line {
                id: record.id.clone(),
                engine: record.engine(),
                quantity: one.quantity,
                measured: one.bytes,
                predicted,
                capacity: failed.then_some(answer.capacity.usable_bytes),
            })
        })
        .collect()
}

fn of(range: Range) -> Predicted {
    Predicted {
        low: range.low_bytes,
        expected: range.expected_bytes,
        high: range.high_bytes,
    }
}

/// The meter of an answer that stands for a quantity.
fn meter(answer: &Answer, quantity: Quantity, differences: Differences) -> Option<Predicted> {
    let rest = rest(answer);
    let predicted = match quantity {
        Quantity::MaxAllocated => of(answer.meters.allocated),
        // Blocks that wait for a stream come on top of the live ones, a few per cent at most.
        Quantity::MaxActive => {
            let allocated = of(answer.meters.allocated);
            Predicted {
                high: allocated.high.scaled(1.03),
                ..allocated
            }
        }
        Quantity::MaxReserved => of(answer.meters.reserved),
        Quantity::Device => of(answer.meters.device),
        Quantity::StaticAllocated => {
            let rest = rest?;
            Predicted {
                low: rest.scaled(0.99),
                expected: rest,
                high: rest.scaled(1.01),
            }
        }
        Quantity::Unstated => Predicted {
            low: answer.meters.allocated.low_bytes,
            expected: answer.meters.reserved.expected_bytes,
            high: answer.meters.device.high_bytes,
        },
        _ => return None,
    };
    Some(match (quantity, rest) {
        (Quantity::StaticAllocated, _) | (_, None) => predicted,
        (_, Some(rest)) => compiled(predicted, rest, differences),
    })
}

/// A compiled run saves fewer activations than the eager one that was asked for; what is at rest does not change. The
/// share of the rest that remains was measured as 0.6 to 1 of the eager one.
fn compiled(predicted: Predicted, rest: Bytes, differences: Differences) -> Predicted {
    if !differences.compiled {
        return predicted;
    }
    let shrunk = |bytes: Bytes, share: f64| rest.min(bytes) + bytes.saturating_sub(rest).scaled(share);
    Predicted {
        low: shrunk(predicted.low, 0.6),
        expected: shrunk(predicted.expected, 0.85),
        high: predicted.high,
    }
}

/// What is allocated between two steps.
fn rest(answer: &Answer) -> Option<Bytes> {
    answer
        .instants
        .iter()
        .find(|instant| instant.id == "rest")
        .map(|instant| instant.allocated_bytes)
}
