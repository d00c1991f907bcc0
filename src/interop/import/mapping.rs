//! Tables between the keys of a configuration or the flags of a command and the inputs of a question.

use serde_json::{Number, Value};

use super::findings::Findings;
use crate::request::InputId;

/// How a value is read.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// A truth value; a flag without a value is true.
    Truth,
    /// A truth value that says the opposite.
    Not,
    /// One of these words, each with the word of the registry.
    Words(&'static [(&'static str, &'static str)]),
    /// A word as it stands.
    Word,
    /// The name or path of the model.
    Model,
    /// Known, and without effect on memory or told otherwise.
    Nothing,
}

/// A key or flag: its names, the input, how its value is read.
pub type Row = (&'static [&'static str], Option<InputId>, Kind);

/// The row of a name; hyphens and underscores are the same.
pub fn row<'a>(table: &'a [Row], name: &str) -> Option<&'a Row> {
    let wanted = name.trim_start_matches('-').replace('-', "_");
    table.iter().find(|(names, _, _)| {
        names
            .iter()
            .any(|own| own.trim_start_matches('-').replace('-', "_") == wanted)
    })
}

/// Reads a value by its row; whether it could be read.
pub fn apply(findings: &mut Findings, row: &Row, value: &Value, from: &str) -> bool {
    let (_, id, kind) = row;
    let Some(id) = *id else {
        if let (Kind::Model, Some(name)) = (kind, value.as_str()) {
            findings.model(name, from);
        }
        return true;
    };
    let read = match kind {
        Kind::Whole => whole(value).map(Value::from),
        Kind::Number => number(value).map(Value::Number),
        Kind::Truth => truth(value).map(Value::Bool),
        Kind::Not => truth(value).map(|value| Value::Bool(!value)),
        Kind::Words(words) => {
            let given = text(value).to_ascii_lowercase();
            words
                .iter()
                .find(|(own, _)| own.eq_ignore_ascii_case(&given))
                .map(|(_, ours)| Value::from(*ours))
        }
        Kind::Word => Some(Value::from(text(value))),
        Kind::Model | Kind::Nothing => return true,
    };
    match read {
        Some(read) => {
            findings.set(id, read, from);
            true
        }
        None => false,
    }
}

/// A whole number, also as text: `8192`, `8k`, `1e9`.
pub fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| from_float(number.as_f64()?)),
        Value::String(text) => {
            let text = text.trim().replace('_', "");
            if let Ok(number) = text.parse::<u64>() {
                return Some(number);
            }
            let (digits, factor) = match text.strip_suffix(['k', 'K']) {
                // Lower case is a thousand to vLLM, upper case 1024.
                Some(digits) if text.ends_with('k') => (digits, 1000.0),
                Some(digits) => (digits, 1024.0),
                None => (text.as_str(), 1.0),
            };
            from_float(digits.parse::<f64>().ok()? * factor)
        }
        _ => None,
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is whole and within range"
)]
fn from_float(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..1e15).contains(&number)).then_some(number as u64)
}

/// A finite number, also as text.
pub fn number(value: &Value) -> Option<Number> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse::<f64>().ok()?,
        _ => return None,
    };
    Number::from_f64(number)
}

/// A truth value, also as text.
pub fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Null => Some(true),
        Value::Number(number) => match number.as_u64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" | "auto" => Some(true),
            "false" | "no" | "off" | "0" | "" | "none" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A value as text.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Types of arithmetic under the names of the frameworks.
pub const DTYPES: &[(&str, &str)] = &[
    ("bfloat16", "bf16"),
    ("bf16", "bf16"),
    ("torch.bfloat16", "bf16"),
    ("float16", "fp16"),
    ("fp16", "fp16"),
    ("half", "fp16"),
    ("torch.float16", "fp16"),
    ("float32", "fp32"),
    ("fp32", "fp32"),
    ("float", "fp32"),
    ("torch.float32", "fp32"),
];
