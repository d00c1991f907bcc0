//! The model: its source (config.json, catalogue, typed fields, or a parameter count alone), the fields typed over it,
//! and what contradicts what.

use std::sync::Arc;

use serde_json::Value;

use super::super::given::Given;
use super::dropout::dropout;
use super::source::{self, Released, Source};
use super::width::solve_width;
use super::{Report, fields};
use crate::model::Network;
use crate::request::{InputId, ModelField, ModelSource};
use crate::units::Count;
use crate::warn::Issue;

/// The model of a job.
#[derive(Clone, Debug)]
pub struct Model {
    /// The network.
    pub network: Arc<Network>,
    /// Where its architecture comes from.
    pub source: ModelSource,
    /// Id in the catalogue.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// The typed count.
    pub given_parameters: Option<u64>,
    /// The fields with their values.
    pub fields: Vec<ModelField>,
    /// Whether the architecture is only the nearest typical one to a parameter count.
    pub nearest: bool,
    /// What the configuration says about the published weights.
    pub released: Released,
}

impl Model {
    /// With a head of one row, for one number per token.
    pub fn with_one_row(self) -> Self {
        Self {
            network: Arc::new(self.network.with_one_row()),
            ..self
        }
    }
}

/// A training question about a model whose published weights are quantised: it is answered for others.
pub fn note_released(model: Option<&Model>, report: &mut Report) {
    if let Some(format) = model.and_then(|model| model.released.method.as_ref()) {
        report.add(Issue::warning(
            "assumed",
            "model",
            format!("The released weights are in {format}; training is calculated for weights in the types of the precision mode."),
        ));
    }
}

/// Resolves the model; `None` when there is an error.
pub fn model(given: &Given, report: &mut Report) -> Option<Model> {
    let errors = report.issues.iter().filter(|issue| issue.is_error()).count();
    let mut source = choose(given, report)?;
    fields::edit(given, &mut source, report);
    fields::check(given, &source, report);
    if source.kind == ModelSource::Fields && !complete(given, &mut source, report) {
        return None;
    }
    if report.issues.iter().filter(|issue| issue.is_error()).count() > errors {
        return None;
    }
    let (network, released) = match source::network(&source) {
        Ok((network, warnings, released)) => {
            report.issues.extend(warnings);
            (network, released)
        }
        Err(issues) => {
            report.issues.extend(issues);
            return None;
        }
    };
    let count = given.typed_integer(InputId::NumParameters);
    compare_count(count, &source, network.total_parameters(), report);
    compare_largest(given, &network, report);
    let network = dropout(given, &source.config, report).map_or(network, Arc::new);
    let network = towers(given, network, report);
    Some(Model {
        fields: fields::list(given, &source, &network),
        network,
        nearest: source.kind == ModelSource::ParameterCount,
        source: source.kind,
        id: source.id,
        name: given
            .get(InputId::ModelName)
            .and_then(|_| given.text(InputId::ModelName))
            .or(source.name)
            .unwrap_or_else(|| "custom".to_string()),
        given_parameters: count,
        released,
    })
}

/// The network with its towers, or without them where they are left out.
fn towers(given: &Given, mut network: Arc<Network>, report: &mut Report) -> Arc<Network> {
    let asked = given.choice(InputId::IncludeTowers);
    match asked {
        Some(place) if network.towers.is_empty() => {
            if place != "none" {
                report.warn(
                    "not_used",
                    InputId::IncludeTowers,
                    "This model has no vision or audio tower.",
                );
            }
        }
        Some("none") => Arc::make_mut(&mut network).towers.clear(),
        Some(_) => {}
        None if network.towers.is_empty() => {}
        None => report.assume(
            InputId::IncludeTowers,
            "frozen",
            "the class of the model loads them",
        ),
    }
    network
}

