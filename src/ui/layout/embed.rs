//! The lines with which a document of the reader's shows this question, to copy. Loaded when it is asked for.

use leptos::prelude::*;

use super::super::language::documentation;
use super::super::state::{Form, PageStoreFields};
use super::super::{dom, persist};
use crate::api::embedding::{Shown, element, figures, frame};
use crate::api::{Capacity, Range, Task, Verdict};

/// The dialog, which is closed by clearing the signal.
pub type EmbedDialog = fn(Form, RwSignal<bool>) -> AnyView;

super::super::part::part!(embedding holds EmbedDialog: dialog as EmbedDialog);

/// The figures of the shown tab, as a sentence.
fn sentence(form: Form) -> String {
    let words = |model: &str, gpus: u64, capacity: &Capacity, need: Range, verdict: Verdict| {
        figures(model, gpus, capacity, need, verdict)
    };
    let said = match form.task() {
        Task::Training | Task::Plan => form.answer.with(|answer| {
            answer
                .as_deref()
                .map(|a| words(&a.model.name, a.gpus_used, &a.capacity, a.need, a.verdict))
        }),
        Task::Inference => form.served.with(|answer| {
            answer
                .as_deref()
                .map(|a| words(&a.model.name, a.gpus_used, &a.capacity, a.need, a.verdict))
        }),
    };
    said.unwrap_or_else(|| "GPU Memory Calculator".to_owned())
}

fn dialog(form: Form, open: RwSignal<bool>) -> AnyView {
    let framed = RwSignal::new(false);
    let read_only = RwSignal::new(false);
    let copied = RwSignal::new(false);
    let text = Memo::new(move |_| {
        let tab = form.page.tab().get();
        let shown = Shown {
            base: dom::folder(),
            question: form
                .page
                .request()
                .with(|request| persist::write(request, tab, None)),
            figures: sentence(form),
            read_only: read_only.get(),
        };
        if framed.get() {
            frame(&shown)
        } else {
            element(&shown)
        }
    });
    let here = NodeRef::<leptos::html::Dialog>::new();
    Effect::new(move |_| {
        if let Some(dialog) = here.get() {
            // A dialog that is open already refuses; it is then in sight.
            let _ = dialog.show_modal();
        }
    });
    let way = move |value: bool, id: &'static str, label: &'static str| {
        view! {
            <label class="embed-choice" for=id>
                <input
                    type="radio"
                    name="embed-way"
                    id=id
                    prop:checked=move || framed.get() == value
                    on:change=move |_| framed.set(value)
                />
                {label}
            </label>
        }
    };
    view! {
        <dialog class="embed-dialog" node_ref=here aria-labelledby="embed-title" on:close=move |_| open.set(false)>
            <h2 id="embed-title">"Show this question in your documentation"</h2>
            <p class="soft">
                "The calculator runs in your reader's browser. The figures stand in the lines too, for readers without JavaScript. "
                <a href=documentation("embedding") target="_blank" rel="noopener">"Attributes, events, generators"</a>
            </p>
            <fieldset class="embed-choices">
                <legend class="visually-hidden">"Way"</legend>
                {way(false, "embed-element", "As an element")}
                {way(true, "embed-frame", "In a frame")}
            </fieldset>
            <label class="embed-choice" for="embed-readonly" hidden=move || framed.get()>
                <input
                    type="checkbox"
                    id="embed-readonly"
                    prop:checked=move || read_only.get()
                    on:change=move |event| read_only.set(event_target_checked(&event))
                />
                "Only the answer"
            </label>
            <label class="visually-hidden" for="embed-text">"Lines to copy"</label>
            <textarea id="embed-text" class="embed-lines" readonly rows="7" spellcheck="false" prop:value=move || text.get()></textarea>
            <div class="embed-actions">
                <button
                    type="button"
                    class="button button-main"
                    id="embed-copy"
                    on:click=move |_| {
                        dom::copy(&text.get_untracked());
                        copied.set(true);
                    }
                >
                    {move || if copied.get() { "Copied" } else { "Copy" }}
                </button>
                <button
                    type="button"
                    class="button"
                    on:click=move |_| {
                        if let Some(dialog) = here.get_untracked() {
                            dialog.close();
                        }
                    }
                >
                    "Close"
                </button>
            </div>
            <span class="visually-hidden" role="status">{move || copied.get().then_some("The lines are copied.")}</span>
        </dialog>
    }
    .into_any()
}
