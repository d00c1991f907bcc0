//! Worked examples: weights to the byte, peaks, budgets, blocks and concurrency, against what published logs print.

use super::cache::Layout;
use super::format::{Mxfp4Kernel, WeightFormat};
use super::*;
use crate::inference::Version;
use crate::memory::Interval;
use crate::model::{Network, catalogue};
use crate::units::{Bytes, DType};

fn network(id: &str) -> Network {
    catalogue::find(id).and_then(|entry| entry.network()).expect(id)
}

fn version(text: &str) -> &'static Release {
    release(Version::parse(text).expect(text)).expect(text)
}

fn device(gib: f64, name: &str) -> Device {
    Device {
        total: Interval::exact(Bytes::from_gib(gib)),
        in_use: Bytes::ZERO,
        name: name.into(),
        capability: None,
        amd: false,
        unified: false,
    }
}

/// A start of a release on 80 GiB with the longest context that is usual.
fn job<'a>(network: &'a Network, release: &str, tensor: u64) -> Job<'a> {
    let mut job = Job::new(network, version(release), device(79.18, "h100"), 16_000);
    job.mesh.tensor = tensor;
    job
}

#[track_caller]
fn weighs(id: &str, positions: u64, tensor: u64, dtype: DType, raw: u64, allocated: u64) {
    let network = network(id);
    let mut job = job(&network, "0.11.0", tensor);
    job.dtype = dtype;
    job.positions = Some(positions);
    let found = start(&job).weight_parts;
    assert_eq!(
        (found.raw.get(), found.allocated.get()),
        (raw, allocated),
        "{id} on {tensor}: allocated {:.4} GiB",
        found.allocated.to_gib()
    );
}

#[test]
fn weights_are_exact_to_the_byte() {
    let bf16 = DType::Bf16;
    weighs("qwen2.5-7b", 32768, 1, bf16, 15_239_621_632, 15_299_390_464);
    weighs("qwen2.5-7b", 32768, 2, bf16, 7_624_209_408, 7_646_753_792);
    weighs("qwen2.5-7b", 32768, 4, bf16, 3_816_503_296, 3_816_772_608);
    weighs("llama-3-8b", 8192, 1, bf16, 16_062_619_648, 16_062_619_648);
    weighs("llama-3-8b", 8192, 2, bf16, 8_032_624_640, 8_034_721_792);
    weighs("llama-3-8b", 8192, 4, bf16, 4_017_627_136, 4_017_627_136);
    weighs("llama-3.1-8b", 131_072, 1, bf16, 16_094_076_928, 16_094_076_928);
    weighs("qwen2.5-14b", 32768, 1, bf16, 29_548_455_936, 29_600_884_736);
    weighs("qwen2.5-14b", 32768, 4, bf16, 7_394_150_400, 7_458_637_824);
    weighs("qwen2.5-32b", 32768, 4, bf16, 16_391_317_504, 16_527_108_096);
    weighs("llama-3.1-70b", 131_072, 8, bf16, 17_674_289_152, 17_674_289_152);
    weighs("qwen2.5-3b", 32768, 1, bf16, 6_180_265_984, 6_218_539_008);
    weighs(
        "tinyllama-1.1b",
        2048,
        1,
        DType::Fp32,
        4_400_717_824,
        4_400_717_824,
    );
    weighs("opt-125m", 2048, 1, DType::Fp16, 250_527_744, 256_488_448);
}

#[track_caller]
fn prints(id: &str, release: &str, tensor: u64, format: WeightFormat, positions: u64, gib: f64, within: f64) {
    let network = network(id);
    let mut job = job(&network, release, tensor);
    job.weights = format;
    job.positions = Some(positions);
    let found = start(&job).weights.expected.to_gib();
    assert!(
        (found - gib).abs() <= within,
        "{id} on {tensor} as {format:?}: {found:.4}, printed {gib}"
    );
}

#[test]
fn quantised_weights_are_near_what_is_printed() {
    let int4 = WeightFormat::Int4 {
        group: 128,
        zeros: true,
    };
    let marlin = WeightFormat::Mxfp4(Mxfp4Kernel::Marlin);
    let triton = WeightFormat::Mxfp4(Mxfp4Kernel::Triton);
    prints(
        "llama-3-8b",
        "0.7.0",
        1,
        WeightFormat::Fp8Tensor,
        8192,
        8.4596,
        0.0005,
    );
    prints(
        "llama-3.1-70b",
        "0.7.1",
        1,
        WeightFormat::Int8Channel,
        131_072,
        67.7229,
        0.0005,
    );
    prints("qwen2.5-14b", "0.13.0", 1, int4, 32768, 9.3795, 0.0005);
    prints("qwen2.5-32b", "0.13.0", 1, int4, 32768, 18.1425, 0.003);
    prints("gpt-oss-20b", "0.13.0", 1, marlin, 131_072, 13.7193, 0.001);
    prints("gpt-oss-120b", "0.10.1", 1, marlin, 131_072, 65.9651, 0.001);
    prints("gpt-oss-120b", "0.10.1", 4, marlin, 131_072, 17.2217, 0.002);
    prints("gpt-oss-20b", "0.11.0", 1, triton, 131_072, 13.47, 0.006);
    prints("gpt-oss-120b", "0.11.0", 1, triton, 131_072, 64.38, 0.025);
}

