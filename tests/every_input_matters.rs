//! No input is ignored in silence: each, changed on a question where it applies, changes the answer, a warning or an
//! error. `tests/inputs/changes.json` names question and value for every input of the registry; the page's own test
//! reads the same file. An input of an engine that is not built yet can only change its errors: a mesh that does not
//! divide the GPUs, or a value out of range.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, Availability, INPUTS, Input, Issue, Request, Section};
use serde_json::{Value, json};

fn changes() -> Value {
    serde_json::from_str(include_str!("inputs/changes.json")).expect("valid JSON")
}

/// The question in which an input is changed, and the value that it gets.
fn change(file: &Value, input: &Input) -> (Request, Value) {
    let Some(change) = file["changes"].get(input.key) else {
        unreachable!(
            "tests/inputs/changes.json does not say on which question {} matters: add \"{}\": {{\"on\": \"sharded\", \"to\": ...}}",
            input.key, input.key
        );
    };
    let name = change["on"].as_str().expect("the name of a question");
    let question = Request::from_json(&file["questions"][name]).expect("a request");
    (question, change["to"].clone())
}

/// Everything that is said: the answer with its warnings, or every issue. That a field of the model has the value that was
/// typed is no effect.
fn outcome(input: &Input, request: &Request) -> Value {
    if input.section == Section::Inference {
        return match api::calculate_inference(request) {
            Ok(mut answer) => {
                answer.model.fields.clear();
                json!({ "answer": answer })
            }
            Err(issues) => json!({ "issues": issues }),
        };
    }
    match api::calculate(request) {
        Ok(mut answer) => {
            answer.model.fields.clear();
            json!({ "answer": answer })
        }
        Err(issues) => json!({ "issues": issues }),
    }
}

#[test]
fn every_input_changes_the_answer_a_warning_or_an_error() {
    let file = changes();
    let mut ignored = Vec::new();
    for input in INPUTS {
        let (question, value) = change(&file, input);
        let changed = question.clone().with(input.id, value);
        if outcome(input, &question) == outcome(input, &changed) {
            ignored.push(input.key);
        }
    }
    assert_eq!(ignored, Vec::<&str>::new(), "inputs without any effect");
}

#[test]
fn the_questions_of_built_inputs_are_answered() {
    let file = changes();
    for input in INPUTS
        .iter()
        .filter(|input| input.availability == Availability::Built)
    {
        let (question, _) = change(&file, input);
        let issues = if input.section == Section::Inference {
            api::validate_inference(&question)
        } else {
            api::validate(&question)
        };
        let errors: Vec<Issue> = issues
            .into_iter()
            .filter(|issue| issue.is_error() && issue.code != "not_available_yet")
            .collect();
        assert_eq!(errors, [], "{}: the question itself is refused", input.key);
    }
}

#[test]
fn nothing_is_changed_that_is_no_input() {
    let file = changes();
    let known = |key: &String| INPUTS.iter().any(|input| input.key == key);
    let strangers: Vec<String> = file["changes"]
        .as_object()
        .expect("changes by input")
        .keys()
        .filter(|key| !known(key))
        .cloned()
        .collect();
    assert_eq!(strangers, Vec::<String>::new());
}
