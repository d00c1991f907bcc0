//! Inference questions through the door: worked examples by hand, what is refused, and what every answer keeps.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, InferenceAnswer, Request};
use serde_json::{Value, json};

fn ask(value: Value) -> InferenceAnswer {
    let request = Request::from_json(&value).expect("a request");
    api::calculate_inference(&request).unwrap_or_else(|issues| unreachable!("{issues:?}"))
}

fn refused(value: Value) -> Vec<(String, String)> {
    let request = Request::from_json(&value).expect("a request");
    api::calculate_inference(&request)
        .expect_err("refused")
        .into_iter()
        .filter(api::Issue::is_error)
        .map(|issue| (issue.code.to_string(), issue.path))
        .collect()
}

fn part(answer: &InferenceAnswer, id: &str) -> u64 {
    answer
        .parts
        .iter()
        .filter(|part| part.id == id)
        .map(|part| part.bytes.expected_bytes.get())
        .sum()
}

fn entry(answer: &InferenceAnswer, id: &str) -> u64 {
    let row = answer.ledger.iter().find(|row| row.id == id);
    row.expect("an entry of that id").unit_bytes.get()
}

/// Four sequences of 4096 and 512 tokens on Llama 3.1 8B.
fn four() -> Value {
    json!({"model": {"id": "llama-3.1-8b"}, "inference": {"batch_size": 4, "prompt_tokens": 4096, "new_tokens": 512},
        "hardware": {"gpu": "h100-sxm-80gb"}})
}

fn with(mut value: Value, section: &str, key: &str, to: Value) -> Value {
    value[section][key] = to;
    value
}

#[test]
fn llama_in_bf16_by_hand() {
    let answer = ask(four());
    // 8,030,261,248 parameters of two bytes; cache of 4,607 tokens: 131,072 bytes each.
    assert_eq!(answer.devices[0].weights_bytes.get(), 16_060_522_496);
    assert_eq!(answer.devices[0].cache_bytes.get(), 131_072 * 4 * 4607);
    // The product of a gated feed-forward of 16,384 tokens: 2 (3 x 14,336 + 4 x 4,096) bytes each.
    let product = 16_384 * 2 * (3 * 14_336 + 4 * 4096);
    let up = 16_384 * 2 * (2 * 14_336 + 4 * 4096) + (32 << 20);
    assert_eq!(entry(&answer, "feed_forward"), product.max(up));
}

#[test]
fn a_static_cache_holds_all_positions_at_once() {
    let answer = ask(with(four(), "inference", "cache_implementation", json!("static")));
    assert_eq!(answer.devices[0].cache_bytes.get(), 131_072 * 4 * 4608);
}

#[test]
fn a_quantised_cache_keeps_late_tokens_in_sixteen_bits() {
    let answer = ask(with(four(), "inference", "kv_cache_quantization", json!("int4")));
    // 511 tokens after the prompt: three groups of 128 are packed, 127 wait. 4.5 bits per packed value.
    let values = |tokens: u64| 32 * 2 * 4 * 8 * 128 * tokens;
    let expected = values(4096 + 384) * 9 / 16 + values(127) * 2;
    assert_eq!(answer.devices[0].cache_bytes.get(), expected);
}

#[test]
fn formats_and_ranks_change_the_weights() {
    let plain = ask(four());
    let nf4 = ask(with(four(), "inference", "weight_format", json!("nf4")));
    // Every matrix of the layers in half a byte and 4/64 of scales, with 64 bytes of codes in a block of 512 each.
    let matrices = 32 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 14_336 * 4096);
    let rest = 8_030_261_248 - matrices;
    assert_eq!(
        part(&nf4, "weights"),
        matrices / 2 + matrices / 16 + rest * 2 + 32 * 7 * 512
    );
    let two = ask(with(four(), "inference", "tensor_parallel_size", json!(2)));
    // Norms are copied: 65 of 4,096 elements.
    let norms = 65 * 4096 * 2;
    assert_eq!(part(&two, "weights"), (16_060_522_496 - norms) / 2 + norms);
    assert!(part(&plain, "weights") > part(&two, "weights"));
}

