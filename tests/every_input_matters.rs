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

mod inputs;

use gpu_mem_calc::api::{self, Availability, EngineId, INPUTS, Input, InputDefault, Issue, Request, Section};
use inputs::changes;
use serde_json::{Value, json};

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
    if input.section == Section::Hybrid {
        return match api::plan(request) {
            Ok(answer) => json!({ "plans": answer }),
            Err(issues) => json!({ "issues": issues }),
        };
    }
    match api::calculate(request) {
        Ok(mut answer) => {
            answer.model.fields.clear();
            // What decides time alone changes the answer to the multi-node question.
            json!({ "answer": answer, "multi_node": api::multi_node(request).expect("an answer, too") })
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

/// Whether an input belongs to a question on training.
fn of_training(input: &Input) -> bool {
    !matches!(input.section, Section::Inference | Section::Hybrid)
}

/// The training engines with the settings that decide what else is read.
fn engines() -> [(&'static str, Value, u64); 9] {
    let zero = |stage: u64| json!({"type": "deepspeed", "zero_stage": stage});
    [
        ("one GPU", json!({"type": "pytorch_ddp"}), 1),
        ("DDP", json!({"type": "pytorch_ddp"}), 8),
        ("FSDP2", json!({"type": "fsdp"}), 8),
        ("FSDP1", json!({"type": "fsdp", "fsdp_version": "1"}), 8),
        ("ZeRO 0", zero(0), 8),
        ("ZeRO 1", zero(1), 8),
        ("ZeRO 2", zero(2), 8),
        ("ZeRO 3", zero(3), 8),
        ("Megatron", json!({"type": "megatron_lm"}), 8),
    ]
}

#[test]
fn no_engine_ignores_an_input_that_is_offered_for_it() {
    let file = changes();
    let mut ignored = Vec::new();
    for input in INPUTS.iter().filter(|input| of_training(input)) {
        let (question, value) = change(&file, input);
        let own = question.to_json();
        for (name, engine, gpus) in engines() {
            let mut asked = own.clone();
            let settings = asked["engine"].as_object_mut().expect("an engine");
            settings.extend(engine.as_object().expect("settings").clone());
            // One, or as many as the question has where those are more than one.
            let own = asked["hardware"]["num_gpus"]
                .as_u64()
                .filter(|own| gpus > 1 && *own > 1);
            asked["hardware"]["num_gpus"] = json!(own.unwrap_or(gpus));
            let asked = Request::from_json(&asked).expect("a request");
            let given = asked.get(input.id).cloned();
            // What an engine refuses for another reason tells nothing about the input.
            if given.as_ref() == Some(&value) || api::calculate(&asked).is_err() {
                continue;
            }
            let kind = EngineId::from_key(engine["type"].as_str().expect("a name")).expect("an engine");
            if input.engines.to(kind)
                && outcome(input, &asked) == outcome(input, &asked.clone().with(input.id, value.clone()))
            {
                ignored.push(format!("{name}: {}", input.key));
            }
        }
    }
    assert_eq!(
        ignored,
        Vec::<String>::new(),
        "inputs that an engine ignores in silence"
    );
}

/// Choices that are as large as the default on the question where their input is tried.
const AS_LARGE: [(&str, &str, &str); 3] = [
    (
        "engine.reduce_dtype",
        "fp32",
        "what mixed precision reduces in where nothing is given",
    ),
    (
        "node_config.collectives",
        "ring",
        "the fastest for these buckets on two nodes",
    ),
    (
        "node_config.attention_kernels",
        "second",
        "what torch has where nothing is given",
    ),
];

#[test]
fn every_choice_of_training_is_told_from_the_default() {
    let file = changes();
    let mut ignored = Vec::new();
    for input in INPUTS.iter().filter(|input| of_training(input)) {
        let (question, _) = change(&file, input);
        let before = outcome(input, &question);
        for choice in input.kind.choices() {
            let changed = question.clone().with(input.id, choice.value);
            let stated = question.get(input.id) == Some(&json!(choice.value));
            let usual = default_of(input) == Some(choice.value) || stated;
            if !usual && outcome(input, &changed) == before {
                ignored.push((input.key, choice.value));
            }
        }
    }
    assert_eq!(ignored.len(), AS_LARGE.len(), "{ignored:?}");
    for (key, value, why) in AS_LARGE {
        assert!(ignored.contains(&(key, value)), "{key} = {value}: {why}");
    }
}

fn default_of(input: &Input) -> Option<&'static str> {
    match input.default {
        InputDefault::Fixed(value) => Some(value),
        _ => None,
    }
}
