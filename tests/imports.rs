//! Imports: what was exported comes back, samples of every kind are read, and garbage is explained.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::path::Path;

use gpu_mem_calc::api::{self, InputId, Request, Task};
use serde_json::{Value, json};

fn request(value: &Value) -> Request {
    Request::from_json(value).expect("a request")
}

/// Expected need and its parts, or why there is no answer. The interval is wider for what is typed without evidence, also
/// where it is the default.
fn memory(request: &Request) -> Value {
    if request.serves() {
        return match api::calculate_inference(request) {
            Ok(answer) => json!([
                answer.need.expected_bytes,
                answer.breakdown,
                answer.capacity.usable_bytes
            ]),
            Err(issues) => json!(issues),
        };
    }
    match api::calculate(request) {
        Ok(answer) => json!([
            answer.need.expected_bytes,
            answer.breakdown,
            answer.capacity.usable_bytes
        ]),
        Err(issues) => json!(issues),
    }
}

/// The formats that an importer reads.
const BOTH_WAYS: [&str; 16] = [
    "accelerate",
    "deepspeed",
    "axolotl",
    "training_arguments",
    "trl",
    "llama_factory",
    "torchtitan",
    "megatron",
    "vllm",
    "sglang",
    "tgi",
    "tensorrt_llm",
    "llama_cpp",
    "kubernetes",
    "yaml",
    "json",
];

/// What stands neither in a file nor in its notes by name: the launch line has the counts.
const BY_LAUNCH: [InputId; 2] = [InputId::NumGpus, InputId::NumNodes];

fn questions() -> Vec<(String, Request)> {
    let file: Value = serde_json::from_str(include_str!("inputs/changes.json")).unwrap();
    let mut all: Vec<(String, Request)> = file["questions"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, question)| (name.clone(), request(question)))
        .collect();
    for (key, change) in file["changes"].as_object().unwrap() {
        let question = request(&file["questions"][change["on"].as_str().unwrap()]);
        if let Some(input) = api::INPUTS.iter().find(|input| input.key == key) {
            all.push((key.clone(), question.with(input.id, change["to"].clone())));
        }
    }
    all
}

#[test]
fn what_was_exported_comes_back() {
    let mut wrong = Vec::new();
    let mut pairs = 0;
    for (name, question) in questions() {
        for format in BOTH_WAYS {
            let Ok(export) = api::export(format, &question) else {
                continue;
            };
            // Skeletons hold the commands of servers and of Megatron; other scripts hold their settings themselves.
            if format == "kubernetes" && export.notes.iter().any(|note| note.contains("export ")) {
                continue;
            }
            pairs += 1;
            let imported = api::import(&export.text, &Request::new());
            let mut back = imported.import.request.clone();
            if imported.import.kind == "unknown" {
                wrong.push(format!("{format} of {name}: {:?}", imported.import.issues));
                continue;
            }
            for id in InputId::ALL {
                let noted = export.notes.iter().any(|note| note.contains(id.key()));
                let launched = BY_LAUNCH.contains(id) && !back.has(*id);
                if noted || launched {
                    match question.get(*id) {
                        Some(value) => back.set(*id, value.clone()),
                        None => back.clear(*id),
                    }
                }
            }
            if memory(&back) != memory(&question) {
                wrong.push(format!("{format} of {name}: {}", back.to_json()));
            }
        }
    }
    let shown: Vec<String> = wrong.iter().take(40).cloned().collect();
    assert!(
        wrong.is_empty(),
        "{} of {pairs} differ:\n{}",
        wrong.len(),
        shown.join("\n")
    );
    assert!(pairs > 500, "{pairs} pairs");
}

fn samples() -> Vec<(String, String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    let table = std::fs::read_to_string(folder.join("samples.json")).unwrap();
    let table: Value = serde_json::from_str(&table).unwrap();
    let mut all = Vec::new();
    for (name, expected) in table.as_object().unwrap() {
        let text = std::fs::read_to_string(folder.join("samples").join(name))
            .unwrap_or_else(|error| unreachable!("{name}: {error}"));
        all.push((name.clone(), text, expected.clone()));
    }
    all
}

