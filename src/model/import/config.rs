//! Reads a `config.json` key by key and remembers what was read: keys nobody asked for are reported, nonsense becomes an
//! error at its key, and reading goes on with a stand-in, so that one pass lists every mistake. Knows no family.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::field::Field;
use super::known::is_harmless;
use crate::warn::Issue;

/// Where the keys of a configuration live in a request.
const ROOT: &str = "model.hf_config";

#[derive(Default)]
struct Log {
    used: BTreeSet<String>,
    sections: BTreeSet<String>,
    fields: Vec<(Field, Vec<String>)>,
    issues: Vec<Issue>,
}

/// One object of a configuration: the text stack, the whole file, or a section of either. All views of one file share
/// what was read and what was wrong.
#[derive(Clone)]
pub struct Config<'a> {
    map: &'a Map<String, Value>,
    outer: &'a Map<String, Value>,
    /// Dotted path of `map` with a dot at its end, or nothing.
    path: String,
    log: Rc<RefCell<Log>>,
}

/// What reading leaves behind.
pub struct Findings {
    /// Warnings and errors in the order they were found.
    pub issues: Vec<Issue>,
    /// For each architecture field that the family has: the dotted paths of its keys, the usual one first.
    pub fields: Vec<(Field, Vec<String>)>,
}

impl<'a> Config<'a> {
    /// The text stack of a file: `text_config` where there is one, else the file itself.
    pub fn new(file: &'a Map<String, Value>) -> Self {
        let whole = Self {
            map: file,
            outer: file,
            path: String::new(),
            log: Rc::default(),
        };
        let nested = ["text_config", "llm_config", "language_config"]
            .into_iter()
            .find(|key| file.get(*key).is_some_and(Value::is_object));
        match nested {
            Some(key) => whole.section(key),
            None => whole,
        }
    }

    /// The whole file, for what stands beside the text stack.
    pub fn outer(&self) -> Self {
        Self {
            map: self.outer,
            outer: self.outer,
            path: String::new(),
            log: Rc::clone(&self.log),
        }
    }

    /// Whether the text stack is a section of the file.
    pub fn is_nested(&self) -> bool {
        !self.path.is_empty()
    }

    /// The object under a key; empty when there is none.
    pub fn section(&self, key: &str) -> Self {
        static EMPTY: OnceLock<Map<String, Value>> = OnceLock::new();
        let path = self.mark(key);
        let map = match self.map.get(key) {
            Some(Value::Object(map)) => map,
            other => {
                if other.is_some_and(|value| !value.is_null()) {
                    self.error("wrong_type", key, "must be an object");
                }
                EMPTY.get_or_init(Map::new)
            }
        };
        self.log.borrow_mut().sections.insert(path.clone());
        Self {
            map,
            outer: self.outer,
            path: format!("{path}."),
            log: Rc::clone(&self.log),
        }
    }

