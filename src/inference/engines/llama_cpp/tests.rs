//! Worked examples: files, caches and buffers by hand, each as a log printed it.

use std::sync::Arc;

use super::cache::{bytes, cells, context, state};
use super::mix::Mix;
use super::options::{Latent, Options};
use super::start::{Prepared, Start, start};
use super::tensors::{GgufTensor, LatentTensors, tensors};
use super::types::GgmlType;
use crate::inference::engines::Engine;
use crate::inference::job::{CacheType, Device, InferenceJob};
use crate::inference::weights::Quantisation;
use crate::memory::Interval;
use crate::model::{Mixer, Network, catalogue};
use crate::units::{Bytes, DType};

fn network(id: &str) -> Network {
    catalogue::find(id)
        .and_then(catalogue::Entry::network)
        .expect("a model of the catalogue")
}

fn options(mix: &str) -> Options {
    let mut options = Options::usual(1);
    options.file.mix = Mix::find(mix).expect("a mix");
    options
}

#[track_caller]
fn file(id: &str, mix: &str, latent: LatentTensors, expected: u64) {
    let mut choice = options(mix).file;
    choice.latent = latent;
    let found: u64 = tensors(&network(id), &choice).iter().map(GgufTensor::bytes).sum();
    // Rotary factors of 64 floats are not among a network's tensors.
    assert!(
        found <= expected && expected - found <= 256,
        "{id} {mix}: {found} instead of {expected}"
    );
}

#[test]
fn files_are_as_large_as_they_are_published() {
    use LatentTensors::{Both, Joint, Split};
    file("llama-2-13b", "Q8_0", Split, 13_830_574_080);
    file("llama-3.1-8b", "Q4_0", Split, 4_653_375_488);
    file("qwen3-4b", "BF16", Split, 8_045_328_384);
    file("qwen3-30b-a3b", "Q4_K_M", Split, 18_550_716_416);
    file("qwen3-235b-a22b", "Q8_0", Split, 249_934_100_480);
    file("qwen3-235b-a22b", "Q6_K", Split, 193_009_489_920);
    file("qwen3-235b-a22b", "Q4_K_M", Split, 142_148_069_376);
    file("deepseek-r1", "Q8_0", Joint, 713_281_210_368);
    file("deepseek-v3", "Q8_0", Both, 714_368_583_680);
    file("deepseek-r1", "F16", Both, 1_344_314_562_560);
    file("kimi-k2", "Q8_0", Both, 1_091_590_588_416);
    file("deepseek-v2-lite", "Q4_K_M", Joint, 10_360_420_352);
    file("gemma-3-27b", "Q4_K_M", Split, 16_540_125_824);
    file("glm-4.7-flash", "BF16", Split, 59_899_361_792);
}

#[track_caller]
fn cached(id: &str, context: u64, change: impl Fn(&mut Options), expected: u64) {
    let mut options = options("Q8_0");
    change(&mut options);
    let network = network(id);
    let cells = cells(context, 1024, 1, &options);
    let sum: u64 = network
        .layers()
        .map(|layer| {
            let (keys, values) = bytes(layer, cells, &options);
            keys + values
        })
        .sum();
    assert_eq!(sum, expected, "{id}");
}

#[test]
fn caches_by_hand() {
    let plain = |_: &mut Options| {};
    cached("qwen2.5-1.5b", 4096, plain, 112 << 20);
    cached("qwen2.5-1.5b", 32_768, plain, 896 << 20);
    cached("qwen2.5-3b", 4096, plain, 144 << 20);
    cached("qwen3-235b-a22b", 65_536, plain, 12_032 << 20);
    let q8 = |options: &mut Options| {
        let kind = GgmlType::find("q8_0").expect("a type");
        (options.type_k, options.type_v) = (kind, kind);
    };
    cached("qwen3-235b-a22b", 16_384, q8, 1598 << 20);
    cached("gemma-3-27b", 32_768, |options| options.fork = true, 15_872 << 20);
    cached("deepseek-r1", 32_768, plain, 2196 << 20);
    let twice = |options: &mut Options| options.latent = Latent::WithValues;
    cached("deepseek-r1", 16_384, twice, 2074 << 20);
    let every = |options: &mut Options| options.latent = Latent::PerHead;
    cached("deepseek-r1", 512, every, (1464 + 976) << 20);
    cached("kimi-k2", 512, every, (732 + 488) << 20);
    let mixed = |options: &mut Options| {
        options.type_k = GgmlType::find("iq4_nl").expect("a type");
    };
    cached("llama-3.1-8b", 1024, mixed, (18 + 64) << 20);
}

#[test]
fn cells_of_windows_by_hand() {
    let with = |ubatch: u64| Options {
        ubatch,
        ..options("F16")
    };
    assert_eq!(cells(65_536, 128, 1, &with(128)).window, 256);
    assert_eq!(cells(65_536, 128, 1, &with(512)).window, 768);
    assert_eq!(cells(65_536, 128, 1, &with(2048)).window, 2304);
    assert_eq!(cells(65_536, 1024, 4, &with(512)).window, 4608);
    let full = Options {
        swa_full: true,
        ..options("F16")
    };
    assert_eq!(cells(65_536, 128, 1, &full).window, 65_536);
}

