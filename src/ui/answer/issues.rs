//! Errors and warnings, collected; each leads to the input that it is about.

use std::sync::Arc;

use leptos::prelude::*;

use super::super::fields::{control_id, fixes, reveal_input};
use super::super::state::{Form, PageStoreFields};
use crate::api::{Input, Issue, Task};

/// All errors of the present input, and what in the link was not understood.
pub fn errors(form: Form) -> AnyView {
    let shown = move |issues: &Arc<Vec<Issue>>| panel(form, "errors", "Not valid", issues);
    let errors = move || match form.task() {
        // What waits for a family is answered when that is at hand.
        _ if form.families.get().is_none() => None,
        Task::Training | Task::Plan => form.current.with(|current| current.as_ref().err().map(shown)),
        Task::Inference => form.serving.with(|current| current.as_ref().err().map(shown)),
    };
    let notes = move || {
        form.page
            .notes()
            .with(|notes| (!notes.is_empty()).then(|| panel(form, "link-notes", "About the link", notes)))
    };
    view! { {errors} {notes} }.into_any()
}

/// All warnings of an answer.
pub fn warnings(form: Form, warnings: &[Issue]) -> AnyView {
    if warnings.is_empty() {
        return ().into_any();
    }
    panel(form, "warnings", "Good to know", warnings)
}

fn panel(form: Form, id: &'static str, title: &'static str, issues: &[Issue]) -> AnyView {
    let items = issues.iter().map(|issue| line(form, issue)).collect_view();
    view! {
        <section class="panel" id=id tabindex="-1" aria-labelledby=format!("{id}-title")>
            <h2 id=format!("{id}-title")>{title}</h2>
            <ul class="issues">{items}</ul>
        </section>
    }
    .into_any()
}

fn line(form: Form, issue: &Issue) -> AnyView {
    let error = issue.is_error();
    let input = Input::by_key(&issue.path);
    let place = match input {
        Some(input) => view! {
            <button
                type="button"
                class="issue-path"
                on:click=move |_| reveal_input(&control_id(input))
            >
                {input.label}
            </button>
            ": "
        }
        .into_any(),
        None if issue.path.is_empty() => ().into_any(),
        None => view! { <code>{issue.path.clone()}</code> ": " }.into_any(),
    };
    view! {
        <li class="issue" class:issue-error=error data-code=issue.code data-path=issue.path.clone()>
            <b aria-hidden="true">{if error { "✕" } else { "!" }}</b>
            <span>{place} {issue.message.clone()}</span>
            {issue.hint.clone().map(|hint| view! { <span class="hint">{hint}</span> })}
            {fixes(form, issue)}
        </li>
    }
    .into_any()
}
