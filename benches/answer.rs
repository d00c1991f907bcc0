//! How long one answer takes natively: the ledger of a dense, a mixed and a hybrid model, and a whole answer with it.
//!
//! Medians at the highest optimisation level, on one of two shared cores (2026-11-27). The ledger of a training step, in microseconds:
//! 52 (llama-3-70b), 65 (llama-3.1-405b, 126 layers), 82 (qwen3-next-80b-a3b), 82 (deepseek-v3). Peaks alone of 40,000 settings, in
//! thousands a second: 447, 451, 443, 460 in the same order; one setting of which nothing is known takes 48, 59, 70, 70 microseconds.
//!
//! Medians of a whole inference answer at the highest optimisation level, on one of two shared cores (2026-11-27), in microseconds:
//! vLLM 44 (llama-3-70b), 47 (llama-3.1-405b), 74 (qwen3-next-80b-a3b), 97 (deepseek-v3); Transformers 41, 34, 61, 45.

// A benchmark says what it expected by panicking.
#![allow(clippy::expect_used)]

mod settings;

use gpu_mem_calc::api::{self, Request};
use gpu_mem_calc::hardware::{MemorySetup, find};
use gpu_mem_calc::inference::vllm::{Device, Job, newest, start};
use gpu_mem_calc::memory::Interval;
use gpu_mem_calc::model::catalogue;
use gpu_mem_calc::training::{Prepared, evaluate};
use gpu_mem_calc::units::Bytes;
use serde_json::json;
use settings::{job, request, settings};

const MODELS: [&str; 4] = [
    "llama-3-70b",
    "deepseek-v3",
    "qwen3-next-80b-a3b",
    "llama-3.1-405b",
];

fn main() {
    divan::main();
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

/// Peaks of 40,000 settings of one network, nothing evaluated before.
#[divan::bench(args = MODELS, sample_count = 5)]
fn peaks(bencher: divan::Bencher<'_, '_>, model: &str) {
    let jobs = settings(model);
    bencher
        .counter(divan::counter::ItemsCount::new(jobs.len()))
        .bench(|| {
            let mut prepared = Prepared::new();
            jobs.iter().map(|job| prepared.peak(job).get()).max()
        });
}

/// All plans for a model on 256 H100s, from the question to the answer.
#[divan::bench(args = MODELS, sample_count = 5)]
fn plan(bencher: divan::Bencher<'_, '_>, model: &str) {
    let sections = json!({
        "model": { "id": model },
        "hardware": { "gpu": "h100-sxm-80gb", "num_gpus": 256 },
    });
    let request = Request::from_text(&sections.to_string()).expect("a request");
    bencher.bench(|| api::plan(divan::black_box(&request)));
}

/// The peak of one setting of which nothing is known.
#[divan::bench(args = MODELS)]
fn peak_alone(bencher: divan::Bencher<'_, '_>, model: &str) {
    let job = job(model);
    bencher.bench(|| Prepared::new().peak(divan::black_box(&job)));
}

/// An inference request under vLLM, from validation to answer: a start with its log, and capacity both ways.
#[divan::bench(args = MODELS)]
fn vllm(bencher: divan::Bencher<'_, '_>, model: &str) {
    let sections = json!({
        "model": { "id": model },
        "inference": { "engine_type": "vllm", "max_seq_len": 16384, "tensor_parallel_size": 2 },
        "hardware": { "num_gpus": 2, "gpu": "h100-sxm-80gb" },
    });
    let text = sections.to_string();
    let request = Request::from_text(&text).expect("a request");
    bencher.bench(|| api::calculate_inference(divan::black_box(&request)));
}

/// The same under Transformers: the peaks of both phases, and capacity both ways.
#[divan::bench(args = MODELS)]
fn transformers(bencher: divan::Bencher<'_, '_>, model: &str) {
    let sections = json!({
        "model": { "id": model },
        "inference": { "batch_size": 4, "prompt_tokens": 4096, "new_tokens": 512, "tensor_parallel_size": 2 },
        "hardware": { "num_gpus": 2, "gpu": "h100-sxm-80gb" },
    });
    let text = sections.to_string();
    let request = Request::from_text(&text).expect("a request");
    bencher.bench(|| api::calculate_inference(divan::black_box(&request)));
}

/// The start alone.
#[divan::bench(args = MODELS)]
fn vllm_start(bencher: divan::Bencher<'_, '_>, model: &str) {
    let network = catalogue::find(model)
        .and_then(catalogue::Entry::network)
        .expect("a model");
    let gpu = find("h100-sxm-80gb").expect("a card");
    let total = Interval::exact(gpu.capacity(&MemorySetup::default()).expected);
    let device = Device::of(gpu, total, Bytes::ZERO);
    let mut job = Job::new(&network, newest().expect("a release"), device, 16_384);
    job.mesh.tensor = 2;
    bencher.bench(|| start(divan::black_box(&job)));
}