/// A rotary table four times as long, with and without towers, and scales repeated for Marlin.
#[test]
fn models_with_images_have_longer_tables() {
    let network = network("qwen3.6-35b-a3b");
    let mut job = Job::new(&network, version("0.26.0"), device(119.6, "nvidia gb10"), 131_072);
    assert_eq!(
        format!("{:.2}", start(&job).weights.expected.to_gib()),
        "64.69",
        "vllm-016"
    );
    job.weights = WeightFormat::Fp8Block;
    job.device.capability = Some(121);
    assert_eq!(
        format!("{:.2}", start(&job).weights.expected.to_gib()),
        "33.85",
        "vllm-017"
    );
    let dense = self::network("qwen3.5-27b");
    let mut four = Job::new(&dense, version("0.19.0"), device(24.0, ""), 32_768);
    four.mesh.tensor = 4;
    four.encoder_tokens = Some(16_384);
    assert_eq!(
        format!("{:.2}", start(&four).weights.expected.to_gib()),
        "13.01",
        "vllm-163"
    );
}

#[test]
fn latent_attention_keeps_absorbed_copies_in_16_bits() {
    prints(
        "deepseek-r1",
        "0.8.4",
        16,
        WeightFormat::Fp8Block,
        163_840,
        40.3174,
        0.01,
    );
}

#[track_caller]
fn peaks(id: &str, release: &str, v1: bool, tokens: u64, sequences: u64, dtype: DType, bytes: u64) {
    let network = network(id);
    let mut job = job(&network, release, 1);
    job.v1 = v1;
    job.dtype = dtype;
    job.batched_tokens = Some(tokens);
    job.sequences = Some(sequences);
    job.sampler = Some(SamplerKernel::Sort);
    let found = start(&job).profile;
    assert_eq!(found.peak.expected.get(), bytes, "{id}: {found:?}");
}

#[test]
fn the_dummy_pass_peaks_in_sampler_or_layer() {
    let bf16 = DType::Bf16;
    peaks("llama-3.1-8b", "0.11.0", true, 8192, 1024, bf16, 5_090_639_872);
    peaks("gpt-oss-20b", "0.11.0", true, 8192, 1024, bf16, 7_923_400_704);
    peaks("gpt-oss-120b", "0.11.0", true, 8192, 1024, bf16, 7_923_400_704);
    peaks("qwen2.5-7b", "0.8.1", false, 6600, 256, bf16, 1_536_319_488);
    peaks("qwen2.5-1.5b", "0.6.6", false, 4096, 256, bf16, 1_500_340_224);
    peaks("deepseek-v2-lite", "0.7.3", false, 2048, 256, bf16, 1_011_089_408);
    peaks(
        "tinyllama-1.1b",
        "0.9.1",
        false,
        2048,
        256,
        DType::Fp32,
        313_737_216,
    );
    peaks("llama-3.1-8b", "0.6.4", false, 20_000, 256, bf16, 2_211_840_000);
    peaks("llama-3.1-8b", "0.6.4", false, 29_000, 256, bf16, 3_207_168_000);
}

#[test]
fn the_budget_of_an_h100_is_what_its_log_prints() {
    let network = network("llama-3.1-8b");
    let job = job(&network, "0.10.2", 1);
    let found = start(&job);
    assert_eq!(
        (found.settings.batched_tokens, found.settings.sequences),
        (8192, 1024)
    );
    assert!(
        (Bytes::new(found.cache[1].unsigned_abs()).to_gib() - 51.38).abs() < 0.03,
        "{:?}",
        found.cache
    );
    assert_eq!(found.failure, None);
    assert_eq!(
        found.log.first().map(String::as_str),
        Some("Model loading took 14.9888 GiB")
    );
}

#[test]
fn an_engine_without_room_prints_its_error() {
    let network = network("qwen2.5-7b");
    let mut job = Job::new(&network, version("0.7.3"), device(8.0, "rtx 4060"), 4096);
    job.utilization = Some(0.7);
    job.weights = WeightFormat::Int4 {
        group: 128,
        zeros: true,
    };
    let found = start(&job);
    assert_eq!(found.failure, Some(Failure::NoBlocks));
    assert!(
        (found.cache[1] as f64 / 1_073_741_824.0 + 1.05).abs() < 0.2,
        "{:?}",
        found.cache
    );
    assert!(
        found
            .log
            .last()
            .is_some_and(|line| line.contains("No available memory for the cache blocks"))
    );
}

