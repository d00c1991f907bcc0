//! Questions: the answer to a request, its explanation, its solvers and its validation.

use serde::Serialize;

use super::arguments::written;
use super::{Arguments, Fault, Outcome};
use crate::accuracy;
use crate::api::{self, CheapestSort, Issue, Unknown};

pub fn calculate(given: &Arguments<'_>) -> Outcome {
    written(accuracy::calculate(&given.request(0)?, given.strictness(1)?)?)
}

pub fn calculate_inference(given: &Arguments<'_>) -> Outcome {
    written(accuracy::calculate_inference(
        &given.request(0)?,
        given.strictness(1)?,
    )?)
}

pub fn plan(given: &Arguments<'_>) -> Outcome {
    written(api::planned(&given.request(0)?)?)
}

pub fn plan_training(given: &Arguments<'_>) -> Outcome {
    written(api::plan(&given.request(0)?)?)
}

pub fn cheapest(given: &Arguments<'_>) -> Outcome {
    let sort = match given.option_text(1, "sort")? {
        None => CheapestSort::default(),
        Some(word) => CheapestSort::from_key(word).ok_or_else(|| {
            let words = format!("{word} is no order of GPUs.");
            Fault::from(
                Issue::error("unknown_value", "sort", words)
                    .with_allowed(CheapestSort::ALL.map(CheapestSort::key)),
            )
        })?,
    };
    let whole_nodes = given.option(1, "whole_nodes")?;
    written(api::cheapest(&given.request(0)?, sort, whole_nodes)?)
}

pub fn calculate_multi_node(given: &Arguments<'_>) -> Outcome {
    written(api::multi_node_with(&given.request(0)?, given.strictness(1)?)?)
}

pub fn side_by_side(given: &Arguments<'_>) -> Outcome {
    written(api::side_by_side(&given.request(0)?))
}

pub fn explain_formula(given: &Arguments<'_>) -> Outcome {
    written(api::explain(&given.request(0)?)?)
}

pub fn optimize_batch_size(given: &Arguments<'_>) -> Outcome {
    written(accuracy::optimize_batch_size(&given.request(0)?)?)
}

pub fn solve(given: &Arguments<'_>) -> Outcome {
    let Some(unknown) = Unknown::from_key(given.text(1)) else {
        let words = format!("{} cannot be solved for.", given.text(1));
        let issue = Issue::error("unknown_value", "variable", words)
            .with_allowed(Unknown::ALL.map(Unknown::key))
            .with_hint("The smallest card has a call of its own: smallestCard.");
        return Err(Fault::from(issue));
    };
    written(api::solve(&given.request(0)?, unknown)?)
}

pub fn smallest_card(given: &Arguments<'_>) -> Outcome {
    written(api::smallest_card(&given.request(0)?)?)
}

pub fn fixes(given: &Arguments<'_>) -> Outcome {
    let request = given.request(0)?;
    written(if request.serves() {
        api::inference_fixes(&request)?
    } else {
        api::training_fixes(&request)?
    })
}

/// Whether a request can be answered.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ValidationResult {
    /// Whether there is no error among the issues.
    pub valid: bool,
    /// The messages of the errors.
    pub errors: Vec<String>,
    /// Every issue, warnings included.
    pub issues: Vec<Issue>,
}

pub fn validate(given: &Arguments<'_>) -> Outcome {
    let issues = match given.request(0) {
        Err(fault) => fault.issues,
        Ok(request) => api::validate_request(&request),
    };
    let errors: Vec<String> = issues
        .iter()
        .filter(|issue| issue.is_error())
        .map(|issue| issue.message.clone())
        .collect();
    written(ValidationResult {
        valid: errors.is_empty(),
        errors,
        issues,
    })
}
