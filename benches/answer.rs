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

use gpu_mem_calc::api::{self, Request, Strictness};
use gpu_mem_calc::hardware::{MemorySetup, find};
use gpu_mem_calc::inference::vllm::{Device, Job, newest, start};
use gpu_mem_calc::memory::Interval;
use gpu_mem_calc::model::catalogue;
use gpu_mem_calc::training::{
    Engine, HostMemory, Optimizer, OptimizerImplementation, Prepared, Recomputation, TrainingJob, evaluate,
};
use gpu_mem_calc::units::Bytes;
use serde_json::{Map, Value, json};

const MODELS: [&str; 4] = [
    "llama-3-70b",
    "deepseek-v3",
    "qwen3-next-80b-a3b",
    "llama-3.1-405b",
];

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

/// Settings as a search goes through them, drawn without a pattern from 36,864 combinations of batch (1 to 16), sequence
/// length, recomputation, GPUs (8 to 1,024), engine, optimizer and accumulation. Network, precision and kernels are the same
/// for all, so what the engine holds and what the passes hold comes back in many of them.
fn settings(model: &str) -> Vec<TrainingJob> {
    let base = job(model);
    let engines = [
        Engine::Fsdp2 {
            reshard_after_forward: true,
            replicas: 1,
            offload: HostMemory::None,
            resharded_to: None,
        },
        Engine::Fsdp2 {
            reshard_after_forward: false,
            replicas: 1,
            offload: HostMemory::None,
            resharded_to: None,
        },
        Engine::Fsdp1 {
            reshard_after_forward: true,
            replicas: 1,
            offload: HostMemory::None,
            prefetch: true,
            forward_prefetch: false,
            limited: true,
            original: true,
        },
        Engine::Ddp { bucket_view: false },
    ];
    let optimizers = [
        (Optimizer::AdamW, OptimizerImplementation::Fused),
        (Optimizer::AdamW, OptimizerImplementation::Foreach),
        (Optimizer::Adafactor, OptimizerImplementation::Fused),
    ];
    let mut all = Vec::new();
    for number in 0..40_000_u64 {
        let mut rest = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) >> 20;
        let mut next = |choices: u64| {
            let choice = rest % choices;
            rest /= choices;
            choice
        };
        let (optimizer, implementation) = *pick(&optimizers, next(3));
        all.push(TrainingJob {
            micro_batch: 1 + next(16),
            sequence_length: 1024 << next(4),
            recomputation: *pick(
                &[
                    Recomputation::None,
                    Recomputation::Full,
                    Recomputation::Operations,
                ],
                next(3),
            ),
            data_parallel: 8 << next(8),
            engine: *pick(&engines, next(4)),
            accumulation_steps: 1 + next(2),
            optimizer,
            implementation,
            ..base.clone()
        });
    }
    all
}

fn pick<T>(from: &[T], place: u64) -> &T {
    usize::try_from(place)
        .ok()
        .and_then(|place| from.get(place))
        .expect("something to pick")
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
