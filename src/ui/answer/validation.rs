//! How far this kind of answer is checked against measured runs, in one line.

use leptos::prelude::*;

use super::super::format::decimal;
use crate::api::Validation;

/// "checked on 312 runs", or "not validated".
pub fn line(validation: &Validation) -> AnyView {
    let text = match validation {
        Validation::Records { engine, records, median_percent, p90_percent, worst_percent } => view! {
            <span>
                <b>{format!("Checked on {records} measured runs")}</b>
                {format!(
                    " of this engine ({engine}), by their allocated memory: median error {} %, 90 % within {} %, worst {} %.",
                    decimal(*median_percent),
                    decimal(*p90_percent),
                    decimal(*worst_percent),
                )}
            </span>
        }
        .into_any(),
        Validation::None(words) => view! {
            <span><b>{capitalised(words)}</b>": no measured run of this engine is at hand."</span>
        }
        .into_any(),
    };
    view! { <p class="accuracy-line" id="accuracy-line">{text}</p> }.into_any()
}

fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}
