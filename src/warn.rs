//! Issues: warnings and errors that travel with an answer and name the input that they are about.

use serde::Serialize;

/// Whether an answer can still be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The answer is given; the reader must know this.
    Warning,
    /// No answer can be given.
    Error,
}

/// One warning or error, bound to the input at `path`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Issue {
    /// Warning or error.
    pub severity: Severity,
    /// Machine-readable code from the fixed list (`missing`, `out_of_range`, `unknown_field` ...).
    pub code: &'static str,
    /// Dotted path of the input, for example `model.num_layers`.
    pub path: String,
    /// One or two sentences for a person: what is wrong, what was assumed, what to do.
    pub message: String,
    /// The offending value, as it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// The values that would be accepted, where the list is finite.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Complete corrections, each a set of inputs to change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fixes: Vec<serde_json::Map<String, serde_json::Value>>,
}

impl Issue {
    /// A warning without further fields.
    pub fn warning(code: &'static str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, path, message)
    }

    /// An error without further fields.
    pub fn error(code: &'static str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, path, message)
    }

    fn new(
        severity: Severity,
        code: &'static str,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            code,
            path: path.into(),
            message: message.into(),
            value: None,
            allowed: Vec::new(),
            hint: None,
            fixes: Vec::new(),
        }
    }

    /// With the offending value.
    #[must_use]
    pub fn with_value(mut self, value: impl Into<serde_json::Value>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// With the list of accepted values.
    #[must_use]
    pub fn with_allowed(mut self, allowed: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allowed = allowed.into_iter().map(Into::into).collect();
        self
    }

    /// With a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With a correction that can be applied as it is: a value of an input, by its key.
    #[must_use]
    pub fn with_fix(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.fixes
            .push(std::iter::once((key.to_string(), value.into())).collect());
        self
    }

    /// Whether it prevents an answer.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
