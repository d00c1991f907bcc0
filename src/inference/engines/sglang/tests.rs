//! Worked examples of SGLang: cells, default shares, tokens, request tables, windows, states, compressed attention.

use super::cells::{Cells, cells};
use super::pools::pools;
use super::release::{release, releases};
use super::settings::Backend;
use super::*;
use crate::inference::Version;
use crate::inference::job::{CacheType, Device};
use crate::inference::weights::Quantisation;
use crate::inference::{Engine, PartId as Id};
use crate::model::catalogue;
use crate::units::DType;

fn asked(model: &str, tensor: u64, options: &Options) -> InferenceJob {
    let shared = catalogue::find(model)
        .and_then(catalogue::Entry::shared)
        .expect("a model of the catalogue");
    let total = Bytes::from_gib(79.18);
    InferenceJob {
        network: shared.network.clone(),
        engine: Engine::Sglang(options.clone()),
        weights: Quantisation::none(),
        compute: DType::Bf16,
        cache: CacheType::Compute,
        sequences: 1,
        prompt: 1000,
        new_tokens: 24,
        shared_prefix: 0,
        tensor,
        pipeline: 1,
        device: Device {
            name: "H100".into(),
            total: Interval::exact(total),
            driver: Bytes::from_mib(81_559),
            usable: total,
            capability: 90,
            nvidia: true,
            unified: false,
        },
    }
}

fn options() -> Options {
    Options::new(releases().releases.last().expect("a release"))
}

fn of(job: &InferenceJob, options: &Options) -> (Settings, Cells) {
    let settings = Settings::of(job, options);
    let found = cells(job, options, &settings, 0..job.network.order.len());
    (settings, found)
}

#[track_caller]
fn cell(model: &str, tensor: u64, cache: CacheType, capability: u16, expected: u64) {
    let options = options();
    let mut job = asked(model, tensor, &options);
    job.cache = cache;
    job.device.capability = capability;
    assert_eq!(of(&job, &options).1.all(), expected, "{model}");
}

#[test]
fn aiter_takes_its_part_of_the_share_at_long_contexts() {
    // sgl-052: 286.05 of 287.26 GiB free after loading Qwen3-0.6B, 0.6 given, 145.3 GiB of cache.
    let mut options = options();
    options.fraction = Some(0.6);
    let mut job = asked("qwen3-0.6b", 1, &options);
    job.device.nvidia = false;
    let long = Settings::of(&job, &options);
    assert_eq!(long.backend, Backend::Aiter);
    let pool = 286.05 - 287.26 * (1.0 - long.fraction);
    assert!((pool - 145.3).abs() < 0.05, "{pool}");
    options.context = Some(8192);
    assert!((Settings::of(&job, &options).fraction - 0.6).abs() < 1e-9);
    // Its latent attention knows 16 and 128 heads of a rank: Kimi K2.5 has 64.
    let mut latent = asked("kimi-k2.5", 8, &options);
    latent.device.nvidia = false;
    assert_eq!(Settings::of(&latent, &options).backend, Backend::Triton);
    latent.tensor = 4;
    assert_eq!(Settings::of(&latent, &options).backend, Backend::Aiter);
}

#[test]
fn a_token_has_its_cell_by_kind_of_attention() {
    cell("qwen2.5-7b", 1, CacheType::Compute, 90, 57_344);
    cell("qwq-32b", 4, CacheType::Compute, 90, 65_536);
    cell("qwen3-8b", 1, CacheType::Compute, 90, 147_456);
    cell("llama-3.1-70b", 8, CacheType::Compute, 90, 40_960);
    cell("qwen3-235b-a22b", 4, CacheType::Compute, 90, 48_128);
    cell("qwen2.5-0.5b", 1, CacheType::Compute, 90, 12_288);
    cell("deepseek-v3", 8, CacheType::Compute, 90, 70_272);
    cell("qwen2.5-1.5b", 1, CacheType::Fp8, 90, 14_336);
    cell("qwen2.5-1.5b", 1, CacheType::Fp4, 90, 8064);
}

#[test]
fn sparse_latent_attention_has_two_layouts_in_fp8() {
    cell("deepseek-v3.2", 8, CacheType::Fp8, 103, 43_188);
    cell("deepseek-v3.2", 8, CacheType::Fp8, 90, 48_068);
    cell("deepseek-v3.2", 8, CacheType::Compute, 90, 78_324);
}

#[test]
fn data_parallel_attention_divides_among_fewer_ranks() {
    let mut options = options();
    options.attention_copies = 4;
    let job = asked("llama-3.1-70b", 8, &options);
    assert_eq!(of(&job, &options).1.all(), 4 * 40_960);
}

