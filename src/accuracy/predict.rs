//! From a record to predictions: its question through the same door as everybody's, and from the answer the meters that
//! the record measured.

use super::quantity::{Measurement, Quantity, measurements};
use super::question::Question;
use super::record::{EngineName, Format, Record};
use super::statistics::{Line, NotMapped, Predicted};
use super::verdicts::{self, Judged};
use super::{
    deepspeed, extras, inference, llama_cpp, published, sglang, tensorrt, tgi, trace, transformers, vllm,
};
use crate::api;
use crate::request::{Answer, InputId, Meters, Range, StageRow};
use crate::units::Bytes;

/// What became of one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// One line per quantity that it measured, and the verdict where it can be judged.
    Predicted(Vec<Line>, Option<Judged>),
    /// It could not be asked.
    NotMapped(NotMapped),
}

/// Predicts every quantity that a record measured.
pub fn predict(record: &Record) -> Outcome {
    let measured = measurements(record);
    match lines(record, &measured) {
        Ok((lines, verdict)) => Outcome::Predicted(lines, verdict),
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
        Format::DeepSpeedTrace => deepspeed::question(record),
        Format::TrainingExtras => extras::question(record),
        Format::TransformersInference => transformers::question(record),
        Format::Vllm if record.engine() == EngineName::Transformers => transformers::published(record),
        Format::Vllm | Format::Serving => Err("this engine is not built yet".into()),
        Format::SavedActivations | Format::SmallestCard => Err("a table for unit tests, not a run".into()),
        Format::Speed => Err("a speed, which is compared apart".into()),
        Format::Unknown => Err("the fields are of no known format".into()),
    }
}

/// The answer to a record's question; an error of the validation becomes the reason.
pub fn answer(question: &Question) -> Result<Answer, String> {
    let answer = match question.rank {
        Some(rank) => api::calculate_on_rank(&question.request, rank),
        None => api::calculate(&question.request),
    };
    answer.map_err(|issues| {
        let errors: Vec<String> = issues
            .iter()
            .filter(|issue| issue.is_error())
            .map(|issue| format!("{}: {}", issue.code, issue.path))
            .collect();
        format!("refused ({})", errors.join(", "))
    })
}

fn lines(record: &Record, measured: &[Measurement]) -> Result<(Vec<Line>, Option<Judged>), String> {
    if record.format == Format::Vllm && record.engine() == EngineName::Vllm {
        return vllm::lines(record, measured).map(|lines| (lines, None));
    }
    match record.engine() {
        EngineName::Sglang => return sglang::lines(record, measured).map(|lines| (lines, None)),
        EngineName::Tgi => return tgi::lines(record, measured).map(|lines| (lines, None)),
        EngineName::TensorRtLlm => return tensorrt::lines(record, measured).map(|lines| (lines, None)),
        _ => {}
    }
    if record.format == Format::Serving && record.engine() == EngineName::LlamaCpp {
        return llama_cpp::lines(record, measured).map(|lines| (lines, None));
    }
    let question = question(record)?;
    if !record.engine().trains() {
        return inference::lines(record, &question, measured).map(|lines| (lines, None));
    }
    let answer = answer(&question)?;
    let known = record.format == Format::Training && question.request.get(InputId::Gpu).is_some();
    let (meters, resting) = match answer.stages.last() {
        Some(last) if published::is_functional_test(record) => {
            (of_stage(&answer, last), Some(last.rest_bytes))
        }
        _ => (answer.meters, rest(&answer)),
    };
    let lines: Result<Vec<Line>, String> = measured
        .iter()
        .map(|one| {
            let failed = one.bytes.is_none();
            let predicted = match failed {
                true => answer.need.into(),
                false => meter(&meters, resting, one.quantity)
                    .map(|roomy| on_the_card(known, &answer, one.quantity, roomy))
                    .ok_or_else(|| format!("{} is not predicted", one.quantity.key()))?,
            };
            Ok(Line {
                capacity: failed.then_some(answer.capacity.usable_bytes),
                ..Line::new(record, one, predicted)
            })
        })
        .collect();
    Ok((lines?, verdicts::judge(record, &question, &answer)))
}

