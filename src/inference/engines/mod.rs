//! The engines, one folder each. An engine turns a job into an [`Estimate`] of the fullest GPU.

pub mod transformers;

use super::estimate::Estimate;
use super::job::InferenceJob;

/// An engine with what only it reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Engine {
    /// `generate` of Hugging Face Transformers.
    Transformers(transformers::Options),
}

/// What the fullest GPU holds.
pub fn evaluate(job: &InferenceJob) -> Estimate {
    match &job.engine {
        Engine::Transformers(options) => transformers::evaluate(job, options),
    }
}
