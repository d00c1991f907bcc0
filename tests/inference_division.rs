//! Every model of the catalogue, in every format, among 1, 2, 4 and 8 GPUs, on every engine that divides matrices: answered with
//! as many bytes as its tensors say, or refused as the engine refuses it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeSet;

use gpu_mem_calc::api::{self, InferenceAnswer, Issue, Request};
use serde_json::{Value, json};

const FORMATS: [&str; 18] = [
    "none",
    "fp8",
    "fp8_channel",
    "fp8_block",
    "int8",
    "bnb_int8",
    "gptq",
    "gptq_int8",
    "awq",
    "w4a16",
    "nf4",
    "nf4_double",
    "hqq",
    "torchao_int4",
    "torchao_int8",
    "mxfp4",
    "mxfp8",
    "nvfp4",
];

fn asked(
    model: &str,
    engine: &str,
    format: &str,
    tensor: u64,
    more: Value,
) -> Result<InferenceAnswer, Vec<Issue>> {
    let mut inference = json!({
        "engine_type": engine, "weight_format": format, "tensor_parallel_size": tensor, "batch_size": 1, "max_seq_len": 256,
    });
    if let (Some(fields), Value::Object(more)) = (inference.as_object_mut(), more) {
        fields.extend(more);
    }
    let question = json!({
        "model": {"id": model}, "inference": inference, "hardware": {"gpu": "b200-sxm", "num_gpus": tensor},
    });
    api::calculate_inference(&Request::from_json(&question).expect("a request"))
}

fn weights(answer: &InferenceAnswer) -> u64 {
    let parts = answer.parts.iter().filter(|part| part.id == "weights");
    parts.map(|part| part.bytes.expected_bytes.get()).sum()
}

/// Codes of refusals.
fn codes(found: &Result<InferenceAnswer, Vec<Issue>>) -> BTreeSet<&'static str> {
    match found {
        Ok(_) => BTreeSet::new(),
        Err(issues) => issues
            .iter()
            .filter(|issue| issue.is_error())
            .map(|issue| issue.code)
            .collect(),
    }
}

#[track_caller]
fn refused(model: &str, engine: &str, format: &str, tensor: u64, words: &str) {
    let Err(issues) = asked(model, engine, format, tensor, json!({})) else {
        panic!("{model} {engine} {format} {tensor} is answered");
    };
    let found = issues
        .iter()
        .any(|issue| issue.code == "not_divisible" && issue.message.contains(words));
    assert!(found, "{model} {engine} {format} {tensor}: {issues:?}");
}

#[track_caller]
fn answered(model: &str, engine: &str, format: &str, tensor: u64, more: Value) -> u64 {
    match asked(model, engine, format, tensor, more) {
        Ok(answer) => weights(&answer),
        Err(issues) => panic!("{model} {engine} {format} {tensor}: {issues:?}"),
    }
}

/// What a rank holds by the list of tensors: divided along their axis, keys and values copied beyond their heads; without
/// padding, rotary tables and the allocator's tails, which are the room above it.
fn by_hand(model: &str, tensor: u64) -> (u64, u64) {
    let request = Request::from_json(&json!({"model": {"id": model}})).expect("a request");
    let report = api::model_report(&request, true).expect("a model");
    let mut least = 0_u64;
    let mut tails = 0_u64;
    for row in report.tensors.expect("tensors") {
        if row.place == "next-token layers" {
            continue;
        }
        let whole = row.elements.get();
        let divided = format!("{:?}", row.split).starts_with("Axis");
        // Towers are divided by their own rules.
        let tower = row.place.contains("tower") || row.place.contains("projector");
        let local = if divided || tower { whole / tensor } else { whole };
        least += 2 * local;
        // A tail of up to 1 MiB for each tensor above 1 MiB, a block of 512 bytes below it, a row of padding, copied heads.
        let one = 2 * local / row.copies.max(1);
        let tail = if one > 1 << 20 { 1 << 20 } else { 512 + one };
        tails += tail * row.copies;
        let keys = row.name.contains("k_proj") || row.name.contains("v_proj") || row.name.contains("qkv");
        tails += if keys && divided { 2 * whole - 2 * local } else { 0 };
        tails += if tower { 2 * whole } else { 0 };
    }
    (least, tails)
}

