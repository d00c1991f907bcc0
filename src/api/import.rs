//! Imports: a text of any kind becomes values of a request, and what it measured is set beside what the request predicts.

use serde::Serialize;

use super::{calculate, calculate_inference};
use crate::interop::import::{self, Import};
use crate::request::{InputId, Range, Request};
use crate::units::Bytes;
use crate::warn::Issue;

/// A measured quantity beside the predicted one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Key of the part.
    pub part: &'static str,
    /// What the text says.
    pub measured_bytes: Bytes,
    /// What is predicted.
    pub predicted: Range,
    /// Predicted over measured, less one, in percent.
    pub difference_percent: f64,
}

/// An import, applied to a question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Imported {
    /// What the text says.
    #[serde(flatten)]
    pub import: Import,
    /// The question with the values that were found.
    #[serde(skip)]
    pub request: Request,
    /// What was measured beside what is predicted, where the question can be answered.
    pub compared: Vec<Compared>,
}

/// A request from JSON or YAML text.
pub fn request_from_text(text: &str) -> Result<Request, Issue> {
    let body = text.trim_start_matches('\u{feff}').trim_start();
    if body.starts_with(['{', '[']) {
        return Request::from_text(text);
    }
    match import::yaml(text) {
        Ok(value) if value.is_object() => Request::from_json(&value),
        Err((line, words))
            if body
                .lines()
                .any(|line| line.ends_with(':') || line.contains(": ")) =>
        {
            Err(Issue::error(
                "yaml_invalid",
                "",
                format!("This is not YAML that can be read: line {line}: {words}."),
            ))
        }
        // What is neither is refused as JSON is.
        _ => Request::from_text(text),
    }
}

/// Reads a text and lays its values over a question.
pub fn import(text: &str, base: &Request) -> Imported {
    laid(import::import(text), base)
}

/// As [`import()`], of the first bytes of a file: also the header of a GGUF or a safetensors file. The issue `header_cut_off` asks
/// for more bytes.
pub fn import_bytes(bytes: &[u8], base: &Request) -> Imported {
    laid(import::import_bytes(bytes), base)
}

fn laid(import: Import, base: &Request) -> Imported {
    let request = over(base, &import.request);
    let compared = compare(&import, &request);
    Imported {
        import,
        request,
        compared,
    }
}

/// The question with the values of an import: a new model takes the place of the old one with all its fields.
fn over(base: &Request, found: &Request) -> Request {
    let mut request = base.clone();
    let another = [InputId::ModelId, InputId::HfConfig, InputId::NumParameters];
    if another.into_iter().any(|id| found.has(id)) {
        for (id, _) in base.given() {
            if id.key().starts_with("model.") {
                request.clear(id);
            }
        }
    }
    if found.has(InputId::GpuMemoryGb) && !found.has(InputId::Gpu) {
        request.clear(InputId::Gpu);
    }
    request.merge(found);
    request
}

/// Measured beside predicted.
fn compare(import: &Import, request: &Request) -> Vec<Compared> {
    if import.measured.is_empty() {
        return Vec::new();
    }
    let mut predicted: Vec<(&'static str, Range)> = Vec::new();
    if request.serves() {
        let Ok(answer) = calculate_inference(request) else {
            return Vec::new();
        };
        predicted.extend(answer.parts.iter().map(|part| (part.id, part.bytes)));
        predicted.retain(|(id, _)| *id != "kv_cache" || answer.pool.is_none());
        if let Some(pool) = &answer.pool {
            predicted.push(("kv_cache", pool.bytes));
        }
        predicted.push(("allocated", answer.meters.allocated));
        predicted.push(("reserved", answer.meters.reserved));
        predicted.push(("device", answer.meters.device));
    } else {
        let Ok(answer) = calculate(request) else {
            return Vec::new();
        };
        predicted.push(("allocated", answer.meters.allocated));
        predicted.push(("reserved", answer.meters.reserved));
        predicted.push(("device", answer.meters.device));
    }
    // The last line that states a part is the one that holds, and buffers of one part on several cards are alike.
    let mut seen = Vec::new();
    let mut rows = Vec::new();
    for measured in import.measured.iter().rev() {
        let found = predicted.iter().find(|(part, _)| *part == measured.part);
        let Some((part, range)) = found.filter(|_| !seen.contains(&measured.part)) else {
            continue;
        };
        seen.push(measured.part);
        let ratio = range.expected_bytes.to_gib() / measured.bytes.to_gib().max(1e-9);
        rows.push(Compared {
            part,
            measured_bytes: measured.bytes,
            predicted: *range,
            difference_percent: ((ratio - 1.0) * 1000.0).round() / 10.0,
        });
    }
    rows.reverse();
    rows
}
