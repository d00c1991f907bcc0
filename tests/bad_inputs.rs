//! The unusual and wrong inputs of the compatibility data: error or warning at the field that it is about, or an answer.
//!
//! Rows of functions that are not built yet are listed as open with their issue; every row is one or the other.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeMap;

use gpu_mem_calc::api::{self, Request};
use gpu_mem_calc::calls;
use serde_json::{Value, json};

const ROWS: &str = include_str!("compat/bad_inputs.jsonl");
const BASES: &str = include_str!("compat/base_requests.json");

/// The function that reaches the network; its rows are met by `tests/package/hub.test.mjs`.
const ON_THE_NETWORK: &str = "fetchHfModel";

#[derive(Debug)]
enum Document {
    Json(Value),
    Text(String),
}

fn rows() -> Vec<Value> {
    ROWS.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect()
}

fn base() -> Value {
    base_of("calculate")
}

fn base_of(function: &str) -> Value {
    let bases: Value = serde_json::from_str(BASES).expect("bases");
    let known = bases.get(function).or_else(|| bases.get("calculate"));
    known.expect("a base").clone()
}

fn patched(function: &str, patch: &Value) -> Document {
    if let Some(text) = patch.as_str().and_then(|text| text.strip_prefix("<replace>")) {
        return match serde_json::from_str(text) {
            Ok(value) => Document::Json(value),
            Err(_) => Document::Text(text.to_string()),
        };
    }
    let mut value = base_of(function);
    merge(&mut value, patch);
    Document::Json(value)
}

fn merge(target: &mut Value, patch: &Value) {
    let (Some(target), Some(patch)) = (target.as_object_mut(), patch.as_object()) else {
        return;
    };
    for (key, value) in patch {
        if value == "<delete>" {
            target.remove(key);
        } else if value.is_object() && target.get(key).is_some_and(Value::is_object) {
            merge(target.get_mut(key).expect("present"), value);
        } else {
            target.insert(key.clone(), value.clone());
        }
    }
}

/// The issues of a document: severity, code and path.
fn issues(function: &str, document: &Document) -> Vec<(bool, String, String)> {
    let request = match document {
        Document::Json(value) => Request::from_json(value),
        Document::Text(text) => Request::from_text(text),
    };
    let issues = match request {
        Err(issue) => vec![issue],
        Ok(request) if function == "calculateInference" => api::validate_inference(&request),
        Ok(request) if function == "calculateMultiNode" => match api::multi_node(&request) {
            Ok(answer) => answer.warnings,
            Err(issues) => issues,
        },
        Ok(request) => api::validate(&request),
    };
    issues
        .into_iter()
        .map(|issue| (issue.is_error(), issue.code.to_string(), issue.path))
        .collect()
}

/// An engine that is not built yet refuses every request, beside whatever else is wrong with it.
fn without_engine(issues: Vec<(bool, String, String)>) -> Vec<(bool, String, String)> {
    issues
        .into_iter()
        .filter(|(_, code, path)| {
            let engine = path.starts_with("engine.") || path == "inference.engine_type";
            !(code == "not_available_yet" && engine)
        })
        .collect()
}

#[test]
fn every_row_is_met_or_open() {
    let mut failures = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows() {
        let function = row["function"].as_str().expect("function");
        if function == ON_THE_NETWORK {
            *counts.entry("on the network").or_default() += 1;
            continue;
        }
        *counts.entry("met").or_default() += 1;
        if function == "preset" {
            if api::preset("nope").is_some() {
                failures.push("preset nope".to_string());
            }
            continue;
        }
        if ["calculateMultiNode", "exportConfig", "importHfConfig"].contains(&function) {
            if let Err(why) = called(function, &row) {
                failures.push(format!("{}: {why}", row["case"]));
            }
            continue;
        }
        let document = patched(function, &row["patch"]);
        if function == "optimizeBatchSize" {
            if let Err(why) = largest_batch(&document) {
                failures.push(format!("{}: {why}", row["case"]));
            }
            continue;
        }
        let found = issues(function, &document);
        let has = |error: bool, code: &Value| {
            found.iter().any(|(is_error, found_code, path)| {
                *is_error == error && code == found_code.as_str() && row["path"] == path.as_str()
            })
        };
        let met = match (row.get("error"), row.get("warning")) {
            (Some(code), _) => has(true, code),
            (_, Some(code)) => has(false, code) && !without_engine(found.clone()).iter().any(|issue| issue.0),
            _ => !without_engine(found.clone()).iter().any(|issue| issue.0),
        };
        if !met {
            failures.push(format!("{}: {found:?}", row["case"]));
        }
    }
    assert_eq!(failures, Vec::<String>::new());
    assert_eq!(counts.values().sum::<usize>(), 145);
}

