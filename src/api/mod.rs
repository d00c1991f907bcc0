//! The door: a request is validated, calculated and answered here. The shells (page, command line, JavaScript module)
//! call nothing else.

mod account;
mod answer;
mod arithmetic;
mod between;
mod cheapest;
mod curve;
pub mod embedding;
pub mod evidence;
mod explain;
mod export;
mod fixes;
mod given;
mod host;
mod import;
mod inference;
mod job;
mod measure;
mod mesh_hints;
mod model_report;
mod models;
mod nearest;
mod network;
mod part;
mod plan;
mod presets;
mod read;
mod resolve;
mod rollout;
mod rules;
mod schema;
pub mod share;
mod solve;

pub use crate::cite::{Citation, Evidence};
pub use crate::hardware::{
    Gpu, Link, MemorySetup, NodeShape, find as find_gpu, gpus, links, nearest as nearest_gpus, nodes,
};
pub use crate::interop::export::Export;
pub use crate::interop::import::{Found, Import, Measured, import as read_text, yaml as read_yaml};
pub use crate::interop::yaml_text;
pub use crate::request::*;
pub use crate::warn::{Issue, Severity};
pub use account::{Account, account, account_served};
pub use arithmetic::evaluate as evaluate_formula;
pub use cheapest::{CheapestSort, cheapest, cheapest_slowly};
pub use curve::{Along, Crossing, Curve, CurvePart, CurvePoint, curve};
pub use explain::{explain, substituted};
pub use export::{ExportFormat, export, export_formats, export_formats_for};
pub use fixes::{Effect, Fix, Fixes, Time, inference_fixes, training_fixes};
pub use import::{
    Compared, Imported, header_cut_off, import, import_beside, import_bytes, import_file_beside,
    request_from_text,
};
pub use inference::{calculate_inference, calculate_inference_with, side_by_side, validate_inference};
pub use job::{Job, Strictness, job, validate};
pub use mesh_hints::{mesh_hints, schedule_picture};
pub use model_report::{LayerGroup, ModelReport, TensorRow, model_report};
pub use models::{ModelEntry, bring_families, model_name, models, search_models, waits};
pub use network::{multi_node, multi_node_with};
pub use part::{chosen, part, plan_part};
pub use plan::{Pause, plan, plan_with, planned, planned_slowly, planned_with};
pub use presets::{Preset, PresetState, preset, preset_request, presets};
pub use read::read_count as parse_parameter_count;
pub use rules::{RuleOfThumb, rules_of_thumb, rules_of_thumb_served};
pub use schema::{SCHEMAS, schema};
pub use solve::{
    BatchSizeResult, CardFit, Cards, Probe, Solution, Unknown, optimize_batch_size, smallest_card, solve,
};

/// Calculates a training request: the answer, or every issue by field.
pub fn calculate(request: &Request) -> Result<Answer, Vec<Issue>> {
    calculate_with(request, Strictness::default())
}

/// As [`calculate`], but about one rank of those that share the states, and not about the fullest: what a record of that rank is
/// compared with.
pub fn calculate_on_rank(request: &Request, rank: u64) -> Result<Answer, Vec<Issue>> {
    let job = job(request, Strictness::default())?;
    let known = rank < job.training.data_parallel.max(1);
    answer::answer(Job {
        rank: known.then_some(rank),
        ..job
    })
}

/// As [`calculate`], as strictly as asked.
pub fn calculate_with(request: &Request, strictness: Strictness) -> Result<Answer, Vec<Issue>> {
    job(request, strictness).and_then(answer::answer)
}

/// The engine of a training request as records name it, and the options that it chooses; or every issue by field.
pub fn options(request: &Request) -> Result<(&'static str, Vec<evidence::Chosen>), Vec<Issue>> {
    job(request, Strictness::default()).map(|job| (answer::engine_name(&job.training), job.chosen))
}

/// Every issue of a request, errors first: of an inference question where inputs of section `inference` are given, else of a
/// training question.
pub fn validate_request(request: &Request) -> Vec<Issue> {
    if request.serves() {
        validate_inference(request)
    } else {
        validate(request)
    }
}

/// A request from JSON that is known to have its shape; what has not is left out.
fn request_of(value: &serde_json::Value) -> Request {
    Request::from_json(value).unwrap_or_default()
}
