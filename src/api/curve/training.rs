//! Points of a training question: the job is made once for each value, and evaluated as the answer is, without its rows.

use super::super::answer::{breakdown_of, range};
use super::super::job::{Strictness, job};
use super::super::measure::measure;
use super::super::solve::step_of;
use super::{Along, CurvePart, CurvePoint};
use crate::request::{InputId, Request};
use crate::warn::Issue;

/// A question without the values that follow from the one that is varied.
pub struct Base {
    request: Request,
    along: Along,
    /// The value in the question.
    pub asked: u64,
    /// Values are multiples of this.
    pub step: u64,
}

/// The question to be varied along an input.
pub fn base(request: &Request, along: Along) -> Result<Base, Vec<Issue>> {
    let asked = job(request, Strictness::default())?;
    let mut request = request.clone();
    if along == Along::Gpus {
        // Replicas and nodes follow from the number of GPUs.
        for id in [
            InputId::DataParallelSize,
            InputId::NumNodes,
            InputId::GpusPerNode,
            InputId::TotalGpuMemoryGb,
        ] {
            request.clear(id);
        }
    }
    let each = asked.training.objective.sequences_per_row().max(1);
    Ok(Base {
        request,
        along,
        asked: match along {
            Along::Gpus => asked.mesh.gpus,
            Along::MicroBatch => asked.training.micro_batch / each,
            _ => asked.training.sequence_length,
        },
        step: step_of(&asked, along.input()),
    })
}

impl Base {
    /// The answer at a value; nothing where a rule refuses it.
    pub fn point(&self, value: u64) -> Option<CurvePoint> {
        let request = self.request.clone().with(self.along.input(), value);
        let job = job(&request, Strictness::default()).ok()?;
        let outcome = measure(&job, job.training.micro_batch).ok()?;
        let groups = breakdown_of(&outcome);
        let parts = [
            ("model_params", groups.model_params),
            ("gradients", groups.gradients),
            ("optimizer_states", groups.optimizer_states),
            ("activations", groups.activations),
            ("overhead", groups.overhead),
        ]
        .map(|(group, bytes)| CurvePart { group, bytes });
        Some(CurvePoint {
            value,
            need: range(outcome.need),
            verdict: outcome.verdict,
            parts: parts.into(),
            limit_bytes: job.card.usable.expected,
        })
    }
}
