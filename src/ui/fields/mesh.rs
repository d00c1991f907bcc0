//! The sizes that the mesh can have, as buttons below its fields: each divisor of the number of GPUs, and the reason where the
//! question has no answer with it. Worked out while typing rests and the group is open.

use std::time::Duration;

use leptos::prelude::*;
use serde_json::{Map, Value};

use super::super::rest::Rest;
use super::super::state::{Form, PageStoreFields};
use crate::api::{self, InputId, MeshHint, MeshSize, Task};

/// How long the question must rest before its sizes are tried.
const REST: Duration = Duration::from_millis(250);

/// The buttons; they follow the question while `open`.
pub fn sizes(form: Form, open: RwSignal<bool>) -> AnyView {
    let found: RwSignal<Vec<MeshHint>> = RwSignal::new(Vec::new());
    let told = RwSignal::new(String::new());
    let rested = Rest::new();
    Effect::new(move |_| {
        let request = form
            .page
            .request()
            .with(|request| api::part(request, Task::Training));
        rested.cancel();
        told.set(String::new());
        if open.get() {
            let later = move || found.set(api::mesh_hints(&request));
            rested.after(REST, later);
        }
    });
    let rows = move || {
        found.with(|hints| {
            hints
                .iter()
                .filter(|hint| hint.sizes.len() > 1)
                .map(|hint| row(form, hint, told))
                .collect_view()
        })
    };
    view! {
        <div id="mesh-sizes" role="group" aria-label="Sizes of the mesh">
            <dl class="solvers">{rows}</dl>
            <p class="solver-note" role="status">{told}</p>
        </div>
    }
    .into_any()
}

/// One input of the mesh with its sizes.
fn row(form: Form, hint: &MeshHint, told: RwSignal<String>) -> AnyView {
    let path = hint.path;
    let buttons = hint
        .sizes
        .iter()
        .map(|size| button(form, path, size, told))
        .collect_view();
    view! { <div data-mesh=path><dt>{hint.label}</dt><dd>{buttons}</dd></div> }.into_any()
}

/// A size: taken at once where it is valid, else it says why it is not.
fn button(form: Form, path: &'static str, size: &MeshSize, told: RwSignal<String>) -> AnyView {
    let MeshSize {
        size,
        chosen,
        refused,
    } = size.clone();
    let reason = refused.clone();
    let press = move |_| match &reason {
        Some(reason) => told.set(reason.clone()),
        None => {
            // Replicas of the data follow from the rest of the mesh.
            let open = (InputId::DataParallelSize.key().to_owned(), Value::Null);
            form.apply(&Map::from_iter([open, (path.to_owned(), size.into())]));
        }
    };
    view! {
        <button
            type="button"
            class="button button-small"
            aria-pressed=chosen.to_string()
            aria-disabled=refused.is_some().to_string()
            title=refused
            on:click=press
        >
            {size}
        </button>
    }
    .into_any()
}
