//! What follows the answer to a training question: what would make it fit, and how far it would reach. A part of the module of its
//! own, which the first answer does not wait for.

use leptos::prelude::*;

use super::super::part::Loading;
use super::super::state::Form;
use super::{fixes, solvers};

/// What the part holds: the view.
pub type Advice = fn(Form) -> AnyView;

fn sections(form: Form) -> AnyView {
    view! { {fixes::of_training(form)} {solvers::solvers(form)} }.into_any()
}

#[cfg(feature = "parts")]
#[wasm_split_helpers::wasm_split(advice, fallible)]
fn part() -> Result<Advice, wasm_split_helpers::SplitLoaderError> {
    Ok(sections)
}

/// Loads the part; nothing has to be loaded where the module is one file.
pub fn load() -> Loading<Advice> {
    #[cfg(feature = "parts")]
    return Box::pin(async { part().await.ok() });
    #[cfg(not(feature = "parts"))]
    return Box::pin(std::future::ready(Some(sections as Advice)));
}
