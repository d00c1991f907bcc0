//! What stands behind an answer's options: plain data of the answer.

use serde::Serialize;

/// Whether every option was seen in a run or calculated by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BackingStatus {
    /// Each has a trace, a record or a worked example.
    #[default]
    Validated,
    /// At least one has none: the interval is widened.
    NotValidated,
}

/// What stands behind an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Backing {
    /// Whether everything has evidence.
    pub status: BackingStatus,
    /// Options without evidence.
    pub options: Vec<Unproven>,
    /// How far below what is expected the interval reaches because of them, in percent.
    pub below_percent: f64,
    /// How far above.
    pub above_percent: f64,
}

/// An option without evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unproven {
    /// The input.
    pub path: &'static str,
    /// Its value.
    pub value: String,
    /// The engine, or the other option, with which it was never seen.
    pub with: String,
}