#[test]
fn a_rank_holds_its_part_of_every_tensor() {
    let mut answers = 0;
    for model in api::models() {
        for tensor in [1, 2, 4, 8] {
            let (least, tails) = by_hand(model.id, tensor);
            for engine in ["vllm", "sglang", "tgi", "tensorrt_llm"] {
                let found = asked(model.id, engine, "none", tensor, json!({}));
                let Ok(answer) = &found else {
                    let codes = codes(&found);
                    let own = [
                        "not_divisible",
                        "not_supported_by_engine",
                        "not_supported_by_model",
                    ];
                    assert!(
                        codes.iter().any(|code| own.contains(code)),
                        "{} {engine} {tensor}: {codes:?}",
                        model.id
                    );
                    continue;
                };
                answers += 1;
                let bytes = weights(answer);
                // Rotary tables, absorbed latent projections, parameters in 32 bits.
                let most = (least + tails).saturating_mul(12) / 10 + (1 << 30);
                assert!(
                    bytes as f64 > 0.97 * least as f64 && bytes < most,
                    "{} {engine} {tensor}: {bytes} of {least} to {most}",
                    model.id
                );
            }
        }
    }
    assert!(answers > 1_000, "{answers}");
}

#[test]
fn every_format_is_answered_or_refused_as_the_engine_refuses_it() {
    let known = [
        "not_divisible",
        "not_supported_by_engine",
        "not_supported_by_gpu",
        "not_supported_by_model",
        "unsupported_combination",
    ];
    for model in api::models() {
        let plain = asked(model.id, "vllm", "none", 1, json!({}))
            .ok()
            .map(|answer| weights(&answer));
        for format in FORMATS {
            for tensor in [1, 8] {
                let found = asked(model.id, "vllm", format, tensor, json!({}));
                let codes = codes(&found);
                assert!(
                    codes.iter().all(|code| known.contains(code)),
                    "{} {format} {tensor}: {codes:?}",
                    model.id
                );
                if let (Ok(answer), Some(plain)) = (&found, plain) {
                    let most = plain / tensor + plain / 4 + (1 << 30);
                    assert!(weights(answer) <= most, "{} {format} {tensor}", model.id);
                }
            }
        }
    }
}

#[test]
fn what_the_engines_refuse() {
    // 28 heads.
    refused("qwen2.5-7b", "vllm", "none", 8, "28 attention heads");
    // 29568 / 8 = 3696 is no multiple of 128 (vllm `auto_awq.py`: "not aligned with the quantized weight shape").
    refused("qwen2.5-72b", "vllm", "awq", 8, "3696");
    refused("qwen2.5-72b", "sglang", "gptq", 8, "3696");
    // 1536 / 8 = 192 is no multiple of a block of 128 (vllm `fp8_utils.py` validate_fp8_block_shape_moe).
    refused("qwen3-235b-a22b", "vllm", "fp8_block", 8, "192");
    refused("qwen3-235b-a22b", "sglang", "fp8_block", 8, "192");
    // Two key and value heads among four shards (TGI `flash_llama_modeling.py`).
    refused("qwen2.5-3b", "tgi", "none", 4, "2 key and value heads");
}

#[test]
fn what_the_engines_answer() {
    let none = || json!({});
    answered("qwen2.5-72b", "vllm", "none", 8, none());
    answered("llama-3.1-70b", "vllm", "awq", 8, none());
    answered("qwen2.5-3b", "vllm", "none", 4, none());
    // Whole experts have whole blocks.
    let whole = answered(
        "qwen3-235b-a22b",
        "vllm",
        "fp8_block",
        8,
        json!({"enable_expert_parallel": true}),
    );
    let divided = answered("qwen3-235b-a22b", "vllm", "fp8_block", 4, none());
    assert!(whole < divided);
    // Groups of AWQ experts are halved where 1536 / 8 = 192 is no multiple of 128.
    answered("qwen3-235b-a22b", "vllm", "awq", 8, none());
    // MXFP4 is padded instead.
    answered("gpt-oss-120b", "vllm", "mxfp4", 8, none());
}

#[test]
fn experts_are_divided_among_all_copies() {
    // 94 layers of 128 experts with 3 matrices of 4096 x 1536, in 16 bits.
    let experts = 94_u64 * 128 * 3 * 4096 * 1536 * 2;
    let one = answered("qwen3-235b-a22b", "vllm", "none", 8, json!({}));
    let question = json!({
        "model": {"id": "qwen3-235b-a22b"},
        "inference": {"engine_type": "vllm", "tensor_parallel_size": 8, "data_parallel_size": 2, "batch_size": 1, "max_seq_len": 256},
        "hardware": {"gpu": "b200-sxm", "num_gpus": 16},
    });
    let two =
        api::calculate_inference(&Request::from_json(&question).expect("a request")).expect("an answer");
    let less = one - weights(&two);
    let expected = experts / 8 - experts / 16;
    assert!(less.abs_diff(expected) < 200 << 20, "{less} {expected}");
}