/// A published run that completed can have held no more than its card has. Where an allocator would hold more on a roomy
/// card, it gave back what it held in vain; then the pool was full, or at least as large as what was alive.
fn on_the_card(known: bool, answer: &Answer, quantity: Quantity, roomy: Predicted) -> Predicted {
    let pooled = matches!(
        quantity,
        Quantity::MaxReserved | Quantity::Device | Quantity::Unstated
    );
    if !known || !pooled {
        return roomy;
    }
    let visible = answer.capacity.visible.high_bytes;
    let total = answer.capacity.driver_bytes.unwrap_or(visible).max(visible);
    let outside = match quantity {
        Quantity::MaxReserved => {
            let (need, allocated) = (answer.need, answer.meters.allocated);
            need.low_bytes.saturating_sub(allocated.low_bytes)
        }
        _ => Bytes::ZERO,
    };
    let most = total.saturating_sub(outside);
    let alive = match quantity {
        Quantity::Device => answer.need.low_bytes,
        _ => answer.meters.allocated.low_bytes,
    };
    let low = if roomy.expected > most {
        roomy.low.min(alive)
    } else {
        roomy.low
    };
    Predicted {
        low: low.min(most),
        expected: roomy.expected.min(most),
        high: roomy.high.min(most),
    }
}

/// The meters of one pipeline stage: those of the fullest, in the proportion of their peaks.
fn of_stage(answer: &Answer, stage: &StageRow) -> Meters {
    let fullest = answer.meters.allocated.expected_bytes.get().max(1) as f64;
    let share = stage.peak_allocated_bytes.get() as f64 / fullest;
    let scaled = |range: Range| Range {
        low_bytes: range.low_bytes.scaled(share),
        expected_bytes: range.expected_bytes.scaled(share),
        high_bytes: range.high_bytes.scaled(share),
    };
    Meters {
        allocated: Range {
            expected_bytes: stage.peak_allocated_bytes,
            ..scaled(answer.meters.allocated)
        },
        reserved: scaled(answer.meters.reserved),
        device: scaled(answer.meters.device),
    }
}

/// The meter that stands for a quantity; `rest` is what is allocated between two steps.
fn meter(meters: &Meters, rest: Option<Bytes>, quantity: Quantity) -> Option<Predicted> {
    Some(match quantity {
        Quantity::MaxAllocated => meters.allocated.into(),
        // Blocks that wait for a stream come on top of the live ones, a few per cent at most.
        Quantity::MaxActive => {
            let allocated = Predicted::from(meters.allocated);
            Predicted {
                high: allocated.high.scaled(1.03),
                ..allocated
            }
        }
        Quantity::MaxReserved => meters.reserved.into(),
        Quantity::Device => meters.device.into(),
        Quantity::StaticAllocated => {
            let rest = rest?;
            return Some(Predicted::within(rest, 0.01));
        }
        Quantity::Unstated => Predicted {
            low: meters.allocated.low_bytes,
            expected: meters.reserved.expected_bytes,
            high: meters.device.high_bytes,
        },
        _ => return None,
    })
}

/// What is allocated between two steps.
fn rest(answer: &Answer) -> Option<Bytes> {
    let rest = answer.instants.iter().find(|instant| instant.id == "rest");
    rest.map(|instant| instant.allocated_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(low: u64, expected: u64, high: u64) -> Range {
        Range {
            low_bytes: Bytes::new(low),
            expected_bytes: Bytes::new(expected),
            high_bytes: Bytes::new(high),
        }
    }

    fn meters() -> Meters {
        Meters {
            allocated: range(900, 1000, 1100),
            reserved: range(1000, 1200, 1400),
            device: range(1500, 1800, 2000),
        }
    }

    #[track_caller]
    fn predicts(quantity: Quantity, expected: (u64, u64, u64)) {
        let found = meter(&meters(), Some(Bytes::new(400)), quantity).expect("predicted");
        assert_eq!(
            (found.low.get(), found.expected.get(), found.high.get()),
            expected,
            "{}",
            quantity.key()
        );
    }

    #[test]
    fn each_quantity_has_its_own_meter() {
        predicts(Quantity::MaxAllocated, (900, 1000, 1100));
        predicts(Quantity::MaxActive, (900, 1000, 1133));
        predicts(Quantity::MaxReserved, (1000, 1200, 1400));
        predicts(Quantity::Device, (1500, 1800, 2000));
        predicts(Quantity::Unstated, (900, 1200, 2000));
        predicts(Quantity::StaticAllocated, (396, 400, 404));
        assert_eq!(meter(&meters(), None, Quantity::KvCache), None);
        assert_eq!(meter(&meters(), None, Quantity::StaticAllocated), None);
    }
}
