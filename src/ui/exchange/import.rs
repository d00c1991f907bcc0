//! The box for anything at hand: pasted, dropped, or opened. What was found is listed before it is applied, and one step of undo
//! takes it back. A part of the module of its own.

use std::sync::Arc;
use std::time::Duration;

use leptos::ev::Event;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::{File, HtmlInputElement, HtmlTextAreaElement};

use super::super::dialogs::Content;
use super::super::dom;
use super::super::format::grouped;
use super::super::part::part;
use super::super::rest::Rest;
use super::super::state::{Form, PageStoreFields, brought_line};
use super::super::tabs::Tab;
use super::files::{self, Given};
use super::{hub, listing};
use crate::api::{self, Imported, Input, Request, Task};

const STYLE: &str = include_str!("../../../style/exchange/import.css");

/// How long typing must rest before a text is read.
const REST: Duration = Duration::from_millis(150);

/// The longest text of a file that is put into the field, where it can be changed.
const SHOWN: usize = 200_000;

/// What can be brought, as the box names it.
const KINDS: [(&str, &str); 6] = [
    (
        "Models",
        "config.json, safetensors (the file, its header or its index), GGUF",
    ),
    (
        "Training",
        "DeepSpeed, Accelerate, Axolotl, LLaMA-Factory, TRL, torchtitan, TrainingArguments, arguments of Megatron-LM",
    ),
    (
        "Serving",
        "command lines of vLLM, SGLang, TensorRT-LLM, TGI and llama.cpp, also inside Docker, Slurm or Kubernetes",
    ),
    (
        "Logs",
        "start-up logs of vLLM, SGLang, TensorRT-LLM and llama.cpp",
    ),
    (
        "Errors and cards",
        "a CUDA out-of-memory message, the table of nvidia-smi",
    ),
    ("The calculator", "its own JSON and YAML, a link to a question"),
];

part!(intake holds Content: content);

/// The state of the box.
#[derive(Clone, Copy)]
struct Intake {
    form: Form,
    /// A file that is not in the field.
    file: RwSignal<Option<Arc<Given>>>,
    /// What was found in it or in the field.
    found: RwSignal<Option<Arc<Imported>>>,
    /// Why a file could not be read, or that it is being read.
    said: RwSignal<&'static str>,
}

fn content(form: Form) -> AnyView {
    let intake = Intake {
        form,
        file: RwSignal::new(None),
        found: RwSignal::new(None),
        said: RwSignal::new(""),
    };
    intake.follow();
    set_timeout(select, Duration::from_millis(20));
    view! {
        <style>{STYLE}</style>
        <div class="dialog-head">
            <h2 id="dialog-title">"Paste or drop anything"</h2>
            <p class="soft">
                "A model, a configuration, a command line, a log, an error message. It is read in this browser and sent nowhere; of a \
                 model file only the header is read, whatever its size."
            </p>
        </div>
        <div class="dialog-body">
            {intake.entry()}
            {hub::hub(form.dialogs)}
            <div id="import-result" aria-live="polite">{move || intake.result()}</div>
        </div>
        {move || intake.foot()}
    }
    .into_any()
}

/// Moves the focus to the field and selects what stands there, so that the next paste takes its place.
fn select() {
    let field = document()
        .get_element_by_id("import-text")
        .and_then(|element| element.dyn_into::<HtmlTextAreaElement>().ok());
    if let Some(field) = field {
        dom::focus("import-text");
        field.select();
    }
}

impl Intake {
    /// Reads what comes: a file that was given, and the field whenever it rests.
    fn follow(self) {
        let dialogs = self.form.dialogs;
        Effect::new(move |_| {
            if dialogs.waits.get() {
                dialogs.waits.set(false);
                if let Some(file) = dialogs.given() {
                    self.open(file);
                }
            }
        });
        let rested = Rest::new();
        Effect::new(move |last: Option<()>| {
            dialogs.text.track();
            self.file.track();
            // Some families of models come after the first answer.
            self.form.families.get();
            // What stands there already is read at once.
            let rest = if last.is_some() { REST } else { Duration::ZERO };
            rested.after(rest, move || self.read());
        });
    }

    fn open(self, file: File) {
        self.said.set("Reading …");
        spawn_local(async move {
            let Some(given) = files::read(&file).await else {
                self.said.set("The browser could not read this file.");
                return;
            };
            self.said.set("");
            match given.text().filter(|text| text.len() <= SHOWN) {
                Some(text) => {
                    self.file.set(None);
                    self.form.dialogs.text.set(text);
                }
                None => self.file.set(Some(Arc::new(given))),
            }
        });
    }

    fn read(self) {
        let (form, task) = (self.form.page_request(), self.form.task());
        let found = self.file.with_untracked(|file| match file {
            Some(given) => Some(match given.text() {
                Some(text) => api::import_beside(&text, &form, task),
                None => api::import_file_beside(&given.bytes, &form, task),
            }),
            None => self.form.dialogs.text.with_untracked(|text| {
                (!text.trim().is_empty()).then(|| api::import_beside(text, &form, task))
            }),
        });
        self.found.set(found.map(Arc::new));
    }

