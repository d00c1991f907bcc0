//! Questions of inference through the door, and what is read from their answers.

#![allow(dead_code, reason = "each test takes the helpers that it needs")]

use gpu_mem_calc::api::{self, InferenceAnswer, Request};
use serde_json::{Value, json};

/// The answer to a question that is one.
pub fn ask(value: Value) -> InferenceAnswer {
    let request = Request::from_json(&value).expect("a request");
    api::calculate_inference(&request).unwrap_or_else(|issues| unreachable!("{issues:?}"))
}

/// Code and field of each error of a question that is refused.
pub fn refused(value: Value) -> Vec<(String, String)> {
    let request = Request::from_json(&value).expect("a request");
    api::calculate_inference(&request)
        .expect_err("refused")
        .into_iter()
        .filter(api::Issue::is_error)
        .map(|issue| (issue.code.to_string(), issue.path))
        .collect()
}

/// The expected bytes of a part.
pub fn part(answer: &InferenceAnswer, id: &str) -> u64 {
    answer
        .parts
        .iter()
        .filter(|part| part.id == id)
        .map(|part| part.bytes.expected_bytes.get())
        .sum()
}

/// The bytes of an entry.
pub fn entry(answer: &InferenceAnswer, id: &str) -> u64 {
    let row = answer.ledger.iter().find(|row| row.id == id);
    row.expect("an entry of that id").unit_bytes.get()
}

/// The question with one value more.
pub fn with(mut value: Value, section: &str, key: &str, to: Value) -> Value {
    value[section][key] = to;
    value
}

/// Llama 3.1 8B under vLLM 0.33 on one card.
pub fn on_vllm(gpu: &str) -> Value {
    json!({"model": {"id": "llama-3.1-8b"}, "inference": {"engine_type": "vllm", "engine_version": "0.33.0", "max_seq_len": 8192},
        "hardware": {"gpu": gpu}})
}
