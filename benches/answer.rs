//! How long one answer takes natively: the ledger of a dense, a mixed and a hybrid model, and a whole answer with it.

// A benchmark says what it expected by panicking.
#![allow(clippy::expect_used)]

use gpu_mem_calc::api::{self, Request, Strictness};
use gpu_mem_calc::training::{TrainingJob, evaluate};
use serde_json::{Map, Value, json};

const MODELS: [&str; 3] = ["llama-3-70b", "deepseek-v3", "qwen3-next-80b-a3b"];

fn main() {
    divan::main();
}

fn request(model: &str) -> Request {
    let sections = json!({
        "model": { "id": model },
        "training": { "batch_size": 1, "seq_length": 4096 },
        "engine": { "type": "fsdp" },
        "hardware": { "num_gpus": 64, "gpu": "h100-sxm-80gb" },
    });
    let text = Value::Object(sections.as_object().cloned().unwrap_or_else(Map::new)).to_string();
    Request::from_text(&text).expect("a request")
}

fn job(model: &str) -> TrainingJob {
    api::job(&request(model), Strictness::default())
        .expect("a valid request")
        .training
}

/// The ledger of a step.
#[divan::bench(args = MODELS)]
fn ledger(bencher: divan::Bencher<'_, '_>, model: &str) {
    let job = job(model);
    bencher.bench(|| evaluate(divan::black_box(&job)));
}

/// A request from validation to answer.
#[divan::bench(args = MODELS)]
fn answer(bencher: divan::Bencher<'_, '_>, model: &str) {
    let request = request(model);
    bencher.bench(|| api::calculate(divan::black_box(&request)));
}
