//! Why a call has no answer: what kind of failure it is, and every issue by field.

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::api::Issue;

/// Kinds of failure, as programs tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum FaultKind {
    /// The request is refused.
    #[serde(rename = "validation_error")]
    Validation,
    /// There is nothing of this name.
    #[serde(rename = "not_found")]
    NotFound,
    /// A model's configuration cannot be read.
    #[serde(rename = "invalid_config")]
    InvalidConfig,
}

impl FaultKind {
    /// The value in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Validation => "validation_error",
            Self::NotFound => "not_found",
            Self::InvalidConfig => "invalid_config",
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Its kind.
    pub kind: FaultKind,
    /// Every issue, warnings included.
    pub issues: Vec<Issue>,
}

impl Fault {
    /// A refused request.
    pub const fn refused(issues: Vec<Issue>) -> Self {
        Self {
            kind: FaultKind::Validation,
            issues,
        }
    }

    /// Nothing of this name.
    pub fn not_found(path: &str, words: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::NotFound,
            issues: vec![Issue::error("not_found", path, words)],
        }
    }

    /// An argument of another type.
    pub fn wrong_type(path: &str, words: impl Into<String>) -> Self {
        Self::refused(vec![Issue::error("wrong_type", path, words)])
    }

    /// A number that JSON readers with 53 bits would round.
    pub fn too_large(path: &str) -> Self {
        let path = path.trim_end_matches('.');
        Self::refused(vec![Issue::error(
            "too_large",
            path,
            "A number of the answer is above 2^53 - 1, which JSON readers of other languages would round.",
        )])
    }

    /// For a person: the first error.
    pub fn message(&self) -> &str {
        let error = self.issues.iter().find(|issue| issue.is_error());
        error.map_or("refused", |issue| issue.message.as_str())
    }
}

impl From<Issue> for Fault {
    fn from(issue: Issue) -> Self {
        Self::refused(vec![issue])
    }
}

impl From<Vec<Issue>> for Fault {
    fn from(issues: Vec<Issue>) -> Self {
        Self::refused(issues)
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Fault", 4)?;
        fields.serialize_field("error", self.kind.key())?;
        fields.serialize_field("message", self.message())?;
        fields.serialize_field("type", self.kind.key())?;
        fields.serialize_field("errors", &self.issues)?;
        fields.end()
    }
}
