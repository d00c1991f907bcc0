//! What can be done with the question as a whole: undo and redo, bring something in, take it out, keep it.

use leptos::prelude::*;

use super::super::dialogs::Shown;
use super::super::history;
use super::super::state::use_form;

const UNDO: &str = "M9 4.5l-5 5 5 5M4.5 9.5H14a5 5 0 0 1 0 10h-3";
const REDO: &str = "M15 4.5l5 5-5 5M19.5 9.5H10a5 5 0 0 0 0 10h3";
const IMPORT: &str = "M12 3v11M7.5 9.5L12 14l4.5-4.5M4 15v3a2.5 2.5 0 0 0 2.5 2.5h11A2.5 2.5 0 0 0 20 18v-3";
const EXPORT: &str = "M12 14V3M7.5 7.5L12 3l4.5 4.5M4 15v3a2.5 2.5 0 0 0 2.5 2.5h11A2.5 2.5 0 0 0 20 18v-3";
const KEEP: &str = "M4 5h7v6H4zM13 5h7v6h-7zM4 13h7v6H4zM13 13h7v6h-7z";

fn icon(path: &'static str) -> AnyView {
    view! {
        <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
            <path
                d=path
                fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"
            />
        </svg>
    }
    .into_any()
}

/// The buttons.
#[component]
pub fn Tools() -> impl IntoView {
    let form = use_form();
    let step =
        |id: &'static str, path: &'static str, label: &'static str, title: &'static str, back: bool| {
            let there = if back {
                form.history.back
            } else {
                form.history.forward
            };
            let none = move || !there.get();
            view! {
                <button
                    type="button" class="button button-quiet" id=id title=title aria-label=label disabled=none
                    on:click=move |_| history::walk(form, back)
                >
                    {icon(path)}
                </button>
            }
            .into_any()
        };
    let opener =
        |id: &'static str, path: &'static str, label: &'static str, title: &'static str, shown: Shown| {
            view! {
                <button
                    type="button" class="button button-quiet" id=id title=title aria-haspopup="dialog"
                    on:click=move |_| form.dialogs.open(shown)
                >
                    {icon(path)}
                    <span class="button-label">{label}</span>
                </button>
            }
            .into_any()
        };
    view! {
        <div class="header-tools" role="group" aria-label="This question">
            {step("undo", UNDO, "Undo", "Undo (Ctrl+Z)", true)}
            {step("redo", REDO, "Redo", "Redo (Ctrl+Shift+Z)", false)}
            {opener("open-import", IMPORT, "Paste or drop", "Paste or drop a configuration, a command, a log or a model file", Shown::Import)}
            {opener("open-export", EXPORT, "Export", "This question as a file of a framework", Shown::Export)}
            {opener("open-scenarios", KEEP, "Scenarios", "Saved questions, and several side by side", Shown::Scenarios)}
        </div>
    }
    .into_any()
}
