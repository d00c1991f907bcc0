//! The roofline of serving: bytes over bandwidth by hand, what more GPUs and sequences do, and machines for a traffic.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, InferenceAnswer, Request, ServingSpeed};
use proptest::prelude::*;
use serde_json::{Value, json};

fn ask(more: Value, gpus: u64) -> InferenceAnswer {
    let mut inference =
        json!({"engine_type": "vllm", "prompt_tokens": 1024, "new_tokens": 256, "batch_size": 1});
    inference
        .as_object_mut()
        .expect("fields")
        .extend(more.as_object().expect("more").clone());
    let asked = json!({"model": {"id": "llama-3.1-8b"}, "inference": inference,
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": gpus}});
    let request = Request::from_json(&asked).expect("a request");
    api::calculate_inference(&request).unwrap_or_else(|issues| unreachable!("{issues:?}"))
}

fn speed(more: Value, gpus: u64) -> ServingSpeed {
    ask(more, gpus).speed.expect("a speed")
}

#[test]
fn a_step_of_one_sequence_reads_the_weights() {
    let found = speed(json!({"bandwidth_efficiency": 1}), 1);
    assert_eq!(
        (found.kind, found.decode_bound, found.prefill_bound),
        ("roofline", "bandwidth", "compute")
    );
    // 8.03 billion parameters less the embedding of 128,256 x 4,096, two bytes each, at 3,350 GB/s; 1 to 5 us for 8 kernels
    // in each of 32 layers.
    let weights = (8_030_261_248.0 - 128_256.0 * 4_096.0) * 2.0;
    let cache = (1024.0 + 128.0) * 131_072.0;
    let read = (weights + cache) / 3_350e9 * 1e3;
    for (value, start) in [
        (found.tpot_ms.low, 1.0),
        (found.tpot_ms.expected, 3.0),
        (found.tpot_ms.high, 5.0),
    ] {
        let by_hand = read + start * 8.0 * 32.0 / 1e3;
        assert!((value - by_hand).abs() < 0.02 * by_hand, "{value}, not {by_hand}");
    }
    let rate = found.decode_tokens_per_second_per_sequence;
    assert!((rate.expected * found.tpot_ms.expected - 1e3).abs() < 1e-6);
}

#[test]
fn prompts_are_bound_by_arithmetic_and_a_cached_prefix_is_not_read_again() {
    let whole = speed(json!({"prompt_tokens": 8192}), 1);
    // 2 operations for each of 7 billion parameters of the layers, at 850 of 989 TFLOP/s at most and half of it at least.
    let rate = whole.prefill_tokens_per_second;
    assert!(
        rate.high < 989e12 / (2.0 * 6.98e9) && rate.low > 0.3 * 989e12 / (2.0 * 6.98e9),
        "{rate:?}"
    );
    let prefix = speed(json!({"prompt_tokens": 8192, "shared_prefix_tokens": 6144}), 1);
    assert!(prefix.ttft_ms.expected < 0.5 * whole.ttft_ms.expected);
}

#[test]
fn more_gpus_and_fewer_bits_are_faster_and_more_sequences_slower_per_token() {
    let one = speed(json!({}), 1);
    let two = speed(json!({"tensor_parallel_size": 2}), 2);
    assert!(two.tpot_ms.expected < one.tpot_ms.expected && two.ttft_ms.expected < one.ttft_ms.expected);
    let eight_bits = speed(json!({"weight_format": "fp8"}), 1);
    assert!(eight_bits.tpot_ms.expected < 0.75 * one.tpot_ms.expected);
    assert!(eight_bits.ttft_ms.expected < 0.75 * one.ttft_ms.expected);
    let many = speed(json!({"batch_size": 64}), 1);
    assert!(many.tpot_ms.expected > one.tpot_ms.expected);
    assert!(many.decode_tokens_per_second.expected > 20.0 * one.decode_tokens_per_second.expected);
    assert!(many.output_tokens_per_second.expected < many.decode_tokens_per_second.expected);
}

#[test]
fn experts_that_nobody_visits_are_not_read() {
    let of = |sequences: u64| {
        let asked = json!({"model": {"id": "qwen3-30b-a3b"}, "inference": {"engine_type": "vllm", "batch_size": sequences,
            "prompt_tokens": 256, "new_tokens": 256}, "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 1}});
        let request = Request::from_json(&asked).expect("a request");
        api::calculate_inference(&request)
            .expect("an answer")
            .speed
            .expect("a speed")
    };
    // 8 of 128 experts for one sequence, nearly all for 128.
    assert!(of(128).tpot_ms.expected > 3.0 * of(1).tpot_ms.expected);
}

#[test]
fn a_traffic_needs_machines_by_what_binds() {
    let sized = |more: Value| speed(more, 1).sizing.expect("a size");
    let few = sized(json!({"requests_per_second": 1}));
    assert_eq!((few.replicas.expected, few.gpus.expected), (1.0, 1.0));
    let many = sized(json!({"requests_per_second": 500}));
    assert!(many.replicas.expected > 5.0 && many.replicas.low <= many.replicas.expected);
    assert!(
        (many.replicas.expected - (500.0 / many.requests_per_second_per_copy.expected).ceil()).abs() < 1e-9
    );
    let strict = sized(json!({"requests_per_second": 500, "max_tpot_ms": 9}));
    assert_eq!(strict.limit, "time_per_token");
    assert!(strict.replicas.expected > many.replicas.expected);
    assert!(strict.sequences_per_copy.expected < many.sequences_per_copy.expected);
    let users = sized(json!({"concurrent_users": 10_000}));
    assert_eq!(users.limit, "kv_cache");
    let long = sized(json!({"concurrent_users": 10_000, "p95_prompt_tokens": 8192}));
    assert!(long.replicas.expected > 3.0 * users.replicas.expected);
}

#[test]
fn limits_that_no_copy_meets_are_told() {
    let first = speed(json!({"requests_per_second": 1, "max_ttft_ms": 1}), 1);
    assert!(first.sizing.is_none());
    assert!(first.sizing_missing.expect("a reason").contains("first token"));
    let token = speed(json!({"requests_per_second": 1, "max_tpot_ms": 0.5}), 1);
    assert!(token.sizing_missing.expect("a reason").contains("A token takes"));
}

#[test]
fn speed_is_no_memory_and_needs_the_rates_of_a_card() {
    let plain = ask(json!({}), 1);
    let busy = ask(
        json!({"requests_per_second": 1000, "bandwidth_efficiency": 0.5}),
        1,
    );
    assert_eq!((plain.need, plain.parts.clone()), (busy.need, busy.parts.clone()));
    let asked = json!({"model": {"id": "llama-3.1-8b"}, "inference": {"prompt_tokens": 512, "new_tokens": 64},
        "hardware": {"gpu_memory_gb": 80}});
    let request = Request::from_json(&asked).expect("a request");
    assert!(
        api::calculate_inference(&request)
            .expect("an answer")
            .speed
            .is_none()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn every_speed_is_a_number(
        prompt in 1_u64..30_000,
        new_tokens in 1_u64..4_000,
        sequences in 1_u64..2_000,
        users in 1_u64..1_000_000,
        tensor in 0_u32..4,
    ) {
        let tensor = 1_u64 << tensor;
        let found = speed(
            json!({"prompt_tokens": prompt, "new_tokens": new_tokens, "batch_size": sequences,
                "concurrent_users": users, "tensor_parallel_size": tensor}),
            tensor,
        );
        for figure in [
            found.ttft_ms,
            found.tpot_ms,
            found.prefill_tokens_per_second,
            found.decode_tokens_per_second,
            found.output_tokens_per_second,
        ] {
            prop_assert!(figure.low > 0.0 && figure.low <= figure.expected && figure.expected <= figure.high);
            prop_assert!(figure.high.is_finite());
        }
        if let Some(sizing) = found.sizing {
            prop_assert!(sizing.replicas.low >= 1.0 && sizing.replicas.low <= sizing.replicas.high);
        }
    }
}
