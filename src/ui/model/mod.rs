//! The model: choice from presets and catalogue, import of a config.json, and what is known about it.

mod catalogue;
mod facts;
mod families;
mod import;
mod presets;

pub use families::load as load_families;
pub use presets::{Presets, load as load_presets};

use leptos::prelude::*;

use super::fields::{control_id, described_by, field, framed, label, message};
use super::state::use_form;
use crate::api::{InputId, Issue, Section};

/// The panel in which a model is chosen or brought along.
pub fn model() -> AnyView {
    let form = use_form();
    let input = InputId::ModelId.input();
    let choice = framed(
        InputId::ModelId,
        label(input, &control_id(input)),
        catalogue::choice(form, described_by(input)),
    );
    let brought = form.brought(InputId::ModelId);
    // What is wrong with the model as a whole; its fields have messages of their own.
    let whole = move || {
        form.issues_where(|issue| issue.is_error() && issue.path == Section::Model.key())
            .into_iter()
            .map(|issue| message(form, &Issue { hint: None, ..issue }))
            .collect_view()
    };
    view! {
        <section class="panel" aria-labelledby="model-title">
            <h2 id="model-title">"Model"</h2>
            <div class="model-panel">
                {presets::presets()}
                <div class="field" class:field-brought=move || brought.get() data-input=input.key>{choice}</div>
                {import::import(form)}
                {field(InputId::NumParameters)}
                <div class="messages" id="model-message">{whole}</div>
                {facts::facts()}
            </div>
        </section>
    }
    .into_any()
}
