//! Models and heads that draft for another under vLLM: what they load beside it, and what is refused.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod asked;

use asked::{ask, on_vllm, part, refused, with};
use serde_json::json;

#[test]
fn a_drafting_model_is_loaded_beside_and_shares_the_blocks() {
    let question = with(
        on_vllm("h100-sxm-80gb"),
        "inference",
        "engine_version",
        json!("0.22.1"),
    );
    let alone = ask(question.clone());
    let drafted = with(question, "inference", "draft_model", json!("llama-3.2-1b"));
    let answer = ask(with(
        drafted.clone(),
        "inference",
        "num_speculative_tokens",
        json!(4),
    ));
    let more = part(&answer, "weights") - part(&alone, "weights");
    // 1,235,814,400 parameters of two bytes, rotary tables of 131,072 positions, and the tail of the embedding: 501 MiB in a
    // segment of 502.
    assert_eq!(more, 1_235_814_400 * 2 + 131_072 * 64 * 2 + (1 << 20));
    // 16 layers of 8 heads of 64 beside 32 of 8 heads of 128, 8,192 tokens.
    let cache = |layers: u64, width: u64| 8192 * 2 * layers * 8 * width * 2;
    assert_eq!(part(&alone, "kv_cache"), cache(32, 128));
    assert_eq!(part(&answer, "kv_cache"), cache(32, 128) + cache(16, 64));
    assert_eq!(
        refused(drafted.clone()),
        [(
            "missing".to_string(),
            "inference.num_speculative_tokens".to_string()
        )]
    );
    let early = with(drafted, "inference", "engine_version", json!("0.14.1"));
    assert_eq!(
        refused(with(early, "inference", "num_speculative_tokens", json!(4))),
        [(
            "not_supported_by_engine".to_string(),
            "inference.draft_model".to_string()
        )]
    );
}

/// Heads on the hidden states: layers like the model's, and the matrix that joins what they are given.
#[test]
fn a_head_on_the_hidden_states_drafts_with_a_layer_of_its_own() {
    let started = |head: &str, version: &str| {
        let mut question = on_vllm("h100-sxm-80gb");
        question = with(question, "inference", "engine_version", json!(version));
        question = with(question, "inference", "num_speculative_tokens", json!(4));
        with(question, "inference", "draft_model", json!(head))
    };
    let mut alone = started("eagle", "0.22.1");
    for key in ["num_speculative_tokens", "draft_model"] {
        alone["inference"].as_object_mut().expect("fields").remove(key);
    }
    let alone = ask(alone);
    let (hidden, keys, inner) = (4096_u64, 1024_u64, 14_336_u64);
    let layer = 2 * hidden * hidden + 2 * hidden * keys + 3 * hidden * inner;
    for (head, parameters, layers) in [
        ("eagle", layer + 2 * hidden * hidden, 1),
        (
            "eagle3",
            layer + hidden * hidden + 2 * hidden * keys + 3 * hidden * hidden + 32_000 * hidden,
            1,
        ),
        ("dflash", 5 * layer + 5 * hidden * hidden, 5),
        (
            "dflash:2x1024",
            2 * (layer - 3 * hidden * (inner - 1024)) + 2 * hidden * hidden,
            2,
        ),
    ] {
        let answer = ask(started(head, "0.22.1"));
        let more = part(&answer, "weights") - part(&alone, "weights");
        // Norms, and a rotary table of 131,072 positions, come on top.
        let table = 131_072 * 128 * 2;
        let expected = 2 * parameters + table;
        assert!(
            more.abs_diff(expected) <= 4 << 20,
            "{head}: {more}, not {expected}"
        );
        let each = 2 * keys * 2 * 8192;
        assert_eq!(
            part(&answer, "kv_cache") - part(&alone, "kv_cache"),
            layers * each,
            "{head}"
        );
    }
    for (head, version) in [("eagle3", "0.8.0"), ("dflash", "0.19.1")] {
        let field = "inference.draft_model".to_string();
        assert_eq!(
            refused(started(head, version)),
            [("not_supported_by_engine".to_string(), field)]
        );
    }
}
