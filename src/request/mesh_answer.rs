//! What is said about the mesh beside an answer: which sizes are valid, and the schedule of a pipeline as a picture.

use serde::Serialize;

/// The sizes that one input of the mesh can have, the others being as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MeshHint {
    /// Path of the input.
    pub path: &'static str,
    /// Its label.
    pub label: &'static str,
    /// The sizes, in order: divisors of the number of GPUs.
    pub sizes: Vec<MeshSize>,
}

/// A size of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MeshSize {
    /// The size.
    pub size: u64,
    /// Whether it is the one that holds.
    pub chosen: bool,
    /// Why the question has no answer with it; nothing where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A pipeline's schedule, rank by rank, where each operation takes one step of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchedulePicture {
    /// Micro-batches of a step.
    pub micro_batches: u64,
    /// Micro-batches that are drawn: no more than fill the pipeline several times.
    pub drawn: u64,
    /// Steps until the last operation is over.
    pub steps: u64,
    /// The ranks.
    pub ranks: Vec<ScheduleRow>,
}

/// A pipeline rank of a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduleRow {
    /// The rank.
    pub rank: u64,
    /// The most forward passes, over its chunks, whose backward is not over.
    pub most_in_flight: u64,
    /// Its operations in order.
    pub cells: Vec<ScheduleCell>,
}

/// An operation of a pipeline rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduleCell {
    /// `forward`, `backward` (gradients of the inputs) or `weights` (gradients of the weights).
    pub kind: &'static str,
    /// The chunk of the rank, from nought.
    pub chunk: u64,
    /// The micro-batch, from nought.
    pub micro_batch: u64,
    /// The step in which it runs.
    pub start: u64,
    /// Forward passes in flight on the rank when it is over.
    pub in_flight: u64,
}