    fn clear(self) {
        self.file.set(None);
        self.form.dialogs.text.set(String::new());
        dom::focus("import-text");
    }

    /// The field, or the file that takes its place.
    fn entry(self) -> AnyView {
        let text = self.form.dialogs.text;
        let chooser = NodeRef::<leptos::html::Input>::new();
        let on_file = move |event: Event| {
            let input = event
                .target()
                .and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
            if let Some(input) = input {
                if let Some(file) = input.files().and_then(|files| files.get(0)) {
                    self.open(file);
                }
                input.set_value("");
            }
        };
        let card = move || {
            self.file.get().map(|given| {
                let read = given.bytes.len() as u64;
                let words = if given.partly() {
                    format!("{} bytes, of which the first {} were read", grouped(given.size), grouped(read))
                } else {
                    format!("{} bytes", grouped(given.size))
                };
                view! { <p class="intake-file"><b>{given.name.clone()}</b> <span class="soft">{words}</span></p> }
            })
        };
        let any = move || self.file.with(Option::is_some) || text.with(|text| !text.is_empty());
        view! {
            <div class="intake">
                {card}
                <textarea
                    id="import-text"
                    class="input"
                    aria-label="Anything at hand"
                    spellcheck="false"
                    autocomplete="off"
                    autocapitalize="off"
                    placeholder="vllm serve meta-llama/Llama-3.1-8B --tensor-parallel-size 2"
                    hidden=move || self.file.with(Option::is_some)
                    prop:value=move || text.get()
                    on:input=move |event| text.set(event_target_value(&event))
                ></textarea>
                <div class="intake-actions">
                    <button type="button" class="button button-small" on:click=move |_| {
                        if let Some(input) = chooser.get() {
                            input.click();
                        }
                    }>"Open a file"</button>
                    <input type="file" hidden id="import-file" aria-label="File to read" node_ref=chooser on:change=on_file />
                    <button
                        type="button" class="button button-small" id="import-clear" hidden=move || !any()
                        on:click=move |_| self.clear()
                    >
                        "Clear"
                    </button>
                    <span class="soft" role="status">{move || self.said.get()}</span>
                </div>
            </div>
        }
        .into_any()
    }

    fn result(self) -> AnyView {
        match self.found.get() {
            Some(imported) => listing::listing(self.form, &imported),
            None => kinds(),
        }
    }

    /// The button that applies what was found.
    fn foot(self) -> Option<AnyView> {
        let imported = self.found.get()?;
        let count = imported.import.found.len();
        if count == 0 {
            return None;
        }
        let tab = self.fitting(&imported);
        let elsewhere = tab != self.form.page.tab().get();
        let words = if elsewhere {
            format!("Apply and open {}", tab.label())
        } else {
            "Apply".to_owned()
        };
        let title = imported.import.title;
        let apply = move |_| {
            let form = self.form;
            form.dialogs.brought.set(changes(&imported, &form.page_request()));
            form.replace(imported.request.clone());
            form.page.tab().set(tab);
            form.dialogs.close();
            let values = if count == 1 { "value" } else { "values" };
            form.dialogs
                .say(format!("{title}: {count} {values} applied."), true);
        };
        Some(
            view! {
                <div class="dialog-foot">
                    <span class="soft">"One step of undo brings the question back as it was."</span>
                    <button type="button" class="button" on:click=move |_| self.form.dialogs.close()>"Cancel"</button>
                    <button type="button" class="button button-main" id="import-apply" on:click=apply>{words}</button>
                </div>
            }
            .into_any(),
        )
    }

    /// The tab whose question the text is about.
    fn fitting(self, imported: &Imported) -> Tab {
        let shown = self.form.page.tab().get();
        match (imported.task, shown) {
            (Some(Task::Inference), _) => Tab::Inference,
            (Some(Task::Training | Task::Plan), Tab::MultiNode) => Tab::MultiNode,
            (Some(Task::Training | Task::Plan), _) | (None, Tab::Accuracy) => Tab::Training,
            (None, shown) => shown,
        }
    }
}

/// The fields whose values an import changes, as they are marked in the form.
fn changes(imported: &Imported, before: &Request) -> String {
    let found = imported.import.found.iter();
    found
        .filter_map(|found| Input::by_key(found.path))
        .map(|input| input.id)
        .filter(|id| imported.request.get(*id) != before.get(*id))
        .filter_map(|id| brought_line(&imported.request, id))
        .collect()
}

/// What can be brought.
fn kinds() -> AnyView {
    let lines = KINDS
        .map(|(name, kinds)| view! { <div><dt>{name}</dt><dd>{kinds}</dd></div> })
        .collect_view();
    view! { <dl class="kinds">{lines}</dl> }.into_any()
}
