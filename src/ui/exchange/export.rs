//! The menu of exports: the targets that take the engine of the question, those that lose the least first, the calculator's own
//! files, the result as a table, and the drawings of the page. A part of the module of its own.

use std::sync::Arc;
use std::time::Duration;

use leptos::prelude::*;

use super::super::dialogs::Content;
use super::super::dom;
use super::super::part::part;
use super::super::state::Form;
use super::figure::{self, Figure};
use super::save;
use crate::api::{self, EngineId, Export, ExportFormat, Issue, Request, ServerId, Task};

const STYLE: &str = include_str!("../../../style/exchange/export.css");

/// The calculator's own files, which stand by themselves.
const OWN: [&str; 2] = ["yaml", "json"];
/// Files of the machine that starts the job: they stand behind those of frameworks.
const CLUSTER: [&str; 2] = ["kubernetes", "slurm"];
/// The answer as a table.
const RESULT: [&str; 2] = ["csv", "markdown"];

part!(exports holds Content: content);

/// What can be chosen.
#[derive(Clone)]
enum Offer {
    /// A file of text.
    File(ExportFormat, Arc<Export>),
    /// A drawing of the page.
    Drawing(Arc<Figure>),
}

impl Offer {
    fn id(&self) -> String {
        match self {
            Self::File(format, _) => format.name.to_owned(),
            Self::Drawing(figure) => figure.id.clone(),
        }
    }
}

/// Offers under one heading.
struct Group {
    title: String,
    offers: Vec<Offer>,
}

fn content(form: Form) -> AnyView {
    let request = form.asked();
    let body = match groups(form, &request) {
        Ok(groups) => menu(groups, others(&request)),
        Err(issues) => refused(&issues),
    };
    view! {
        <style>{STYLE}</style>
        <div class="dialog-head">
            <h2 id="dialog-title">"Export"</h2>
            <p class="soft">"This question, with every default that holds, as a file that the framework itself reads."</p>
        </div>
        {body}
    }
    .into_any()
}

fn refused(issues: &[Issue]) -> AnyView {
    let lines = issues
        .iter()
        .filter(|issue| issue.is_error())
        .map(|issue| view! { <p class="message message-error"><span>{issue.message.clone()}</span></p> })
        .collect_view();
    view! {
        <div class="dialog-body">
            <p>"What is not valid cannot be exported. Correct the marked fields first."</p>
            <div class="messages">{lines}</div>
        </div>
    }
    .into_any()
}

/// Everything that the question can be exported to.
fn groups(form: Form, request: &Request) -> Result<Vec<Group>, Vec<Issue>> {
    let mut made = Vec::new();
    for format in api::export_formats_for(request) {
        made.push((format, Arc::new(api::export(format.name, request)?)));
    }
    if made.is_empty() {
        // The same reasons, by field.
        api::export("json", request)?;
    }
    let of = |names: &[&str]| -> Vec<Offer> {
        let found = made.iter().filter(|(format, _)| names.contains(&format.name));
        found
            .map(|(format, export)| Offer::File(*format, export.clone()))
            .collect()
    };
    let apart: Vec<&str> = [OWN, CLUSTER, RESULT].concat();
    let mut fitting: Vec<_> = made
        .iter()
        .filter(|(format, _)| !apart.contains(&format.name))
        .cloned()
        .collect();
    fitting.sort_by_key(|(_, export)| export.not_expressed.len());
    let mut fitting: Vec<Offer> = fitting
        .into_iter()
        .map(|(format, export)| Offer::File(format, export))
        .collect();
    fitting.extend(of(&CLUSTER));
    let engine = engine(form, request);
    let mut groups = vec![
        Group {
            title: format!("For {engine}, the closest first"),
            offers: fitting,
        },
        Group {
            title: "The question itself".to_owned(),
            offers: of(&OWN),
        },
        Group {
            title: "The result".to_owned(),
            offers: of(&RESULT),
        },
    ];
    let drawings: Vec<Offer> = figure::figures()
        .into_iter()
        .map(|figure| Offer::Drawing(Arc::new(figure)))
        .collect();
    if !drawings.is_empty() {
        groups.push(Group {
            title: "Drawings of this page".to_owned(),
            offers: drawings,
        });
    }
    Ok(groups)
}

fn engine(form: Form, request: &Request) -> &'static str {
    let id = match form.task() {
        Task::Training | Task::Plan => api::InputId::EngineType,
        Task::Inference => api::InputId::ServerType,
    };
    let chosen = api::chosen(request, id).unwrap_or_default();
    match form.task() {
        Task::Training | Task::Plan => EngineId::from_key(chosen).map_or("this engine", EngineId::name),
        Task::Inference => ServerId::from_key(chosen).map_or("this engine", ServerId::name),
    }
}

/// Targets that have no place for this engine.
fn others(request: &Request) -> Vec<&'static str> {
    let taken = api::export_formats_for(request);
    api::export_formats()
        .into_iter()
        .filter(|format| !taken.iter().any(|own| own.name == format.name))
        .map(|format| format.title)
        .collect()
}

