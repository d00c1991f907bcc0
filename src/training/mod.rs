//! Training: what one step of an engine holds, tensor by tensor, as a ledger.
//!
//! `job` says what runs and [`evaluate`] lists what it holds. `tape` and `ops` play the operations of a block forwards and
//! backwards, `block` and `head` say which operations those are, `states` counts weights, gradients and optimizer states,
//! `engines` when they are alive, and `evaluate` puts the timeline together. Nothing here knows requests, GPUs or the page.

mod between;
mod block;
pub mod compiled;
mod composed;
mod engines;
mod evaluate;
mod groups;
mod head;
mod images;
pub mod job;
mod names;
mod objective;
mod ops;
mod parts;
mod pass;
mod pipelined;
mod plan;
mod preference;
mod prepared;
mod profile;
mod ranks;
mod sheet;
mod states;
mod streams;
mod tape;
mod temporaries;
mod vision;

pub use between::{Evaluation, Save, caches_in_fp32};
pub use composed::{Composed, Pipeline};
pub use engines::bring;
pub use engines::megatron::{
    Dispatcher, Megatron, Modules as RecomputedModules, Narrow, NarrowRecipe, Recompute, Sharding, Stage,
    VocabularyLoss, Wrapper, dispatcher_buffers, has_flex_configuration,
};
pub use evaluate::evaluate;
pub use groups::communicators;
pub use images::{Images, TowerTraining};
pub use job::{
    Adapter, AttentionKernel, BaseFormat, Chosen, Compile, Engine, FusedKernels, HostMemory, Layout,
    LossKind, Modules, Offload, Optimizer, OptimizerImplementation, Precision, Projection, Recomputation,
    Targets, TensorParallel, TrainingJob, Widened, Zero,
};

pub use objective::{LogProbabilities, Objective, Preference};
pub use parts::trained_parameters;
pub use prepared::Prepared;
pub use ranks::{RankAxis, RankClass, evaluate_fullest, pipeline_stages, rank_classes, rank_reason};
pub use streams::pools;

#[cfg(test)]
mod tests;
