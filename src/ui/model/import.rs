//! Import of a config.json: pasted, opened or dropped. It goes into the request as it is; the answer says what in it is
//! unknown or was assumed.

use leptos::ev::DragEvent;
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;
use leptos::wasm_bindgen::prelude::Closure;
use leptos::web_sys::{File, FileReader, HtmlInputElement};
use serde_json::Value;

use super::super::fields::message;
use super::super::format::grouped;
use super::super::state::{Form, Page};
use super::catalogue::forget_model;
use crate::api::Issue;
use crate::api::{InputId, Request, json_invalid};

/// Largest file that is read; a config.json has a few kilobytes.
const MOST_BYTES: f64 = 4e6;

/// The state of the import: what is open, what is being typed, what is wrong with it.
#[derive(Clone, Copy)]
pub struct Import {
    form: Form,
    open: RwSignal<bool>,
    text: RwSignal<String>,
    problem: RwSignal<Option<Issue>>,
    /// Whether a file hovers over the page.
    pub dropping: RwSignal<bool>,
}

impl Import {
    /// Nothing imported, nothing open.
    pub fn new(form: Form) -> Self {
        Self {
            form,
            open: RwSignal::new(false),
            text: RwSignal::new(String::new()),
            problem: RwSignal::new(None),
            dropping: RwSignal::new(false),
        }
    }

    /// Lets the browser drop a file here.
    pub fn drag(self, event: &DragEvent) {
        event.prevent_default();
        self.dropping.set(true);
    }

    /// Ends the offer when the pointer leaves the window.
    pub fn leave(self, event: &DragEvent) {
        if event.related_target().is_none() {
            self.dropping.set(false);
        }
    }

    /// Takes a dropped file.
    pub fn drop(self, event: &DragEvent) {
        event.prevent_default();
        self.dropping.set(false);
        if let Some(file) = event
            .data_transfer()
            .and_then(|data| data.files())
            .and_then(|files| files.get(0))
        {
            self.read(&file);
        }
    }

    fn read(self, file: &File) {
        if file.size() > MOST_BYTES {
            self.refuse(Issue::error(
                "too_large",
                InputId::HfConfig.key(),
                "This file is too large for a config.json.",
            ));
            return;
        }
        let Ok(reader) = FileReader::new() else { return };
        let source = reader.clone();
        let done = Closure::once_into_js(move || {
            let text = source
                .result()
                .ok()
                .and_then(|result| result.as_string())
                .unwrap_or_default();
            self.text.set(text.clone());
            self.take(&text);
        });
        reader.set_onload(Some(done.unchecked_ref()));
        // A file that cannot be read leaves everything as it was.
        let _ = reader.read_as_text(file);
    }

    fn refuse(self, issue: Issue) {
        self.problem.set(Some(issue));
        self.open.set(true);
    }

    /// Puts the text into the request: a config.json as the model, a whole request as the request.
    fn take(self, text: &str) {
        if text.trim().is_empty() {
            self.problem.set(None);
            return;
        }
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => return self.refuse(json_invalid(InputId::HfConfig.key(), &error)),
        };
        let Some(object) = value.as_object() else {
            let words = "A config.json is a JSON object: it starts with { and ends with }.";
            return self.refuse(Issue::error("wrong_type", InputId::HfConfig.key(), words));
        };
        if object.get("model").is_some_and(Value::is_object) {
            match Request::from_json(&value) {
                Ok(request) => self.form.replace(request),
                Err(issue) => return self.refuse(issue),
            }
        } else {
            let mut request = self.form.page_request();
            forget_model(&mut request);
            request.set(InputId::HfConfig, value);
            self.form.replace(request);
        }
        self.problem.set(None);
        self.open.set(false);
    }

    fn remove(self) {
        self.text.set(String::new());
        let mut request = self.form.page_request();
        forget_model(&mut request);
        if let Some(first) = Page::start().request.get(InputId::ModelId) {
            request.set(InputId::ModelId, first.clone());
        }
        self.form.replace(request);
    }
}

/// The buttons, the text area, and what was imported.
pub fn import(import: Import) -> AnyView {
    let form = import.form;
    let file = NodeRef::<leptos::html::Input>::new();
    let imported = form.typed(InputId::HfConfig);
    let toggle = move |_| {
        import.open.update(|open| *open = !*open);
        if import.open.get_untracked() {
            set_timeout(
                || super::super::dom::focus("config-text"),
                std::time::Duration::from_millis(20),
            );
        }
    };
    let on_file = move |event: leptos::ev::Event| {
        let input = event
            .target()
            .and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
        if let Some(input) = input {
            if let Some(chosen) = input.files().and_then(|files| files.get(0)) {
                import.read(&chosen);
            }
            input.set_value("");
        }
    };
    let card = move || imported.with(|value| value.as_ref().map(|value| imported_card(import, value)));
    let messages = move || {
        let mut issues = form.issues(InputId::HfConfig);
        issues.extend(import.problem.get());
        issues.iter().map(|issue| message(form, issue)).collect_view()
    };
    view! {
        <div class="model-actions">
            <button
                type="button"
                class="button button-small"
                id="paste-config"
                aria-expanded=move || if import.open.get() { "true" } else { "false" }
                aria-controls="import"
                on:click=toggle
            >
                "Paste config.json"
            </button>
            <button type="button" class="button button-small" on:click=move |_| {
                if let Some(input) = file.get() {
                    input.click();
                }
            }>
                "Open file"
            </button>
            <input
                type="file"
                accept=".json,application/json"
                hidden
                id="config-file"
                aria-label="config.json file"
                node_ref=file
                on:change=on_file
            />
            <span class="soft model-drop-hint">"or drop a file"</span>
        </div>
        <div class="import" id="import" hidden=move || !import.open.get()>
            <label class="field-label" for="config-text">"Content of the config.json"</label>
            <textarea
                id="config-text"
                class="input"
                spellcheck="false"
                autocomplete="off"
                placeholder="{ \"model_type\": \"qwen3_moe\", … }"
                aria-describedby="config-messages"
                prop:value=move || import.text.get()
                on:input=move |event| import.text.set(event_target_value(&event))
            ></textarea>
            <div class="model-actions">
                <button
                    type="button"
                    class="button"
                    id="use-config"
                    on:click=move |_| import.take(&import.text.get_untracked())
                >
                    "Use this model"
                </button>
            </div>
        </div>
        {card}
        <div id="config-messages" class="messages">{messages}</div>
    }
    .into_any()
}

fn imported_card(import: Import, value: &Value) -> AnyView {
    let keys = value.as_object().map_or(0, serde_json::Map::len);
    let name = ["_name_or_path", "architectures", "model_type"]
        .into_iter()
        .find_map(|key| {
            let value = value.get(key)?;
            value
                .as_str()
                .or_else(|| value.get(0)?.as_str())
                .filter(|text| !text.is_empty())
        })
        .unwrap_or("config.json")
        .to_owned();
    view! {
        <div class="imported" id="imported">
            <b>{name}</b>
            <span class="soft">{format!("{} keys", grouped(keys as u64))}</span>
            <button
                type="button"
                class="field-put-back"
                aria-label="Remove the imported config.json"
                on:click=move |_| import.remove()
            >
                "remove"
            </button>
        </div>
    }
    .into_any()
}
