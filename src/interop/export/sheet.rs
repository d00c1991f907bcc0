//! The settings as one exporter reads them. What it reads counts as told; what was typed and not told is named in the
//! notes, so that no export drops a setting in silence.

use std::collections::BTreeSet;

use serde_json::Value;

use super::settings::{Engine, Facts, Settings};
use crate::request::{Availability, EngineId, Input, InputId, Section, ServerId};

/// One reading of the settings.
#[derive(Debug)]
pub struct Sheet<'a> {
    settings: &'a Settings,
    told: BTreeSet<InputId>,
    notes: Vec<String>,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            told: BTreeSet::new(),
            notes: Vec::new(),
        }
    }

    /// What follows from the question.
    pub fn facts(&self) -> &'a Facts {
        &self.settings.facts
    }

    /// The settings themselves.
    pub fn settings(&self) -> &'a Settings {
        self.settings
    }

    /// The training engine; that of one GPU where the question is about serving.
    pub fn trainer(&self) -> EngineId {
        match self.settings.engine {
            Engine::Training(engine) => engine,
            Engine::Serving(_) => EngineId::PytorchDdp,
        }
    }

    /// The inference engine, where the question is about serving.
    pub fn server(&self) -> Option<ServerId> {
        match self.settings.engine {
            Engine::Training(_) => None,
            Engine::Serving(engine) => Some(engine),
        }
    }

    /// The model as a framework loads it: its name on the hub, else the name that was typed.
    pub fn model(&mut self) -> String {
        self.tell(&[InputId::ModelId, InputId::ModelName]);
        let facts = self.facts();
        match &facts.hub {
            Some(hub) => hub.clone(),
            None => {
                self.note("The model is not in the catalogue: replace the path of its checkpoint.");
                format!("./{}", facts.name.replace([' ', '/'], "-"))
            }
        }
    }

    /// A value without counting it as told: for decisions.
    pub fn peek(&self, id: InputId) -> Option<&'a Value> {
        self.settings.values.get(&id).map(|setting| &setting.value)
    }

    /// The word of a choice, for decisions.
    pub fn peek_word(&self, id: InputId) -> &'a str {
        self.peek(id).and_then(Value::as_str).unwrap_or_default()
    }

    /// A whole number, for decisions.
    pub fn peek_integer(&self, id: InputId) -> Option<u64> {
        self.peek(id).and_then(Value::as_u64)
    }

    /// A truth value, for decisions.
    pub fn peek_toggle(&self, id: InputId) -> bool {
        self.peek(id).and_then(Value::as_bool).unwrap_or_default()
    }

    /// Whether it was typed and is not the default.
    pub fn typed(&self, id: InputId) -> bool {
        self.settings.values.get(&id).is_some_and(|setting| setting.typed)
    }

    /// Counts inputs as told.
    pub fn tell(&mut self, ids: &[InputId]) {
        self.told.extend(ids);
    }

    /// A value that the export tells.
    pub fn value(&mut self, id: InputId) -> Option<&'a Value> {
        self.told.insert(id);
        self.peek(id)
    }

    /// A whole number that the export tells.
    pub fn integer(&mut self, id: InputId) -> Option<u64> {
        self.value(id).and_then(Value::as_u64)
    }

    /// A number that the export tells.
    pub fn number(&mut self, id: InputId) -> Option<f64> {
        self.value(id).and_then(Value::as_f64)
    }

    /// A truth value that the export tells.
    pub fn toggle(&mut self, id: InputId) -> bool {
        self.value(id).and_then(Value::as_bool).unwrap_or_default()
    }

    /// The word of a choice that the export tells.
    pub fn word(&mut self, id: InputId) -> &'a str {
        self.value(id).and_then(Value::as_str).unwrap_or_default()
    }

    /// A whole number, where it was typed and is not the default.
    pub fn typed_integer(&mut self, id: InputId) -> Option<u64> {
        if self.typed(id) { self.integer(id) } else { None }
    }

    /// A number, where it was typed and is not the default.
    pub fn typed_number(&mut self, id: InputId) -> Option<f64> {
        if self.typed(id) { self.number(id) } else { None }
    }

    /// Whether a choice has one of the words that the target can express; only then it is told.
    pub fn among(&mut self, id: InputId, words: &[&str]) -> Option<&'a str> {
        let word = self.peek_word(id);
        if !words.contains(&word) {
            return None;
        }
        self.told.insert(id);
        Some(word)
    }

    /// Adds a note.
    pub fn note(&mut self, words: impl Into<String>) {
        let words = words.into();
        if !self.notes.contains(&words) {
            self.notes.push(words);
        }
    }

    /// The notes: those of the exporter, then everything typed that it does not tell; and the keys of the settings among that.
    pub(super) fn notes(mut self) -> (Vec<String>, Vec<&'static str>) {
        let mut missing = Vec::new();
        let mut groups: [(&str, Vec<String>); 3] = [
            (
                "Not expressed here, set it where the training or serving code is written",
                Vec::new(),
            ),
            ("The model is loaded elsewhere; asked was", Vec::new()),
            ("About the machine, and no part of this file", Vec::new()),
        ];
        for (id, setting) in &self.settings.values {
            let input = id.input();
            if !setting.typed || self.told.contains(id) || input.availability != Availability::Built {
                continue;
            }
            let group = match input.section {
                Section::Model => 1,
                Section::Hardware | Section::NodeConfig => 2,
                _ => 0,
            };
            if group == 0 {
                missing.push(input.key);
            }
            if let Some((_, list)) = groups.get_mut(group) {
                list.push(said(input, &setting.value));
            }
        }
        let [code, architecture, machine] = groups;
        self.notes
            .extend(code.1.into_iter().map(|words| format!("{}: {words}.", code.0)));
        for (title, list) in [architecture, machine] {
            if !list.is_empty() {
                self.notes.push(format!("{title}: {}.", list.join(", ")));
            }
        }
        (self.notes, missing)
    }
}

/// An input with its value, short enough for a note.
fn said(input: &Input, value: &Value) -> String {
    let value = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let short: String = value.chars().take(60).collect();
    let dots = if short == value { "" } else { "..." };
    format!("{} = {short}{dots} ({})", input.key, input.label)
}
