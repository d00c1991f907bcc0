//! From a record of an inference engine to predictions: the parts and meters of the answer that stand for what was measured.

use super::quantity::{Measurement, Quantity};
use super::question::Question;
use super::record::Record;
use super::statistics::{Line, Predicted};
use crate::api::{self, Strictness};
use crate::request::{DeviceRow, InferenceAnswer};

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
            Some(Line::new(
                record,
                one,
                predicted(&answer, *device, of_many, one.quantity)?,
            ))
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
        Quantity::Weights => Predicted::within(device.weights_bytes, 0.005),
        Quantity::KvCache => Predicted::within(device.cache_bytes, 0.005),
        Quantity::PrefillPeak => Predicted::within(device.prefill_peak_bytes, 0.03),
        Quantity::DecodePeak => Predicted::within(device.decode_peak_bytes, 0.03),
        Quantity::MaxAllocated if of_many => Predicted::within(peak, 0.03),
        Quantity::MaxAllocated => answer.meters.allocated.into(),
        Quantity::MaxReserved if !of_many => answer.meters.reserved.into(),
        Quantity::Device if !of_many => answer.meters.device.into(),
        _ => return None,
    })
}
