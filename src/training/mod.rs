//! Training: what one step of an engine holds, tensor by tensor, as a ledger.
//!
//! `job` says what runs; `evaluate` lists what it holds. Saved activations, loss, optimizer and each engine have their
//! own file. Nothing here knows requests, GPUs or the page.

pub mod job;

pub use job::{
    AttentionKernel, Engine, LossKind, Optimizer, OptimizerImplementation, Precision, Recomputation,
    TrainingJob,
};
