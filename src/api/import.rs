//! Imports: a text of any kind becomes values of a request, and what it measured is set beside what the request predicts.

mod compare;

pub use compare::Compared;

use serde::Serialize;

use super::share;
use crate::interop::import::{self, Found, Import};
use crate::request::{InputId, Request, Section, Task};
use crate::warn::Issue;

/// An import, applied to a question.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Imported {
    /// What the text says.
    #[serde(flatten)]
    pub import: Import,
    /// The question with the values that were found.
    #[serde(skip)]
    pub request: Request,
    /// The kind of question that the text is about; nothing where it says only what both kinds have.
    #[serde(skip)]
    pub task: Option<Task>,
    /// What was measured beside what is predicted, where the question can be answered.
    pub compared: Vec<Compared>,
}

/// A request from JSON or YAML text.
pub fn request_from_text(text: &str) -> Result<Request, Issue> {
    let body = text.trim_start_matches('\u{feff}').trim_start();
    if body.starts_with(['{', '[']) {
        return Request::from_text(text);
    }
    match import::yaml(text) {
        Ok(value) if value.is_object() => Request::from_json(&value),
        Err((line, words))
            if body
                .lines()
                .any(|line| line.ends_with(':') || line.contains(": ")) =>
        {
            Err(Issue::error(
                "yaml_invalid",
                "",
                format!("This is not YAML that can be read: line {line}: {words}."),
            ))
        }
        // What is neither is refused as JSON is.
        _ => Request::from_text(text),
    }
}

/// Reads a text of any kind.
fn read(text: &str) -> Import {
    link(text).unwrap_or_else(|| import::import(text))
}

/// A link to a question; nothing where the text is none.
fn link(text: &str) -> Option<Import> {
    let text = text.trim();
    let (_, fragment) = text.split_once('#')?;
    if text.contains(char::is_whitespace) || !text.contains("://") {
        return None;
    }
    let asked: Vec<&str> = fragment
        .split('&')
        .filter(|part| !part.starts_with("tab=") && !part.starts_with("explain="))
        .collect();
    let (request, issues) = share::from_fragment(&asked.join("&"));
    let found: Vec<Found> = request
        .given()
        .map(|(id, value)| Found {
            path: id.key(),
            label: id.input().label,
            value: value.clone(),
            from: format!("{}=", id.input().url),
        })
        .collect();
    (!found.is_empty()).then(|| Import {
        kind: "request",
        title: "A link to a question",
        request,
        found,
        assumed: Vec::new(),
        not_understood: issues.into_iter().map(|issue| issue.message).collect(),
        measured: Vec::new(),
        issues: Vec::new(),
    })
}

/// Reads a text and lays its values over a question.
pub fn import(text: &str, base: &Request) -> Imported {
    applied(read(text), base, kind_of(base))
}

/// As [`import()`], of the first bytes of a file: also the header of a GGUF or a safetensors file. The issue `header_cut_off` asks
/// for more bytes.
pub fn import_bytes(bytes: &[u8], base: &Request) -> Imported {
    applied(import::import_bytes(bytes), base, kind_of(base))
}

fn kind_of(request: &Request) -> Task {
    if request.serves() {
        Task::Inference
    } else {
        Task::Training
    }
}

/// As [`import`], for a form that holds a question of this kind. A whole question takes its place; a model that only has a name
/// is not the one that was chosen from the catalogue; and what the text measured is compared with the answer of its own kind.
pub fn import_beside(text: &str, form: &Request, task: Task) -> Imported {
    beside(read(text), form, task)
}

/// As [`import_beside`], of a file from its first bytes.
pub fn import_file_beside(bytes: &[u8], form: &Request, task: Task) -> Imported {
    beside(import::import_bytes(bytes), form, task)
}

/// Whether these first bytes of a file end within its header.
pub fn header_cut_off(bytes: &[u8]) -> bool {
    let issues = import::import_bytes(bytes).issues;
    issues.iter().any(|issue| issue.code == "header_cut_off")
}

fn beside(import: Import, form: &Request, task: Task) -> Imported {
    let mut base = match import.kind {
        "request" => Request::new(),
        _ => form.clone(),
    };
    let named = import.request.has(InputId::ModelName) && !import.request.has(InputId::ModelId);
    if named && base.has(InputId::ModelId) && !base.has(InputId::HfConfig) {
        forget_model(&mut base);
    }
    applied(import, &base, task)
}

fn applied(import: Import, base: &Request, task: Task) -> Imported {
    let request = over(base, &import.request);
    let own = task_of(&import.request);
    let compared = compare::compare(&import, &request, own.unwrap_or(task));
    Imported {
        import,
        request,
        task: own,
        compared,
    }
}

/// The kind of question that values belong to.
fn task_of(found: &Request) -> Option<Task> {
    if found.serves() {
        return Some(Task::Inference);
    }
    let trains = |id: InputId| {
        let section = id.input().section;
        section.belongs_to(Task::Training) && !section.belongs_to(Task::Inference)
    };
    found.given().any(|(id, _)| trains(id)).then_some(Task::Training)
}

/// The question with the values of an import: a new model takes the place of the old one with all its fields.
fn over(base: &Request, found: &Request) -> Request {
    let mut request = base.clone();
    let another = [InputId::ModelId, InputId::HfConfig, InputId::NumParameters];
    if another.into_iter().any(|id| found.has(id)) {
        forget_model(&mut request);
    }
    if found.has(InputId::GpuMemoryGb) && !found.has(InputId::Gpu) {
        request.clear(InputId::Gpu);
    }
    request.merge(found);
    request
}

/// Leaves open everything that says what the model is.
fn forget_model(request: &mut Request) {
    for id in InputId::ALL {
        if id.input().section == Section::Model {
            request.clear(*id);
        }
    }
}