#[test]
fn what_cannot_run_is_refused_by_field() {
    let with = |key: &str, to: Value| with(four(), "inference", key, to);
    assert_eq!(
        refused(with("weight_format", json!("nvfp4"))),
        [("not_supported_by_engine".into(), "inference.weight_format".into())]
    );
    assert_eq!(
        refused(with("kv_cache_quantization", json!("int8"))),
        [(
            "not_supported_by_engine".into(),
            "inference.kv_cache_quantization".into()
        )]
    );
    assert_eq!(
        refused(with("tensor_parallel_size", json!(3))),
        [("not_divisible".into(), "inference.tensor_parallel_size".into())]
    );
    let mut ampere = with("weight_format", json!("fp8"));
    ampere["hardware"]["gpu"] = json!("a100-sxm-80gb");
    assert_eq!(
        refused(ampere),
        [("not_supported_by_gpu".into(), "inference.weight_format".into())]
    );
    let mut few = with("tensor_parallel_size", json!(8));
    few["hardware"]["num_gpus"] = json!(1);
    assert_eq!(
        refused(few),
        [(
            "gpu_count_mismatch".into(),
            "inference.tensor_parallel_size".into()
        )]
    );
}

#[test]
fn what_fits_is_the_edge_of_what_does_not() {
    for gpu in ["l40s", "h100-sxm-80gb"] {
        let question = with(four(), "hardware", "gpu", json!(gpu));
        let answer = ask(question.clone());
        let most = answer.max_supported_batch_size;
        assert!(most > 0, "{gpu}");
        assert!(ask(with(question.clone(), "inference", "batch_size", json!(most))).fits_on_gpu);
        assert!(!ask(with(question, "inference", "batch_size", json!(most + 1))).fits_on_gpu);
    }
}

#[test]
fn more_sequences_longer_prompts_and_answers_never_need_less() {
    for model in [
        "llama-3.1-8b",
        "gemma-3-1b",
        "qwen3-30b-a3b",
        "deepseek-v2-lite",
        "gpt2",
    ] {
        let mut last = 0;
        for (batch, prompt, answer) in [(1, 64, 8), (1, 512, 8), (4, 512, 8), (4, 512, 64), (16, 700, 64)] {
            let found = ask(json!({"model": {"id": model},
                "inference": {"batch_size": batch, "prompt_tokens": prompt, "new_tokens": answer}}));
            let need = found.need.expected_bytes.get();
            assert!(need >= last, "{model}: {batch} x ({prompt} + {answer})");
            let parts = &found.breakdown;
            let sum = parts.model_params_bytes
                + parts.kv_cache_bytes
                + parts.activations_bytes
                + parts.overhead_bytes;
            assert_eq!(sum, found.total_memory_per_gpu_bytes, "{model}");
            last = need;
        }
    }
}

#[test]
fn every_model_and_extreme_numbers_are_answered_or_refused() {
    for model in api::models() {
        for inference in [
            json!({"max_seq_len": 128}),
            json!({"batch_size": 1_048_576, "prompt_tokens": 1_073_741_824, "new_tokens": 1_073_741_824, "num_beams": 1024,
                "attention": "eager", "padding": true, "output_scores": true, "all_logits": true}),
            json!({"max_seq_len": 2, "cache_implementation": "offloaded", "weight_format": "nf4_double", "pipeline_parallel_size": 2}),
        ] {
            let request =
                Request::from_json(&json!({"model": {"id": model.id}, "inference": inference})).unwrap();
            if let Ok(answer) = api::calculate_inference(&request) {
                assert!(answer.need.low_bytes <= answer.need.high_bytes, "{}", model.id);
            }
        }
    }
}

#[test]
fn engines_have_other_names_and_strangers_are_refused() {
    let with = |name: Value| with(four(), "inference", "engine_type", name);
    for name in [json!("transformers"), json!("HuggingFace"), Value::Null] {
        assert_eq!(ask(with(name)).need, ask(four()).need);
    }
    for (name, code) in [("bogus", "unknown_value"), ("tensorrt-llm", "not_available_yet")] {
        assert_eq!(
            refused(with(json!(name))),
            [(code.to_string(), "inference.engine_type".to_string())]
        );
    }
}
