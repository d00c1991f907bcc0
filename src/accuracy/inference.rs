//! From a record of an inference engine to predictions: the parts and meters of the answer that stand for what was measured.

use super::quantity::{Measurement, Quantity};
use super::question::Question;
use super::record::Record;
use super::statistics::{Line, Predicted};
use crate::api::{self, Strictness};
use crate::request::{DeviceRow, InferenceAnswer, Range};
use crate::units::Bytes;

/// One line per quantity that the answer tells.
pub fn lines(record: &Record, question: &Question, measured: &[Measurement]) -> Result<Vec<Line>, String> {
    let answer =
        api::calculate_inference_with(&question.request, Strictness::default()).map_err(|issues| {
            let errors: Vec<String> = issues
                .iter()
                .filter(|issue| issue.is_error())
                .map(|issue| format!("{}: {}", issue.code, issue.path))
                .collect();
            format!("refused ({})", errors.join(", "))
        })?;
    let index = record
        .whole("device_index")
        .and_then(|index| usize::try_from(index).ok());
    let device = answer
        .devices
        .get(index.unwrap_or(0))
        .ok_or("the answer has no such device")?;
    // One of several devices has peaks of its own; reserved memory is told only for the fullest.
    let of_many = answer.devices.len() > 1;
    let found: Vec<Line> = measured
        .iter()
        .filter_map(|one| {
            Some(Line {
                id: record.id.clone(),
                engine: record.engine(),
                traced: record.format.is_traced(),
                quantity: one.quantity,
                measured: one.bytes,
                predicted: predicted(&answer, *device, of_many, one.quantity)?,
                capacity: None,
            })
        })
        .collect();
    if found.is_empty() {
        return Err("nothing that was measured is predicted".into());
    }
    Ok(found)
}

fn predicted(
    answer: &InferenceAnswer,
    device: DeviceRow,
    of_many: bool,
    quantity: Quantity,
) -> Option<Predicted> {
    let peak = device.prefill_peak_bytes.max(device.decode_peak_bytes);
    Some(match quantity {
        Quantity::Weights => within(device.weights_bytes, 0.005),
        Quantity::KvCache => within(device.cache_bytes, 0.005),
        Quantity::PrefillPeak => within(device.prefill_peak_bytes, 0.03),
        Quantity::DecodePeak => within(device.decode_peak_bytes, 0.03),
        Quantity::MaxAllocated if of_many => within(peak, 0.03),
        Quantity::MaxAllocated => of(answer.meters.allocated),
        Quantity::MaxReserved if !of_many => of(answer.meters.reserved),
        Quantity::Device if !of_many => of(answer.meters.device),
        _ => return None,
    })
}

fn within(bytes: Bytes, share: f64) -> Predicted {
    Predicted {
        low: bytes.scaled(1.0 - share),
        expected: bytes,
        high: bytes.scaled(1.0 + share),
    }
}

fn of(range: Range) -> Predicted {
    Predicted {
        low: range.low_bytes,
        expected: range.expected_bytes,
        high: range.high_bytes,
    }
}
