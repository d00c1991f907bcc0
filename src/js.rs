//! The JavaScript surface: functions that take and give JSON text. Mounting the page into an element is `ui`'s.
//!
//! No logic lives here. A refused request throws an `Error` whose `message` is for a person and whose `errors` is the
//! list of issues.

use js_sys::{Error, JSON, Reflect};
use serde::Serialize;
use serde_json::{Value, json};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::accuracy;
use crate::api::{self, Issue, Request, Strictness};

/// The answer to a training request; both are JSON.
#[wasm_bindgen]
pub fn calculate(request: &str) -> Result<String, JsValue> {
    let request = Request::from_text(request).map_err(|issue| refused(&[issue]))?;
    let answer = accuracy::calculate(&request, Strictness::default()).map_err(|issues| refused(&issues))?;
    Ok(text(&answer))
}

/// The answer to an inference request; both are JSON.
#[wasm_bindgen(js_name = calculateInference)]
pub fn calculate_inference(request: &str) -> Result<String, JsValue> {
    let request = Request::from_text(request).map_err(|issue| refused(&[issue]))?;
    let answer =
        accuracy::calculate_inference(&request, Strictness::default()).map_err(|issues| refused(&issues))?;
    Ok(text(&answer))
}

/// The answers of all inference engines to a question, side by side; both are JSON.
#[wasm_bindgen(js_name = sideBySide)]
pub fn side_by_side(request: &str) -> Result<String, JsValue> {
    let request = Request::from_text(request).map_err(|issue| refused(&[issue]))?;
    Ok(text(&api::side_by_side(&request)))
}

/// What travels between GPUs and nodes in a step, and how long it takes; both are JSON.
#[wasm_bindgen(js_name = calculateMultiNode)]
pub fn calculate_multi_node(request: &str) -> Result<String, JsValue> {
    let request = Request::from_text(request).map_err(|issue| refused(&[issue]))?;
    let answer = api::multi_node(&request).map_err(|issues| refused(&issues))?;
    Ok(text(&answer))
}

/// The best plans for a question on training: what every plan of its space would be, the fastest first; both are JSON. It takes
/// seconds for large spaces: call it in a worker.
#[wasm_bindgen]
pub fn plan(request: &str) -> Result<String, JsValue> {
    let request = Request::from_text(request).map_err(|issue| refused(&[issue]))?;
    let answer = api::plan(&request).map_err(|issues| refused(&issues))?;
    Ok(text(&answer))
}

/// The largest micro-batch that fits, with the answer at it; both are JSON.
#[wasm_bindgen(js_name = optimizeBatchSize)]
pub fn optimize_batch_size(request: &str) -> Result<String, JsValue> {
    let request = Request::from_text(request).map_err(|issue| refused(&[issue]))?;
    let result = accuracy::optimize_batch_size(&request).map_err(|issues| refused(&issues))?;
    Ok(text(&result))
}

/// Solves a request for `batch_size`, `seq_length`, `num_gpus` or `gpu`; both are JSON.
#[wasm_bindgen]
pub fn solve(request: &str, variable: &str) -> Result<String, JsValue> {
    let request = Request::from_text(request).map_err(|issue| refused(&[issue]))?;
    if variable == "gpu" {
        return api::smallest_card(&request)
            .map(|cards| text(&cards))
            .map_err(|issues| refused(&issues));
    }
    let Some(unknown) = api::Unknown::from_key(variable) else {
        let words = format!("{variable} cannot be solved for: batch_size, seq_length, num_gpus or gpu.");
        return Err(refused(&[Issue::error("unknown_value", "variable", words)]));
    };
    api::solve(&request, unknown)
        .map(|solution| text(&solution))
        .map_err(|issues| refused(&issues))
}

/// The answer's parts, each with its formula, the numbers put in, its result and its source; both are JSON.
#[wasm_bindgen(js_name = explainFormula)]
pub fn explain_formula(request: &str) -> Result<String, JsValue> {
    let request = Request::from_text(request).map_err(|issue| refused(&[issue]))?;
    let explanation = api::explain(&request).map_err(|issues| refused(&issues))?;
    Ok(text(&explanation))
}

/// Whether a request can be answered: `{"valid": true, "issues": []}`, warnings included. Never throws.
#[wasm_bindgen]
pub fn validate(request: &str) -> String {
    let issues = match Request::from_text(request) {
        Err(issue) => vec![issue],
        Ok(request) => api::validate_request(&request),
    };
    let valid = !issues.iter().any(Issue::is_error);
    text(&json!({ "valid": valid, "issues": issues }))
}

/// The JSON Schema of this name: `request`.
#[wasm_bindgen]
pub fn schema(name: &str) -> Result<String, JsValue> {
    let words = || {
        format!(
            "There is no schema {name}; there are: {}.",
            api::SCHEMAS.join(", ")
        )
    };
    api::schema(name)
        .map(|schema| text(&schema))
        .ok_or_else(|| refused(&[Issue::error("not_found", "schema", words())]))
}

/// The version of the calculator.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// The GPUs of the table.
#[wasm_bindgen]
pub fn gpus() -> String {
    text(&api::gpus())
}

/// JSON text of something that always has one.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| Value::Null.to_string())
}

/// The `Error` for a refused request.
fn refused(issues: &[Issue]) -> JsValue {
    let message = issues
        .iter()
        .find(|issue| issue.is_error())
        .map_or("refused", |issue| issue.message.as_str());
    let error = Error::new(message);
    if let Ok(list) = JSON::parse(&text(&issues)) {
        // Setting a property of a fresh error cannot fail.
        let _ = Reflect::set(&error, &JsValue::from_str("errors"), &list);
    }
    error.into()
}
