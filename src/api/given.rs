//! All values of a request, typed, with the defaults of the registry behind them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::nearest::nearest;
use super::read::{Typed, read};
use crate::request::{
    Choice, INPUTS, Input, InputDefault, InputId, InputKind, OTHER_SECTIONS, Request, Section,
};
use crate::units::Bytes;
use crate::warn::Issue;

/// The typed values of a request. A value that could not be read is absent and has its issue.
#[derive(Clone, Debug, Default)]
pub struct Given {
    values: BTreeMap<InputId, Typed>,
    failed: Vec<InputId>,
}

impl Given {
    /// Reads every value; all issues at once.
    pub fn read(request: &Request, issues: &mut Vec<Issue>) -> Self {
        issues.extend(request.shape_issues().iter().cloned());
        let mut given = Self::default();
        for (id, value) in request.given() {
            match read(id.input(), value) {
                Ok((typed, warning)) => {
                    given.values.insert(id, typed);
                    issues.extend(warning);
                }
                Err(issue) => {
                    given.failed.push(id);
                    issues.push(issue);
                }
            }
        }
        issues.extend(
            request
                .unknown()
                .iter()
                .map(|(path, value)| unknown_field(path, value)),
        );
        given
    }

    /// Gives a value that was left open.
    pub fn fill(&mut self, id: InputId, value: Typed) {
        if !self.has(id) {
            self.values.insert(id, value);
        }
    }

    /// Whether a value was given, readable or not.
    pub fn has(&self, id: InputId) -> bool {
        self.values.contains_key(&id) || self.failed.contains(&id)
    }

    /// Whether a value was given that could not be read.
    pub fn has_failed(&self, id: InputId) -> bool {
        self.failed.contains(&id)
    }

    /// The given value.
    pub fn get(&self, id: InputId) -> Option<&Typed> {
        self.values.get(&id)
    }

    /// Every given value in the order of the registry.
    pub fn iter(&self) -> impl Iterator<Item = (InputId, &Typed)> {
        self.values.iter().map(|(id, typed)| (*id, typed))
    }

    /// A whole number or count that was given.
    pub fn typed_integer(&self, id: InputId) -> Option<u64> {
        self.get(id).and_then(|_| self.integer(id))
    }

    /// A number that was given.
    pub fn typed_number(&self, id: InputId) -> Option<f64> {
        self.get(id).and_then(|_| self.number(id))
    }

    /// A toggle that was given.
    pub fn typed_toggle(&self, id: InputId) -> Option<bool> {
        self.get(id).and_then(|_| self.toggle(id))
    }

    /// A whole number or count, or the fixed default.
    pub fn integer(&self, id: InputId) -> Option<u64> {
        match self.value(id) {
            Some(Typed::Integer(value)) => Some(value),
            _ => None,
        }
    }

    /// A number, or the fixed default.
    pub fn number(&self, id: InputId) -> Option<f64> {
        match self.value(id) {
            Some(Typed::Number(value)) => Some(value),
            _ => None,
        }
    }

    /// A toggle, or the fixed default.
    pub fn toggle(&self, id: InputId) -> Option<bool> {
        match self.value(id) {
            Some(Typed::Toggle(value)) => Some(value),
            _ => None,
        }
    }

