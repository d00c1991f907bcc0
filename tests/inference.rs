//! Inference questions through the door: worked examples by hand, what is refused, and what every answer keeps.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod asked;

use asked::{ask, entry, on_vllm, part, refused, with};
use gpu_mem_calc::api::{self, Request};
use gpu_mem_calc::units::Bytes;
use serde_json::{Value, json};

/// Four sequences of 4096 and 512 tokens on Llama 3.1 8B.
fn four() -> Value {
    json!({"model": {"id": "llama-3.1-8b"}, "inference": {"batch_size": 4, "prompt_tokens": 4096, "new_tokens": 512},
        "hardware": {"gpu": "h100-sxm-80gb"}})
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
    let refused_by_name = ("unknown_value".to_string(), "inference.engine_type".to_string());
    assert_eq!(refused(with(json!("bogus"))), [refused_by_name]);
}

#[test]
fn engines_that_share_a_gpu_are_given_shares_of_its_total() {
    let question = with(
        on_vllm("h100-sxm-80gb"),
        "inference",
        "other_engines",
        json!(["20 GiB", "qwen2.5-7b@8x4096"]),
    );
    let answer = ask(question.clone());
    let sharing = answer.sharing.expect("engines beside it");
    let total = answer.capacity.visible.expected_bytes.get();
    assert!(sharing.starts);
    let mut free = total;
    for (place, share) in sharing.rows.iter().enumerate() {
        assert_eq!(share.order, place as u64 + 1);
        assert_eq!(share.free_before_bytes.get(), free);
        // The share covers the budget, and a thousandth less would not.
        let given = share.gpu_memory_utilization * total as f64;
        assert!(given >= share.budget_bytes.get() as f64);
        assert!(given - 0.001 * total as f64 <= share.budget_bytes.get() as f64);
        assert!(share.utilization_low <= share.gpu_memory_utilization);
        assert!(share.gpu_memory_utilization <= share.utilization_high);
        free -= Bytes::new(total).scaled(share.gpu_memory_utilization).get() + share.outside_bytes.get();
    }
    // 20 GiB of 79.18 are 0.253; the largest starts first.
    let fixed = sharing
        .rows
        .iter()
        .find(|share| share.engine == "20 GiB")
        .expect("named");
    assert_eq!(fixed.gpu_memory_utilization, 0.253);
    assert!(
        sharing
            .rows
            .is_sorted_by(|one, next| one.budget_bytes >= next.budget_bytes)
    );
    // The asked engine holds its sequence with its share, and needs it.
    let own = sharing.rows.iter().find(|share| share.asked).expect("itself");
    let alone = |share: f64| {
        ask(with(
            on_vllm("h100-sxm-80gb"),
            "inference",
            "gpu_memory_utilization",
            json!(share),
        ))
    };
    assert!(
        alone(own.gpu_memory_utilization)
            .pool
            .expect("a pool")
            .max_concurrency
            >= 1.0
    );
    assert!(
        alone(own.gpu_memory_utilization - 0.002)
            .pool
            .expect("a pool")
            .max_concurrency
            < 1.0
    );
    let crowded = ask(with(question, "inference", "other_engines", json!("70 GiB")));
    assert!(!crowded.sharing.expect("engines").starts);
    assert!(
        crowded
            .warnings
            .iter()
            .any(|issue| issue.code == "does_not_start")
    );
}

#[test]
fn engines_beside_are_named_or_refused() {
    for stranger in ["no-such-model", "-3 GiB", "qwen2.5-7b@0x10", "qwen2.5-7b@many"] {
        assert_eq!(
            refused(with(
                on_vllm("h100-sxm-80gb"),
                "inference",
                "other_engines",
                json!(stranger)
            )),
            [("unknown_value".to_string(), "inference.other_engines".to_string())],
            "{stranger}"
        );
    }
}

#[test]
fn the_smallest_of_unlike_cards_binds() {
    let pair = |first: &str, second: &str| {
        let question = with(on_vllm(first), "inference", "tensor_parallel_size", json!(2));
        ask(with(question, "inference", "other_gpus", json!(second)))
    };
    for (first, second) in [("h100-sxm-80gb", "l40s"), ("l40s", "h100-sxm-80gb")] {
        let answer = pair(first, second);
        let binding: Vec<_> = answer.cards.iter().filter(|card| card.binding).collect();
        assert_eq!(answer.cards.len(), 2);
        assert_eq!(binding.len(), 1);
        assert_eq!(binding[0].name, "L40S");
        assert_eq!(answer.capacity.name, "L40S");
        let least = answer.cards.iter().filter_map(|card| card.pool_bytes).min();
        assert_eq!(answer.pool.as_ref().map(|pool| pool.bytes.expected_bytes), least);
    }
    // Tokens of a pass and sequences follow the first card.
    let on_large = pair("h100-sxm-80gb", "l40s");
    let on_small = pair("l40s", "h100-sxm-80gb");
    assert!(part(&on_large, "activations") > part(&on_small, "activations"));
    let alone = with(
        on_vllm("l40s"),
        "inference",
        "other_gpus",
        json!("2 x h100-sxm-80gb"),
    );
    assert_eq!(
        refused(alone),
        [(
            "gpu_count_mismatch".to_string(),
            "inference.other_gpus".to_string()
        )]
    );
}

