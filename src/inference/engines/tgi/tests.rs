//! Worked examples of TGI: the pool by version, cells, the identity of a monitor's reading.

use super::release::release;
use super::start::{cell, tokens};
use super::*;
use crate::inference::Engine;
use crate::inference::Version;
use crate::inference::job::{CacheType, Device};
use crate::inference::weights::{Quantisation, WeightFormat};
use crate::model::catalogue;
use crate::units::DType;

fn asked(model: &str, tensor: u64, gib: f64, options: &Options) -> InferenceJob {
    let shared = catalogue::find(model)
        .and_then(catalogue::Entry::shared)
        .expect("a model of the catalogue");
    let total = Bytes::from_gib(gib);
    InferenceJob {
        network: shared.network.clone(),
        engine: Engine::Tgi(options.clone()),
        weights: Quantisation::none(),
        compute: DType::Bf16,
        cache: CacheType::Compute,
        sequences: 1,
        prompt: 100,
        new_tokens: 28,
        shared_prefix: 0,
        tensor,
        pipeline: 1,
        device: Device {
            name: "RTX 3090".into(),
            total: Interval::exact(total),
            driver: total,
            usable: total,
            capability: 86,
            nvidia: true,
            unified: false,
        },
    }
}

/// 80 GiB, 20 free, blocks of 16, Llama 3 8B, a prefill of 4096 tokens in one request.
#[track_caller]
fn pool(version: Version, expected: u64) {
    let mut options = Options::new(release(version).expect("a release"));
    options.prefill = Some(4096);
    options.input = Some(4096);
    options.length = Some(4097);
    options.block = Some(16);
    let job = asked("llama-3-8b", 1, 80.0, &options);
    let settings = Settings::of(&job, &options);
    let bytes = cell(&job, 0..job.network.order.len());
    assert_eq!(bytes * 16, 2_097_152);
    let found = tokens(
        &settings,
        options.release.of_card,
        Bytes::from_gib(20.0),
        Bytes::from_gib(80.0),
        bytes,
    );
    assert_eq!(found, expected);
}

#[test]
fn the_margin_is_one_of_the_free_memory_and_then_of_the_card() {
    pool(Version(2, 0, 0), 159_744);
    pool(Version(2, 4, 0), 151_552);
    pool(Version(3, 0, 0), 135_168);
    pool(Version(3, 3, 0), 102_400);
}

#[test]
fn a_token_has_its_bytes_on_each_shard() {
    let options = Options::new(release(Version(1, 0, 0)).expect("a release"));
    for (model, tensor, expected) in [
        ("llama-2-70b", 4, 81_920),
        ("llama-3.1-70b", 2, 163_840),
        ("llama-2-7b", 1, 524_288),
        ("llama-3-8b", 1, 131_072),
    ] {
        let job = asked(model, tensor, 80.0, &options);
        assert_eq!(cell(&job, 0..job.network.order.len()), expected, "{model}");
    }
}

#[test]
fn a_monitor_reads_weights_pool_and_context() {
    // tgi-018: 0.7 before the start, 38,928 tokens of Llama 3 8B, 21.1 after it.
    let options = Options::new(release(Version(1, 4, 0)).expect("a release"));
    let job = asked("llama-3-8b", 1, 23.7, &options);
    let found = start(&job, &options, &load(&job, &options));
    let pool = Bytes::new(found.cell) * 38_928;
    let sum = 0.7 + found.weights.expected.to_gib() + pool.to_gib() + found.outside.expected.to_gib();
    assert!((sum - 21.1).abs() < 0.3, "{sum}");
}

#[test]
fn a_prefill_that_does_not_fit_ends_the_start() {
    let mut options = Options::new(release(Version(3, 3, 0)).expect("a release"));
    options.prefill = Some(1 << 20);
    let job = asked("llama-3-8b", 1, 23.7, &options);
    let found = evaluate(&job, &options);
    assert_eq!(found.fit, Fit::DoesNotFit);
    let line = found.failure.expect("a line");
    assert!(
        line.starts_with("Not enough memory to handle 1048576 prefill tokens"),
        "{line}"
    );
}

#[track_caller]
fn warm(version: Version, set: impl Fn(&mut Options), prefill: u64, tokens: u64) {
    let mut options = Options::new(release(version).expect("a release"));
    options.block = Some(16);
    set(&mut options);
    let settings = Settings::of(&asked("llama-3-8b", 1, 80.0, &options), &options);
    assert_eq!(
        (settings.prefill, settings.warm),
        (prefill, tokens),
        "{version:?}"
    );
}

#[test]
fn the_warm_up_holds_the_blocks_of_its_requests() {
    // Four prompts of 1024 with one token more, then with room for 2048 each.
    warm(Version(1, 1, 0), |_| {}, 4096, 4 * 1040);
    warm(Version(1, 4, 0), |_| {}, 4096, 4 * 2048);
    // A prompt of 4095 and one of 50, each with room for 4096.
    warm(Version(2, 2, 0), |_| {}, 4145, 2 * 4096);
    // tgi-026: four prompts of 8000 and one of 768, with room for 8512.
    let given = |options: &mut Options| {
        options.input = Some(8000);
        options.length = Some(8512);
        options.prefill = Some(32_768);
    };
    warm(Version(2, 0, 0), given, 32_768, 5 * 8512);
    // One prompt of all tokens.
    warm(
        Version(3, 3, 0),
        |options| options.prefill = Some(8000),
        8000,
        8000,
    );
}

#[track_caller]
fn activations(version: Version, tensor: u64, format: WeightFormat, elements: u64) {
    let mut options = Options::new(release(version).expect("a release"));
    options.prefill = Some(4096);
    options.input = Some(4096);
    options.length = Some(4097);
    let mut job = asked("llama-3-8b", tensor, 80.0, &options);
    job.weights = Quantisation::by_default(format);
    let found = start(&job, &options, &load(&job, &options));
    assert_eq!(
        found.activations.expected,
        Bytes::new(4096 * 2 * elements),
        "{version:?}"
    );
}

#[test]
fn the_logits_of_a_prefill_follow_the_version() {
    // Hidden size 4096, feed-forward 14336, vocabulary 128256.
    let layer = 8 * 4096 + 4 * 14_336;
    let awq = WeightFormat::Awq { group: 128 };
    activations(Version(1, 4, 0), 1, WeightFormat::Plain, layer + 2 * 128_256);
    activations(Version(1, 4, 0), 1, awq, 8 * 4096 + 18 * 14_336 + 2 * 128_256);
    activations(
        Version(2, 0, 0),
        2,
        WeightFormat::Plain,
        8 * 4096 + 4 * 7168 + 5 * 64_128,
    );
    activations(Version(2, 4, 0), 1, WeightFormat::Plain, layer + 128_256);
    let mut options = Options::new(release(Version(3, 3, 0)).expect("a release"));
    options.prefill = Some(4096);
    let job = asked("llama-3-8b", 1, 80.0, &options);
    let found = start(&job, &options, &load(&job, &options));
    assert_eq!(
        found.activations.expected,
        Bytes::new(4096 * 2 * layer + 4 * 128_256)
    );
}
