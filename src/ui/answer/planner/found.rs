//! What the worker tells, as the page reads it: the parts of the answer that are shown.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A message of the worker.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// How far it is.
    Progress(Progress),
    /// The answer.
    Answer(Box<Answer>),
    /// It is refused, or cannot run.
    Refused(Vec<Refused>),
}

/// How far it is.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Progress {
    /// Settled combinations.
    pub settled: u64,
    /// All.
    pub combinations: u64,
    /// Those that fit.
    pub fitting: u64,
    /// The best so far.
    pub best: Option<Point>,
}

/// A plan.
#[derive(Clone, Debug, Deserialize)]
pub struct Point {
    /// For a person.
    pub name: String,
    /// Milliseconds of a step.
    pub step_ms: f64,
    /// Bytes per GPU.
    pub need_bytes: u64,
    /// The inputs that make it.
    pub values: Map<String, Value>,
}

/// One of the best.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    /// The plan.
    #[serde(flatten)]
    pub point: Point,
    /// What of the limit is left.
    pub margin_bytes: u64,
    /// Tokens per second and GPU.
    pub tokens_per_second_per_gpu: Expected,
    /// Utilization.
    pub mfu_percent: Expected,
}

/// A figure.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Expected {
    /// Expected.
    pub expected: f64,
}

/// The answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// What all have in common.
    pub asked: Asked,
    /// What was searched.
    pub space: Space,
    /// The best.
    pub plans: Vec<Row>,
    /// The front.
    pub front: Vec<Point>,
    /// Why the first.
    pub why: Option<Why>,
    /// What comes nearest, where nothing fits.
    pub nearest: Option<Point>,
    /// By how much it is too large.
    pub shortfall_bytes: Option<u64>,
    /// Refused ways.
    pub refused: Vec<Way>,
}

/// What all plans have in common.
#[derive(Clone, Debug, Deserialize)]
pub struct Asked {
    /// GPUs.
    pub gpus: u64,
    /// GPUs of a node.
    pub gpus_per_node: u64,
    /// Tokens of a step.
    pub tokens_per_step: u64,
    /// The limit.
    pub limit_bytes: u64,
}

/// What was searched.
#[derive(Clone, Debug, Deserialize)]
pub struct Space {
    /// All combinations.
    pub combinations: u64,
    /// Calculated ones.
    pub calculated: u64,
    /// Those that fit.
    pub fitting: u64,
    /// What each rule left out.
    pub left_out: Vec<LeftOut>,
}

/// What a rule left out.
#[derive(Clone, Debug, Deserialize)]
pub struct LeftOut {
    /// In words.
    pub label: String,
    /// How many.
    pub combinations: u64,
}

/// Why the first is the first.
#[derive(Clone, Debug, Deserialize)]
pub struct Why {
    /// In words.
    pub words: String,
    /// The next.
    pub other: Point,
}

/// A refused way.
#[derive(Clone, Debug, Deserialize)]
pub struct Way {
    /// Which.
    pub way: String,
    /// Why.
    pub reason: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Refused {
    /// Which input.
    #[serde(default)]
    pub path: String,
    /// For a person.
    pub message: String,
}
