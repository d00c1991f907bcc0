//! The door to inference: a request is checked, becomes an `InferenceJob`, is evaluated and answered.

mod answer;
mod cards;
mod curve;
mod division;
mod formats;
mod job;
mod llama_cpp;
pub(super) mod loaded;
mod settings;
mod sglang;
mod shared;
mod side_by_side;
mod speed;
mod tensorrt;
mod tgi;
mod transformers;
mod usage;
mod vllm;

pub(super) use answer::{answer, fewest};
pub(super) use curve::base as curve_base;
pub(super) use job::{Question, device, job as question};
pub use side_by_side::side_by_side;
pub(super) use speed::pace;

use super::job::Strictness;
use crate::request::{InferenceAnswer, Request};
use crate::warn::Issue;

/// Calculates an inference request: the answer, or every issue by field.
pub fn calculate_inference(request: &Request) -> Result<InferenceAnswer, Vec<Issue>> {
    calculate_inference_with(request, Strictness::default())
}

/// As [`calculate_inference`], as strictly as asked.
pub fn calculate_inference_with(
    request: &Request,
    strictness: Strictness,
) -> Result<InferenceAnswer, Vec<Issue>> {
    job::job(request, strictness).and_then(answer)
}

/// Every issue of an inference request, errors first; it can be answered when none of them is an error.
pub fn validate_inference(request: &Request) -> Vec<Issue> {
    match job::job(request, Strictness::default()) {
        Ok(job) => job.warnings,
        Err(issues) => issues,
    }
}