/// Whether a call says what a row wants of it.
fn called(function: &str, row: &Value) -> Result<(), String> {
    let outcome = match function {
        "importHfConfig" => calls::run(function, &[nested(&row["patch"]["text"])]),
        "exportConfig" => {
            let Document::Json(mut request) = patched(function, &row["patch"]) else {
                return Err("no object".to_string());
            };
            let format = request.as_object_mut().and_then(|fields| fields.remove("format"));
            calls::run(function, &[format.unwrap_or_default(), request])
        }
        _ => {
            let Document::Json(mut request) = patched(function, &row["patch"]) else {
                return Err("no object".to_string());
            };
            // Pipelines are refused beside stage 3, which is another row's business (P6).
            if request["parallelism"]["pipeline_parallel_size"] == 2 {
                request["engine"] = json!({"type": "megatron_lm"});
            }
            calls::run(function, &[request])
        }
    };
    match (row.get("error"), outcome) {
        (None, Ok(_)) => Ok(()),
        (None, Err(fault)) => Err(format!("{fault:?}")),
        (Some(code), Err(fault)) => {
            // A file without fields of an architecture is missing all of them.
            let no_model = code == "invalid_config" && fault.kind.key() == "invalid_config";
            let named = fault
                .issues
                .iter()
                .any(|issue| code == issue.code && row["path"] == issue.path.as_str());
            (named || no_model)
                .then_some(())
                .ok_or_else(|| format!("{fault:?}"))
        }
        (Some(_), Ok(answer)) => Err(format!("answered: {answer}")),
    }
}

/// A configuration whose text model stands below, in full; other texts as they are.
fn nested(text: &Value) -> Value {
    match text.as_str() {
        Some(text) if text.contains("{...}") => json!({"model_type": "gemma3", "text_config": {
            "model_type": "gemma3_text", "vocab_size": 262_208, "hidden_size": 2560, "intermediate_size": 10_240,
            "num_hidden_layers": 34, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
        }}),
        _ => text.clone(),
    }
}

/// The multi-node question of the compatibility data, changed.
fn traffic(patch: Value) -> Value {
    let Document::Json(request) = patched("calculateMultiNode", &patch) else {
        unreachable!("a patch of fields")
    };
    calls::run("calculateMultiNode", &[request]).unwrap_or_else(|fault| unreachable!("{fault:?}"))
}

/// Sum of a member of the rows that one predicate takes.
fn bytes(answer: &Value, key: &str, of: impl Fn(&Value) -> bool) -> u64 {
    let rows = answer["traffic"].as_array().expect("traffic");
    rows.iter()
        .filter(|row| of(row))
        .map(|row| row[key].as_u64().expect("bytes"))
        .sum()
}

