//! The model brought along as a config.json: how to bring one, and what was brought.

use leptos::prelude::*;
use serde_json::Value;

use super::super::dialogs::Shown;
use super::super::fields::message;
use super::super::format::grouped;
use super::super::state::{Form, Page};
use super::catalogue::forget_model;
use crate::api::InputId;

fn remove(form: Form) {
    let mut request = form.page_request();
    forget_model(&mut request);
    if let Some(first) = Page::start().request.get(InputId::ModelId) {
        request.set(InputId::ModelId, first.clone());
    }
    form.replace(request);
}

/// The way to the box that reads one, and what was imported.
pub fn import(form: Form) -> AnyView {
    let imported = form.typed(InputId::HfConfig);
    let card = move || imported.with(|value| value.as_ref().map(|value| imported_card(form, value)));
    let messages = move || {
        let issues = form.issues(InputId::HfConfig);
        issues.iter().map(|issue| message(form, issue)).collect_view()
    };
    view! {
        <div class="model-actions">
            <button
                type="button"
                class="button button-small"
                id="paste-config"
                aria-haspopup="dialog"
                on:click=move |_| form.dialogs.open(Shown::Import)
            >
                "Paste or open anything"
            </button>
            <span class="soft model-drop-hint">"a config.json, a command, a log"</span>
        </div>
        {card}
        <div id="config-messages" class="messages">{messages}</div>
    }
    .into_any()
}

fn imported_card(form: Form, value: &Value) -> AnyView {
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
                on:click=move |_| remove(form)
            >
                "remove"
            </button>
        </div>
    }
    .into_any()
}
