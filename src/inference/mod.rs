//! Serving: what a GPU holds while it answers requests. Weights by stored tensor (`weights`), cache and states by layer
//! (`cache`), one folder per engine (`engines`) with tables of releases (`release`), and what follows from all of them alike: capacity (`capacity`).
//!
//! An engine fills an [`Estimate`]; the door turns it into an answer. Nothing here knows about training.

pub mod cache;
pub mod capacity;
pub mod engines;
pub mod estimate;
pub mod job;
pub mod release;
pub mod vllm;
pub mod weights;

pub use engines::{Engine, evaluate};
pub use estimate::{DeviceEstimate, Estimate, KvPool, Part, PartId};
pub use job::{Device, InferenceJob};
pub use release::Version;
