//! The inference tab: questions left, answer right. Model and GPU are those of the training tab. Its content and the
//! engines behind it lie in a file of the module of their own, which is loaded when the tab is opened.

use leptos::prelude::*;
use leptos::task::spawn_local;

use super::super::answer::serving;
use super::super::state::{Form, InferencePart, use_form};
use super::columns;
use crate::accuracy;
use crate::api::{InputId, Strictness};

/// What a newcomer is asked besides the model and the GPU.
const SETUP: [InputId; 6] = [
    InputId::NumGpus,
    InputId::ServerType,
    InputId::Sequences,
    InputId::TotalTokens,
    InputId::WeightFormat,
    InputId::KvCacheType,
];

/// What the file holds.
fn content() -> InferencePart {
    InferencePart {
        view: || columns("Serving on", &SETUP, serving()),
        answer: |request| accuracy::calculate_inference(request, Strictness::default()),
    }
}

/// Loads the file.
#[cfg(feature = "parts")]
#[wasm_split_helpers::wasm_split(inference, fallible)]
fn part() -> Result<InferencePart, wasm_split_helpers::SplitLoaderError> {
    Ok(content())
}

/// Nothing to load where the module is one file.
#[cfg(not(feature = "parts"))]
async fn part() -> Result<InferencePart, std::convert::Infallible> {
    Ok(content())
}

/// The inference tab; its file is loaded when it is shown for the first time.
pub fn inference() -> AnyView {
    let form = use_form();
    let failed = RwSignal::new(false);
    if form.inference.with_untracked(Option::is_none) {
        load(form, failed);
    }
    let content = move || {
        form.inference
            .get()
            .map_or_else(|| waiting(form, failed), |part| (part.view)())
    };
    view! { {content} }.into_any()
}

/// Loads the file when the page has nothing else to do, so that the tab opens at once, also without a network.
pub fn load_when_idle(form: Form) {
    request_idle_callback(move || {
        if form.inference.with_untracked(Option::is_none) {
            load(form, RwSignal::new(false));
        }
    });
}

/// Loads the file of the tab and makes it known.
fn load(form: Form, failed: RwSignal<bool>) {
    failed.set(false);
    spawn_local(async move {
        match part().await {
            Ok(part) => form.inference.set(Some(part)),
            Err(_) => failed.set(true),
        }
    });
}

/// What stands in the tab until its file is there.
fn waiting(form: Form, failed: RwSignal<bool>) -> AnyView {
    let again = move || {
        failed.get().then(|| {
            view! {
                <p>"This part of the calculator could not be loaded. What you typed is kept."</p>
                <button type="button" on:click=move |_| load(form, failed)>"Try again"</button>
            }
        })
    };
    let busy =
        move || (!failed.get()).then(|| view! { <p class="soft">"Loading the inference engines ..."</p> });
    view! { <section class="panel" role="status">{busy} {again}</section> }.into_any()
}
