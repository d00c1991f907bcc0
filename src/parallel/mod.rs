//! Who holds which part of a tensor: plans of tensor parallelism and the shards that follow from them.
//!
//! `plan` says for a family which of its matrices are divided, by the plans of transformers and of torchtitan; `shard`
//! cuts tensors and layers by them. What is sent between the ranks, and what that takes, is recorded in `training`.

mod plan;
mod shard;

pub use plan::{Plan, PlanKind, Unplanned, Way};
pub use shard::{Division, chunk};
