//! GPU Memory Calculator: what an LLM needs on a GPU, tensor by tensor and instant by instant.
//!
//! The rooms and the direction of their imports are described in `CONTRIBUTING.md`; `tests/layering.rs` enforces them.

#[macro_use]
mod brought;

pub mod accuracy;
pub mod api;
pub mod calls;
pub mod cite;
pub mod hardware;
pub mod inference;
mod interop;
#[cfg(feature = "js")]
pub mod js;
pub mod memory;
pub mod messages;
pub mod model;
pub mod network;
pub mod parallel;
pub mod planner;
pub mod request;
pub mod training;
#[cfg(feature = "web")]
pub mod ui;
pub mod units;
pub mod warn;