/// The source: config.json, else a catalogue id, else a name that the catalogue knows, else typed fields, else the nearest
/// architecture to a parameter count.
fn choose(given: &Given, report: &mut Report) -> Option<Source> {
    if given.has(InputId::HfConfig) {
        let config = given.get(InputId::HfConfig)?.to_json();
        return Some(Source::new(ModelSource::HfConfig, config));
    }
    if given.has(InputId::ModelId) {
        let name = given.text(InputId::ModelId)?;
        return source::find(&name).or_else(|| {
            let near = source::suggestions(&name);
            let mut issue = Issue::error(
                "not_found",
                InputId::ModelId.key(),
                format!("{name:?} is not in the catalogue of models."),
            )
            .with_value(name)
            .with_hint("Paste the model's config.json instead.");
            if let Some(first) = near.first() {
                issue = issue.with_hint(format!(
                    "Did you mean {first}? Otherwise paste the model's config.json."
                ));
            }
            report.add(issue.with_allowed(near));
            None
        });
    }
    let by_name = given
        .get(InputId::ModelName)
        .and_then(|_| given.text(InputId::ModelName))
        .and_then(|name| source::find(&name));
    if by_name.is_some() {
        return by_name;
    }
    if fields::any(given) {
        return Some(Source::new(ModelSource::Fields, source::base_config()));
    }
    if given.has(InputId::NumParameters) {
        let count = given.integer(InputId::NumParameters)?;
        let source = source::nearest(count)?;
        report.warn(
            "nearest_architecture",
            InputId::NumParameters,
            format!(
                "Only a parameter count is given: the architecture is that of {}, the nearest typical one. The interval is wide; choose a model or paste its config.json for an exact answer.",
                source.name.as_deref().or(source.id.as_deref()).unwrap_or("a typical model"),
            ),
        );
        return Some(source);
    }
    report.add(
        Issue::error(
            "missing",
            "model",
            "A model is required: an id of the catalogue, a config.json, its fields, or a parameter count.",
        )
        .with_hint("For example {\"model\": {\"id\": \"llama-3.1-8b\"}} or {\"model\": {\"num_parameters\": \"7B\"}}."),
    );
    None
}

/// Typed fields alone: what is required is there, and the feed-forward width follows where it is not typed.
fn complete(given: &Given, source: &mut Source, report: &mut Report) -> bool {
    let mut complete = true;
    for id in [
        InputId::NumLayers,
        InputId::HiddenSize,
        InputId::NumAttentionHeads,
    ] {
        if !given.has(id) {
            complete = false;
            report.error(
                "missing",
                id,
                format!(
                    "{} is required where no model is chosen and no config.json is given.",
                    id.input().label
                ),
            );
        }
    }
    let sparse = given.toggle(InputId::MoeEnabled) == Some(true);
    let width = if sparse {
        InputId::ExpertIntermediateSize
    } else {
        InputId::IntermediateSize
    };
    if !given.has(width) && !given.has(InputId::NumParameters) && !sparse {
        complete = false;
        report.add(
            Issue::error(
                "missing",
                InputId::NumParameters.key(),
                "Give the parameter count or the feed-forward width: without either the size of the model is not known.",
            )
            .with_hint("For example 7B, or model.intermediate_size 11008."),
        );
    }
    if complete && !given.has(width) && !report.has_errors() {
        solve_width(given, source, width, report);
    }
    complete
}

/// A typed count beside the exact one.
fn compare_count(count: Option<u64>, source: &Source, exact: Count, report: &mut Report) {
    let Some(count) = count else { return };
    let exact = exact.get();
    let tolerance = if source.solved { count / 50 } else { 0 };
    if source.kind == ModelSource::ParameterCount || count.abs_diff(exact) <= tolerance {
        return;
    }
    let already = report
        .issues
        .iter()
        .any(|issue| issue.code == "count_differs_from_architecture");
    if already {
        return;
    }
    let mut issue = Issue::warning(
        "count_differs_from_architecture",
        InputId::NumParameters.key(),
        format!(
            "The architecture has {} parameters, not {}. The answer is that of the architecture.",
            grouped(exact),
            grouped(count)
        ),
    )
    .with_value(count)
    .with_hint(format!("Use {exact}, or leave the count out."));
    let mut fix = serde_json::Map::new();
    fix.insert(InputId::NumParameters.key().to_string(), Value::from(exact));
    issue.fixes.push(fix);
    report.add(issue);
}

/// A typed largest module beside the computed one: the largest weight tensor, usually the embedding.
fn compare_largest(given: &Given, network: &Network, report: &mut Report) {
    let Some(typed) = given.integer(InputId::LargestLayerParams) else {
        return;
    };
    let layers = network.kinds.iter().flat_map(|layer| &layer.tensors);
    let largest = network
        .input_tensors
        .iter()
        .chain(&network.output_tensors)
        .chain(layers)
        .map(|tensor| Count::of_shape(&tensor.shape).get())
        .max()
        .unwrap_or(0);
    if typed != largest {
        report.add(
            Issue::warning(
                "largest_layer_differs",
                InputId::LargestLayerParams.key(),
                format!(
                    "{} is given and used as given; the largest single module of the architecture has {} parameters.",
                    grouped(typed),
                    grouped(largest)
                ),
            )
            .with_value(typed)
            .with_hint(format!("Use {largest}, or leave it out.")),
        );
    }
}

/// `6,738,415,616`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
