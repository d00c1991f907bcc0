//! Who holds which part of a tensor: plans of tensor parallelism and the shards that follow from them.
//!
//! `plan` says for a family which of its matrices are divided, by the plans of transformers and of torchtitan; `shard`
//! cuts tensors and layers by them; `schedule` counts the micro-batches that a pipeline rank has in flight, `order` lists its operations, `stages` deals
//! layers out to its stages. What is sent between the ranks, and what that takes, is recorded in `training`.

mod order;
mod plan;
mod schedule;
#[cfg(test)]
#[allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]
mod schedule_walk;
mod shard;
mod stages;

pub use order::{Cell, Kind as OperationKind, timetable};
pub use plan::{Plan, PlanKind, Unplanned, Way};
pub use schedule::{InFlight, Schedule};
pub use shard::{Division, chunk};
pub use stages::{Split, Uneven, Unreadable, Written, stages};
