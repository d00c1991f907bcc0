//! Points of a served question along its context or its concurrency: the engine is asked again, on the card that binds.

use super::super::answer::range;
use super::super::curve::{Along, CurvePart, CurvePoint};
use super::super::job::Strictness;
use super::super::measure::verdict;
use super::{answer, cards, job};
use crate::inference::{InferenceJob, evaluate};
use crate::request::Request;
use crate::units::Bytes;
use crate::warn::Issue;

/// A question to be varied.
pub struct Base {
    job: InferenceJob,
    usable: Bytes,
    along: Along,
    /// The value in the question.
    pub asked: u64,
    /// The largest value that the model is made for.
    pub limit: u64,
}

/// The question to be varied along an input.
pub fn base(request: &Request, along: Along) -> Result<Base, Vec<Issue>> {
    let mut question = job::job(request, Strictness::default())?;
    // The card that binds is that of the answer.
    let _ = cards::bind(&mut question);
    let positions = question.job.network.max_positions;
    let (asked, limit) = match along {
        Along::Context => (question.job.length(), positions.unwrap_or(u64::MAX)),
        _ => (question.job.sequences, u64::MAX),
    };
    Ok(Base {
        usable: question.card.usable.expected,
        job: question.job,
        along,
        asked,
        limit,
    })
}

impl Base {
    /// What the engine says at a value; nothing where the sum has no end.
    pub fn point(&self, value: u64) -> Option<CurvePoint> {
        let job = match self.along {
            Along::Context => self.job.with_length(value),
            _ => self.job.with_sequences(value),
        };
        let estimate = evaluate(&job);
        if estimate.need.expected == Bytes::MAX {
            return None;
        }
        let groups = answer::breakdown(&estimate);
        let parts = [
            ("model_params", groups.model_params_bytes),
            ("kv_cache", groups.kv_cache_bytes),
            ("activations", groups.activations_bytes),
            ("overhead", groups.overhead_bytes),
        ]
        .map(|(group, bytes)| CurvePart { group, bytes });
        Some(CurvePoint {
            value,
            need: range(estimate.need),
            verdict: verdict(estimate.fit),
            parts: parts.into(),
            limit_bytes: self.usable.min(estimate.budget),
        })
    }
}
