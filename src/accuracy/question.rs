//! The question that a record asks.

use serde_json::Value;

use crate::request::{InputId, Request};

/// A complete question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Question {
    /// What is asked.
    pub request: Request,
    /// The rank that was measured, where the record is of one.
    pub rank: Option<u64>,
}

impl Question {
    /// Gives an input.
    pub fn set(&mut self, input: InputId, value: impl Into<Value>) {
        self.request.set(input, value);
    }

    /// Gives an input where the record states it.
    pub fn set_some(&mut self, input: InputId, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(input, value);
        }
    }
}