    /// The canonical value of a choice that was given.
    pub fn typed_choice(&self, id: InputId) -> Option<&'static str> {
        self.get(id).and_then(|_| self.choice(id))
    }

    /// The canonical value of a choice, or of the fixed default.
    pub fn choice(&self, id: InputId) -> Option<&'static str> {
        self.choice_entry(id).map(|choice| choice.value)
    }

    /// A choice, or the fixed default.
    pub fn choice_entry(&self, id: InputId) -> Option<&'static Choice> {
        match self.value(id) {
            Some(Typed::Choice(choice)) => Some(choice),
            _ => None,
        }
    }

    /// Text, or the fixed default.
    pub fn text(&self, id: InputId) -> Option<String> {
        match self.value(id) {
            Some(Typed::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A number of GiB in bytes.
    pub fn gib(&self, id: InputId) -> Option<Bytes> {
        self.number(id).map(Bytes::from_gib)
    }

    /// The given value, or the fixed default; nothing where a given value could not be read.
    pub fn value(&self, id: InputId) -> Option<Typed> {
        if self.has_failed(id) {
            return None;
        }
        self.get(id).cloned().or_else(|| default_of(id.input()))
    }

    /// Whether the given value says something else than the fixed default.
    pub fn differs_from_default(&self, id: InputId) -> bool {
        match (self.get(id), default_of(id.input())) {
            (None, _) => false,
            (Some(given), Some(default)) => *given != default,
            (Some(_), None) => true,
        }
    }
}

/// The fixed default of an input, typed.
pub fn default_of(input: &Input) -> Option<Typed> {
    let InputDefault::Fixed(text) = input.default else {
        return None;
    };
    let value = match input.kind {
        InputKind::Toggle => Value::from(text == "true"),
        _ => Value::from(text),
    };
    read(input, &value).ok().map(|(typed, _)| typed)
}

/// The warning about a key that no input has.
fn unknown_field(path: &str, value: &Value) -> Issue {
    if OTHER_SECTIONS.contains(&path) {
        return Issue::warning(
            "not_used",
            path,
            format!("{path} belongs to another question and is not used by this one."),
        );
    }
    let issue = Issue::warning(
        "unknown_field",
        path,
        format!("The key {path} is not known and was not used."),
    )
    .with_value(value.clone());
    let hint = match path.rsplit_once('.') {
        None => nearest(path, Section::ALL.iter().map(|section| section.key())).map(ToString::to_string),
        Some((section, name)) => nearest_key(section, name),
    };
    match hint {
        Some(hint) => issue.with_hint(format!("Did you mean {hint}?")),
        None => issue,
    }
}

/// The nearest key of the same section, or the same name in another section.
fn nearest_key(section: &str, name: &str) -> Option<String> {
    let section = Section::from_key(section)?;
    let names = INPUTS
        .iter()
        .filter(|input| input.section == section)
        .flat_map(|input| [input.key].into_iter().chain(input.aliases.iter().copied()))
        .filter_map(|key| key.rsplit_once('.').map(|(_, last)| last));
    nearest(name, names)
        .map(|found| format!("{}.{found}", section.key()))
        .or_else(|| {
            INPUTS
                .iter()
                .find(|input| input.name() == name)
                .map(|input| input.key.to_string())
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn issues(value: Value) -> Vec<Issue> {
        let mut issues = Vec::new();
        Given::read(&Request::from_json(&value).unwrap(), &mut issues);
        issues
    }

    #[test]
    fn every_fixed_default_can_be_read() {
        for input in INPUTS {
            if let InputDefault::Fixed(text) = input.default {
                assert!(default_of(input).is_some(), "{}: default {text}", input.key);
            }
        }
    }

    #[test]
    fn reports_all_issues_at_once_by_field() {
        let found = issues(json!({
            "model": {"num_layers": 0, "hidden_size": 1.5, "vocab_size": true, "num_hidden_layres": 3},
            "training": {"dtype": "bf61", "activation_checkpointing": 5},
        }));
        let codes: Vec<_> = found
            .iter()
            .map(|issue| (issue.path.as_str(), issue.code))
            .collect();
        for expected in [
            ("model.num_layers", "out_of_range"),
            ("model.hidden_size", "not_whole"),
            ("model.vocab_size", "wrong_type"),
            ("model.num_hidden_layres", "unknown_field"),
            ("training.dtype", "unknown_value"),
            ("training.activation_checkpointing", "out_of_range"),
        ] {
            assert!(codes.contains(&expected), "{expected:?} in {codes:?}");
        }
    }

    #[test]
    fn a_k_behind_a_whole_number_is_read_and_told() {
        let read = |value: Value| {
            let mut told = Vec::new();
            let given = Given::read(&Request::from_json(&value).unwrap(), &mut told);
            (given, told)
        };
        let (given, told) = read(json!({"model": {"hidden_size": "8k", "vocab_size": "32K"}}));
        assert_eq!(given.typed_integer(InputId::HiddenSize), Some(8192));
        assert_eq!(given.typed_integer(InputId::VocabSize), Some(32_000));
        assert!(told.iter().all(|issue| !issue.is_error()) && told.len() == 2);
        assert_eq!(told[0].message, "8k is read as 8192.");
        for wrong in ["k", "8kk", "1.5k", "-1k", "99999999999999999999k"] {
            let (_, told) = read(json!({"model": {"hidden_size": wrong}}));
            assert!(told.iter().any(Issue::is_error), "{wrong}");
        }
    }

    #[test]
    fn hints_at_the_nearest_key_and_value() {
        let found = issues(
            json!({"training": {"num_gpus": 8, "dtype": "bf61", "optimizer": "sdg"}, "trainning": {}}),
        );
        let hint = |path: &str| {
            found
                .iter()
                .find(|issue| issue.path == path)
                .and_then(|issue| issue.hint.clone())
        };
        assert_eq!(
            hint("training.num_gpus").as_deref(),
            Some("Did you mean hardware.num_gpus?")
        );
        assert_eq!(hint("training.dtype").as_deref(), Some("Did you mean bf16?"));
        assert_eq!(hint("training.optimizer").as_deref(), Some("Did you mean sgd?"));
        assert_eq!(hint("trainning").as_deref(), Some("Did you mean training?"));
    }

    #[test]
    fn accepts_numbers_as_text_and_choices_in_any_case() {
        let mut issues = Vec::new();
        let value = json!({
            "model": {"num_layers": "32", "num_parameters": "7B"},
            "training": {"dtype": "BFLOAT16", "optimizer": "AdamW-8bit", "activation_checkpointing": 4},
            "engine": {"fsdp_version": 2, "gradient_as_bucket_view": "yes"},
            "hardware": {"gpu_memory_gb": "79.25", "num_gpus": 8.0},
        });
        let given = Given::read(&Request::from_json(&value).unwrap(), &mut issues);
        assert_eq!(issues, []);
        assert_eq!(given.integer(InputId::NumLayers), Some(32));
        assert_eq!(given.integer(InputId::NumParameters), Some(7_000_000_000));
        assert_eq!(given.choice(InputId::Dtype), Some("bf16"));
        assert_eq!(given.choice(InputId::Optimizer), Some("adamw_8bit"));
        assert_eq!(given.choice(InputId::ActivationCheckpointing), Some("full"));
        assert_eq!(given.choice(InputId::FsdpVersion), Some("2"));
        assert_eq!(given.toggle(InputId::GradientAsBucketView), Some(true));
        assert_eq!(given.number(InputId::GpuMemoryGb), Some(79.25));
        assert_eq!(given.integer(InputId::NumGpus), Some(8));
        assert_eq!(given.integer(InputId::BatchSize), Some(1));
        assert!(!given.differs_from_default(InputId::FsdpVersion));
        assert!(given.differs_from_default(InputId::NumGpus));
    }
}
