//! The model: choice from presets and catalogue, import of a config.json, and what is known about it.

mod catalogue;
mod facts;
mod import;
mod presets;

use leptos::prelude::*;

use super::fields::{control_id, described_by, framed, label};
use super::state::use_form;
use crate::api::InputId;

/// The panel in which a model is chosen or brought along.
pub fn model() -> AnyView {
    let form = use_form();
    let import = import::Import::new(form);
    let input = InputId::ModelId.input();
    let choice = framed(
        InputId::ModelId,
        label(input, &control_id(input)),
        catalogue::choice(form, described_by(input)),
    );
    view! {
        <section
            class="panel"
            class:dropping=move || import.dropping.get()
            aria-labelledby="model-title"
            on:dragover=move |event| import.drag(&event)
            on:dragleave=move |_| import.dropping.set(false)
            on:drop=move |event| import.drop(&event)
        >
            <h2 id="model-title">"Model"</h2>
            <div class="model-panel">
                {presets::presets()}
                <div class="field" data-input=input.key>{choice}</div>
                {import::import(import)}
                {facts::facts()}
            </div>
        </section>
    }
    .into_any()
}
