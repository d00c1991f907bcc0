//! The answer of all inference engines to one question, side by side. Plain data that serialises to JSON.

use serde::Serialize;

use super::answer::{Range, Verdict};
use crate::units::Bytes;
use crate::warn::Issue;

/// All engines, those that hold the most tokens first; then those that do not answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SideBySide {
    /// One row per engine.
    pub engines: Vec<ServerRow>,
}

/// One engine.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServerRow {
    /// Its key.
    pub engine: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Whether the question is about it; the others are asked without what only it reads.
    pub asked: bool,
    /// The answer, where there is one.
    pub answer: Option<ServerAnswer>,
    /// Why it does not answer, by field.
    pub issues: Vec<Issue>,
    /// Keys of the request that mean nothing to it and were left out.
    pub left_out: Vec<&'static str>,
}

/// What an engine says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServerAnswer {
    /// The verdict.
    pub verdict: Verdict,
    /// Need of the fullest GPU.
    pub need: Range,
    /// Weights on it.
    pub weights_bytes: Bytes,
    /// The format of the weights.
    pub weights: String,
    /// Tokens that the caches of all copies hold.
    pub tokens: u64,
    /// Sequences of the asked length in all copies.
    pub sequences: u64,
    /// Copies on the GPUs.
    pub replicas: u64,
    /// The largest part of the difference to the next engine that answers.
    pub difference: Option<Difference>,
}

/// Why an engine holds more tokens than another.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Difference {
    /// Key of the other engine.
    pub to: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The part: the keys of parts, `kept_back` for what the engine leaves of the card, `per_token` for the bytes of a token,
    /// `copies` for their number.
    pub part: &'static str,
    /// Here: bytes, or copies.
    pub here: u64,
    /// There.
    pub there: u64,
    /// In words.
    pub words: String,
}