#[track_caller]
fn share(mib: u64, tensor: u64, piecewise: bool, expected: f64) {
    let mut options = options();
    options.piecewise = Some(piecewise);
    let mut job = asked("llama-3.1-8b", tensor, &options);
    job.device.driver = Bytes::from_mib(mib);
    let fraction = Settings::of(&job, &options).fraction;
    assert!(
        (fraction - expected).abs() < 1e-9,
        "{mib} MiB, {tensor} ranks: {fraction}"
    );
}

#[test]
fn the_default_share_follows_from_the_card() {
    share(24_564, 1, false, 0.847);
    share(24_564, 4, false, 0.827);
    share(16_376, 1, false, 0.772);
    share(46_068, 1, false, 0.851);
    share(81_559, 1, false, 0.835);
    share(81_559, 4, false, 0.824);
    share(143_771, 8, false, 0.897);
    share(183_359, 1, true, 0.854);
}

#[test]
fn up_to_0_4_6_the_share_follows_from_the_ranks() {
    for (version, tensor, expected) in [
        (Version(0, 4, 3), 1, 0.88),
        (Version(0, 4, 3), 4, 0.85),
        (Version(0, 4, 3), 8, 0.81),
        (Version(0, 3, 0), 8, 0.83),
    ] {
        let options = Options::new(release(version).expect("a release"));
        let job = asked("llama-3.1-70b", tensor, &options);
        assert!((Settings::of(&job, &options).fraction - expected).abs() < 1e-9);
    }
}

/// Pull 7054; the cards of sgl-010 and sgl-016 leave shares of 0.879 and 0.817 to 0.818.
#[test]
fn before_0_5_3_a_reserve_by_size_of_the_card_is_left() {
    for (mib, tensor, copies, expected) in [
        (24_564, 1, 1, 0.879),
        (16_303, 1, 1, 0.818),
        (81_559, 1, 1, 0.874),
        (81_559, 8, 1, 0.831),
        (81_559, 8, 8, 0.78),
        (143_771, 8, 1, 0.886),
        (196_288, 8, 1, 0.833),
    ] {
        let mut options = Options::new(release(Version(0, 5, 1)).expect("a release"));
        options.attention_copies = copies;
        let mut job = asked("llama-3.1-70b", tensor, &options);
        job.device.driver = Bytes::from_mib(mib);
        let found = Settings::of(&job, &options);
        assert!(
            (found.fraction - expected).abs() < 1e-9,
            "{mib} MiB: {}",
            found.fraction
        );
        let tier = if mib > 160 << 10 {
            16_384
        } else if mib > 35 << 10 {
            8192
        } else {
            2048
        };
        assert_eq!(found.chunk, tier / copies);
    }
}

/// sgl-006: 160.63 GiB of cache from 209.98 of 283.56 GiB that were free, on a card of 288 GB beside the tower of Kimi K2.5.
#[test]
fn a_tower_that_is_not_counted_takes_its_part_of_the_share() {
    let options = Options::new(release(Version(0, 5, 3)).expect("a release"));
    let mut job = asked("kimi-k2.5", 8, &options);
    job.device.driver = Bytes::from_mib(294_896);
    job.device.nvidia = false;
    let fraction = Settings::of(&job, &options).fraction;
    let pool = 209.98 - 283.56 * (1.0 - fraction);
    assert!((pool - 160.63).abs() < 0.3, "{fraction}: {pool}");
}

/// Free before and after loading, share, and the tokens that follow.
#[track_caller]
fn tokens(model: &str, tensor: u64, (before, after, share): (f64, f64, f64), computed: u64, printed: u64) {
    let options = options();
    let job = asked(model, tensor, &options);
    let (mut settings, cells) = of(&job, &options);
    settings.page = 1;
    let rest = after - before * (1.0 - share);
    let bytes = i64::try_from(Bytes::from_gib(rest).get()).expect("in range");
    let found = pools(bytes, &job, &options, &settings, &cells).tokens;
    assert!(found.abs_diff(computed) <= 1, "{model}: {found}");
    // Printed numbers have two decimals, and what was free before is the sum of two of them.
    let cell = cells.all().max(1);
    assert!(
        found.abs_diff(printed) <= Bytes::from_gib(0.02).get() / cell,
        "{model}"
    );
}

