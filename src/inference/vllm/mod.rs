//! vLLM 0.6 to 0.33 on paper: what a start allocates, what is left for the cache, and what the log says.
//!
//! `release` holds what differs between versions, `job` the arguments with their defaults; `tensors`, `format` and `caching`
//! make the weights, `profile` the dummy pass, `cache` the blocks; `start` adds them up and `log` words them.

pub mod cache;
pub mod caching;
pub mod format;
pub mod job;
pub mod log;
pub mod profile;
pub mod release;
pub mod share;
pub mod start;
pub mod tensors;
#[cfg(test)]
mod tests;

pub use job::{Adapters, CacheFormat, Device, Job, Mesh, Settings, Speculation};
pub use release::{EntryPoint, Release, SamplerKernel, newest, release, releases};
pub use start::{Budget, Failure, Start, start, start_with};
pub use tensors::all_weights;
