//! Texts: exports, imports, configurations, links, and a parameter count.

use serde::Serialize;
use serde_json::Value;

use super::arguments::written;
use super::{Arguments, Fault, Outcome};
use crate::accuracy;
use crate::api::{self, Answer, ExportFormat, Imported, Issue, Request, Strictness, share};

/// An export.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExportResult {
    /// Name of the format.
    pub format: &'static str,
    /// What the file says: the value of JSON, the text of everything else.
    pub content: Value,
    /// The file.
    pub text: String,
    /// What it is called.
    pub filename: &'static str,
    /// In which language it is written.
    pub language: &'static str,
    /// What the target cannot express, and what to do with the file.
    pub notes: Vec<String>,
    /// DeepSpeed: the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Value>,
    /// DeepSpeed: the answer to the same request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_result: Option<Box<Answer>>,
}

pub fn export_config(given: &Arguments<'_>) -> Outcome {
    let request = given.request(1)?;
    let export = api::export(given.text(0), &request)?;
    let content = match export.language {
        "json" => serde_json::from_str(&export.text).unwrap_or_default(),
        _ => Value::from(export.text.clone()),
    };
    let for_deepspeed = export.format == "deepspeed";
    let memory_result = match for_deepspeed {
        true => Some(Box::new(accuracy::calculate(&request, Strictness::default())?)),
        false => None,
    };
    written(ExportResult {
        format: export.format,
        config: for_deepspeed.then(|| content.clone()),
        content,
        text: export.text,
        filename: export.file_name,
        language: export.language,
        notes: export.notes,
        memory_result,
    })
}

/// Formats of an export.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct ExportFormats(pub Vec<ExportFormat>);

pub fn export_formats(given: &Arguments<'_>) -> Outcome {
    written(ExportFormats(match given.value(0) {
        Value::Null => api::export_formats(),
        _ => api::export_formats_for(&given.request(0)?),
    }))
}

/// An import: what the text says, and the question that it makes of the base.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ImportResult {
    /// What was found, assumed, not understood and measured.
    #[serde(flatten)]
    pub imported: Imported,
    /// The question.
    pub request: Value,
}

pub fn import_text(given: &Arguments<'_>) -> Outcome {
    let imported = api::import(given.text(0), &given.request(1)?);
    if !imported.import.issues.is_empty() {
        return Err(Fault::refused(imported.import.issues));
    }
    let request = imported.request.to_json();
    written(ImportResult { imported, request })
}

pub fn parse_config(given: &Arguments<'_>) -> Outcome {
    Ok(api::request_from_text(given.text(0))?.to_json())
}

pub fn to_config(given: &Arguments<'_>) -> Outcome {
    let request = given.request(0)?.to_json();
    match given
        .given_text(1)
        .unwrap_or("json")
        .to_ascii_lowercase()
        .as_str()
    {
        "json" => Ok(Value::from(format!("{request:#}\n"))),
        "yaml" => Ok(Value::from(api::yaml_text(&request))),
        other => Err(Fault::from(
            Issue::error(
                "unknown_value",
                "format",
                format!("There is no configuration in {other}."),
            )
            .with_allowed(["json", "yaml"]),
        )),
    }
}

pub fn share_url(given: &Arguments<'_>) -> Outcome {
    let fragment = share::to_fragment(&given.request(0)?);
    let base = given.text(1).split('#').next().unwrap_or_default();
    Ok(Value::from(format!("{base}#{fragment}")))
}

/// The request of a link, and what in the link was not understood.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SharedRequest {
    /// The request.
    pub request: Value,
    /// What was not understood.
    pub issues: Vec<Issue>,
}

pub fn parse_share_url(given: &Arguments<'_>) -> Outcome {
    let url = given.text(0);
    let fragment = url.split_once('#').map_or(url, |(_, fragment)| fragment);
    let (request, issues): (Request, Vec<Issue>) = share::from_fragment(fragment);
    written(SharedRequest {
        request: request.to_json(),
        issues,
    })
}

/// A parameter count as it was read.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ParameterCount {
    /// The exact count.
    pub count: u64,
    /// What the reader should know about it.
    pub warning: Option<String>,
}

pub fn parse_parameter_count(given: &Arguments<'_>) -> Outcome {
    match api::parse_parameter_count(given.value(0)) {
        Ok(parsed) => written(ParameterCount {
            count: parsed.count.get(),
            warning: parsed.warning,
        }),
        Err(error) => {
            let issue = Issue::error(error.code, "text", error.message);
            Err(Fault::from(issue.with_value(given.value(0).clone())))
        }
    }
}
