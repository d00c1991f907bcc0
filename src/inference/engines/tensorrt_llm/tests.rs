//! Worked examples of TensorRT-LLM: cells, pools from what is free, buffers, the trap of small models.

use super::release::release;
use super::start::Failure;
use super::start::{blocks, cell};
use super::*;
use crate::inference::Engine;
use crate::inference::Version;
use crate::inference::job::{CacheType, Device};
use crate::inference::weights::{Quantisation, WeightFormat};
use crate::model::catalogue;
use crate::units::DType;

fn options(version: Version) -> Options {
    Options::new(release(version).expect("a release"))
}

fn asked(model: &str, tensor: u64, cache: CacheType, options: &Options) -> InferenceJob {
    let shared = catalogue::find(model)
        .and_then(catalogue::Entry::shared)
        .expect("a model of the catalogue");
    let total = Bytes::from_gib(79.1);
    InferenceJob {
        network: shared.network.clone(),
        engine: Engine::TensorRtLlm(options.clone()),
        weights: Quantisation::none(),
        compute: DType::Fp16,
        cache,
        sequences: 1,
        prompt: 100,
        new_tokens: 28,
        shared_prefix: 0,
        tensor,
        pipeline: 1,
        device: Device {
            name: "H100".into(),
            total: Interval::exact(total),
            driver: total,
            usable: total,
            capability: 90,
            nvidia: true,
            unified: false,
        },
    }
}

#[track_caller]
fn token(model: &str, tensor: u64, cache: CacheType, expected: u64) {
    let options = options(Version(1, 0, 0));
    let job = asked(model, tensor, cache, &options);
    assert_eq!(cell(&job, 0..job.network.order.len()), expected, "{model}");
}

#[test]
fn a_token_has_its_bytes_on_each_rank() {
    token("llama-2-7b", 1, CacheType::Compute, 524_288);
    token("llama-2-7b", 1, CacheType::Fp8, 262_144);
    token("tinyllama-1.1b", 1, CacheType::Compute, 22_528);
    token("tinyllama-1.1b", 2, CacheType::Compute, 11_264);
    token("qwen3-0.6b", 1, CacheType::Compute, 114_688);
    token("llama-3.1-8b", 1, CacheType::Compute, 131_072);
    token("llama-3.1-8b", 1, CacheType::Fp8, 65_536);
    token("deepseek-v3", 8, CacheType::Fp8, 35_136);
}

/// Free GiB, fraction, bytes of a token, tokens of a block, tokens that the log prints; free memory has two decimals.
#[track_caller]
fn pool(free: f64, fraction: f64, token: u64, block: u64, printed: u64) {
    let found = blocks(Bytes::from_gib(free), fraction, token, block, None) * block;
    let tolerance = Bytes::from_gib(0.005 * fraction).get() / token;
    assert!(
        found.abs_diff(printed) <= tolerance,
        "{found} instead of {printed}"
    );
}

#[test]
fn the_pool_is_a_fraction_of_what_is_free() {
    pool(70.48, 0.9, 262_144, 64, 259_840);
    pool(17.83, 0.9, 65_536, 32, 263_008);
    pool(16.25, 0.45, 28_672, 32, 273_792);
    pool(8.73, 0.25, 12_288, 32, 190_656);
    pool(1.42, 0.9, 262_144, 64, 5_248);
    pool(21.89, 0.9, 524_288, 64, 40_384);
    // The PyTorch backend: of the total less the peak of its pass.
    let budget = Bytes::from_gib(139.81 - 91.46).scaled(0.85).to_gib();
    assert!((budget - 41.11).abs() < 0.02, "{budget}");
    // A bound of tokens goes before memory.
    assert_eq!(blocks(Bytes::from_gib(10.0), 0.9, 1 << 20, 32, Some(64)), 2);
}

#[test]
fn default_limits_cost_a_small_model_more_than_its_weights() {
    let mut options = options(Version(0, 12, 0));
    options.backend = Some(Backend::TensorRt);
    let mut job = asked("qwen2.5-0.5b", 1, CacheType::Compute, &options);
    job.weights = Quantisation::by_default(WeightFormat::Int8Channel);
    let loaded = load(&job, &options);
    let found = start(&job, &options, &loaded);
    // 875 MiB of weights, 5,898 MiB of decoder buffers in the published log (trt-025).
    let weights = found.weights.expected.to_gib() * 1024.0;
    assert!((weights - 875.0).abs() < 18.0, "{weights}");
    let decoder = found.decoder.expected.to_gib() * 1024.0;
    assert!((decoder - 5898.0).abs() < 100.0, "{decoder}");
    assert!(found.decoder.expected > found.weights.expected);
    options.batch = Some(1);
    let small = start(&job, &options, &loaded);
    assert!(small.decoder.expected < Bytes::from_mib(4));
    assert!(small.tokens() > found.tokens());
}

#[test]
fn padded_prompts_need_the_scores_of_a_layer() {
    let mut options = options(Version(0, 8, 0));
    options.batch = Some(24);
    options.input = Some(2200);
    options.length = Some(2300);
    let job = asked("llama-2-13b", 1, CacheType::Compute, &options);
    let loaded = load(&job, &options);
    let packed = start(&job, &options, &loaded).activations;
    options.packed = false;
    let padded = start(&job, &options, &loaded).activations;
    // 34,128 MiB in the published engine (trt-021), more than its weights.
    let mib = padded.expected.to_gib() * 1024.0;
    assert!((mib - 34_128.0).abs() < 2500.0, "{mib}");
    assert!(padded.expected > packed.expected);
}

#[test]
fn beams_share_the_prompt() {
    let mut options = options(Version(0, 12, 0));
    let job = asked("llama-2-7b", 1, CacheType::Compute, &options);
    let of = |options: &Options| wanted(&job, options, &start(&job, options, &load(&job, options)));
    assert_eq!(of(&options), 128);
    options.beams = 4;
    // 100 + 4 x 28 tokens in blocks of 64.
    assert_eq!(of(&options), 256);
}

#[test]
fn a_start_without_room_ends_with_the_allocator_s_error() {
    let options = options(Version(1, 0, 0));
    let mut job = asked("llama-3.1-70b", 1, CacheType::Compute, &options);
    job.device.usable = Bytes::from_gib(24.0);
    let found = evaluate(&job, &options);
    assert_eq!(found.fit, Fit::DoesNotFit);
    assert!(found.failure.expect("a line").contains("cudaMalloc"));
    assert_eq!(
        start(&job, &options, &load(&job, &options)).failure,
        Some(Failure::OutOfMemory)
    );
}
