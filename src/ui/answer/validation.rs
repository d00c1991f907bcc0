//! How far this kind of answer is checked against measured runs, in one line.

use leptos::prelude::*;

use super::super::format::decimal;
use crate::api::{Backing, Validation};

/// "checked on 312 runs", or "not validated".
pub fn line(validation: &Validation, evidence: Option<&Backing>) -> AnyView {
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
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}