#[test]
fn fields_of_the_multi_node_question_that_were_dropped_have_an_effect() {
    let between = |answer: &Value| {
        bytes(answer, "node_bytes_per_step", |row| {
            row["nodes"].as_u64() > Some(1)
        })
    };
    assert_eq!(between(&traffic(json!({"node_config": {"num_nodes": 1}}))), 0);
    let slow = traffic(json!({}));
    let fast = traffic(json!({"node_config": {"interconnect_bandwidth_gbps": 400}}));
    assert_eq!(between(&slow), between(&fast));
    assert!(between(&slow) > 0);
    let time = |answer: &Value| answer["step"]["parts"].clone();
    assert_ne!(time(&slow), time(&fast));
    let pipeline = |length: u64| {
        let patch = json!({"training": {"seq_length": length}, "parallelism": {"pipeline_parallel_size": 2}, "engine": {"type": "megatron_lm", "zero_stage": "<delete>"}});
        bytes(&traffic(patch), "bytes_per_step", |row| {
            row["collective"]
                .as_str()
                .is_some_and(|name| name.contains("point"))
        })
    };
    assert_eq!(pipeline(131_072), 32 * pipeline(4096));
    assert!(pipeline(4096) > 0);
}

/// Whether the largest micro-batch is the true one, or null with the reason and what is missing.
fn largest_batch(document: &Document) -> Result<(), String> {
    let Document::Json(value) = document else {
        return Err("no object".to_string());
    };
    let request = Request::from_json(value).map_err(|issue| issue.message)?;
    let found = api::optimize_batch_size(&request).map_err(|issues| format!("{issues:?}"))?;
    let fits = |batch: u64| {
        let with = request.clone().with(api::InputId::BatchSize, batch);
        api::calculate(&with).is_ok_and(|answer| answer.fits_on_gpu)
    };
    let right = match found.max_batch_size {
        None => {
            !fits(1) && found.reason.is_some() && found.shortfall_bytes.is_some_and(|bytes| bytes.get() > 0)
        }
        Some(batch) => batch > 512 && fits(batch) && !fits(batch + 1),
    };
    right
        .then_some(())
        .ok_or_else(|| format!("{:?}", found.max_batch_size))
}

/// The request on an engine that is built.
fn on_ddp(patch: Value) -> Request {
    let mut value = base();
    value["engine"] = json!({"type": "pytorch_ddp"});
    merge(&mut value, &patch);
    Request::from_json(&value).expect("a request")
}

/// Everything that decides the answer.
fn job(patch: Value) -> String {
    match api::job(&on_ddp(patch.clone()), api::Strictness::default()) {
        Ok(job) => format!("{:?} {:?} {:?}", job.training, job.card, job.mesh),
        Err(issues) => unreachable!("{patch}: {issues:?}"),
    }
}

#[test]
fn a_correct_request_has_no_issues() {
    assert_eq!(api::validate(&on_ddp(json!({}))), []);
}

#[test]
fn spellings_of_one_value_give_one_answer() {
    for (left, right) in [
        (json!({"model": {"num_layers": "32"}}), json!({})),
        (
            json!({"model": {"vocab_size": null}}),
            json!({"model": {"vocab_size": 32000}}),
        ),
        (json!({"training": {"optimizer": "AdamW"}}), json!({})),
        (
            json!({"training": {"optimizer": "ADAM"}}),
            json!({"training": {"optimizer": "adam"}}),
        ),
        (
            json!({"training": {"optimizer": "adamw-8bit"}}),
            json!({"training": {"optimizer": "adamw_8bit"}}),
        ),
        (
            json!({"training": {"dtype": "bfloat16"}}),
            json!({"training": {"dtype": "BF16"}}),
        ),
        (
            json!({"training": {"dtype": "float16"}}),
            json!({"training": {"dtype": "fp16"}}),
        ),
        (
            json!({"training": {"dtype": "float32"}}),
            json!({"training": {"dtype": "fp32"}}),
        ),
        (json!({"engine": {"type": "ddp", "zero_stage": null}}), json!({})),
        (json!({"engine": {"type": "pytorch"}}), json!({})),
        (json!({"hardware": {"num_gpus": "8"}}), json!({})),
        (json!({"parallelism": {"data_parallel_size": null}}), json!({})),
        (
            json!({"parallelism": {"data_parallel_size": "<delete>"}}),
            json!({}),
        ),
        (
            json!({"model": {"moe_enabled": true, "num_experts": "8", "top_k": 2, "expert_intermediate_size": 512}}),
            json!({"model": {"moe_enabled": true, "num_experts": 8, "top_k": 2, "expert_intermediate_size": 512}}),
        ),
    ] {
        assert_eq!(job(left.clone()), job(right), "{left}");
    }
}

