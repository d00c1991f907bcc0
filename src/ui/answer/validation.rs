//! How far this kind of answer is checked against measured runs, in one line.

use leptos::prelude::*;

use crate::api::Validation;

/// "Checked on 280 traced and 32 published runs", or "Not validated".
pub fn line(validation: &Validation) -> AnyView {
    let (checked, errors) = validation.words();
    let text = view! { <span><b>{capitalised(&checked)}</b> {format!(": {errors}.")}</span> };
    view! { <p class="accuracy-line" id="accuracy-line">{text}</p> }.into_any()
}

fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}
