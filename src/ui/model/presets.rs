//! Start from a preset, or from the defaults.

use leptos::prelude::*;

use super::super::part::part;
use super::super::state::{Page, use_form};
use crate::api::{self, Preset, PresetState};

/// What the part holds: the options of the menu of presets, each with its verdict, which takes a calculation.
pub type Presets = fn() -> AnyView;

part!(presets holds Presets: options);

fn options() -> AnyView {
    let options = api::presets()
        .iter()
        .map(|preset| {
            view! {
                <option value=preset.id.clone() title=preset.description.clone()>
                    {format!("{} ({})", preset.display_name, state(preset))}
                </option>
            }
        })
        .collect_view();
    options.into_any()
}

/// The menu of presets and the button that restores every default.
pub fn presets() -> AnyView {
    let form = use_form();
    form.presets.load_when_idle();
    // A preset's model may be of any family.
    let options =
        move || (form.families.get() == Some(true)).then(|| form.presets.get().map(|options| options()));
    let element = NodeRef::<leptos::html::Select>::new();
    let start = move |_| {
        let Some(element) = element.get() else { return };
        let chosen = element.value();
        if let Some(preset) = api::presets().iter().find(|preset| preset.id == chosen) {
            form.replace(preset.request());
        }
        // The menu is a list of starting points, not a state: after one is taken it names none again.
        element.set_value("");
    };
    view! {
        <div class="start-row">
            {move || form.presets.get().is_none().then(|| view! { <span class="part-waiting" hidden></span> })}
            <div class="control">
                <select id="preset" class="select" aria-label="Start from a preset" node_ref=element on:change=start>
                    <option value="">"Start from a preset …"</option>
                    {options}
                </select>
                <svg viewBox="0 0 16 16" aria-hidden="true">
                    <path d="M4 6l4 4 4-4" fill="none" stroke="currentColor" stroke-width="1.6" />
                </svg>
            </div>
            <button type="button" class="button" id="reset" on:click=move |_| form.replace(Page::start().request)>
                "Reset"
            </button>
        </div>
    }
    .into_any()
}

/// Whether it fits, or that its engine is not built yet.
fn state(preset: &Preset) -> &'static str {
    match preset.state() {
        PresetState::Answered(verdict) => verdict.words(),
        PresetState::NotAvailable(_) => "in work",
    }
}