/// Blocks, tokens and concurrency of a pool of so many GiB.
#[track_caller]
fn holds(job: &Job<'_>, gib: f64, block_size: u64, blocks: Option<u64>, tokens: u64, concurrency: f64) {
    let settings = Settings::of(job);
    let layout = Layout::of(job, &settings, 0..job.network.order.len(), true);
    let pool = layout.pool(Bytes::from_gib(gib).get(), job);
    assert_eq!(layout.block_size, block_size, "{layout:?}");
    if let Some(blocks) = blocks {
        assert_eq!(pool.blocks, blocks, "{layout:?}");
    }
    let off = pool.tokens.abs_diff(tokens) as f64 / tokens as f64;
    assert!(
        off < 0.0006,
        "{} tokens, printed {tokens}: {layout:?}",
        pool.tokens
    );
    assert!(
        (pool.concurrency - concurrency).abs() / concurrency < 0.001,
        "{}: {layout:?}",
        pool.concurrency
    );
}

#[test]
fn full_attention_divides_its_pool_into_blocks() {
    let llama = network("llama-3.1-8b");
    let mut one = job(&llama, "0.17.1", 1);
    one.max_model_len = 32_768;
    holds(&one, 55.79, 16, None, 457_024, 13.95);
    let qwen = network("qwen2.5-7b");
    let mut four = job(&qwen, "0.22.1", 4);
    four.max_model_len = 32_768;
    holds(&four, 36.93, 16, None, 2_766_000, 84.41);
    let lite = network("deepseek-v2-lite");
    let mut latent = job(&lite, "0.7.3", 1);
    latent.max_model_len = 163_840;
    holds(
        &latent,
        59.75,
        16,
        None,
        116_023 * 16,
        116_023.0 * 16.0 / 163_840.0,
    );
}

#[test]
fn windows_share_the_pool_in_groups() {
    let large = network("gpt-oss-120b");
    let mut four = job(&large, "0.10.1.1", 4);
    four.max_model_len = 16_384;
    four.batched_tokens = Some(2048);
    holds(
        &four,
        330_018.0 * 18.0 * 8192.0 / 1_073_741_824.0,
        16,
        Some(330_018),
        2_640_144,
        284.25,
    );
    let small = network("gpt-oss-20b");
    let mut one = job(&small, "0.13.0", 1);
    one.max_model_len = 8192;
    one.batched_tokens = Some(2048);
    holds(&one, 12.94, 16, None, 282_624, 54.44);
}

#[test]
fn states_raise_the_block_size() {
    let sparse = network("qwen3.6-35b-a3b");
    let mut one = job(&sparse, "0.19.2", 1);
    one.max_model_len = 131_072;
    one.state_bytes = 4;
    holds(&one, 47.55, 1056, Some(2360), 623_040, 18.44);
    let dense = network("qwen3.5-27b");
    let mut four = job(&dense, "0.19.0", 4);
    four.max_model_len = 32_768;
    four.state_bytes = 4;
    holds(&four, 7.47, 784, Some(624), 122_304, 13.87);
    let nemotron = network("nemotron-3-super-120b-a12b");
    let mut drafts = job(&nemotron, "0.19.2", 1);
    drafts.max_model_len = 131_072;
    drafts.state_bytes = 4;
    drafts.cache = CacheFormat::Fp8;
    drafts.speculation.tokens = 3;
    drafts.speculation.layers = 1;
    holds(&drafts, 36.25, 8432, Some(1001), 1_399_712, 27.81);
    let dense = network("qwen3.6-27b");
    let mut newer = job(&dense, "0.25.1", 1);
    newer.max_model_len = 262_144;
    newer.state_bytes = 4;
    newer.speculation.tokens = 3;
    newer.speculation.layers = 1;
    holds(&newer, 80.17, 800, Some(1545), 1_191_213, 4.54);
    newer.cache = CacheFormat::Fp8;
    holds(&newer, 76.40, 1600, Some(1472), 2_192_477, 8.36);
}

#[test]
fn a_drafter_is_a_kind_of_its_own_beside_states() {
    // vllm-172 and vllm-173: eight layers of four heads of 128 draft fifteen tokens, prefixes are cached.
    let sparse = network("qwen3.6-35b-a3b");
    let mut one = job(&sparse, "0.20.1", 1);
    one.max_model_len = 262_144;
    one.state_bytes = 4;
    one.aligned_states = true;
    one.speculation.tokens = 15;
    one.speculation.own_layers = 8;
    one.speculation.bytes_per_token = 8 * 2 * 4 * 128 * 2;
    holds(&one, 62.81, 1168, Some(3524), 587_504, 4.74);
    let newer = Job {
        release: version("0.25.1"),
        ..one
    };
    holds(&newer, 62.74, 1168, Some(3520), 1_241_920, 4.74);
}

#[test]
fn every_model_of_the_catalogue_starts_or_says_why() {
    for entry in catalogue::all() {
        let Some(network) = entry.network() else { continue };
        for (release, tensor, pipeline) in [("0.6.6", 1, 1), ("0.11.0", 8, 1), ("0.33.0", 2, 2)] {
            let mut job = job(&network, release, tensor);
            job.mesh.pipeline = pipeline;
            let found = start(&job);
            assert!(!found.log.is_empty(), "{}", entry.id);
            assert!(
                found.weight_parts.allocated >= found.weight_parts.raw,
                "{}",
                entry.id
            );
            assert!(
                found.cache[0] <= found.cache[1] && found.cache[1] <= found.cache[2],
                "{}",
                entry.id
            );
        }
    }
}
