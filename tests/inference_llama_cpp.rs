//! Questions to llama.cpp through the door: places, refusals, capacity, the lines of a start, what stays on the host.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod asked;

use asked::{ask, refused};
use gpu_mem_calc::api::{InferenceAnswer, Verdict};
use serde_json::{Value, json};

fn question(model: &str, gpus: u64, settings: &Value) -> Value {
    let mut inference = json!({"engine_type": "llama_cpp", "max_seq_len": 4096});
    for (key, value) in settings.as_object().expect("settings") {
        inference[key] = value.clone();
    }
    json!({"model": {"id": model}, "inference": inference, "hardware": {"gpu": "rtx-4090", "num_gpus": gpus}})
}

#[test]
fn a_start_says_what_the_engine_prints() {
    let answer = ask(question("llama-3.1-8b", 1, &json!({"gguf_type": "Q4_0"})));
    // A file of 4,653,375,488 bytes; the embedding of 128,256 rows in 18 bytes per 32 stays on the host.
    let embedding = 128_256_u64 * 4096 / 32 * 18;
    assert_eq!(answer.devices[0].weights_bytes.get(), 4_653_375_488 - embedding);
    assert_eq!(answer.devices[0].cache_bytes.get(), 32 * 2 * 1024 * 2 * 4096);
    for line in [
        "load_tensors: offloaded 33/33 layers to GPU",
        "load_tensors: CPU_Mapped model buffer size =   281.81 MiB",
        "load_tensors:      CUDA0 model buffer size =  4155.99 MiB",
        "llama_kv_cache:      CUDA0 KV buffer size =   512.00 MiB",
    ] {
        assert!(
            answer.start_up.iter().any(|found| found == line),
            "{line}: {:#?}",
            answer.start_up
        );
    }
    let host = answer.host.expect("a host");
    assert!(host.rows.iter().any(|row| row.bytes.get() == embedding));
}

#[test]
fn layers_and_experts_move_between_gpu_and_host() {
    let weights = |settings: Value| {
        let answer = ask(question("qwen3-30b-a3b", 1, &settings));
        let host = answer.host.expect("a host");
        (
            answer.devices[0].weights_bytes.get(),
            host.memory_per_node.expected_bytes.get(),
        )
    };
    let (all, _) = weights(json!({}));
    let (half, beside) = weights(json!({"n_gpu_layers": 25}));
    let (none, _) = weights(json!({"n_gpu_layers": 0}));
    let (attention, experts) = weights(json!({"n_cpu_moe": 48}));
    let (by_name, same) = weights(json!({"override_tensor": ["ffn_.*_exps=CPU"]}));
    assert!(none == 0 && 0 < half && half < all);
    assert!(beside > all / 3);
    assert_eq!((attention, experts), (by_name, same));
    assert!(attention * 8 < all);
}

#[test]
fn shares_decide_which_gpu_is_the_fullest() {
    let devices = |settings: Value| -> Vec<u64> {
        let answer = ask(question("llama-3.1-8b", 2, &settings));
        answer.devices.iter().map(|one| one.weights_bytes.get()).collect()
    };
    let equal = devices(json!({}));
    let skewed = devices(json!({"tensor_split": ["3", "1"]}));
    let one = devices(json!({"split_mode": "none"}));
    let rows = devices(json!({"split_mode": "row"}));
    assert_eq!(equal.iter().sum::<u64>(), skewed.iter().sum::<u64>());
    assert!(skewed[0] > equal[0] && skewed[1] < equal[1]);
    assert_eq!(one[1], 0);
    assert!(rows[1] > one[0] / 3 && rows[0] > rows[1]);
}

#[test]
fn what_contradicts_itself_is_refused_by_field() {
    let with = |settings: Value| refused(question("llama-3.1-8b", 1, &settings));
    let one = |code: &str, key: &str| vec![(code.to_string(), format!("inference.{key}"))];
    assert_eq!(
        with(json!({"cache_type_v": "q8_0", "flash_attn": "off"})),
        one("unsupported_combination", "cache_type_v")
    );
    assert_eq!(
        with(json!({"tensor_types": ["ffn_down=q9_9"]})),
        one("unknown_value", "tensor_types")
    );
    assert_eq!(
        with(json!({"tensor_types": ["ffn_down=iq4_ks"]})),
        one("unknown_value", "tensor_types")
    );
    assert_eq!(
        with(json!({"override_tensor": ["(?!a)=CPU"]})),
        one("unknown_value", "override_tensor")
    );
    assert_eq!(
        with(json!({"engine_version": "1.2.3"})),
        one("out_of_range", "engine_version")
    );
    assert_eq!(
        with(json!({"tensor_split": ["-1"]})),
        one("unknown_value", "tensor_split")
    );
}

