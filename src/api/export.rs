//! Exports: a request is validated, its settings are collected with every default, and a target writes them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::given::Given;
use super::inference::question;
use super::job::{Strictness, job};
use super::{calculate, calculate_inference};
use crate::interop::export::result::Table;
use crate::interop::export::{
    self, Engine, Export, Facts, Setting, Settings, TARGETS, Target, target_named, targets_for,
};
use crate::model::catalogue;
use crate::request::{Assumed, InputId, ModelField, Request, Section, Task};
use crate::training::OptimizerImplementation;
use crate::warn::Issue;

/// A format of an export, as it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExportFormat {
    /// Its name: `accelerate`.
    pub name: &'static str,
    /// Its name for a person.
    pub title: &'static str,
    /// What the file is called.
    pub file_name: &'static str,
    /// How the file is used.
    pub usage: &'static str,
}

impl From<&'static Target> for ExportFormat {
    fn from(target: &'static Target) -> Self {
        Self {
            name: target.name,
            title: target.title,
            file_name: target.file_name,
            usage: target.usage,
        }
    }
}

const CSV: ExportFormat = ExportFormat {
    name: "csv",
    title: "Result as CSV",
    file_name: "result.csv",
    usage: "open it as a spreadsheet",
};

const MARKDOWN: ExportFormat = ExportFormat {
    name: "markdown",
    title: "Result as Markdown",
    file_name: "result.md",
    usage: "paste it into a report",
};

/// Every format.
pub fn export_formats() -> Vec<ExportFormat> {
    let targets = TARGETS.iter().map(ExportFormat::from);
    targets.chain([CSV, MARKDOWN]).collect()
}

/// The formats that a request can be exported to; those of its engine first. Empty where it is refused.
pub fn export_formats_for(request: &Request) -> Vec<ExportFormat> {
    let Ok(settings) = settings(request) else {
        return Vec::new();
    };
    let targets = targets_for(settings.engine).map(ExportFormat::from);
    targets.chain([CSV, MARKDOWN]).collect()
}

/// Exports a request to a format, or says every issue.
pub fn export(format: &str, request: &Request) -> Result<Export, Vec<Issue>> {
    let wanted = format.trim().to_ascii_lowercase();
    for made in [CSV, MARKDOWN] {
        if wanted == made.name || (wanted == "md" && made == MARKDOWN) {
            return result(made, request);
        }
    }
    let Some(target) = target_named(format) else {
        let names = export_formats().into_iter().map(|format| format.name);
        return Err(vec![
            Issue::error(
                "unknown_value",
                "format",
                format!("There is no export {format:?}."),
            )
            .with_value(format)
            .with_allowed(names),
        ]);
    };
    let settings = settings(request)?;
    export::export(target, &settings).map_err(|issue| vec![issue])
}

/// The answer as a table.
fn result(format: ExportFormat, request: &Request) -> Result<Export, Vec<Issue>> {
    let table = if request.serves() {
        Table::inference(&calculate_inference(request)?)
    } else {
        Table::training(&calculate(request)?)
    };
    let text = if format == CSV {
        table.csv()
    } else {
        table.markdown()
    };
    Ok(Export {
        format: format.name,
        text,
        file_name: format.file_name,
        language: format.name,
        notes: Vec::new(),
        not_expressed: Vec::new(),
    })
}

/// The settings of a valid request.
fn settings(request: &Request) -> Result<Settings, Vec<Issue>> {
    let given = Given::read(request, &mut Vec::new());
    if request.serves() {
        let question = question(request, Strictness::default())?;
        let facts = Facts {
            name: question.model.name.clone(),
            id: question.model.id.clone(),
            hub: hub(question.model.id.as_deref()),
            network: question.model.network.clone(),
            gpus: question.gpus,
            nodes: 1,
            data_parallel: 1,
            fused_optimizer: true,
            reentrant: false,
        };
        return Ok(Settings {
            request: request.clone(),
            engine: Engine::Serving(question.engine),
            values: values(&given, Task::Inference, &question.assumed, &question.model.fields),
            facts,
        });
    }
    let job = job(request, Strictness::default())?;
    let facts = Facts {
        name: job.model.name.clone(),
        id: job.model.id.clone(),
        hub: hub(job.model.id.as_deref()),
        network: job.model.network.clone(),
        gpus: job.mesh.gpus,
        nodes: job.nodes.as_ref().map_or(1, |nodes| nodes.num_nodes),
        data_parallel: job.mesh.data,
        fused_optimizer: job.training.implementation == OptimizerImplementation::Fused,
        reentrant: job.training.reentrant,
    };
    Ok(Settings {
        request: request.clone(),
        engine: Engine::Training(job.engine.id),
        values: values(&given, Task::Training, &job.assumed, &job.model.fields),
        facts,
    })
}

/// The name of a catalogue's model on the hub.
fn hub(id: Option<&str>) -> Option<String> {
    Some(catalogue::find(id?)?.hf_id.clone())
}

/// Every input that has a value: typed, assumed, of the model, or the fixed default.
fn values(
    given: &Given,
    task: Task,
    assumed: &[Assumed],
    fields: &[ModelField],
) -> BTreeMap<InputId, Setting> {
    let mut values = BTreeMap::new();
    for id in InputId::ALL {
        let input = id.input();
        let here = input.section.belongs_to(task);
        let noted = || {
            let assumed = assumed.iter().find(|assumed| assumed.path == input.key);
            assumed.map(|assumed| assumed.value.clone())
        };
        let field = || {
            let field = fields.iter().find(|field| field.path == input.key);
            field.map(|field| field.value.clone())
        };
        // A typed field of the model may say the default where its source says otherwise.
        let typed = match input.section {
            Section::Model => given.get(*id).is_some(),
            _ => here && given.differs_from_default(*id),
        };
        let value = match given.get(*id) {
            Some(value) => Some(value.to_json()),
            None if input.section == Section::Model => field().or_else(noted),
            None => noted().or_else(|| given.value(*id).map(|value| value.to_json())),
        };
        if let Some(value) = value.filter(|value| here && !value.is_null()) {
            values.insert(*id, Setting { value, typed });
        }
    }
    values
}
