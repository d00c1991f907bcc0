//! What an exporter starts from: every input with the value that holds, where it comes from, and what follows from the
//! validated question. `api` fills it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::model::network::Network;
use crate::request::{EngineId, InputId, Request, ServerId};

/// The engine of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// It trains.
    Training(EngineId),
    /// It serves.
    Serving(ServerId),
}

impl Engine {
    /// Its name for a person.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Training(engine) => engine.name(),
            Self::Serving(engine) => engine.name(),
        }
    }
}

/// The value of an input.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// In the registry's own spelling.
    pub value: Value,
    /// Whether it was typed and says something else than the fixed default.
    pub typed: bool,
}

/// What follows from the validated question and is no input.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Name of the model.
    pub name: String,
    /// Its id in the catalogue.
    pub id: Option<String>,
    /// Its name on the Hugging Face hub, where it is in the catalogue.
    pub hub: Option<String>,
    /// The network.
    pub network: Arc<Network>,
    /// GPUs of the whole job.
    pub gpus: u64,
    /// Machines.
    pub nodes: u64,
    /// Data-parallel replicas.
    pub data_parallel: u64,
    /// Whether the optimizer runs fused.
    pub fused_optimizer: bool,
    /// Whether full recomputation re-enters autograd.
    pub reentrant: bool,
}

impl Facts {
    /// GPUs of one machine.
    pub fn gpus_per_node(&self) -> u64 {
        self.gpus.checked_div(self.nodes).unwrap_or(1).max(1)
    }
}

/// A validated question.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What was asked, as it was typed.
    pub request: Request,
    /// The engine.
    pub engine: Engine,
    /// Every input that has a value.
    pub values: BTreeMap<InputId, Setting>,
    /// What follows.
    pub facts: Facts,
}
