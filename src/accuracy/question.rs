//! The question that a record asks: a request, and how far its run differs from what can be asked.

use serde_json::Value;

use crate::request::{InputId, Request};

/// What a record's run did that no input describes, and that the interval therefore has to cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// What was read at rest includes the gradients of the last step.
    pub gradients_at_rest: bool,
    /// The version of torch follows only from the date.
    pub version_inferred: bool,
}

/// A complete question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Question {
    /// What is asked.
    pub request: Request,
    /// What the request cannot say.
    pub differences: Differences,
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