#[test]
fn the_share_of_free_memory_leaves_so_many_tokens() {
    tokens("qwq-32b", 4, (21.63, 6.09, 0.85), 46_620, 46_611);
    tokens("qwen3-14b", 4, (23.08, 16.0, 0.80), 298_424, 298_447);
    tokens("qwen3-30b-a3b", 1, (78.49, 62.08, 0.85), 549_481, 549_277);
    tokens("qwen2.5-0.5b", 1, (14.70, 13.72, 0.15), 107_042, 107_319);
}

#[test]
fn the_request_table_has_four_bytes_for_each_position() {
    let old = Options {
        running: Some(2048),
        ..Options::new(release(Version(0, 4, 3)).expect("a release"))
    };
    let job = asked("llama-3.1-8b", 1, &old);
    let (settings, cells) = of(&job, &old);
    let table = pools(1 << 40, &job, &old, &settings, &cells).table;
    assert_eq!(table.get(), 2049 * (131_072 + 4) * 4);
    let new = Options {
        running: Some(4096),
        context: Some(262_144),
        ..options()
    };
    let job = asked("kimi-k2.5", 8, &new);
    let (settings, cells) = of(&job, &new);
    let table = pools(1 << 40, &job, &new, &settings, &cells).table;
    assert_eq!(table.get(), 4096 * (262_144 + 4) * 4);
}

#[test]
fn a_pool_of_windows_is_a_share_of_the_tokens() {
    let mut options = options();
    options.page = Some(1);
    let job = asked("gpt-oss-20b", 1, &options);
    let settings = Settings::of(&job, &options);
    // Ten layers that keep everything and thirty with a window, of equal cells.
    let cells = Cells {
        full: 10_000,
        full_layers: 10,
        window: 30_000,
        longest_window: 128,
        ..Cells::default()
    };
    let found = pools(40_000 * 1_000_000, &job, &options, &settings, &cells);
    assert_eq!(found.tokens, 1_176_470);
    assert_eq!(found.window_tokens, 941_176);
}

#[test]
fn states_get_their_ratio_of_what_is_left() {
    let options = options();
    let job = asked("qwen3.6-35b-a3b", 1, &options);
    let (settings, cells) = of(&job, &options);
    assert_eq!(cells.slot, 1_474_560 + 62_914_560);
    let rest = i64::try_from(Bytes::from_gib(20.0).get()).expect("in range");
    let found = pools(rest, &job, &options, &settings, &cells);
    assert_eq!(found.slots, 157);
    // Three per request with a tree of prefixes.
    assert_eq!(found.running, 52);
    let kept = Bytes::from_gib(20.0).get() - 157 * 64_389_120;
    assert_eq!(found.tokens, kept / cells.full / settings.page * settings.page);
    let four = asked("qwen3.5-27b", 4, &options);
    assert!(of(&four, &options).1.slot < of(&asked("qwen3.5-27b", 1, &options), &options).1.slot);
}

#[test]
fn compressed_attention_has_its_own_bytes_per_token() {
    let options = options();
    let job = asked("deepseek-v4-pro", 8, &options);
    let (settings, cells) = of(&job, &options);
    let each = cells.compressed.expect("compressed attention");
    assert!((each - 23_749.84).abs() < 0.01, "{each}");
    assert_eq!(settings.page, 256);
}

#[test]
fn aiter_keeps_partial_results_by_request_and_head() {
    // sgl-052: 16 heads of 128, 40,960 positions, 4,096 requests; 5.44 GiB lie between pools and capture.
    let found = settings::partitions(16, 128, 40_960, 4096).to_gib();
    assert!((found - 5.078).abs() < 0.001, "{found}");
}

#[test]
fn a_shared_prefix_is_held_once_and_changes_no_cell() {
    let options = options();
    let mut job = asked("llama-3.1-8b", 1, &options);
    job.sequences = 8;
    let part = |job: &InferenceJob, options: &Options| {
        let parts = evaluate(job, options).parts;
        parts
            .iter()
            .find(|part| part.id == Id::KvCache)
            .map_or(0, |part| part.bytes.expected.get())
    };
    assert_eq!(part(&job, &options), 8 * 1024 * 131_072);
    job.shared_prefix = 512;
    assert_eq!(part(&job, &options), (8 * 512 + 512) * 131_072);
    let without = Options {
        radix: false,
        ..options
    };
    assert_eq!(part(&job, &without), 8 * 1024 * 131_072);
}

#[test]
fn a_share_below_the_weights_does_not_start() {
    let options = Options {
        fraction: Some(0.1),
        ..options()
    };
    let found = evaluate(&asked("llama-3.1-8b", 1, &options), &options);
    assert_eq!(found.fit, Fit::DoesNotFit);
    let line = found.failure.expect("a line");
    assert!(line.starts_with("RuntimeError: Not enough memory."), "{line}");
}
