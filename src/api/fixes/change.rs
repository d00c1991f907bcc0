//! A change of a question: the inputs that it sets, and what it costs.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::request::{InputId, Request};

/// What a change does to the results, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The same numbers, but for the order of sums.
    None,
    /// Rounded otherwise.
    Numerics,
    /// The same results on other or more hardware.
    Hardware,
    /// Something else is trained or served.
    Quality,
    /// Less is asked for: shorter texts, fewer requests.
    Workload,
}

impl Effect {
    /// For a person.
    pub const fn words(self) -> &'static str {
        match self {
            Self::None => "same results",
            Self::Numerics => "rounds otherwise",
            Self::Hardware => "other hardware",
            Self::Quality => "changes what comes out",
            Self::Workload => "asks for less",
        }
    }
}

/// What a change costs in time, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Time {
    /// Nothing, or it is faster.
    Same,
    /// A few per cent.
    Little,
    /// Some tens of per cent.
    More,
    /// A multiple is possible.
    Much,
}

impl Time {
    /// For a person.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Same => "no slower",
            Self::Little => "a little slower",
            Self::More => "slower",
            Self::Much => "much slower",
        }
    }
}

/// A change that is tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// For a person.
    pub title: String,
    /// The inputs to set.
    pub set: Vec<(InputId, Value)>,
    /// What it does to the results.
    pub effect: Effect,
    /// What it costs in time.
    pub time: Time,
    /// Both in words.
    pub words: &'static str,
}

impl Change {
    /// One input set to one value; the title is that of the input and of the value.
    pub fn one(
        id: InputId,
        value: impl Into<Value>,
        effect: Effect,
        time: Time,
        words: &'static str,
    ) -> Self {
        let value = value.into();
        Self {
            title: title(id, &value),
            set: vec![(id, value)],
            effect,
            time,
            words,
        }
    }

    /// The same with another input set besides.
    pub fn and(mut self, id: InputId, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.title = format!("{}, {}", self.title, lower(&title(id, &value)));
        self.set.push((id, value));
        self
    }

    /// The inputs by key.
    pub fn values(&self) -> Map<String, Value> {
        self.set
            .iter()
            .map(|(id, value)| (id.key().to_owned(), value.clone()))
            .collect()
    }

    /// Whether both set the same input.
    pub fn touches_same(&self, other: &Self) -> bool {
        self.set
            .iter()
            .any(|(id, _)| other.set.iter().any(|(own, _)| own == id))
    }
}

/// The question with a change made.
pub fn moved(request: &Request, change: &Change) -> Request {
    let mut moved = request.clone();
    for (id, value) in &change.set {
        moved.set(*id, value.clone());
    }
    moved
}

/// "Recomputation: full (every layer)".
fn title(id: InputId, value: &Value) -> String {
    let input = id.input();
    let shown = match value {
        Value::String(text) => {
            let choice = input.kind.choices().iter().find(|choice| choice.value == text);
            choice.map_or_else(|| text.clone(), |choice| choice.label.to_owned())
        }
        Value::Bool(true) => "on".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        other => other.to_string(),
    };
    format!("{}: {shown}", input.label)
}

fn lower(words: &str) -> String {
    let mut letters = words.chars();
    match letters.next() {
        // An abbreviation stays as it is.
        Some(first) if letters.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => words.to_owned(),
    }
}
