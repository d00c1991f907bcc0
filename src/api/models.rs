//! The catalogue of models as it is listed: id, names, family, count.

use std::sync::OnceLock;

use serde::Serialize;
use serde_json::Value;

use super::part::chosen;
use super::{between, network, resolve};
use crate::model::catalogue::{self, Confidence, Entry};
use crate::model::import;
use crate::request::{EngineId, INPUTS, InputId, Request, bring_words};
use crate::training;
use crate::units::Count;

/// A model of the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ModelEntry {
    /// Id: `llama-3.1-8b`.
    pub id: &'static str,
    /// Its name without the organisation.
    pub name: &'static str,
    /// Its name on the Hugging Face hub.
    pub hf_id: &'static str,
    /// Other names.
    pub aliases: &'static [String],
    /// Family, as `model_type` names it.
    pub family: &'static str,
    /// All parameters, counted from its tensors.
    pub total_parameters: Count,
    /// How far its configuration can be trusted.
    pub confidence: Confidence,
    /// Where its configuration comes from.
    pub source: &'static [String],
}

impl ModelEntry {
    fn new(entry: &'static Entry) -> Option<Self> {
        Some(Self {
            id: &entry.id,
            name: entry.short_name(),
            hf_id: &entry.hf_id,
            aliases: &entry.aliases,
            family: entry.family(),
            total_parameters: entry.network()?.total_parameters(),
            confidence: entry.confidence,
            source: &entry.source,
        })
    }

    /// Every name under which it is found.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [self.id, self.name, self.hf_id, self.family]
            .into_iter()
            .chain(self.aliases.iter().map(String::as_str))
    }
}

/// The name of a model of the catalogue without the organisation, by its id.
pub fn model_name(id: &str) -> Option<&'static str> {
    let entry = catalogue::all().iter().find(|entry| entry.id == id)?;
    Some(entry.short_name())
}

/// Brings what the first answer does not need: the catalogue with the families of its models, help texts, engines of training, and
/// evaluation between steps; true when they are at hand.
pub fn bring_families() -> bool {
    catalogue::bring();
    bring_words();
    training::bring();
    between::bring();
    resolve::bring_composed();
    network::bring();
    import::bring();
    import::at_hand()
}

/// What a question may give that is answered before anything was brought.
const FIRST: [InputId; 6] = [
    InputId::ModelId,
    InputId::Gpu,
    InputId::NumGpus,
    InputId::SeqLength,
    InputId::BatchSize,
    InputId::EngineType,
];

/// Whether the answer to a question needs what is not at hand yet ([`bring_families`]).
pub fn waits(request: &Request) -> bool {
    if import::at_hand() {
        return false;
    }
    let engine = chosen(request, InputId::EngineType).and_then(EngineId::from_key);
    let model = request.get(InputId::ModelId).and_then(Value::as_str);
    let known = model.is_some_and(|id| catalogue::all().iter().any(|entry| entry.id == id));
    let plain = INPUTS
        .iter()
        .all(|input| FIRST.contains(&input.id) || !request.has(input.id));
    !(known && plain && matches!(engine, Some(EngineId::Fsdp | EngineId::PytorchDdp)))
}

/// Every model of the catalogue in its order. All families must be at hand ([`bring_families`]).
pub fn models() -> &'static [ModelEntry] {
    static ENTRIES: OnceLock<Vec<ModelEntry>> = OnceLock::new();
    ENTRIES.get_or_init(|| catalogue::all().iter().filter_map(ModelEntry::new).collect())
}

/// Models whose names contain every word of the text, the closest first.
pub fn search_models(text: &str) -> Vec<&'static ModelEntry> {
    catalogue::search(text)
        .into_iter()
        .filter_map(|entry| models().iter().find(|model| model.id == entry.id))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_is_listed_with_its_count() {
        assert!(models().len() >= 200);
        let llama = search_models("llama-2-7b");
        assert_eq!(
            llama.first().map(|model| model.total_parameters.get()),
            Some(6_738_415_616)
        );
        assert!(models().iter().all(|model| model.total_parameters > Count::ZERO));
    }
}
