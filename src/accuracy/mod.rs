//! How well the predictions agree with measured runs: readers of record files, their mapping to questions, statistics.
//!
//! A record is read ([`record`]), what it measured is told ([`quantity`]), its run becomes a request ([`trace`],
//! [`published`]), the request goes through the same door as everybody's ([`predict`]), and [`report`] compares. Measured
//! values are never an input of a prediction. Nothing here prints.

pub mod cases;
pub mod coverage;
pub mod deepspeed;
pub mod evidence;
pub mod extras;
pub mod gguf_files;
pub mod inference;
pub mod llama_cpp;
pub mod markdown;
pub mod names;
pub mod predict;
pub mod published;
pub mod quantity;
pub mod question;
pub mod record;
pub mod report;
pub mod serving;
pub mod sglang;
pub mod software;
pub mod speed;
pub mod statistics;
pub mod tensorrt;
pub mod tgi;
pub mod trace;
pub mod transformers;
pub mod verdicts;
pub mod vllm;

pub use cases::{Case, Summary, cases, summary};
pub use coverage::evidence_table;
pub use evidence::{calculate, calculate_inference, evidence, optimize_batch_size};
pub use markdown::markdown;
pub use report::{Report, Table, compare};
