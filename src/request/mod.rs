//! What can be asked and what is answered, as plain data: the input registry, the request and the answer.
//!
//! Nothing here computes. `api` turns a request into a job and a ledger into an answer.

pub mod registry;

pub use registry::{
    Applies, Availability, Choice, EngineId, FormGroup, INPUTS, Input, InputDefault, InputId, InputKind,
    Level, Section,
};
