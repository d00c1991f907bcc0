//! What travels between GPUs in one step, and how long a step takes: collectives over a topology, the traffic of every kind of
//! parallelism, rooflines of arithmetic and memory, and what of the communication stays visible.
//!
//! A question comes as a [`Workload`] (what one micro-batch computes and how it is divided) on a [`Machine`] (rates of a card
//! and of the links around it), both plain data that `api` fills; nothing here knows requests. Every time is a roofline: a sum
//! of amounts over stated rates, never fitted to runs. Traffic is never memory: what NCCL's communicators hold is told by
//! `memory`.

mod collective;
mod cost;
mod flops;
mod kinds;
mod machine;
mod serve;
mod step;
mod topology;
mod traffic;
mod workload;

pub use collective::Collective;
pub use cost::{Algorithm, Choice, Cost, cost};
pub use flops::{LayerWork, head_flops, model_flops_per_token};
pub use kinds::Kinds;
pub use machine::{AttentionKernels, Case, Efficiency, Machine, Rates, efficiency};
pub use serve::{Bound, Bounded, Serving};
pub use step::{Exposed, StepTimes, step, step_of};
pub use topology::{Cluster, Group, Wire};
pub use traffic::{Purpose, Transfer, Window, traffic};
pub use workload::{DataSharding, Kernels, Mesh, Overlap, Recompute, TensorStyle, Workload};

#[cfg(test)]
mod tests;