#[test]
fn recurrent_mixers_and_untraced_formats_widen_the_interval() {
    let width = |model: &str, format: &str| {
        let answer =
            ask(json!({"model": {"id": model}, "inference": {"max_seq_len": 512, "weight_format": format}}));
        let range = answer.meters.allocated;
        let warned = answer.warnings.iter().any(|issue| issue.code == "not_validated");
        let percent = range.high_bytes.get().saturating_mul(1000) / range.expected_bytes.get();
        (warned, percent.div_ceil(10))
    };
    assert_eq!(width("llama-3.2-1b", "none"), (false, 103));
    assert_eq!(width("llama-3.2-1b", "awq"), (true, 150));
    assert_eq!(width("falcon-mamba-7b", "none"), (true, 150));
}

#[test]
fn a_start_reads_as_the_release_words_it() {
    let lines = |version: &str| {
        ask(with(
            on_vllm("h100-sxm-80gb"),
            "inference",
            "engine_version",
            json!(version),
        ))
        .start_up
    };
    let has = |version: &str, part: &str| {
        let all = lines(version);
        assert!(all.iter().any(|line| line.contains(part)), "{version}: {all:?}");
    };
    has("0.9.2", "Model loading took 14.9888 GiB");
    // 0.9 x 79.18 - 14.9888 - 4.741 - 0.13.
    has("0.9.2", "Available KV cache memory: 51.40 GiB");
    has(
        "0.33.0",
        "tokens, Maximum concurrency for 8,192 tokens per request: ",
    );
    has("0.33.0", "Estimated CUDA graph memory: ");
    let unfit = |version: &str| {
        let question = with(on_vllm("l4"), "inference", "engine_version", json!(version));
        let question = with(question, "inference", "gpu_memory_utilization", json!(0.8));
        ask(with(question, "inference", "max_seq_len", json!(131_072)))
            .failure
            .expect("too long")
    };
    for (version, part) in [
        (
            "0.9.2",
            "To serve at least one request with the models's max seq len (131072), (16.00 GiB KV cache",
        ),
        (
            "0.33.0",
            "To serve at least one request with the model's max seq len (131072), (16.0 GiB KV cache",
        ),
        (
            "0.6.6",
            "The model's max seq len (131072) is larger than the maximum number of tokens",
        ),
    ] {
        assert!(unfit(version).contains(part), "{version}: {}", unfit(version));
    }
}

#[test]
fn the_fields_of_the_original_answer_are_there() {
    // Two copies of two GPUs.
    let question = with(
        with(four(), "inference", "tensor_parallel_size", json!(2)),
        "hardware",
        "num_gpus",
        json!(4),
    );
    let answer = ask(question.clone());
    assert_eq!((answer.gpus_used, answer.replicas), (4, 2));
    let each = answer.total_memory_per_gpu_bytes;
    assert_eq!(answer.total_memory_all_gpus_bytes, each * 4);
    for (gib, bytes) in [
        (answer.total_memory_per_gpu_gb, each),
        (answer.total_memory_all_gpus_gb, each * 4),
        (
            answer.breakdown.model_params_gb,
            answer.breakdown.model_params_bytes,
        ),
        (answer.breakdown.kv_cache_gb, answer.breakdown.kv_cache_bytes),
        (
            answer.breakdown.activations_gb,
            answer.breakdown.activations_bytes,
        ),
        (answer.breakdown.overhead_gb, answer.breakdown.overhead_bytes),
    ] {
        assert_eq!(gib, bytes.get() as f64 / f64::from(1 << 30));
        assert!(bytes > Bytes::ZERO);
    }
    let share = 100.0 * each.get() as f64 / answer.capacity.usable_bytes.get() as f64;
    assert!((answer.memory_utilization_percent - share).abs() < 1e-9);
    assert!(answer.fits_on_gpu && answer.max_supported_batch_size > 4);
    let mut few = question;
    few["hardware"]["num_gpus"] = json!(3);
    assert_eq!(
        refused(few),
        [(
            "gpu_count_mismatch".to_string(),
            "inference.tensor_parallel_size".to_string()
        )]
    );
}

#[test]
fn the_rate_is_bounded_by_what_a_step_reads() {
    let answer = ask(four());
    // Weights and cache are read once a step at 3350 GB/s; four sequences get a token each.
    let read = part(&answer, "weights") + part(&answer, "kv_cache");
    let bound = 4.0 * 3.35e12 / read as f64;
    let rate = answer.estimated_throughput_tokens_per_sec.expect("a rate");
    assert!((rate / bound - 1.0).abs() < 1e-9, "{rate} {bound}");
    let mut unnamed = four();
    unnamed["hardware"] = json!({"gpu_memory_gb": 80});
    assert_eq!(ask(unnamed).estimated_throughput_tokens_per_sec, None);
}

