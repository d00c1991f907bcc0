//! Questions to the servers beside vLLM through the door: what is refused, where capacity ends, the lines of a start.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod asked;

use asked::{ask, part, refused, with};
use serde_json::{Value, json};

fn sglang() -> Value {
    json!({"model": {"id": "llama-3.1-8b"}, "inference": {"engine_type": "sglang", "batch_size": 4, "max_seq_len": 2048},
        "hardware": {"gpu": "h100-sxm-80gb"}})
}

/// The largest batch fits and one more does not; the longest sequence fits.
#[track_caller]
fn capacity_is_the_edge(question: &Value, model: &str) {
    let of = |key: &str, to: u64| ask(with(question.clone(), "inference", key, json!(to))).fits_on_gpu;
    let answer = ask(question.clone());
    let most = answer.max_supported_batch_size;
    assert!(most > 4, "{model}");
    assert!(of("batch_size", most));
    assert!(!of("batch_size", most + 1));
    let length = answer.max_context_len;
    assert!(of("max_seq_len", length), "{model}: {length}");
}

#[test]
fn what_sglang_cannot_run_is_refused_by_field() {
    let with = |key: &str, to: Value| with(sglang(), "inference", key, to);
    for (key, to, code) in [
        ("speculative_algo", json!("medusa"), "not_supported_by_engine"),
        ("kv_cache_quantization", json!("int4"), "not_supported_by_engine"),
        ("engine_version", json!("0.1.0"), "out_of_range"),
    ] {
        assert_eq!(
            refused(with(key, to)),
            [(code.to_string(), format!("inference.{key}"))]
        );
    }
    let mut odd = with("data_parallel_size", json!(3));
    odd["inference"]["enable_dp_attention"] = json!(true);
    odd["inference"]["tensor_parallel_size"] = json!(4);
    assert_eq!(
        refused(odd),
        [("not_divisible".into(), "inference.enable_dp_attention".into())]
    );
    assert_eq!(
        refused(with("speculative_algo", json!("standalone"))),
        [("missing".into(), "inference.draft_model".into())]
    );
}

#[test]
fn capacity_of_sglang_is_the_edge_in_every_direction() {
    for model in ["llama-3.1-8b", "gpt-oss-20b", "qwen3.5-27b", "deepseek-v2-lite"] {
        let question = with(sglang(), "model", "id", json!(model));
        capacity_is_the_edge(&question, model);
    }
}

#[test]
fn a_start_of_sglang_is_told_in_its_own_lines() {
    let lines = ask(sglang()).start_up;
    let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
    for start in [
        "Load weight begin. avail mem=",
        "Load weight end. avail mem=",
        "KV Cache is allocated. #tokens: ",
        "Memory pool end. avail mem=",
        "Capture cuda graph end. mem usage=",
        "max_total_num_tokens=",
    ] {
        assert!(has(start), "{start}: {lines:?}");
    }
}

fn tensorrt() -> Value {
    let mut question = sglang();
    question["inference"]["engine_type"] = json!("tensorrt_llm");
    question["inference"]["trt_backend"] = json!("tensorrt");
    question
}

#[test]
fn limits_of_a_build_refuse_what_is_longer() {
    let of = |key: &str, to: u64| ask(with(tensorrt(), "inference", key, json!(to)));
    assert!(of("trt_max_seq_len", 4096).fits_on_gpu);
    let short = of("trt_max_seq_len", 1024);
    assert!(!short.fits_on_gpu);
    assert!(short.failure.expect("a reason").contains("1024 for a sequence"));
    assert!(!of("trt_max_batch_size", 2).fits_on_gpu);
    let mut odd = with(tensorrt(), "inference", "trt_max_seq_len", json!(1024));
    odd["inference"]["trt_max_input_len"] = json!(2048);
    assert_eq!(
        refused(odd),
        [(
            "unsupported_combination".into(),
            "inference.trt_max_input_len".into()
        )]
    );
    assert_eq!(
        refused(with(
            tensorrt(),
            "inference",
            "kv_cache_quantization",
            json!("int4")
        )),
        [(
            "not_supported_by_engine".into(),
            "inference.kv_cache_quantization".into()
        )]
    );
}

