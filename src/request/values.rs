//! The request: values as they were written, keyed by input, before anything is checked.
//!
//! Reading never fails on a value; it only records what does not have the shape of a request (a section that is no
//! object, an unknown key), so that validation can report everything at once. `null` means "not given".

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::registry::{INPUTS, Input, InputId, Section};
use crate::warn::Issue;

/// Sections of other questions: they may stand in the same file and are not used by this one.
pub const OTHER_SECTIONS: [&str; 1] = ["preset"];

/// What the user wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    values: BTreeMap<InputId, Value>,
    unknown: Vec<(String, Value)>,
    shape: Vec<Issue>,
}

impl Request {
    /// Nothing given.
    pub fn new() -> Self {
        Self::default()
    }

    /// From JSON text; malformed text is an issue with line and column.
    pub fn from_text(text: &str) -> Result<Self, Issue> {
        let text = text.trim_start_matches('\u{feff}');
        let value: Value = serde_json::from_str(text).map_err(|error| json_invalid("", &error))?;
        Self::from_json(&value)
    }

    /// From a JSON object with the sections of a request.
    pub fn from_json(value: &Value) -> Result<Self, Issue> {
        let Some(object) = value.as_object() else {
            return Err(Issue::error(
                "wrong_type",
                "",
                "A request is a JSON object with sections such as model, training and hardware.",
            ));
        };
        if let Some(issue) = foreign_document(object) {
            return Err(issue);
        }
        let mut request = Self::new();
        for (key, section) in object {
            request.read_section(key, section);
        }
        Ok(request)
    }

    fn read_section(&mut self, key: &str, value: &Value) {
        let Some(section) = Section::from_key(key) else {
            // An input that stands beside the sections.
            if let Some(input) = Input::by_key(key) {
                self.read_field(input, key, value);
                return;
            }
            self.unknown.push((key.to_string(), value.clone()));
            return;
        };
        let fields = match value {
            Value::Null => return,
            Value::Object(fields) => fields,
            other => {
                self.shape.push(
                    Issue::error(
                        "wrong_type",
                        key,
                        format!("{key} is a section: an object with fields."),
                    )
                    .with_value(other.clone()),
                );
                return;
            }
        };
        for (name, field) in fields {
            let path = format!("{}.{name}", section.key());
            match Input::by_key(&path) {
                None => self.unknown.push((format!("{key}.{name}"), field.clone())),
                Some(input) => self.read_field(input, &path, field),
            }
        }
    }

    fn read_field(&mut self, input: &Input, path: &str, value: &Value) {
        if value.is_null() {
            return;
        }
        let canonical = path == input.key;
        match self.values.get(&input.id) {
            Some(earlier) if earlier != value => {
                self.shape.push(
                    Issue::error(
                        "unsupported_combination",
                        path,
                        format!("{path} and another name of the same input are given with different values."),
                    )
                    .with_value(value.clone())
                    .with_hint(format!("Keep only {}.", input.key)),
                );
                if canonical {
                    self.values.insert(input.id, value.clone());
                }
            }
            _ => {
                self.values.insert(input.id, value.clone());
            }
        }
    }

    /// The value of an input, as it was written.
    pub fn get(&self, id: InputId) -> Option<&Value> {
        self.values.get(&id)
    }

    /// Whether a value was given.
    pub fn has(&self, id: InputId) -> bool {
        self.values.contains_key(&id)
    }

    /// Gives a value; `null` takes it away.
    pub fn set(&mut self, id: InputId, value: impl Into<Value>) {
        match value.into() {
            Value::Null => {
                self.values.remove(&id);
            }
            value => {
                self.values.insert(id, value);
            }
        }
    }

    /// With a value, for building requests.
    #[must_use]
    pub fn with(mut self, id: InputId, value: impl Into<Value>) -> Self {
        self.set(id, value);
        self
    }

    /// Takes a value away.
    pub fn clear(&mut self, id: InputId) {
        self.values.remove(&id);
    }

    /// Takes over every value that `other` gives.
    pub fn merge(&mut self, other: &Self) {
        for (id, value) in &other.values {
            self.values.insert(*id, value.clone());
        }
    }

    /// The given values in the order of the registry.
    pub fn given(&self) -> impl Iterator<Item = (InputId, &Value)> {
        self.values.iter().map(|(id, value)| (*id, value))
    }

    /// Whether it asks about serving: inputs of section `inference` are given.
    pub fn serves(&self) -> bool {
        self.values
            .keys()
            .any(|id| id.input().section == Section::Inference)
    }

    /// Keys that no input has, with their values.
    pub fn unknown(&self) -> &[(String, Value)] {
        &self.unknown
    }

    /// What does not have the shape of a request.
    pub fn shape_issues(&self) -> &[Issue] {
        &self.shape
    }

