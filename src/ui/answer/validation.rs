//! How far this kind of answer is checked against measured runs, in one line.

use leptos::prelude::*;

use super::super::format::decimal;
use crate::api::{Backing, Validation};

/// "Checked on 280 traced and 32 published runs", or "Not validated".
pub fn line(validation: &Validation, evidence: Option<&Backing>) -> AnyView {
    let (checked, errors) = validation.words();
    let text = view! { <span><b>{capitalised(&checked)}</b> {format!(": {errors}.")}</span> };
    let missing = evidence.and_then(unproven);
    view! {
        {missing}
        <p class="accuracy-line" id="accuracy-line">{text}</p>
    }
    .into_any()
}

/// The options behind which neither a run nor a calculation by hand stands.
fn unproven(evidence: &Backing) -> Option<AnyView> {
    if evidence.options.is_empty() {
        return None;
    }
    let options: Vec<String> = evidence
        .options
        .iter()
        .map(|option| format!("{} = {} (with {})", option.path, option.value, option.with))
        .collect();
    Some(
        view! {
            <p class="accuracy-line" id="not-validated">
                <b>"Not validated: "</b>
                {format!(
                    "{}. No trace, record or calculation by hand stands behind this, so the interval reaches {} % below and {} % above.",
                    options.join(", "),
                    decimal(evidence.below_percent),
                    decimal(evidence.above_percent),
                )}
            </p>
        }
        .into_any(),
    )
}

fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters
        .next()
        .map(|first| {
            std::iter::once(first.to_ascii_uppercase())
                .chain(letters)
                .collect()
        })
        .unwrap_or_default()
}
