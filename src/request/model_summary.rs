//! The model of an answer: its source, its counts, and which of its fields were typed. Plain data.

use serde::Serialize;
use serde_json::Value;

use crate::units::Count;

/// Where the architecture comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ModelSource {
    /// A config.json.
    HfConfig,
    /// The catalogue.
    Catalogue,
    /// Typed fields.
    Fields,
    /// A parameter count alone: the nearest typical architecture.
    ParameterCount,
}

/// One architecture field: its value, the value of the source, and whether it was typed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ModelField {
    /// The input.
    pub path: &'static str,
    /// The value that holds.
    pub value: Value,
    /// The value of the source, where the source has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_value: Option<Value>,
    /// Whether the value was typed over the source.
    pub edited: bool,
}

/// What the answer says about the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ModelSummary {
    /// Its name.
    pub name: String,
    /// Where the architecture comes from.
    pub source: ModelSource,
    /// Id in the catalogue, where it comes from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Family, as `model_type` names it.
    pub family: String,
    /// All parameters of the text stack and its towers, a tied head once.
    pub total_parameters: Count,
    /// Total less idle routed experts.
    pub active_parameters: Count,
    /// Input embedding.
    pub embedding_parameters: Count,
    /// Head beyond the embedding; zero when tied.
    pub head_parameters: Count,
    /// Routed experts of all layers.
    pub expert_parameters: Count,
    /// Vision and audio towers.
    pub tower_parameters: Count,
    /// Next-token prediction layers, counted apart.
    pub mtp_parameters: Count,
    /// Buffers that are no parameters.
    pub buffer_elements: Count,
    /// The count that was typed, where one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_parameters: Option<u64>,
    /// Every architecture field with its value, in the order of the registry.
    pub fields: Vec<ModelField>,
}
