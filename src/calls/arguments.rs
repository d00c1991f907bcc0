//! The arguments of a call, checked against what it takes and read by their place.

use serde::Serialize;
use serde_json::Value;

use super::{Fault, Kind, Outcome, Parameter};
use crate::api::{self, Request, Strictness};

/// Arguments that have the types that the call takes; `null` is not given.
pub struct Arguments<'a> {
    values: &'a [Value],
}

impl<'a> Arguments<'a> {
    /// Checks number and types.
    pub fn new(parameters: &[Parameter], values: &'a [Value]) -> Result<Self, Fault> {
        if values.len() > parameters.len() {
            let words = format!(
                "{} arguments are too many: the call takes {}.",
                values.len(),
                parameters.len()
            );
            return Err(Fault::wrong_type("", words));
        }
        for (at, parameter) in parameters.iter().enumerate() {
            let value = values.get(at).unwrap_or(&Value::Null);
            let (fits, wanted) = match parameter.kind {
                Kind::Request => (
                    value.is_object() || value.is_string(),
                    "a request: an object, or its text",
                ),
                Kind::Text => (value.is_string(), "text"),
                Kind::Switch => (value.is_boolean(), "true or false"),
                Kind::Options => (value.is_object(), "an object"),
                Kind::Any => (true, "a value"),
            };
            let left_out = value.is_null() && (parameter.optional || parameter.kind == Kind::Any);
            if !fits && !left_out {
                let words = format!("{} must be {wanted}.", parameter.name);
                return Err(Fault::wrong_type(parameter.name, words));
            }
        }
        Ok(Self { values })
    }

    /// The argument at this place.
    pub fn value(&self, at: usize) -> &'a Value {
        self.values.get(at).unwrap_or(&Value::Null)
    }

    /// The text at this place; empty where it was left out.
    pub fn text(&self, at: usize) -> &str {
        self.given_text(at).unwrap_or_default()
    }

    /// The text at this place, where it is given.
    pub fn given_text(&self, at: usize) -> Option<&str> {
        self.value(at).as_str()
    }

    /// The request at this place; an empty one where it was left out.
    pub fn request(&self, at: usize) -> Result<Request, Fault> {
        Ok(match self.value(at) {
            Value::Null => Request::new(),
            Value::String(text) => api::request_from_text(text)?,
            value => Request::from_json(value)?,
        })
    }

    /// Whether the options at this place switch something on.
    pub fn option(&self, at: usize, name: &str) -> Result<bool, Fault> {
        match self.value(at).get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(on)) => Ok(*on),
            Some(_) => Err(Fault::wrong_type(name, format!("{name} must be true or false."))),
        }
    }

    /// A word among the options at this place.
    pub fn option_text(&self, at: usize, name: &str) -> Result<Option<&'a str>, Fault> {
        match self.value(at).get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(word)) => Ok(Some(word)),
            Some(_) => Err(Fault::wrong_type(name, format!("{name} must be text."))),
        }
    }

    /// How strictly the request is read: option `strict`.
    pub fn strictness(&self, at: usize) -> Result<Strictness, Fault> {
        Ok(Strictness {
            unknown_fields: self.option(at, "strict")?,
        })
    }
}

/// A value as JSON; what cannot be written (a map without text as keys) does not occur, and would be null.
pub fn written(value: impl Serialize) -> Outcome {
    Ok(serde_json::to_value(value).unwrap_or_default())
}