#[test]
fn accepted_fields_change_the_answer() {
    for patch in [
        json!({"model": {"num_key_value_heads": 8, "intermediate_size": 11008}}),
        json!({"model": {"num_attention_heads": 96, "head_dim": 128, "intermediate_size": 11008}}),
        json!({"model": {"moe_enabled": true, "num_experts": 384, "top_k": 8, "expert_intermediate_size": 2048}}),
        json!({"model": {"moe_enabled": true, "num_experts": 512, "top_k": 10, "expert_intermediate_size": 512}}),
    ] {
        assert_ne!(job(patch.clone()), job(json!({})), "{patch}");
    }
}

#[test]
fn only_model_and_training_are_answered_for_one_gpu() {
    let mut value = base();
    for section in ["parallelism", "engine", "hardware"] {
        value.as_object_mut().expect("object").remove(section);
    }
    let request = Request::from_json(&value).expect("request");
    let job = api::job(&request, api::Strictness::default()).expect("valid");
    assert_eq!(job.mesh.gpus, 1);
    assert_eq!(job.card.gpu.id, "h100-sxm-80gb");
    let assumed: Vec<_> = job
        .warnings
        .iter()
        .map(|issue| (issue.code, issue.path.as_str()))
        .collect();
    assert_eq!(assumed, [("assumed", "engine"), ("assumed", "hardware")]);
}

#[test]
fn two_mistakes_are_reported_at_once() {
    let request = on_ddp(json!({"model": {"num_layers": -5}, "training": {"dtype": "bf61"}}));
    let issues = api::validate(&request);
    let paths: Vec<_> = issues.iter().map(|issue| issue.path.as_str()).collect();
    assert!(
        paths.contains(&"model.num_layers") && paths.contains(&"training.dtype"),
        "{paths:?}"
    );
}

#[test]
fn strict_reading_refuses_unknown_keys() {
    let request = on_ddp(json!({"model": {"num_hidden_layres": 32}}));
    assert!(api::job(&request, api::Strictness::default()).is_ok());
    let strict = api::Strictness { unknown_fields: true };
    let issues = api::job(&request, strict).expect_err("refused");
    assert_eq!(
        (issues[0].code, issues[0].path.as_str()),
        ("unknown_field", "model.num_hidden_layres")
    );
}

/// The inference request of the compatibility data with a patch: the answer, or the codes and paths of what is wrong.
fn served(patch: Value) -> Result<Value, Vec<(String, String)>> {
    let Document::Json(value) = patched("calculateInference", &patch) else {
        unreachable!("a patch of fields")
    };
    let request = Request::from_json(&value).expect("a request");
    match api::calculate_inference(&request) {
        Ok(answer) => Ok(json!(answer)),
        Err(issues) => Err(issues
            .into_iter()
            .filter(api::Issue::is_error)
            .map(|issue| (issue.code.to_string(), issue.path))
            .collect()),
    }
}

#[test]
fn spellings_of_one_inference_value_give_one_answer() {
    for (key, left, right) in [
        ("engine_type", "VLLM", json!("vllm")),
        ("engine_type", "trtllm", json!("tensorrt_llm")),
        ("engine_type", "tensorrt-llm", json!("tensorrt_llm")),
        ("engine_type", "transformers", json!("huggingface")),
        ("kv_cache_quantization", "FP8", json!("fp8")),
        ("kv_cache_quantization", "fp16", json!("none")),
        ("kv_cache_quantization", "auto", json!("none")),
    ] {
        // The default share of a card is no share for an engine that takes none.
        let with = |value: Value| json!({"inference": {"gpu_memory_utilization": null, key: value}});
        assert_eq!(served(with(json!(left))), served(with(right)), "{key} {left}");
    }
    let default = json!({"inference": {"engine_type": null}});
    assert_eq!(
        served(default),
        served(json!({"inference": {"engine_type": "huggingface"}}))
    );
}