#[test]
fn capacity_of_tensorrt_llm_is_the_edge_in_every_direction() {
    for (model, backend) in [
        ("llama-3.1-8b", "tensorrt"),
        ("qwen2.5-7b", "pytorch"),
        ("deepseek-v2-lite", "pytorch"),
    ] {
        let mut question = with(tensorrt(), "model", "id", json!(model));
        question["inference"]["trt_backend"] = json!(backend);
        capacity_is_the_edge(&question, model);
    }
}

#[test]
fn starts_of_both_backends_are_told_in_their_own_lines() {
    for (backend, starts) in [
        (
            "tensorrt",
            [
                "[TensorRT-LLM][INFO] Loaded engine size: ",
                "[TensorRT-LLM][INFO] Memory usage when calculating max tokens in paged kv cache: total: ",
            ],
        ),
        (
            "pytorch",
            [
                "Peak memory during memory usage profiling (torch + non-torch): ",
                "[TensorRT-LLM][INFO] Number of blocks in KV cache primary pool: ",
            ],
        ),
    ] {
        let lines = ask(with(tensorrt(), "inference", "trt_backend", json!(backend))).start_up;
        for start in starts {
            assert!(
                lines.iter().any(|line| line.starts_with(start)),
                "{start}: {lines:?}"
            );
        }
    }
}

fn tgi() -> Value {
    let mut question = sglang();
    question["inference"]["engine_type"] = json!("tgi");
    question
}

#[test]
fn limits_of_tgi_are_refused_by_field() {
    let both = |first: (&str, Value), second: (&str, Value)| {
        let question = with(tgi(), "inference", first.0, first.1);
        refused(with(question, "inference", second.0, second.1))
    };
    let odd = |key: &str| vec![("unsupported_combination".to_string(), format!("inference.{key}"))];
    assert_eq!(
        both(
            ("max_total_tokens", json!(4096)),
            ("max_input_tokens", json!(4096))
        ),
        odd("max_input_tokens")
    );
    assert_eq!(
        both(
            ("max_total_tokens", json!(4096)),
            ("max_batch_total_tokens", json!(2048))
        ),
        odd("max_batch_total_tokens")
    );
    assert_eq!(
        both(("tensor_parallel_size", json!(2)), ("num_shard", json!(4))),
        odd("num_shard")
    );
    assert_eq!(
        both(("sharded", json!(false)), ("num_shard", json!(2))),
        odd("sharded")
    );
    assert_eq!(
        refused(with(tgi(), "inference", "tgi_quantize", json!("exl2"))),
        [("not_supported_by_engine".into(), "inference.tgi_quantize".into())]
    );
    let short = ask(with(tgi(), "inference", "max_total_tokens", json!(1024)));
    assert!(!short.fits_on_gpu);
}

#[test]
fn the_longest_request_of_tgi_stands_for_the_tokens_of_a_sequence() {
    let mut question = with(tgi(), "inference", "max_total_tokens", json!(2048));
    let fields = question["inference"].as_object_mut().expect("fields");
    fields.remove("max_seq_len");
    assert_eq!(
        part(&ask(question.clone()), "kv_cache"),
        4 * 2048 * 131_072,
        "four requests"
    );
    question["inference"]["num_shard"] = json!(2);
    assert_eq!(
        part(&ask(question), "kv_cache"),
        4 * 2048 * 65_536,
        "on two shards"
    );
}

#[test]
fn capacity_of_tgi_is_the_edge_in_every_direction() {
    for (model, version) in [
        ("llama-3.1-8b", "3.3.0"),
        ("qwen2.5-7b", "2.0.0"),
        ("gemma-2-9b", "1.4.0"),
    ] {
        let mut question = with(tgi(), "model", "id", json!(model));
        question["inference"]["engine_version"] = json!(version);
        capacity_is_the_edge(&question, model);
    }
}
