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
    /// The answer to a search for ways of serving.
    Serving(Box<Serving>),
    /// The cheapest GPUs.
    Cheapest(Box<Cheapest>),
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
    /// The best way of serving so far.
    pub serving: Option<Box<ServingPoint>>,
}

/// A way of serving.
#[derive(Clone, Debug, Deserialize)]
pub struct ServingPoint {
    /// For a person.
    pub name: String,
    /// New tokens per second and GPU.
    pub tokens_per_second_per_gpu: Option<f64>,
    /// Milliseconds per token.
    pub tpot_ms: Option<f64>,
    /// Requests at once.
    pub at_once: u64,
    /// Bytes per GPU.
    pub need_bytes: u64,
    /// Effect on what the model says.
    pub effect: String,
    /// The inputs that make it.
    pub values: Map<String, Value>,
}

/// One of the best ways of serving.
#[derive(Clone, Debug, Deserialize)]
pub struct ServingRow {
    /// The plan.
    #[serde(flatten)]
    pub point: ServingPoint,
}

/// The answer to a search for ways of serving.
#[derive(Clone, Debug, Deserialize)]
pub struct Serving {
    /// What was searched.
    pub space: Space,
    /// The best.
    pub plans: Vec<ServingRow>,
    /// The front.
    pub front: Vec<ServingPoint>,
    /// The best for each effect.
    pub by_effect: Vec<ServingPoint>,
    /// Why the first.
    pub why: Option<ServingWhy>,
    /// What is too large by the least.
    pub nearest: Option<Nearest>,
    /// Refused engines.
    pub refused: Vec<Way>,
}

/// Why the first is the first.
#[derive(Clone, Debug, Deserialize)]
pub struct ServingWhy {
    /// In words.
    pub words: String,
    /// The next.
    pub other: ServingPoint,
}

/// What is too large by the least.
#[derive(Clone, Debug, Deserialize)]
pub struct Nearest {
    /// For a person.
    pub name: String,
    /// By how much.
    pub shortfall_bytes: u64,
}

/// The cheapest GPUs.
#[derive(Clone, Debug, Deserialize)]
pub struct Cheapest {
    /// `training` or `serving`.
    pub kind: String,
    /// A row for each kind.
    pub rows: Vec<CheapestRow>,
    /// Kinds that never work.
    pub left_out: Vec<LeftOutGpu>,
}

/// A kind of GPU.
#[derive(Clone, Debug, Deserialize)]
pub struct CheapestRow {
    /// Id.
    pub gpu: String,
    /// Name.
    pub name: String,
    /// How many.
    pub gpus: u64,
    /// On how many nodes.
    pub nodes: u64,
    /// Tokens per second of all.
    pub tokens_per_second: Option<f64>,
    /// GPU-hours for as many tokens.
    pub gpu_hours: Option<f64>,
    /// Price of an hour of all.
    pub cost_per_hour: Option<f64>,
    /// Cost of as many tokens.
    pub cost: Option<f64>,
    /// The inputs that make it.
    pub values: Map<String, Value>,
}

/// A kind that never works.
#[derive(Clone, Debug, Deserialize)]
pub struct LeftOutGpu {
    /// Id.
    pub gpu: String,
    /// Why.
    pub reason: String,
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