#[test]
fn inference_fields_that_were_dropped_have_an_effect() {
    let of = |inference: Value, key: &str| {
        let answer = served(json!({ "inference": inference })).expect("an answer");
        answer["breakdown"][key].as_u64().expect("bytes")
    };
    // 32 layers of 32 heads of 128, keys and values of two bytes: 512 KiB per token.
    assert_eq!(of(json!({"max_seq_len": 1024}), "kv_cache_bytes"), 1024 * 524_288);
    assert!(
        of(json!({"vllm_quantization": "awq"}), "model_params_bytes")
            < of(json!({}), "model_params_bytes") / 2
    );
}

/// Every issue of the compatibility data and of every input at its first value that is out of order.
fn all_issues() -> Vec<api::Issue> {
    let mut all = Vec::new();
    for row in rows() {
        let asked = match patched("calculate", &row["patch"]) {
            Document::Json(value) => Request::from_json(&value),
            Document::Text(text) => Request::from_text(&text),
        };
        match asked {
            Err(issue) => all.push(issue),
            Ok(request) => all.extend(api::validate(&request)),
        }
    }
    let wrong = [
        json!(-1),
        json!("no such value"),
        json!(1.5),
        json!(1e300),
        json!([]),
        json!(true),
    ];
    for input in api::INPUTS
        .iter()
        .filter(|input| input.section != api::Section::Inference)
    {
        for value in &wrong {
            let request = on_ddp(json!({})).with(input.id, value.clone());
            let found = api::validate(&request);
            all.extend(found.into_iter().filter(|issue| issue.path == input.key));
        }
    }
    let file: Value = serde_json::from_str(include_str!("inputs/changes.json")).expect("valid JSON");
    for (key, change) in file["changes"].as_object().expect("changes") {
        let mut question = file["questions"][change["on"].as_str().expect("a question")].clone();
        let (section, field) = key.split_once('.').expect("a section");
        question[section][field] = change["to"].clone();
        all.extend(api::validate(&Request::from_json(&question).expect("a request")));
    }
    all
}

#[test]
fn every_message_is_a_sentence_for_a_person() {
    let all = all_issues();
    assert!(all.len() > 500, "{}", all.len());
    let mut faults = Vec::new();
    for issue in &all {
        let sentences = [Some(&issue.message), issue.hint.as_ref()];
        for text in sentences.into_iter().flatten() {
            let ends = text.ends_with(['.', '?']);
            let starts = text.chars().next().is_some_and(|first| !first.is_lowercase()) || {
                // A message may begin with the name of a field, or with what was given.
                text.split_whitespace()
                    .next()
                    .is_some_and(|word| word.contains(['.', '_']) || word == "true")
            };
            let raw = ["Some(", "None", "{:", "Ok(", "Err(", "InputId", "::", "NaN", "  "];
            if !ends || !starts || text.len() < 12 || raw.iter().any(|word| text.contains(word)) {
                faults.push(format!("{} {}: {text}", issue.code, issue.path));
            }
        }
        // What is out of range, of the wrong type or unknown is quoted, so that it is found; a whole document and a list are
        // not repeated.
        let quoted = !issue.path.is_empty()
            && issue.path != "model.layer_types"
            && matches!(
                issue.code,
                "out_of_range" | "wrong_type" | "unknown_value" | "not_whole"
            );
        if quoted && issue.value.is_none() && issue.allowed.is_empty() {
            faults.push(format!(
                "{} {}: no value: {}",
                issue.code, issue.path, issue.message
            ));
        }
    }
    faults.sort();
    faults.dedup();
    assert_eq!(faults, Vec::<String>::new());
}