fn menu(groups: Vec<Group>, others: Vec<&'static str>) -> AnyView {
    let offers: Arc<Vec<Offer>> = Arc::new(groups.iter().flat_map(|group| group.offers.clone()).collect());
    let chosen = RwSignal::new(offers.first().map(Offer::id).unwrap_or_default());
    let said = RwSignal::new(String::new());
    set_timeout(
        move || dom::focus(&format!("export-{}", chosen.get_untracked())),
        Duration::from_millis(20),
    );
    let lists = groups
        .into_iter()
        .map(|group| {
            let lines = group
                .offers
                .iter()
                .map(|offer| line(offer, chosen, said))
                .collect_view();
            view! { <fieldset class="export-group"><legend>{group.title}</legend>{lines}</fieldset> }
        })
        .collect_view();
    let others = (!others.is_empty()).then(|| {
        view! { <p class="soft export-others">{format!("For other engines: {}.", others.join(", "))}</p> }
    });
    let shown = move || {
        let chosen = chosen.get();
        let offer = offers.iter().find(|offer| offer.id() == chosen)?;
        Some(match offer {
            Offer::File(format, export) => file(*format, export, said),
            Offer::Drawing(figure) => drawing(figure, said),
        })
    };
    view! {
        <div class="export-columns">
            <div class="export-list">{lists} {others}</div>
            <section class="export-preview" aria-label="Preview">
                {shown}
                <p class="visually-hidden" role="status">{move || said.get()}</p>
            </section>
        </div>
    }
    .into_any()
}

fn line(offer: &Offer, chosen: RwSignal<String>, said: RwSignal<String>) -> AnyView {
    let (title, detail, lost) = match offer {
        Offer::File(format, export) => (
            format.title.to_owned(),
            format.file_name.to_owned(),
            export.not_expressed.len(),
        ),
        Offer::Drawing(figure) => (figure.title.clone(), "SVG, PNG".to_owned(), 0),
    };
    let id = offer.id();
    let (own, value) = (id.clone(), id.clone());
    let lost = (lost > 0).then(|| view! { <span class="tag">{format!("{lost} not told")}</span> });
    view! {
        <label class="export-line">
            <input
                type="radio"
                name="export-format"
                id=format!("export-{id}")
                value=value
                prop:checked=move || chosen.with(|chosen| *chosen == own)
                on:change=move |_| {
                    said.set(String::new());
                    chosen.set(id.clone());
                }
            />
            <span class="export-title">{title}</span>
            {lost}
            <span class="soft export-file">{detail}</span>
        </label>
    }
    .into_any()
}

fn file(format: ExportFormat, export: &Arc<Export>, said: RwSignal<String>) -> AnyView {
    let notes = export
        .notes
        .iter()
        .map(|note| view! { <li>{note.clone()}</li> })
        .collect_view();
    let notes = (!export.notes.is_empty()).then(|| {
        let open = export.notes.len() <= 4;
        view! {
            <details class="export-notes" id="export-notes" open=open>
                <summary>{match export.notes.len() {
                    1 => "1 note: what the file cannot say".to_owned(),
                    count => format!("{count} notes: what the file cannot say"),
                }}</summary>
                <ul>{notes}</ul>
            </details>
        }
    });
    let (copied, saved) = (export.clone(), export.clone());
    view! {
        <div class="export-head">
            <div>
                <h3>{format.title}</h3>
                <p class="soft"><code>{format.usage}</code></p>
            </div>
            <div class="export-actions">
                <button type="button" class="button" id="export-copy" on:click=move |_| {
                    save::copy_text(&copied.text);
                    said.set("Copied.".to_owned());
                }>
                    {move || if said.with(|said| said == "Copied.") { "Copied" } else { "Copy" }}
                </button>
                <button type="button" class="button button-main" id="export-download" on:click=move |_| {
                    let name = file_name(format, saved.file_name);
                    save::download(&name, kind(saved.language), &saved.text);
                    said.set(format!("{name} was saved."));
                }>
                    "Download"
                </button>
            </div>
        </div>
        {notes}
        <pre class="export-text" id="export-text" tabindex="0" role="region" aria-label=format!("Content of {}", export.file_name)>
            {export.text.clone()}
        </pre>
    }
    .into_any()
}

/// The name under which a file is saved: those of the calculator tell when, so that none replaces another.
fn file_name(format: ExportFormat, name: &str) -> String {
    match name.rsplit_once('.') {
        Some((_, kind)) if OWN.contains(&format.name) => {
            format!("gpu-mem-config-{:.0}.{kind}", js_sys::Date::now())
        }
        _ => name.to_owned(),
    }
}

/// The media type of a language.
fn kind(language: &str) -> &'static str {
    match language {
        "json" => "application/json",
        "csv" => "text/csv",
        "markdown" => "text/markdown",
        _ => "text/plain",
    }
}

fn drawing(figure: &Arc<Figure>, said: RwSignal<String>) -> AnyView {
    let (vector, pixels, copied) = (figure.clone(), figure.clone(), figure.clone());
    view! {
        <div class="export-head">
            <div>
                <h3>{figure.title.clone()}</h3>
                <p class="soft">"As it stands on the page, with its labels and colours."</p>
            </div>
            <div class="export-actions">
                <button type="button" class="button" id="export-copy-image" on:click=move |_| {
                    figure::copy_pixels(&copied);
                    said.set("The picture was copied.".to_owned());
                }>
                    {move || if said.with(|said| said == "The picture was copied.") { "Copied" } else { "Copy as image" }}
                </button>
                <button type="button" class="button" id="export-svg" on:click=move |_| {
                    save::download(&format!("{}.svg", vector.id), "image/svg+xml", &vector.svg);
                    said.set("The drawing was saved as SVG.".to_owned());
                }>
                    "Download SVG"
                </button>
                <button type="button" class="button button-main" id="export-png" on:click=move |_| {
                    figure::save_pixels(&pixels);
                    said.set("The drawing was saved as PNG.".to_owned());
                }>
                    "Download PNG"
                </button>
            </div>
        </div>
        <div class="export-drawing" inner_html=figure.svg.clone()></div>
    }
    .into_any()
}