#[test]
fn capacity_is_the_edge_in_every_direction() {
    let questions = [
        four(),
        on_vllm("h100-sxm-80gb"),
        with(on_vllm("l4"), "inference", "engine_version", json!("0.6.6")),
        json!({"model": {"id": "qwen3-30b-a3b"}, "inference": {"prompt_tokens": 3000, "new_tokens": 40, "attention": "eager"},
            "hardware": {"gpu": "a100-sxm-80gb"}}),
        json!({"model": {"id": "gpt-oss-20b"}, "inference": {"engine_type": "vllm", "prompt_tokens": 9000, "new_tokens": 40},
            "hardware": {"gpu": "rtx-4090"}}),
        json!({"model": {"id": "qwen3.5-27b"}, "inference": {"engine_type": "vllm", "max_seq_len": 9000, "num_speculative_tokens": 2},
            "hardware": {"gpu": "h100-sxm-80gb"}}),
        json!({"model": {"id": "llama-3.1-70b"}, "inference": {"prompt_tokens": 2000, "new_tokens": 100}, "hardware": {"gpu": "h100-sxm-80gb"}}),
    ];
    for question in questions {
        let answer = ask(question.clone());
        let set = |pairs: &[(&str, u64)]| {
            let mut changed = question.clone();
            if let Some(fields) = changed["inference"].as_object_mut() {
                fields.remove("max_seq_len");
            }
            for (key, value) in pairs {
                changed["inference"][*key] = json!(value);
            }
            let ranks = changed["inference"]["tensor_parallel_size"].as_u64().unwrap_or(1);
            changed["hardware"]["num_gpus"] = json!(ranks);
            ask(changed).fits_on_gpu
        };
        let assumed = |key: &str| {
            let found = answer.assumed.iter().find(|one| one.path == key);
            found.and_then(|one| one.value.as_u64())
        };
        let given = |key: &str| question["inference"][key].as_u64();
        let new = given("new_tokens")
            .or(assumed("inference.new_tokens"))
            .expect("known");
        let prompt = given("prompt_tokens")
            .or(assumed("inference.prompt_tokens"))
            .expect("known");
        let lengths = |length: u64| {
            let new = new.min(length - 1).max(1);
            [("prompt_tokens", length - new), ("new_tokens", new)]
        };
        let most = answer.max_supported_batch_size;
        let same = [("prompt_tokens", prompt), ("new_tokens", new)];
        if most > 0 {
            assert!(
                set(&[same[0], same[1], ("batch_size", most)]),
                "{question}: {most}"
            );
        }
        assert!(
            !set(&[same[0], same[1], ("batch_size", most + 1)]),
            "{question}: {most}"
        );
        let longest = answer.max_context_len;
        if longest > 1 {
            assert!(set(&lengths(longest)), "{question}: {longest}");
        }
        let limit = answer
            .model
            .fields
            .iter()
            .find(|field| field.path == "model.max_seq_len");
        let limit = limit.and_then(|field| field.value.as_u64());
        if limit.is_none_or(|limit| longest < limit) && longest > 0 {
            assert!(!set(&lengths(longest + 1)), "{question}: {longest}");
        }
        if let Some(gpus) = answer.fewest_gpus {
            assert!(
                set(&[same[0], same[1], ("tensor_parallel_size", gpus)]),
                "{question}: {gpus}"
            );
            if gpus > 1 {
                assert!(
                    !set(&[same[0], same[1], ("tensor_parallel_size", gpus / 2)]),
                    "{question}: {gpus}"
                );
            }
        }
    }
}

#[test]
fn sparse_latent_attention_caches_fp8_in_its_own_layout() {
    let of = |kind: &str| {
        ask(
            json!({"model": {"id": "deepseek-v3.2"}, "inference": {"engine_type": "vllm", "engine_version": "0.14.0",
            "max_seq_len": 6400, "tensor_parallel_size": 16, "kv_cache_quantization": kind, "block_size": 64},
            "hardware": {"gpu": "h200-sxm-141gb", "num_gpus": 16}}),
        )
    };
    // 61 layers: 512 fp8 values, 4 fp32 scales and 64 rotated values in 16 bits; the indexer's 128 bytes and one scale.
    assert_eq!(part(&of("fp8"), "kv_cache"), 6400 * 61 * (656 + 132));
    assert_eq!(part(&of("none"), "kv_cache"), 6400 * 61 * (576 * 2 + 132));
}

#[test]
fn validate_knows_an_inference_request() {
    let question = with(four(), "inference", "tensor_parallel_size", json!(3));
    let request = Request::from_json(&question).expect("a request");
    assert_eq!(api::validate_request(&request), api::validate_inference(&request));
    assert!(api::validate_request(&request).iter().any(api::Issue::is_error));
}
