//! One evaluation of a job: ledger, meters and verdict.

use crate::memory::{Interval, Ledger};
use crate::request::{Component, Verdict};
use crate::warn::Issue;

/// What one evaluation gives.
pub struct Outcome {
    /// Every tensor.
    pub ledger: Ledger,
    /// `max_memory_allocated`.
    pub allocated: Interval,
    /// Reserved on a roomy card.
    pub reserved: Interval,
    /// The device on a roomy card.
    pub device: Interval,
    /// What the verdict judges.
    pub need: Interval,
    /// What lies outside the allocator.
    pub outside: Vec<Component>,
    /// The verdict.
    pub verdict: Verdict,
}

/// Evaluates the job with this micro-batch.
pub fn measure(_job: &super::job::Job, _micro_batch: u64) -> Result<Outcome, Issue> {
    Err(Issue::error(
        "not_available_yet",
        "engine.type",
        "The ledger of a training step is not built yet.",
    ))
}
