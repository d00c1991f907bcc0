//! Questions to the servers beside vLLM through the door: what is refused, where capacity ends, the lines of a start.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, InferenceAnswer, Request};
use serde_json::{Value, json};

fn ask(value: Value) -> InferenceAnswer {
    let request = Request::from_json(&value).expect("a request");
    api::calculate_inference(&request).unwrap_or_else(|issues| unreachable!("{issues:?}"))
}

fn refused(value: Value) -> Vec<(String, String)> {
    let request = Request::from_json(&value).expect("a request");
    api::calculate_inference(&request)
        .expect_err("refused")
        .into_iter()
        .filter(api::Issue::is_error)
        .map(|issue| (issue.code.to_string(), issue.path))
        .collect()
}

fn with(mut value: Value, section: &str, key: &str, to: Value) -> Value {
    value[section][key] = to;
    value
}

fn sglang() -> Value {
    json!({"model": {"id": "llama-3.1-8b"}, "inference": {"engine_type": "sglang", "batch_size": 4, "max_seq_len": 2048},
        "hardware": {"gpu": "h100-sxm-80gb"}})
}

#[test]
fn what_sglang_cannot_run_is_refused_by_field() {
    let with = |key: &str, to: Value| with(sglang(), "inference", key, to);
    for (key, to, code) in [
        ("speculative_algo", json!("medusa"), "not_supported_by_engine"),
        ("kv_cache_quantization", json!("int4"), "not_supported_by_engine"),
        ("engine_version", json!("0.1.0"), "out_of_range"),
    ] {
        assert_eq!(
            refused(with(key, to)),
            [(code.to_string(), format!("inference.{key}"))]
        );
    }
    let mut odd = with("data_parallel_size", json!(3));
    odd["inference"]["enable_dp_attention"] = json!(true);
    odd["inference"]["tensor_parallel_size"] = json!(4);
    assert_eq!(
        refused(odd),
        [("not_divisible".into(), "inference.enable_dp_attention".into())]
    );
    assert_eq!(
        refused(with("speculative_algo", json!("standalone"))),
        [("missing".into(), "inference.draft_model".into())]
    );
}

#[test]
fn capacity_of_sglang_is_the_edge_in_every_direction() {
    for model in ["llama-3.1-8b", "gpt-oss-20b", "qwen3.5-27b", "deepseek-v2-lite"] {
        let question = with(sglang(), "model", "id", json!(model));
        let answer = ask(question.clone());
        let most = answer.max_supported_batch_size;
        assert!(most > 4, "{model}");
        assert!(ask(with(question.clone(), "inference", "batch_size", json!(most))).fits_on_gpu);
        assert!(!ask(with(question.clone(), "inference", "batch_size", json!(most + 1))).fits_on_gpu);
        let length = answer.max_context_len;
        assert!(
            ask(with(question.clone(), "inference", "max_seq_len", json!(length))).fits_on_gpu,
            "{model}: {length}"
        );
    }
}

#[test]
fn a_start_of_sglang_is_told_in_its_own_lines() {
    let lines = ask(sglang()).start_up;
    let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
    for start in [
        "Load weight begin. avail mem=",
        "Load weight end. avail mem=",
        "KV Cache is allocated. #tokens: ",
        "Memory pool end. avail mem=",
        "Capture cuda graph end. mem usage=",
        "max_total_num_tokens=",
    ] {
        assert!(has(start), "{start}: {lines:?}");
    }
}
