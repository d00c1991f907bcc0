//! Models: the catalogue, the presets, the report on one, and the import of a config.json.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::arguments::written;
use super::{Arguments, Fault, FaultKind, Outcome};
use crate::api::{self, InputId, Issue, ModelEntry, Request, json_invalid};
use crate::units::Count;

/// Fields without which the original could not go on.
const NEEDED: [&str; 5] = [
    "model.num_layers",
    "model.hidden_size",
    "model.num_attention_heads",
    "model.vocab_size",
    "model.max_seq_len",
];

/// A field that the file does not state.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DerivedField {
    /// The key of the file.
    pub field: String,
    /// From what it follows.
    pub reason: String,
}

/// Parameters by class.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ParametersByClass {
    /// All.
    pub total: Count,
    /// Less idle routed experts.
    pub active: Count,
    /// Input embedding.
    pub embedding: Count,
    /// Head beyond the embedding.
    pub head: Count,
    /// Routed experts.
    pub experts: Count,
    /// Vision and audio towers.
    pub towers: Count,
    /// Next-token prediction layers.
    pub next_token: Count,
}

/// What a config.json says.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HfImport {
    /// The model's id, where one was given.
    pub model_id: Option<String>,
    /// A configuration with the file in it: the request for further calls.
    pub config: Value,
    /// The fields that the form has, with their values.
    pub fields: Map<String, Value>,
    /// Fields with a value.
    pub found_fields: Vec<String>,
    /// Fields of the form that the file leaves open.
    pub missing_fields: Vec<String>,
    /// What was taken because the file does not say it, each with the reason.
    pub derived_fields: Vec<DerivedField>,
    /// `model_type` as it was understood.
    pub architecture: String,
    /// Counts from the tensors of the architecture.
    pub parameters: ParametersByClass,
    /// What the reader must know.
    pub warnings: Vec<Issue>,
}

pub fn import_hf_config(given: &Arguments<'_>) -> Outcome {
    let config = match given.value(0) {
        Value::String(text) => serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| invalid(vec![json_invalid("", &error)]))?,
        other => other.clone(),
    };
    if !config.is_object() {
        let words = "A config.json is an object with the fields of an architecture.";
        return Err(invalid(vec![Issue::error("invalid_config", "", words)]));
    }
    let model_id = given.value(1).get("model_id").and_then(Value::as_str);
    let mut request = Request::new().with(InputId::HfConfig, config);
    if let Some(id) = model_id {
        request.set(InputId::ModelName, id);
    }
    let report = api::model_report(&request, false).map_err(invalid)?;
    let mut fields = Map::new();
    for field in report
        .summary
        .fields
        .iter()
        .filter(|field| !field.value.is_null())
    {
        fields.insert(field.path.to_owned(), field.value.clone());
    }
    let assumed = report
        .warnings
        .iter()
        .filter(|issue| issue.code.starts_with("assumed"));
    written(HfImport {
        model_id: model_id.map(str::to_owned),
        config: request.to_json(),
        found_fields: fields.keys().cloned().collect(),
        missing_fields: NEEDED
            .into_iter()
            .filter(|key| !fields.contains_key(*key))
            .map(str::to_owned)
            .collect(),
        fields,
        derived_fields: assumed
            .map(|issue| DerivedField {
                field: issue.path.clone(),
                reason: issue.message.clone(),
            })
            .collect(),
        architecture: report.summary.family.clone(),
        parameters: ParametersByClass {
            total: report.summary.total_parameters,
            active: report.summary.active_parameters,
            embedding: report.summary.embedding_parameters,
            head: report.summary.head_parameters,
            experts: report.summary.expert_parameters,
            towers: report.summary.tower_parameters,
            next_token: report.summary.mtp_parameters,
        },
        warnings: report.warnings,
    })
}

/// A configuration that cannot be read; what is missing in it makes it no configuration of a model.
fn invalid(issues: Vec<Issue>) -> Fault {
    let mut fault = Fault::refused(issues);
    fault.kind = FaultKind::InvalidConfig;
    fault
}

pub fn model_report(given: &Arguments<'_>) -> Outcome {
    written(api::model_report(
        &given.request(0)?,
        given.option(1, "tensors")?,
    )?)
}

/// Models of the catalogue.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Models(pub Vec<&'static ModelEntry>);

pub fn models(given: &Arguments<'_>) -> Outcome {
    written(Models(match given.given_text(0) {
        Some(words) => api::search_models(words),
        None => api::models().iter().collect(),
    }))
}

pub fn presets(_: &Arguments<'_>) -> Outcome {
    let presets = api::presets().iter().map(|preset| {
        let names = json!({"display_name": preset.display_name, "description": preset.description});
        (preset.id.clone(), names)
    });
    Ok(Value::Object(presets.collect()))
}

pub fn preset(given: &Arguments<'_>) -> Outcome {
    let id = given.text(0);
    match api::preset(id) {
        Some(preset) => written(preset),
        None => {
            let nearest = api::preset_request(id).err();
            let mut fault = Fault::not_found("id", format!("There is no preset {id}."));
            if let (Some(issue), Some(found)) = (fault.issues.first_mut(), nearest) {
                issue.hint = found.hint;
            }
            Err(fault)
        }
    }
}