#[test]
fn a_request_beyond_the_context_does_not_fit() {
    let answer = ask(question("llama-3.1-8b", 1, &json!({"ctx_size": 2048})));
    assert_eq!(answer.verdict, Verdict::DoesNotFit);
    assert_eq!(
        answer.failure.as_deref(),
        Some("request (4096 tokens) exceeds the available context size (2048 tokens), try increasing it")
    );
}

#[test]
fn what_is_too_large_fails_with_the_engines_line() {
    let answer = ask(question("llama-3.1-70b", 1, &json!({"gguf_type": "Q8_0"})));
    assert_eq!(answer.verdict, Verdict::DoesNotFit);
    let line = answer.failure.expect("a line");
    assert!(
        line.ends_with("MiB on device 0: cudaMalloc failed: out of memory"),
        "{line}"
    );
    let layers = answer.most_gpu_layers.expect("layers");
    let fits = |layers: u64| {
        let settings = json!({"gguf_type": "Q8_0", "n_gpu_layers": layers});
        ask(question("llama-3.1-70b", 1, &settings)).verdict != Verdict::DoesNotFit
    };
    assert!(fits(layers) && !fits(layers + 1), "{layers}");
    // Four cards of 24 GB hold it.
    assert_eq!(answer.fewest_gpus, Some(4));
}

#[test]
fn the_most_and_the_longest_are_the_last_that_fit() {
    let base = question(
        "llama-3.1-8b",
        1,
        &json!({"gguf_type": "Q8_0", "cache_type_k": "q8_0", "cache_type_v": "q8_0"}),
    );
    let answer = ask(base.clone());
    let fits = |key: &str, value: u64| {
        let mut asked = base.clone();
        asked["inference"][key] = json!(value);
        ask(asked.clone()).verdict != Verdict::DoesNotFit
    };
    let (most, longest) = (answer.max_supported_batch_size, answer.max_context_len);
    assert!(
        fits("batch_size", most) && !fits("batch_size", most + 1),
        "{most}"
    );
    assert!(fits("max_seq_len", longest), "{longest}");
    assert!(
        longest >= 131_072 || !fits("max_seq_len", longest + 256),
        "{longest}"
    );
}

#[test]
fn windows_and_flash_attention_save_what_they_say() {
    let cache = |settings: Value| {
        let mut asked = question("gemma-3-4b", 1, &settings);
        asked["inference"]["max_seq_len"] = json!(32_768);
        let answer = ask(asked.clone());
        (
            answer.devices[0].cache_bytes.get(),
            answer.breakdown.activations_bytes.get(),
        )
    };
    let (window, scratch) = cache(json!({}));
    let (full, _) = cache(json!({"swa_full": true}));
    let (_, scores) = cache(json!({"flash_attn": "off"}));
    // 29 of 34 layers look at 1,024 positions: 1,536 cells with a batch of 512.
    let per_cell = 2 * 4 * 256 * 2;
    assert_eq!(full, 34 * per_cell * 32_768);
    assert_eq!(window, (5 * 32_768 + 29 * 1536) * per_cell);
    assert!(scores > scratch);
}

#[test]
fn a_drafter_has_a_context_of_its_own() {
    let settings = json!({"gguf_type": "Q8_0", "cache_type_k": "q8_0", "flash_attention": "on"});
    let alone = ask(question("llama-3.1-8b", 1, &settings));
    let mut drafted = question("llama-3.1-8b", 1, &settings);
    drafted["inference"]["draft_model"] = json!("llama-3.2-1b");
    let found = ask(drafted.clone());
    let entry = |id: &str| {
        let row = found.ledger.iter().find(|row| row.id == id);
        row.expect("a row").unit_bytes.get()
    };
    // 16 layers of 8 heads of 64, keys and values in 16 bits whatever the model's cache is in, as many cells as the model has.
    assert_eq!(entry("cache.drafter"), 16 * 2 * 8 * 64 * 2 * 4096);
    let own = ask(question("llama-3.2-1b", 1, &json!({"gguf_type": "Q8_0"})));
    assert_eq!(entry("weights.drafter"), own.devices[0].weights_bytes.get());
    // Logits of one token instead of a batch of 512.
    let buffer = entry("compute_buffer.drafter");
    let logits = 128_256 * 512 * 4;
    assert!(buffer > 0 && buffer < logits, "{buffer}");
    let cache = |answer: &InferenceAnswer| answer.devices[0].cache_bytes.get();
    assert_eq!(cache(&found), cache(&alone) + entry("cache.drafter"));
    let lines = found
        .start_up
        .iter()
        .filter(|line| line.contains("KV buffer size"));
    assert_eq!(lines.count(), 2, "{:#?}", found.start_up);
    assert!(found.max_supported_batch_size < alone.max_supported_batch_size);
    drafted["inference"]["draft_model"] = json!("no-such-model");
    assert_eq!(
        refused(drafted.clone()),
        [("not_found".into(), "inference.draft_model".into())]
    );
}