    /// Whether there is anything in this object.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The first of the keys that has a value; all of them count as read.
    pub fn get(&self, keys: &[&'a str]) -> Option<(&'a str, &'a Value)> {
        for key in keys {
            self.mark(key);
        }
        keys.iter()
            .find_map(|key| Some((*key, self.map.get(*key).filter(|value| !value.is_null())?)))
    }

    /// Whether the key is there, even with `null`.
    pub fn has(&self, key: &str) -> bool {
        self.mark(key);
        self.map.contains_key(key)
    }

    /// A whole number, where one of the keys gives it.
    pub fn whole(&self, keys: &[&'a str], range: RangeInclusive<u64>) -> Option<u64> {
        let (key, value) = self.get(keys)?;
        self.judge(key, value, range)
    }

    /// The value of an architecture field, where one of the keys gives it.
    pub fn field(&self, field: Field, keys: &[&'a str]) -> Option<u64> {
        self.owns(field, keys);
        self.whole(keys, field.range())
    }

    /// The value of an architecture field without which there is no model.
    pub fn require(&self, field: Field, keys: &[&'a str]) -> u64 {
        let found = self.field(field, keys);
        if found.is_none() && self.get(keys).is_none() {
            let key = keys.first().copied().unwrap_or_default();
            self.error("missing", key, "is required");
        }
        found.unwrap_or(*field.range().start())
    }

    /// The value of an architecture field, or the default of the family's class with a warning.
    pub fn or_default(&self, field: Field, keys: &[&'a str], default: u64) -> u64 {
        if let Some(value) = self.field(field, keys) {
            return value;
        }
        if self.get(keys).is_none() {
            let key = keys.first().copied().unwrap_or_default();
            self.warn(
                "assumed_default",
                key,
                &format!("is not stated: assumed {default}, the default of the family"),
            );
        }
        default
    }

    /// Yes or no.
    pub fn flag(&self, keys: &[&'a str], default: bool) -> bool {
        match self.get(keys) {
            None => default,
            Some((_, Value::Bool(value))) => *value,
            Some((key, other)) => {
                self.reject(key, other, "wrong_type", "must be true or false");
                default
            }
        }
    }

    /// Yes or no, for an architecture field.
    pub fn flag_field(&self, field: Field, keys: &[&'a str], default: bool) -> bool {
        self.owns(field, keys);
        self.flag(keys, default)
    }

    /// A number between 0 and `limit`.
    pub fn real(&self, keys: &[&'a str], limit: f64, default: f64) -> f64 {
        match self.get(keys) {
            None => default,
            Some((key, value)) => match value.as_f64() {
                Some(number) if (0.0..=limit).contains(&number) => number,
                Some(_) => {
                    self.reject(
                        key,
                        value,
                        "out_of_range",
                        &format!("must be between 0 and {limit}"),
                    );
                    default
                }
                None => {
                    self.reject(key, value, "wrong_type", "must be a number");
                    default
                }
            },
        }
    }

    /// A dropout probability.
    pub fn dropout(&self, keys: &[&'a str], default: f64) -> f64 {
        self.real(keys, 1.0, default)
    }

    /// A word.
    pub fn word(&self, keys: &[&'a str], default: &str) -> String {
        match self.get(keys) {
            None => default.to_string(),
            Some((_, Value::String(word))) => word.clone(),
            Some((key, other)) => {
                self.reject(key, other, "wrong_type", "must be a text");
                default.to_string()
            }
        }
    }

    /// A list, where there is one.
    pub fn list(&self, key: &'a str) -> Option<&'a [Value]> {
        match self.get(&[key])?.1 {
            Value::Array(list) => Some(list),
            other => {
                self.reject(key, other, "wrong_type", "must be a list");
                None
            }
        }
    }

    /// A list of words with one entry per layer.
    pub fn words_per_layer(&self, key: &'a str, layers: u64) -> Option<Vec<String>> {
        let list = self.per_layer(key, layers)?;
        let words: Option<Vec<String>> = list.iter().map(|v| v.as_str().map(str::to_string)).collect();
        if words.is_none() {
            self.error("wrong_type", key, "must be a list of words");
        }
        words
    }

    /// A list of whole numbers with one entry per layer.
    pub fn wholes_per_layer(
        &self,
        key: &'a str,
        layers: u64,
        range: RangeInclusive<u64>,
    ) -> Option<Vec<u64>> {
        let list = self.per_layer(key, layers)?;
        list.iter()
            .map(|value| self.judge(key, value, range.clone()))
            .collect()
    }

    fn per_layer(&self, key: &'a str, layers: u64) -> Option<&'a [Value]> {
        let list = self.list(key)?;
        if (list.len() as u64) < layers {
            self.error(
                "out_of_range",
                key,
                &format!(
                    "has {} {} for {layers} layers",
                    list.len(),
                    if list.len() == 1 { "entry" } else { "entries" }
                ),
            );
            return None;
        }
        Some(list)
    }

    fn judge(&self, key: &str, value: &Value, range: RangeInclusive<u64>) -> Option<u64> {
        let (low, high) = (*range.start(), *range.end());
        let outside = || {
            self.reject(
                key,
                value,
                "out_of_range",
                &format!("must be between {low} and {high}"),
            );
            None
        };
        if let Some(number) = value.as_u64() {
            return if range.contains(&number) {
                Some(number)
            } else {
                outside()
            };
        }
        match value.as_f64() {
            None => {
                self.reject(key, value, "wrong_type", "must be a whole number");
                None
            }
            Some(number) if number.fract() != 0.0 => {
                self.reject(key, value, "not_whole", "must be a whole number");
                None
            }
            Some(number) => whole_of(number)
                .filter(|whole| range.contains(whole))
                .or_else(outside),
        }
    }

    /// Notes that these keys hold this field.
    pub fn owns(&self, field: Field, keys: &[&str]) {
        let paths = keys.iter().map(|key| format!("{}{key}", self.path)).collect();
        self.log.borrow_mut().fields.push((field, paths));
    }

    /// Marks keys as read that another key makes meaningless here.
    pub fn ignore(&self, keys: &[&str]) {
        for key in keys {
            self.mark(key);
        }
    }

    fn mark(&self, key: &str) -> String {
        let path = format!("{}{key}", self.path);
        self.log.borrow_mut().used.insert(path.clone());
        path
    }

    /// Records an error: "`key` `what`."
    pub fn error(&self, code: &'static str, key: &str, what: &str) {
        let issue = Issue::error(code, self.place(key), format!("{key} {what}."));
        self.push(match self.map.get(key) {
            Some(value) if is_short(value) => issue.with_value(value.clone()),
            _ => issue,
        });
    }

    /// Records a warning: "`key` `what`."
    pub fn warn(&self, code: &'static str, key: &str, what: &str) {
        self.push(Issue::warning(code, self.place(key), format!("{key} {what}.")));
    }

    fn reject(&self, key: &str, value: &Value, code: &'static str, what: &str) {
        let issue = Issue::error(code, self.place(key), format!("{key} {what}."));
        self.push(if is_short(value) {
            issue.with_value(value.clone())
        } else {
            issue
        });
    }

    fn push(&self, issue: Issue) {
        let issues = &mut self.log.borrow_mut().issues;
        if issues.len() < 200 && !issues.contains(&issue) {
            issues.push(issue);
        }
    }

    fn place(&self, key: &str) -> String {
        format!("{ROOT}.{}{key}", self.path)
    }

    /// Whether an error was recorded.
    pub fn has_errors(&self) -> bool {
        self.log.borrow().issues.iter().any(Issue::is_error)
    }

    /// Ends the reading: reports the keys that nobody asked for and hands out all findings.
    pub fn finish(self) -> Findings {
        let outer = self.outer();
        outer.report_unknown();
        let mut log = self.log.borrow_mut();
        Findings {
            issues: std::mem::take(&mut log.issues),
            fields: std::mem::take(&mut log.fields),
        }
    }

    fn report_unknown(&self) {
        for (key, value) in self.map {
            let path = format!("{}{key}", self.path);
            let (used, section) = {
                let log = self.log.borrow();
                (log.used.contains(&path), log.sections.contains(&path))
            };
            if section && value.is_object() {
                self.section(key).report_unknown();
            } else if !used && !is_harmless(key) {
                self.warn(
                    "unknown_field",
                    key,
                    "is not known to this model family: it changes nothing here",
                );
            }
        }
    }
}

fn is_short(value: &Value) -> bool {
    match value {
        Value::Array(_) | Value::Object(_) => false,
        Value::String(text) => text.len() < 200,
        _ => true,
    }
}

/// A whole float as an integer.
fn whole_of(number: f64) -> Option<u64> {
    format!("{number:.0}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn codes(config: Config) -> Vec<(&'static str, String)> {
        let issues = config.finish().issues;
        issues.into_iter().map(|i| (i.code, i.path)).collect()
    }

    #[test]
    fn reports_what_nobody_read() {
        let file =
            json!({"hidden_size": 8, "colour": 1, "rope_theta": 2, "text_config": {"n_layer": 3, "x": 1}});
        let map = file.as_object().unwrap();
        let config = Config::new(map);
        assert_eq!(config.require(Field::NumLayers, &["num_layers", "n_layer"]), 3);
        assert_eq!(config.outer().require(Field::HiddenSize, &["hidden_size"]), 8);
        let expected = [
            ("unknown_field", "model.hf_config.colour".to_string()),
            ("unknown_field", "model.hf_config.text_config.x".to_string()),
        ];
        assert_eq!(codes(config), expected);
    }

    #[test]
    fn judges_numbers() {
        let file = json!({"a": 1.5, "b": -1, "c": "7", "d": 8.0, "e": null, "f": 99});
        let config = Config::new(file.as_object().unwrap());
        assert_eq!(config.whole(&["d"], 1..=8), Some(8));
        assert_eq!(config.whole(&["e"], 1..=8), None);
        for key in ["a", "b", "c", "f"] {
            assert_eq!(config.whole(&[key], 1..=8), None);
        }
        let codes: Vec<_> = codes(config).into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, ["not_whole", "out_of_range", "wrong_type", "out_of_range"]);
    }
}
