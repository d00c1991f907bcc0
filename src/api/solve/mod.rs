//! Solvers: the largest micro-batch, the longest sequence, the fewest GPUs and the smallest card with which a question fits.
//!
//! Each probe is the whole calculation of a changed request, so every rule of validity holds for it. The search doubles
//! and then bisects: the need does not fall while micro-batch and sequence grow, nor rise by more than padding while GPUs
//! are added (`tests/scenarios.rs`); counts of GPUs are looked at one by one below the answer, since padding is no exception
//! that bisection sees. Nothing stops the search but the limit of the input itself, and then the answer says
//! so. How a probe is made lives here; the search itself in [`search`] and [`bisect`], the cards in [`cards`].

pub(super) mod bisect;
mod cards;
mod search;

use serde::Serialize;

use super::job::{Job, Strictness, job};
use super::measure::measure;
use super::{answer, calculate};
use crate::request::{Answer, InputId, InputKind, Range, Request, Verdict};
use crate::units::Bytes;
use crate::warn::Issue;

pub use bisect::last;
pub use cards::{CardFit, Cards, smallest_card};

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The largest micro-batch of one GPU.
    MicroBatch,
    /// The longest sequence.
    SequenceLength,
    /// The fewest GPUs.
    Gpus,
}

impl Unknown {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MicroBatch, Self::SequenceLength, Self::Gpus];

    /// The name on the command line and in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::MicroBatch => "batch_size",
            Self::SequenceLength => "seq_length",
            Self::Gpus => "num_gpus",
        }
    }

    /// The one with this name.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unknown| unknown.key() == key)
    }

    /// The input that is solved for.
    pub const fn input(self) -> InputId {
        match self {
            Self::MicroBatch => InputId::BatchSize,
            Self::SequenceLength => InputId::SeqLength,
            Self::Gpus => InputId::NumGpus,
        }
    }

    /// The largest value that the input takes.
    fn limit(self) -> u64 {
        match self.input().input().kind {
            InputKind::Integer { max, .. } => max,
            _ => u64::from(u32::MAX),
        }
    }
}

/// What one probe found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Probe {
    /// The value that was tried.
    pub value: u64,
    /// Its verdict.
    pub verdict: Verdict,
    /// What the verdict judges.
    pub need: Range,
    /// What it is judged against.
    pub usable_bytes: Bytes,
}

/// The answer of a solver.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Solution {
    /// What was looked for: `batch_size`, `seq_length` or `num_gpus`.
    pub variable: &'static str,
    /// The best value whose verdict is not "does not fit"; null where there is none.
    pub value: Option<u64>,
    /// The best value whose verdict is "fits": the whole interval of the need is within the capacity.
    pub certain: Option<u64>,
    /// What holds at `value`, or at the most favourable value where nothing fits.
    pub at: Probe,
    /// What breaks one step further; absent where the input takes no further value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beyond: Option<Probe>,
    /// Steps between the values that were considered, where not every one is valid.
    pub step: u64,
    /// By how much the expected need is too large at the most favourable value, where nothing fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortfall_bytes: Option<Bytes>,
    /// Why there is no value, or what the reader must know about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer of the original's batch-size optimizer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BatchSizeResult {
    /// The largest micro-batch that fits; null where none does.
    pub max_batch_size: Option<u64>,
    /// The whole answer at that batch, or at 1.
    pub memory_result: Answer,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// By how much the expected need is too large at a batch of 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortfall_bytes: Option<Bytes>,
}

/// Solves a valid question for one of its inputs; what is given for that input is replaced.
pub fn solve(request: &Request, unknown: Unknown) -> Result<Solution, Vec<Issue>> {
    let question = Question::new(request, unknown)?;
    Ok(match unknown {
        Unknown::MicroBatch | Unknown::SequenceLength => search::largest(&question),
        Unknown::Gpus => search::fewest(&question),
    })
}

/// The largest micro-batch with the answer that belongs to it.
pub fn optimize_batch_size(request: &Request) -> Result<BatchSizeResult, Vec<Issue>> {
    let solution = solve(request, Unknown::MicroBatch)?;
    let at = request.clone().with(InputId::BatchSize, solution.at.value);
    Ok(BatchSizeResult {
        max_batch_size: solution.value,
        memory_result: calculate(&at)?,
        reason: solution.reason.filter(|_| solution.value.is_none()),
        shortfall_bytes: solution.shortfall_bytes,
    })
}

/// A request without the values that follow from the one that is solved for.
struct Question {
    unknown: Unknown,
    request: Request,
    /// Values are multiples of this.
    step: u64,
}

impl Question {
    fn new(request: &Request, unknown: Unknown) -> Result<Self, Vec<Issue>> {
        let mut request = request.clone();
        if unknown == Unknown::Gpus {
            // Replicas and nodes follow from the number of GPUs.
            for id in [
                InputId::DataParallelSize,
                InputId::NumNodes,
                InputId::GpusPerNode,
                InputId::TotalGpuMemoryGb,
            ] {
                request.clear(id);
            }
            request.clear(InputId::NumGpus);
        }
        let job = job(&request, Strictness::default())?;
        let step = step_of(&job, unknown.input());
        let question = Self {
            unknown,
            request,
            step,
        };
        Ok(question)
    }

    /// The largest multiple of the step that the input takes, in steps.
    fn limit(&self) -> u64 {
        self.unknown.limit() / self.step
    }

    /// Calculates with a value, given in steps. A request that a rule refuses does not fit, and has no need.
    fn probe(&self, steps: u64) -> Probe {
        let value = steps.saturating_mul(self.step);
        let request = self.request.clone().with(self.unknown.input(), value);
        let outcome = job(&request, Strictness::default()).and_then(|job| probe_of(&job, value));
        outcome.unwrap_or(Probe {
            value,
            verdict: Verdict::DoesNotFit,
            need: Range {
                low_bytes: Bytes::MAX,
                expected_bytes: Bytes::MAX,
                high_bytes: Bytes::MAX,
            },
            usable_bytes: Bytes::ZERO,
        })
    }
}

/// The step between the values of an input that a job can take.
pub fn step_of(job: &Job, input: InputId) -> u64 {
    let mesh = job.mesh;
    let step = match input {
        InputId::NumGpus => {
            let copy = mesh
                .tensor
                .saturating_mul(mesh.pipeline)
                .saturating_mul(mesh.context);
            // Nodes of a shape are taken whole.
            let node = job.speed.shape.map_or(1, |shape| shape.gpus);
            common(copy, node)
        }
        InputId::SeqLength if mesh.context > 1 => mesh.context.saturating_mul(2),
        _ => 1,
    };
    step.max(1)
}

/// The least number that both divide.
fn common(one: u64, other: u64) -> u64 {
    let (mut left, mut right) = (one.max(1), other.max(1));
    while right > 0 {
        (left, right) = (right, left % right);
    }
    (one.max(1) / left).saturating_mul(other.max(1))
}

fn probe_of(job: &Job, value: u64) -> Result<Probe, Vec<Issue>> {
    let outcome = measure(job, job.training.micro_batch).map_err(|issue| vec![issue])?;
    Ok(Probe {
        value,
        verdict: outcome.verdict,
        need: answer::range(outcome.need),
        usable_bytes: job.card.usable.expected,
    })
}
