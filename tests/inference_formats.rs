//! Formats and types that a card cannot run: refused, or answered and marked.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use gpu_mem_calc::api::{self, InferenceAnswer, Issue, Request};
use serde_json::{Value, json};

fn asked(gpu: &str, engine: &str, inference: &[(&str, &str)]) -> Result<InferenceAnswer, Vec<Issue>> {
    let mut fields = json!({"engine_type": engine, "max_seq_len": 2048});
    for (key, value) in inference {
        if let Some(fields) = fields.as_object_mut() {
            fields.insert((*key).to_string(), json!(value));
        }
    }
    let request = json!({"model": {"id": "llama-3.2-1b"}, "inference": fields, "hardware": {"gpu": gpu}});
    api::calculate_inference(&Request::from_json(&request).expect("a request"))
}

/// Errors, or warnings of a kind, by code.
fn says(found: Result<InferenceAnswer, Vec<Issue>>) -> Vec<&'static str> {
    let issues = match found {
        Ok(answer) => answer.warnings,
        Err(issues) => issues.into_iter().filter(Issue::is_error).collect(),
    };
    let told = ["not_supported_by_gpu", "not_supported_by_engine", "emulated"];
    issues
        .iter()
        .map(|issue| issue.code)
        .filter(|code| told.contains(code))
        .collect()
}

#[test]
fn formats_are_refused_or_marked_by_card_and_engine() {
    for (gpu, engine, format, expected) in [
        // Volta 7.0, Turing 7.5, Ampere 8.0, Ada 8.9, Hopper 9.0, Blackwell 10.0.
        ("v100-sxm2-32gb", "vllm", "awq", "not_supported_by_gpu"),
        ("v100-sxm2-32gb", "vllm", "fp8", "not_supported_by_gpu"),
        ("v100-sxm2-32gb", "vllm", "gptq", ""),
        ("v100-sxm2-32gb", "vllm", "nf4", "not_supported_by_engine"),
        ("t4", "vllm", "awq", ""),
        ("t4", "vllm", "mxfp4", "not_supported_by_gpu"),
        ("t4", "vllm", "fp8", "emulated"),
        ("a100-sxm-80gb", "vllm", "fp8", "emulated"),
        ("a100-sxm-80gb", "vllm", "nvfp4", "emulated"),
        ("a100-sxm-80gb", "vllm", "mxfp4", "emulated"),
        ("h100-sxm-80gb", "vllm", "fp8", ""),
        ("h100-sxm-80gb", "vllm", "nvfp4", "emulated"),
        ("a100-sxm-80gb", "huggingface", "fp8", "not_supported_by_gpu"),
        ("l40s", "huggingface", "fp8", ""),
        ("a100-sxm-80gb", "huggingface", "fp8_block", "emulated"),
        ("l40s", "huggingface", "nvfp4", "not_supported_by_engine"),
        (
            "h100-sxm-80gb",
            "sglang",
            "torchao_int8",
            "not_supported_by_engine",
        ),
        ("h100-sxm-80gb", "tgi", "nf4", "not_supported_by_engine"),
        ("h100-sxm-80gb", "tgi", "nvfp4", "not_supported_by_engine"),
        ("h100-sxm-80gb", "tensorrt_llm", "hqq", "not_supported_by_engine"),
        ("t4", "huggingface", "mxfp4", ""),
        ("v100-sxm2-32gb", "huggingface", "mxfp4", "emulated"),
    ] {
        let found = says(asked(gpu, engine, &[("weight_format", format)]));
        let expected: Vec<&str> = Some(expected)
            .filter(|code| !code.is_empty())
            .into_iter()
            .collect();
        assert_eq!(found, expected, "{gpu} {engine} {format}");
    }
}

#[test]
fn formats_that_an_engine_lost_are_answered_for_its_older_releases() {
    let of = |release: &str| {
        says(asked(
            "h100-sxm-80gb",
            "vllm",
            &[("weight_format", "nf4"), ("engine_version", release)],
        ))
    };
    assert_eq!(of("0.27.0"), Vec::<&str>::new());
    assert_eq!(of("0.28.0"), ["not_supported_by_engine"]);
}

/// Bytes that a token of Llama 3.2 1B has in a cache: 16 layers of 8 heads of 64 for keys and as many for values.
fn cell(gpu: &str, engine: &str, cache: &str, release: &str) -> Result<u64, Vec<&'static str>> {
    let more = [("kv_cache_quantization", cache), ("engine_version", release)];
    match asked(gpu, engine, &more) {
        Ok(answer) => {
            let parts = answer.parts.iter().filter(|part| part.id == "kv_cache");
            Ok(parts.map(|part| part.bytes.expected_bytes.get()).sum::<u64>() / 2048)
        }
        issues => Err(says(issues)),
    }
}

#[test]
fn a_cache_has_the_bytes_of_its_type_where_the_release_has_it() {
    let heads = 16 * 8;
    let refused = || Err(vec!["not_supported_by_engine"]);
    // Integers have an fp32 scale for the key and one for the value of each head, 4-bit floats one byte per 16.
    assert_eq!(
        cell("h100-sxm-80gb", "vllm", "int8", "0.33.0"),
        Ok(heads * (128 + 8))
    );
    assert_eq!(
        cell("h100-sxm-80gb", "vllm", "int4", "0.33.0"),
        Ok(heads * (64 + 8))
    );
    assert_eq!(cell("b200-sxm", "vllm", "fp4", "0.33.0"), Ok(heads * 72));
    assert_eq!(cell("b200-sxm", "tensorrt_llm", "fp4", "1.2.0"), Ok(heads * 72));
    assert_eq!(
        cell("h100-sxm-80gb", "tensorrt_llm", "int8", "0.20.0"),
        Ok(heads * 128)
    );
    assert_eq!(cell("h100-sxm-80gb", "vllm", "fp4", "0.33.0"), refused());
    assert_eq!(cell("h100-sxm-80gb", "vllm", "int4", "0.23.0"), refused());
    assert_eq!(cell("h100-sxm-80gb", "vllm", "int8", "0.19.0"), refused());
    assert_eq!(cell("h100-sxm-80gb", "tensorrt_llm", "int8", "1.0.0"), refused());
    assert_eq!(cell("b200-sxm", "tensorrt_llm", "fp4", "1.0.0"), refused());
}

#[test]
fn weights_that_transformers_widens_are_counted_widened() {
    let weights = |gpu: &str, format: &str| {
        let request = json!({"model": {"id": "gpt-oss-20b"}, "inference": {"max_seq_len": 512, "weight_format": format},
            "hardware": {"gpu": gpu}});
        let answer =
            api::calculate_inference(&Request::from_json(&request).expect("a request")).expect("an answer");
        answer.devices.first().expect("a device").weights_bytes
    };
    assert_eq!(
        weights("v100-sxm2-32gb", "mxfp4"),
        weights("v100-sxm2-32gb", "none")
    );
    assert!(weights("t4", "mxfp4").get() * 2 < weights("t4", "none").get());
}

#[test]
fn vllm_takes_fp16_where_the_card_has_no_bf16() {
    assert_eq!(
        says(asked("t4", "vllm", &[("dtype", "bf16")])),
        ["not_supported_by_gpu"]
    );
    assert_eq!(
        says(asked("t4", "huggingface", &[("dtype", "bf16")])),
        Vec::<&str>::new()
    );
    let answer = asked("t4", "vllm", &[]).expect("an answer");
    let taken = answer.assumed.iter().find(|one| one.path == "inference.dtype");
    assert_eq!(taken.map(|one| one.value.clone()), Some(Value::from("fp16")));
}
