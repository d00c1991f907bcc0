//! What an importer finds in a text: values for inputs with the place where they stood, what it assumes, what it does not
//! understand, and what was measured.

use serde::Serialize;
use serde_json::Value;

use crate::request::{InputId, Request};
use crate::units::Bytes;

/// A value that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Found {
    /// The input.
    pub path: &'static str,
    /// Its label.
    pub label: &'static str,
    /// The value that the request gets.
    pub value: Value,
    /// What stood in the text.
    pub from: String,
}

/// A quantity that a log or a message states.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Measured {
    /// Key: `weights`, `kv_cache`, `activations`, `graphs`, `non_torch`, `device`, `allocated`, `reserved`, `needed`, `host`, `file`.
    pub part: &'static str,
    /// The words of the text.
    pub from: String,
    /// Bytes on one GPU.
    pub bytes: Bytes,
}

/// The findings so far.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// What the text says, as a request.
    pub request: Request,
    /// Each value with its place.
    pub found: Vec<Found>,
    /// What is assumed because the text does not say it.
    pub assumed: Vec<String>,
    /// What stands in the text and has no place in a question.
    pub not_understood: Vec<String>,
    /// What was measured.
    pub measured: Vec<Measured>,
}

impl Findings {
    /// A value for an input.
    pub fn set(&mut self, id: InputId, value: impl Into<Value>, from: impl Into<String>) {
        let value = value.into();
        self.found.retain(|found| found.path != id.key());
        self.found.push(Found {
            path: id.key(),
            label: id.input().label,
            value: value.clone(),
            from: short(&from.into()),
        });
        self.request.set(id, value);
    }

    /// A value that nothing in the text states yet.
    pub fn set_if_absent(&mut self, id: InputId, value: impl Into<Value>, from: impl Into<String>) {
        if !self.request.has(id) {
            self.set(id, value, from);
        }
    }

    /// Takes a value back.
    pub fn forget(&mut self, id: InputId) {
        self.request.clear(id);
        self.found.retain(|found| found.path != id.key());
    }

    /// Something assumed.
    pub fn assume(&mut self, words: impl Into<String>) {
        let words = words.into();
        if !self.assumed.contains(&words) {
            self.assumed.push(words);
        }
    }

    /// Something that is not understood.
    pub fn strange(&mut self, words: impl Into<String>) {
        let words = short(&words.into());
        if self.not_understood.len() < 60 && !self.not_understood.contains(&words) {
            self.not_understood.push(words);
        }
    }

    /// A quantity that was measured.
    pub fn measure(&mut self, part: &'static str, bytes: Bytes, from: impl Into<String>) {
        let from = short(&from.into());
        if self.measured.len() < 60 {
            self.measured.push(Measured { part, from, bytes });
        }
    }

    /// The model by the name of its checkpoint: a path, or its name on the hub.
    pub fn model(&mut self, name: &str, from: impl Into<String>) {
        let name = name.trim().trim_end_matches('/');
        if name.is_empty() {
            return;
        }
        match super::catalogued(name) {
            Some(id) => self.set(InputId::ModelId, id, from),
            None => {
                let own = name.rsplit('/').next().unwrap_or(name);
                self.set(
                    InputId::ModelName,
                    own.chars().take(200).collect::<String>(),
                    from,
                );
                self.assume(format!(
                    "The model {own} is not in the catalogue: give its config.json for its architecture."
                ));
            }
        }
    }
}

/// Enough of a text to find its place again.
fn short(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(140).collect();
    if short == line {
        short
    } else {
        format!("{short}...")
    }
}
