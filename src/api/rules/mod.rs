//! The rules of thumb that people calculate with, with their value for a question, beside our figure and a sentence on the
//! term that they miss. They are comparisons: no answer is made from them.

mod serving;
mod training;

use serde::Serialize;

use crate::cite::Citation;
use crate::units::Bytes;

pub use serving::rules_of_thumb_served;
pub use training::rules_of_thumb;

/// A rule of thumb.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleOfThumb {
    /// Key: `states`, `zero_2`, `kv_cache`.
    pub id: &'static str,
    /// For a person.
    pub name: String,
    /// As people write it.
    pub formula: &'static str,
    /// With the numbers of the question.
    pub substituted: String,
    /// Its value.
    pub bytes: Bytes,
    /// What of our answer it is about.
    pub compared_with: &'static str,
    /// Our figure for that; null where the question is about another setting.
    pub ours_bytes: Option<Bytes>,
    /// Which term it misses here.
    pub misses: String,
    /// Where it is from.
    pub citation: Citation,
}

/// A number in billions, as people put it into such a rule.
fn billions(count: u64) -> String {
    format!("{:.2} B", count as f64 / 1e9)
}

/// Bytes of a rule that has no exact value.
fn about(bytes: f64) -> Bytes {
    Bytes::from_gib((bytes / f64::from(1 << 30)).max(0.0))
}
