//! Worked examples of TGI: the pool by version, cells, the identity of a monitor's reading.

use super::release::release;
use super::start::{cell, tokens};
use super::*;
use crate::inference::Engine;
use crate::inference::Version;
use crate::inference::job::{CacheType, Device};
use crate::inference::weights::Quantisation;
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

/// 80 GiB, 20 free, blocks of 16, Llama 3 8B, a prefill of 4096 tokens.
#[track_caller]
fn pool(version: Version, expected: u64) {
    let mut options = Options::new(release(version).expect("a release"));
    options.prefill = Some(4096);
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
