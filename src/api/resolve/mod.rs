//! From typed values to what a job needs, one file per part of the request. Each part reports everything that is wrong
//! with it and goes on, so that all errors come at once.

mod adapter;
mod between;
mod combinations;
mod composed;
mod dropout;
mod engine;
pub(super) mod fields;
mod hardware;
mod images;
mod megatron;
mod megatron_states;
mod mesh;
mod model;
mod observe;
mod offload;
mod precision;
mod prices;
mod rollout;
pub(super) mod source;
mod speed;
mod step;
mod tensor;
mod usage;
mod width;

pub use adapter::{adapter, objective, replaceable};
pub use between::between;
pub use composed::{bring as bring_composed, composed, context_ranks};
pub use engine::{EngineChoice, engine, settings};
pub use hardware::{Card, DEFAULT_GPU, hardware};
pub use images::{attention, images};
pub use megatron::megatron;
pub use mesh::{Mesh, mesh, nodes, splits};
pub use model::{Model, model, note_released};
pub use offload::note;
pub use precision::precision;
pub use prices::prices;
pub use rollout::beside;
pub use speed::{Speed, shaped, speed};
pub use step::{Step, step};
pub use tensor::{Divided, divide};
pub use usage::{is_used, other_question, unused};

pub(super) use combinations::zero;

use serde_json::Value;

use crate::request::{Assumed, InputId, Unproven};
use crate::warn::Issue;

/// Issues and assumptions, collected while a request is resolved.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Warnings and errors.
    pub issues: Vec<Issue>,
    /// Defaults that were taken.
    pub assumed: Vec<Assumed>,
    /// Combinations that are answered by derivation although no run stands behind them.
    pub unproven: Vec<Unproven>,
}

impl Report {
    /// Adds an issue.
    pub fn add(&mut self, issue: Issue) {
        self.issues.push(issue);
    }

    /// Adds an error on an input.
    pub fn error(&mut self, code: &'static str, id: InputId, message: impl Into<String>) {
        self.add(Issue::error(code, id.key(), message));
    }

    /// Adds a warning on an input.
    pub fn warn(&mut self, code: &'static str, id: InputId, message: impl Into<String>) {
        self.add(Issue::warning(code, id.key(), message));
    }

    /// Notes a default that was taken.
    pub fn assume(&mut self, id: InputId, value: impl Into<Value>, reason: impl Into<String>) {
        self.assumed.push(Assumed {
            path: id.key(),
            value: value.into(),
            reason: reason.into(),
        });
    }

    /// Notes that the value of an input was never seen together with something else that was chosen.
    pub fn unproven(&mut self, id: InputId, value: &str, with: &str) {
        self.unproven.push(Unproven {
            path: id.key(),
            value: value.to_string(),
            with: with.to_string(),
        });
    }

    /// Whether there is an error.
    pub fn has_errors(&self) -> bool {
        self.issues.iter().any(Issue::is_error)
    }
}