#[test]
fn every_sample_is_recognised_and_read() {
    let samples = samples();
    assert!(samples.len() >= 60, "{} samples", samples.len());
    let mut wrong = Vec::new();
    for (name, text, expected) in samples {
        let import = api::import(&text, &Request::new()).import;
        if import.kind != expected["kind"] {
            wrong.push(format!("{name}: {} instead of {}", import.kind, expected["kind"]));
            continue;
        }
        let found = import.request.to_json();
        for (key, value) in expected["found"].as_object().into_iter().flatten() {
            let (section, field) = key.split_once('.').unwrap();
            if found[section][field] != *value {
                wrong.push(format!(
                    "{name}: {key} is {} instead of {value}",
                    found[section][field]
                ));
            }
        }
        for (part, gib) in expected["measured"].as_object().into_iter().flatten() {
            let near = import.measured.iter().any(|measured| {
                measured.part == part && (measured.bytes.to_gib() - gib.as_f64().unwrap()).abs() < 0.02
            });
            if !near {
                wrong.push(format!(
                    "{name}: {part} {gib} GiB is not among {:?}",
                    import.measured
                ));
            }
        }
        for strange in expected["strange"].as_array().into_iter().flatten() {
            let word = strange.as_str().unwrap();
            if !import.not_understood.iter().any(|own| own.contains(word)) {
                wrong.push(format!(
                    "{name}: {word} is not named: {:?}",
                    import.not_understood
                ));
            }
        }
        if expected.get("strange").is_none() && !import.not_understood.is_empty() {
            wrong.push(format!("{name}: not understood {:?}", import.not_understood));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn measured_parts_stand_beside_predicted_ones() {
    let text = samples()
        .into_iter()
        .find(|(name, _, _)| name == "vllm-log-v1.txt")
        .unwrap()
        .1;
    let imported = api::import(&text, &Request::new());
    let parts: Vec<&str> = imported.compared.iter().map(|row| row.part).collect();
    for part in ["weights", "kv_cache"] {
        assert!(parts.contains(&part), "{parts:?} in {:?}", imported.import);
    }
    let weights = imported
        .compared
        .iter()
        .find(|row| row.part == "weights")
        .unwrap();
    assert!(weights.difference_percent.abs() < 2.0, "{weights:?}");
}

fn sample(name: &str) -> String {
    samples()
        .into_iter()
        .find(|(own, _, _)| own == name)
        .unwrap_or_else(|| unreachable!("{name}"))
        .1
}

#[test]
fn every_measured_part_says_why_it_differs() {
    let form = Request::new()
        .with(InputId::ModelId, "llama-3.1-8b")
        .with(InputId::Gpu, "h100-sxm-80gb");
    for (name, text, _) in samples() {
        for row in api::import_beside(&text, &form, Task::Training).compared {
            assert!(!row.why.is_empty() && row.label != "Other", "{name}: {row:?}");
            let (low, high) = (row.predicted.low_bytes, row.predicted.high_bytes);
            assert_eq!(
                row.inside,
                (low..=high).contains(&row.measured_bytes),
                "{name}: {row:?}"
            );
        }
    }
    let cache = |text: &str| {
        let rows = api::import_beside(text, &form, Task::Training).compared;
        rows.into_iter().find(|row| row.part == "kv_cache")
    };
    let row = cache(&sample("vllm-log-v1.txt")).unwrap();
    assert!(row.inside || row.why.contains("the other parts leave"), "{row:?}");
}

#[test]
fn a_run_that_stopped_needed_what_it_held_and_what_it_asked_for() {
    let form = Request::new()
        .with(InputId::ModelId, "llama-3.1-8b")
        .with(InputId::NumGpus, 8)
        .with(InputId::EngineType, "fsdp");
    let imported = api::import_beside(&sample("oom-new.txt"), &form, Task::Training);
    let needed = imported.compared.iter().find(|row| row.part == "needed").unwrap();
    // 75.61 GiB were allocated when 224 MiB were asked for.
    assert!(
        (needed.measured_bytes.to_gib() - 75.828_75).abs() < 1e-3,
        "{needed:?}"
    );
    assert!(needed.why.contains("more than is predicted"), "{needed:?}");
    assert_eq!(imported.task, None);
}

#[test]
fn a_form_gives_way_to_what_is_brought_and_keeps_the_rest() {
    let form = Request::new()
        .with(InputId::ModelId, "llama-3.1-8b")
        .with(InputId::NumLayers, 40)
        .with(InputId::BatchSize, 4);
    let beside = |text: &str| api::import_beside(text, &form, Task::Training);
    // A whole question takes the place of the one in the form.
    let whole = beside(&sample("request.json"));
    assert_eq!(whole.request, whole.import.request);
    // So does a link to one.
    let link = beside("https://example.org/calc/#tab=inference&m=qwen3-8b&gn=2&nonsense=1");
    assert_eq!(link.import.kind, "request");
    assert_eq!(
        link.request.to_json(),
        json!({"model": {"id": "qwen3-8b"}, "hardware": {"num_gpus": 2}})
    );
    assert!(link.import.not_understood[0].contains("nonsense"));
    // A model with a name alone is not the one that was chosen; the settings stay.
    let named = beside("vllm serve ./own-model --max-model-len 4096");
    assert_eq!(named.task, Some(Task::Inference));
    for id in [InputId::ModelId, InputId::NumLayers] {
        assert!(!named.request.has(id), "{}", id.key());
    }
    assert_eq!(named.request.get(InputId::BatchSize), Some(&json!(4)));
    // A configuration without a model keeps the model.
    let settings = beside(&sample("ds-zero2.json"));
    assert_eq!(settings.task, Some(Task::Training));
    assert_eq!(settings.request.get(InputId::NumLayers), Some(&json!(40)));
}

#[test]
fn what_is_unknown_is_explained() {
    for text in [
        "",
        "hello",
        "{\"a\": 1}",
        "a: [1",
        "{",
        "\u{0}\u{1}",
        "- - -",
        "[training",
    ] {
        let import = api::import(text, &Request::new()).import;
        assert!(
            !import.issues.is_empty() || !import.assumed.is_empty(),
            "{text:?}: {import:?}"
        );
    }
    let issue = &api::import(
        "{\"total_memory_per_gpu_gb\": 1, \"breakdown\": {}}",
        &Request::new(),
    )
    .import
    .issues[0];
    assert!(issue.message.contains("answer"), "{issue:?}");
}

#[test]
fn yaml_is_read_as_json_is() {
    let text = "model:\n  id: llama-3.1-8b\nhardware:\n  num_gpus: 8 # all\nengine: {type: fsdp}\n";
    let read = api::request_from_text(text).unwrap();
    assert_eq!(
        read.to_json(),
        json!({"model": {"id": "llama-3.1-8b"}, "engine": {"type": "fsdp"}, "hardware": {"num_gpus": 8}})
    );
    let wrong = api::request_from_text("model:\n\tid: x\n").unwrap_err();
    assert_eq!(wrong.code, "yaml_invalid");
    assert!(wrong.message.contains("line 2"));
    assert_eq!(
        api::request_from_text("nonsense").unwrap_err().code,
        "json_invalid"
    );
}