    /// The given values as a JSON object with sections; unknown keys are kept where they stood.
    pub fn to_json(&self) -> Value {
        let mut root = Map::new();
        for input in INPUTS {
            if let Some(value) = self.values.get(&input.id) {
                put(&mut root, input.key, value.clone());
            }
        }
        for (path, value) in &self.unknown {
            // A dot that divides no section from its field belongs to the key.
            let section = path.split_once('.').and_then(|(key, _)| Section::from_key(key));
            if section.is_some() {
                put(&mut root, path, value.clone());
            } else {
                root.insert(path.clone(), value.clone());
            }
        }
        Value::Object(root)
    }
}

fn put(root: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            root.insert(path.to_string(), value);
        }
        Some((section, name)) => {
            let entry = root
                .entry(section.to_string())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Some(fields) = entry.as_object_mut() {
                fields.insert(name.to_string(), value);
            }
        }
    }
}

/// Malformed JSON, with line and column.
pub fn json_invalid(path: &str, error: &serde_json::Error) -> Issue {
    Issue::error(
        "json_invalid",
        path,
        format!(
            "This is not valid JSON: line {}, column {}.",
            error.line(),
            error.column()
        ),
    )
    .with_hint("Check for missing quotes, commas or brackets at that place.")
}

/// Files of another kind that people give as a request.
fn foreign_document(object: &Map<String, Value>) -> Option<Issue> {
    if object.contains_key("total_memory_per_gpu_gb") || object.contains_key("breakdown") {
        return Some(
            Issue::error(
                "invalid_config",
                "",
                "This is an answer of the calculator, not a request.",
            )
            .with_hint("Give the configuration that it was calculated from."),
        );
    }
    let has_section = Section::ALL
        .iter()
        .any(|section| object.contains_key(section.key()));
    if !has_section && (object.contains_key("model_type") || object.contains_key("architectures")) {
        return Some(
            Issue::error(
                "invalid_config",
                "",
                "This is a model's config.json, not a request.",
            )
            .with_hint("Give it as --hf-config FILE, or as model.hf_config inside a request."),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keeps_values_as_written_and_drops_null() {
        let value = json!({"model": {"num_layers": "32", "head_dim": null}, "multinode": {"num_nodes": 2}});
        let request = Request::from_json(&value).unwrap();
        assert_eq!(request.get(InputId::NumLayers), Some(&json!("32")));
        assert!(!request.has(InputId::HeadDim));
        assert_eq!(
            request.to_json(),
            json!({"model": {"num_layers": "32"}, "node_config": {"num_nodes": 2}})
        );
    }

    #[test]
    fn collects_unknown_keys_and_sections_of_the_wrong_type() {
        let value = json!({"model": {"num_hidden_layres": 32}, "engine": 5, "extra": {"a": 1}});
        let request = Request::from_json(&value).unwrap();
        assert_eq!(request.unknown().len(), 2);
        assert_eq!(request.unknown()[0].0, "model.num_hidden_layres");
        assert_eq!(request.shape_issues()[0].path, "engine");
        assert_eq!(
            request.to_json(),
            json!({"model": {"num_hidden_layres": 32}, "extra": {"a": 1}})
        );
    }

    #[test]
    fn an_unknown_key_with_a_dot_stays_one_key() {
        let value = json!({"optimize_strategy.often": 1, "a.b": 2, "model.layers": 3});
        let request = Request::from_json(&value).unwrap();
        let written = request.to_json();
        assert_eq!(
            written,
            json!({"optimize_strategy.often": 1, "a.b": 2, "model": {"layers": 3}})
        );
        assert_eq!(Request::from_json(&written).unwrap(), request);
    }

    #[test]
    fn two_names_of_one_input_must_agree() {
        let value = json!({"model": {"num_layers": 32, "num_hidden_layers": 33}});
        let request = Request::from_json(&value).unwrap();
        assert_eq!(request.get(InputId::NumLayers), Some(&json!(32)));
        assert_eq!(request.shape_issues()[0].path, "model.num_hidden_layers");
    }

    #[test]
    fn refuses_other_documents_with_a_hint() {
        assert_eq!(Request::from_text("{model:").unwrap_err().code, "json_invalid");
        assert_eq!(Request::from_text("[]").unwrap_err().code, "wrong_type");
        let answer = json!({"total_memory_per_gpu_gb": 3.0});
        assert_eq!(Request::from_json(&answer).unwrap_err().code, "invalid_config");
        let config = json!({"model_type": "llama", "hidden_size": 4096});
        assert!(
            Request::from_json(&config)
                .unwrap_err()
                .hint
                .unwrap()
                .contains("--hf-config")
        );
    }
}