#[test]
fn a_context_is_rounded_up() {
    let old = Options {
        build: 4701,
        flash: false,
        ..options("F16")
    };
    assert_eq!(context(1000, 1, &old), 1024);
    assert_eq!(context(1001, 1, &options("F16")), 1024);
    let apart = Options {
        unified: false,
        ..options("F16")
    };
    assert_eq!(context(1000, 3, &apart), 3 * 512);
}

#[test]
fn a_state_by_hand() {
    let mixer = Mixer::GatedDelta {
        key_heads: 16,
        value_heads: 32,
        key_dim: 128,
        value_dim: 128,
        conv: 4,
    };
    assert_eq!(state(&mixer), (3 * (4096 + 4096) + 128 * 4096) * 4);
}

fn started(id: &str, tokens: u64, gpus: usize, change: impl Fn(&mut Options)) -> Start {
    let mut options = options("Q8_0");
    options.place.gpus = gpus;
    change(&mut options);
    let network = Arc::new(network(id));
    let job = InferenceJob {
        network: network.clone(),
        engine: Engine::LlamaCpp(Box::new(options.clone())),
        weights: Quantisation::none(),
        compute: DType::Fp16,
        cache: CacheType::Compute,
        sequences: 1,
        prompt: tokens - 1,
        new_tokens: 1,
        shared_prefix: 0,
        tensor: 1,
        pipeline: gpus as u64,
        device: Device {
            name: "test".into(),
            total: Interval::exact(Bytes::from_gib(80.0)),
            driver: Bytes::from_gib(80.0),
            usable: Bytes::from_gib(80.0),
            capability: 90,
            nvidia: true,
            unified: false,
        },
    };
    start(&job, &options, &Prepared::new(&network, &options))
}

#[track_caller]
fn buffers(found: &Start, expected: &[f64]) {
    for (gpu, mib) in found.gpus.iter().zip(expected) {
        let bytes = gpu.compute.expected.get() as f64 / f64::from(1_u32 << 20);
        assert!((bytes - mib).abs() < 0.2, "{bytes} instead of {mib} MiB");
    }
}

/// Compute buffers as logs print them (tests/measured/serving.jsonl: gguf-066, 072, 013, 062, 011).
#[test]
fn compute_buffers_as_they_are_printed() {
    let batch = |tokens: u64| {
        move |options: &mut Options| {
            options.fork = true;
            options.ubatch = tokens;
            options.batch = tokens;
        }
    };
    buffers(
        &started("qwen3-235b-a22b", 16_384, 2, batch(512)),
        &[144.0, 312.75],
    );
    buffers(&started("qwen3-235b-a22b", 32_768, 1, batch(512)), &[312.75]);
    let whole = |options: &mut Options| {
        options.swa_full = true;
        options.build = 5_200;
    };
    buffers(&started("gemma-3-27b", 32_768, 1, whole), &[522.62]);
    buffers(&started("qwen3-4b", 4096, 1, batch(4096)), &[2454.0]);
}

/// Experts on the host: the largest of their tensors is copied for the prompt (gguf-068: 630 MiB beside the graph's 144).
#[test]
fn experts_of_the_host_are_copied_one_tensor_at_a_time() {
    let found = started("qwen3-235b-a22b", 16_384, 1, |options| {
        options.file.mix = Mix::find("Q6_K").expect("a mix");
        options.place.cpu_moe = 94;
        options.outputs = Some(1);
        options.build = 5_200;
    });
    buffers(&found, &[774.0]);
}

/// Of a layer of Llama 3.1 8B with 512 tokens and no logits: the stream, its norm, and gate, up and their product, which before build
/// 5780 took the place of the gate.
#[test]
fn gate_and_up_are_multiplied_into_a_tensor_of_their_own() {
    let found = |build: u64, cells: u64| {
        let started = started("llama-3.1-8b", cells, 1, |options| {
            options.build = build;
            options.outputs = Some(1);
        });
        started.gpus.first().expect("a GPU").compute.expected
    };
    let (before, after) = (found(5_700, 4096), found(5_800, 4096));
    let product = Bytes::new(4 * 512 * 14_336);
    let more = after.saturating_sub(before);
    assert!(
        more <= product && more >= product.scaled(0.7),
        "{} more",
        more.get()
    );
    // Masks in 16 bits for 512 x 65,536 pairs, and no copy in 32.
    let (wide, narrow) = (found(9_300, 65_536), found(9_400, 65_536));
    assert!(narrow < wide, "{} {}", narrow.get(), wide.get());
}

/// Two sequences and three drafts: the limits that the engine's own test states (ggml-org/llama.cpp `tests/test-arg-parser.cpp`).
#[test]
fn logits_of_as_many_tokens_as_sequences_can_want() {
    let mut options = Options::usual(1);
    assert_eq!(options.output_rows(2), Some(2));
    options.drafts = 3;
    assert_eq!(options.output_rows(2), Some(8));
    options.build = 9_297;
    assert_eq!(options.output_rows(2), None);
    let found = |build: u64| {
        let started = started("llama-3.1-8b", 4096, 1, |options| options.build = build);
        started.gpus.first().map(|gpu| gpu.compute.expected)
    };
    let (before, after) = (found(9_297).expect("a GPU"), found(9_592).expect("a GPU"));
    // Logits of 512 tokens, the normed rows, the mask and positions gave way to the widest layer.
    assert_eq!(before, Bytes::new(4 * 512 * (128_256 + 4096 + 4096 + 1)));
    assert!(after < before.scaled(0.5), "{} {}", before.get(), after.get());
}
