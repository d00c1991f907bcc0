//! What is wrong with an input, beside it: errors, warnings, and corrections that one click applies.

use leptos::prelude::*;

use super::super::format::words;
use super::super::state::{Form, use_form};
use super::field::control_id;
use crate::api::InputId;
use crate::api::Issue;

/// The messages of one input.
pub fn messages(id: InputId) -> AnyView {
    let form = use_form();
    let message_id = format!("{}-message", control_id(id.input()));
    let list = move || {
        let issues = form.issues(id);
        (!issues.is_empty()).then(|| {
            let lines = issues.iter().map(|issue| message(form, issue)).collect_view();
            view! { <div id=message_id.clone() class="messages">{lines}</div> }
        })
    };
    view! { {list} }.into_any()
}

/// One message with its hint and its corrections.
pub fn message(form: Form, issue: &Issue) -> AnyView {
    let kind = if issue.is_error() {
        "message message-error"
    } else {
        "message message-warning"
    };
    let spoken = if issue.is_error() { "Error: " } else { "Warning: " };
    let hint = issue.hint.clone().map(|hint| format!(" {hint}"));
    view! {
        <p class=kind>
            <span>
                <span class="visually-hidden">{spoken}</span>
                {issue.message.clone()}
                {hint}
            </span>
        </p>
        {fixes(form, issue)}
    }
    .into_any()
}

/// Buttons that apply a complete correction.
pub fn fixes(form: Form, issue: &Issue) -> Option<AnyView> {
    if issue.fixes.is_empty() {
        return None;
    }
    let buttons = issue
        .fixes
        .iter()
        .map(|fix| {
            let text = fix
                .iter()
                .map(|(key, value)| {
                    let name = key.rsplit_once('.').map_or(key.as_str(), |(_, name)| name);
                    format!("{} = {}", words(name), plain(value))
                })
                .collect::<Vec<_>>()
                .join(", ");
            let fix = fix.clone();
            view! {
                <button type="button" class="button button-small" on:click=move |_| form.apply(&fix)>
                    {format!("Set {text}")}
                </button>
            }
        })
        .collect_view();
    Some(view! { <div class="message-fixes">{buttons}</div> }.into_any())
}

/// A JSON value as a person would type it.
pub fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
