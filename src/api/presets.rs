//! The presets: ten complete requests under the ids of the original calculator. A catalogue id is a preset as well: the
//! model alone, with every default.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::resolve::source;
use super::{calculate, request_of};
use crate::request::{InputId, Request, Verdict};
use crate::warn::Issue;

const FILES: [&str; 10] = [
    include_str!("../../assets/presets/llama2-7b.json"),
    include_str!("../../assets/presets/llama2-13b.json"),
    include_str!("../../assets/presets/llama2-70b.json"),
    include_str!("../../assets/presets/gpt3-175b.json"),
    include_str!("../../assets/presets/mixtral-8x7b.json"),
    include_str!("../../assets/presets/glm-4-9b.json"),
    include_str!("../../assets/presets/glm-4.7-355b.json"),
    include_str!("../../assets/presets/glm-4.5-air-106b.json"),
    include_str!("../../assets/presets/qwen1.5-moe-a2.7b.json"),
    include_str!("../../assets/presets/deepseek-moe-16b.json"),
];

/// A complete request under a name.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Preset {
    /// Id: `llama2-7b`.
    pub id: String,
    /// For the menu.
    pub display_name: String,
    /// One or two sentences.
    pub description: String,
    /// Id of the model in the catalogue.
    pub architecture: String,
    /// Where it comes from.
    pub source: String,
    /// The request.
    pub config: Value,
}

/// What a preset says about itself.
#[derive(Clone, Debug, PartialEq)]
pub enum PresetState {
    /// It is answered, with this verdict.
    Answered(Verdict),
    /// It cannot be answered yet; the issues say why.
    NotAvailable(Vec<Issue>),
}

impl Preset {
    /// The request of the preset.
    pub fn request(&self) -> Request {
        request_of(&self.config)
    }

    /// Whether it fits, or why that cannot be said yet.
    pub fn state(&self) -> PresetState {
        match calculate(&self.request()) {
            Ok(answer) => PresetState::Answered(answer.verdict),
            Err(issues) => PresetState::NotAvailable(issues),
        }
    }
}

/// The ten presets, in the order of the menu.
pub fn presets() -> &'static [Preset] {
    static PRESETS: OnceLock<Vec<Preset>> = OnceLock::new();
    PRESETS.get_or_init(|| {
        FILES
            .iter()
            .filter_map(|text| serde_json::from_str(text).ok())
            .collect()
    })
}

/// The preset of this id in any case; else the catalogue's model of this id, name or alias with every default.
pub fn preset(name: &str) -> Option<Preset> {
    let wanted = name.trim();
    if let Some(found) = presets()
        .iter()
        .find(|preset| preset.id.eq_ignore_ascii_case(wanted))
    {
        return Some(found.clone());
    }
    let found = source::find(wanted)?;
    let id = found.id?;
    let request = Request::new().with(InputId::ModelId, id.clone());
    let display_name = found.name.unwrap_or_else(|| id.clone());
    Some(Preset {
        description: format!("{display_name} with every default."),
        display_name,
        architecture: id.clone(),
        source: "catalogue".to_string(),
        config: request.to_json(),
        id,
    })
}

/// The request of a preset, a catalogue id or an alias; an unknown name is an issue with the nearest ones.
pub fn preset_request(name: &str) -> Result<Request, Issue> {
    if let Some(found) = preset(name) {
        return Ok(found.request());
    }
    let ids = presets().iter().map(|preset| preset.id.as_str());
    let mut near: Vec<String> = super::nearest::nearest(name, ids)
        .into_iter()
        .map(ToString::to_string)
        .collect();
    near.extend(source::suggestions(name));
    let issue = Issue::error(
        "not_found",
        "preset",
        format!("{name:?} is neither a preset nor a model of the catalogue."),
    )
    .with_value(name);
    Err(match near.first() {
        Some(first) => issue
            .with_hint(format!("Did you mean {first}?"))
            .with_allowed(near),
        None => issue,
    })
}
