//! Saved scenarios, and any number of them side by side with the question on screen. A part of the module of its own. They are kept
//! in the storage of this browser; a collection can be saved as a file and read back.

mod columns;
mod compare;
mod store;

use std::time::Duration;

use leptos::ev::Event;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::HtmlInputElement;

use super::dialogs::Content;
use super::dom;
use super::exchange::download;
use super::format::gib;
use super::part::part;
use super::state::{Form, PageStoreFields};
use super::tabs::Tab;
use columns::{Column, column};
use js_sys::futures::JsFuture;
use store::{Scenario, Store};

const STYLE: &str = include_str!("../../../style/scenarios/scenarios.css");

/// What a saved collection is called.
const FILE: &str = "gpu-mem-calc-scenarios.json";

part!(scenarios holds Content: content);

fn content(form: Form) -> AnyView {
    let store = Store::open(form.dialogs.kept);
    let problem = move || {
        store
            .problem
            .get()
            .map(|words| view! { <p class="message message-warning"><span>{words}</span></p> })
    };
    let rows = move || {
        let scenarios = store.list.get();
        if scenarios.is_empty() {
            return view! {
                <p class="soft scenario-none">
                    "Nothing is saved yet. Give the question on screen a name, change it, and save it again: then both can stand side by side."
                </p>
            }
            .into_any();
        }
        let rows = scenarios
            .into_iter()
            .enumerate()
            .map(|(index, scenario)| row(form, store, index, scenario))
            .collect_view();
        view! { <ul class="scenario-list" id="scenario-list">{rows}</ul> }.into_any()
    };
    view! {
        <style>{STYLE}</style>
        <div class="dialog-head">
            <h2 id="dialog-title">"Scenarios"</h2>
            <p class="soft">"Questions that you keep, in the storage of this browser and nowhere else."</p>
        </div>
        <div class="dialog-body">
            {save(form, store)}
            {problem}
            {rows}
            {collection(store)}
            {compare::compare(form, store)}
        </div>
    }
    .into_any()
}

/// Saves the question on screen under a name.
fn save(form: Form, store: Store) -> AnyView {
    let name = RwSignal::new(suggested(form, store));
    set_timeout(|| dom::focus("scenario-name"), Duration::from_millis(20));
    let said = RwSignal::new(String::new());
    let keep = move || {
        let wanted = name.get_untracked().trim().to_owned();
        if wanted.is_empty() {
            said.set("Give it a name first.".to_owned());
            return;
        }
        let replaced = store.put(Scenario {
            name: wanted.clone(),
            tab: form.page.tab().get_untracked().key().to_owned(),
            request: form.page_request().to_json(),
            pinned: true,
        });
        said.set(if replaced {
            format!("{wanted} was replaced.")
        } else {
            format!("{wanted} was saved.")
        });
        name.set(suggested(form, store));
    };
    view! {
        <form class="scenario-save" on:submit=move |event| {
            event.prevent_default();
            keep();
        }>
            <label class="field-label" for="scenario-name">"Save the question on screen as"</label>
            <input
                class="input"
                id="scenario-name"
                autocomplete="off"
                prop:value=move || name.get()
                on:input=move |event| name.set(event_target_value(&event))
            />
            <button type="submit" class="button button-main" id="scenario-save">"Save"</button>
            <span class="soft scenario-said" role="status">{move || said.get()}</span>
        </form>
    }
    .into_any()
}

/// A name that says what is asked, and that is not taken.
fn suggested(form: Form, store: Store) -> String {
    let tab = form.page.tab().get_untracked();
    let request = form.page_request();
    let column = column(String::new(), tab, &request);
    let base = column.title;
    let taken = |name: &str| {
        store
            .list
            .with_untracked(|list| list.iter().any(|scenario| scenario.name == name))
    };
    let numbered = (2..).map(|number| format!("{base} ({number})"));
    std::iter::once(base.clone())
        .chain(numbered)
        .find(|name| !taken(name))
        .unwrap_or(base)
}

fn row(form: Form, store: Store, index: usize, scenario: Scenario) -> AnyView {
    let Column { outcome, engine, .. } = column(scenario.name.clone(), scenario.tab(), &scenario.request());
    let summary = match &outcome {
        Ok(outcome) => view! {
            <span class=format!("scenario-verdict {}", super::answer::verdict::tone(outcome.verdict))>
                {super::answer::verdict::title(outcome.verdict)}
            </span>
            <span class="soft">{format!("{engine}, {} of {}", gib(outcome.need.expected_bytes), gib(outcome.usable))}</span>
        }
        .into_any(),
        Err(_) => view! { <span class="soft">{format!("{engine}, not answered")}</span> }.into_any(),
    };
    let (opened, name) = (scenario.clone(), scenario.name.clone());
    let open = move |_| {
        form.replace(opened.request());
        form.page.tab().set(opened.tab());
        form.dialogs.close();
        form.dialogs.say(format!("{} is open.", opened.name), true);
    };
    let rename = {
        let old = name.clone();
        move |event: Event| store.rename(index, &old, event_target_value(&event).trim())
    };
    let label = |verb: &str| format!("{verb} {name}");
    let gone = name.clone();
    view! {
        <li data-scenario=name.clone()>
            <label class="check scenario-pin" title="Side by side with the question on screen">
                <input
                    type="checkbox"
                    aria-label=label("Compare")
                    prop:checked=scenario.pinned
                    on:change=move |event| store.pin(index, event_target_checked(&event))
                />
            </label>
            <div class="scenario-what">
                <input class="scenario-rename" aria-label=label("Name of") prop:value=name.clone() on:change=rename />
                <span class="scenario-summary">{summary}</span>
            </div>
            <div class="scenario-actions">
                <button type="button" class="button button-small" aria-label=label("Open") on:click=open>"Open"</button>
                <button
                    type="button" class="button button-small" aria-label=label("Delete")
                    on:click=move |_| store.remove(&gone)
                >
                    "Delete"
                </button>
            </div>
        </li>
    }
    .into_any()
}

/// The whole collection as a file, out and in.
fn collection(store: Store) -> AnyView {
    let chooser = NodeRef::<leptos::html::Input>::new();
    let said = RwSignal::new(String::new());
    let on_file = move |event: Event| {
        let input = event
            .target()
            .and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
        let Some(input) = input else { return };
        if let Some(file) = input.files().and_then(|files| files.get(0)) {
            spawn_local(async move {
                let text = JsFuture::from(file.text())
                    .await
                    .ok()
                    .and_then(|text| text.as_string());
                said.set(match text.as_deref().and_then(store::read) {
                    Some(scenarios) => store.add(scenarios),
                    None => "This is no collection of scenarios.".to_owned(),
                });
            });
        }
        input.set_value("");
    };
    let none = move || store.list.with(Vec::is_empty);
    view! {
        <div class="scenario-collection">
            <button
                type="button" class="button button-small" id="collection-out" disabled=none
                on:click=move |_| download(FILE, "application/json", &store.text())
            >
                "Save all as a file"
            </button>
            <button type="button" class="button button-small" on:click=move |_| {
                if let Some(input) = chooser.get() {
                    input.click();
                }
            }>
                "Add from a file"
            </button>
            <input
                type="file" hidden id="collection-in" accept=".json,application/json"
                aria-label="File with scenarios" node_ref=chooser on:change=on_file
            />
            <span class="soft" role="status">{move || said.get()}</span>
        </div>
    }
    .into_any()
}

impl Scenario {
    fn tab(&self) -> Tab {
        Tab::from_key(&self.tab).unwrap_or_default()
    }
}
