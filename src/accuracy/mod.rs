//! How well the predictions agree with measured runs: readers of record files, their mapping to questions, statistics.
//!
//! A record is read ([`record`]), what it measured is told ([`quantity`]), and its run becomes a request ([`trace`],
//! [`published`]). Measured values are never an input of a prediction. Nothing here prints.

pub mod published;
pub mod quantity;
pub mod question;
pub mod record;
pub mod software;
pub mod statistics;
pub mod trace;
