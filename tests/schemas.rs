//! The schemas against a validator of its own: they are schemas, every request of the tests and every outcome of the
//! conformance vectors is valid under them, and what is wrong is not.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeMap;
use std::path::Path;

use gpu_mem_calc::calls;
use jsonschema::Validator;
use serde_json::{Value, json};

fn validator(name: &str) -> Validator {
    let schema = calls::schema(name).unwrap_or_else(|| unreachable!("{name}"));
    assert!(jsonschema::meta::is_valid(&schema), "{name} is no schema");
    jsonschema::validator_for(&schema).unwrap_or_else(|error| unreachable!("{name}: {error}"))
}

/// What is wrong with a value, the first of it.
fn complaint(validator: &Validator, value: &Value) -> Option<String> {
    let error = validator.iter_errors(value).next()?;
    let shown: String = error.to_string().chars().take(300).collect();
    Some(format!("{} {shown}", error.instance_path()))
}

fn vectors() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let files = std::fs::read_dir(folder).expect("the folder");
    files
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).expect("a file");
            let value: Value = serde_json::from_str(&text).expect("JSON");
            value["vectors"].as_array().expect("vectors").clone()
        })
        .collect()
}

#[test]
fn every_answer_and_every_fault_has_the_shape_of_its_schema() {
    let mut validators: BTreeMap<String, Validator> = BTreeMap::new();
    let fault = validator("error");
    let mut wrong = Vec::new();
    for vector in vectors() {
        let call = vector["call"].as_str().expect("a call");
        let found = match calls::run(call, vector["arguments"].as_array().expect("arguments")) {
            Ok(answer) => {
                let known = validators
                    .entry(call.to_owned())
                    .or_insert_with(|| validator(call));
                complaint(known, &answer)
            }
            Err(refused) => complaint(&fault, &json!(refused)),
        };
        wrong.extend(found.map(|words| format!("{call} {}: {words}", vector["name"])));
    }
    assert!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(12)].join("\n")
    );
}

#[test]
fn the_other_calls_have_the_shape_of_their_schemas_too() {
    let request = json!({"model": {"id": "llama-3.1-8b"}, "engine": {"type": "fsdp"}, "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 16},
        "training": {"batch_size": 4}, "node_config": {"num_nodes": 2}});
    let served =
        json!({"model": {"id": "llama-3.1-8b"}, "inference": {"engine_type": "vllm", "batch_size": 8}});
    let small = json!({"model": {"id": "gpt2"}, "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 2}});
    let mut called = Vec::new();
    for (call, arguments) in [
        ("sideBySide", vec![served.clone()]),
        ("explainFormula", vec![request.clone()]),
        ("optimizeBatchSize", vec![request.clone()]),
        ("solve", vec![request.clone(), json!("num_gpus")]),
        ("smallestCard", vec![request.clone()]),
        ("plan", vec![small.clone()]),
        ("cheapest", vec![small.clone()]),
        ("cheapest", vec![served.clone()]),
        ("optimizeHybridParallelism", vec![small]),
        ("fixes", vec![request.clone()]),
        ("fixes", vec![served]),
        ("modelReport", vec![request.clone(), json!({"tensors": true})]),
        (
            "modelReport",
            vec![json!({"model": {"id": "deepseek-v3"}}), json!({"tensors": true})],
        ),
        ("exportFormats", vec![]),
        ("models", vec![]),
        ("presets", vec![]),
        ("preset", vec![json!("llama2-7b")]),
        ("gpus", vec![]),
        ("nodes", vec![]),
        ("links", vec![]),
        ("engines", vec![]),
        ("inferenceEngines", vec![]),
        ("optimizers", vec![]),
        ("dtypes", vec![]),
        ("interconnects", vec![]),
        ("schema", vec![json!("request")]),
        ("version", vec![]),
    ] {
        let answer = calls::run(call, &arguments).unwrap_or_else(|fault| unreachable!("{call}: {fault:?}"));
        assert_eq!(complaint(&validator(call), &answer), None, "{call}");
        called.push(call);
    }
    let in_vectors: Vec<Value> = vectors().iter().map(|vector| vector["call"].clone()).collect();
    for call in calls::CALLS {
        let seen = called.contains(&call.name) || in_vectors.iter().any(|name| name == call.name);
        assert!(seen, "no answer of {} was looked at", call.name);
    }
}

#[test]
fn requests_that_are_answered_are_valid_and_wrong_types_are_not() {
    let schema = validator("request");
    let file: Value = serde_json::from_str(include_str!("inputs/changes.json")).unwrap();
    let mut requests: Vec<(String, Value)> = file["questions"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, request)| (name.clone(), request.clone()))
        .collect();
    for (key, change) in file["changes"].as_object().unwrap() {
        let mut request = file["questions"][change["on"].as_str().unwrap()].clone();
        let (section, field) = key.split_once('.').unwrap();
        request[section][field] = change["to"].clone();
        requests.push((key.clone(), request));
    }
    // Some of the changes are out of range on purpose.
    requests.retain(|(_, request)| {
        let issues = calls::run("validate", std::slice::from_ref(request))
            .unwrap_or_else(|fault| unreachable!("{fault:?}"));
        issues["valid"] == true
    });
    assert!(requests.len() > 300, "{}", requests.len());
    for (name, request) in &requests {
        assert_eq!(complaint(&schema, request), None, "{name}");
    }
    for wrong in [
        json!([]),
        json!({"model": 5}),
        json!({"training": {"batch_size": {}}}),
        json!({"training": {"batch_size": 0}}),
        json!({"training": {"batch_size": 1.5}}),
        json!({"training": {"batch_size": true}}),
        json!({"hardware": {"num_gpus": "many"}}),
    ] {
        assert!(!schema.is_valid(&wrong), "{wrong}");
    }
}

#[test]
fn schemas_state_their_version() {
    for name in calls::schema_names() {
        let schema = calls::schema(name).unwrap();
        let id = schema["$id"].as_str().expect("an id");
        assert!(
            id.starts_with(&format!("urn:gpu-mem-calc:schema:{}:", calls::VERSION)),
            "{id}"
        );
    }
}

/// The functions of the package are those of the table, in its order, and each is declared.
#[test]
fn the_package_has_every_call_of_the_table() {
    let script = include_str!("../package/src/calculator.js");
    let (_, list) = script.split_once("CALLS = [").expect("the list");
    let (list, _) = list.split_once("];").expect("its end");
    let names: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    let table: Vec<&str> = calls::CALLS.iter().map(|call| call.name).collect();
    assert_eq!(names, table, "package/src/calculator.js");
    let types = include_str!("../package/types/index.d.ts");
    for name in table {
        assert!(
            types.contains(&format!("\n  {name}(")),
            "package/types/index.d.ts has no {name}"
        );
    }
}
