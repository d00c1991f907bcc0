//! Assisted decoding through the door: what drafting adds, by hand, and what `generate()` refuses beside it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod asked;

use asked::{ask, entry, refused, with};
use serde_json::json;

#[test]
fn an_assistant_adds_weights_cache_and_the_logits_of_its_draft() {
    let one = json!({"model": {"id": "llama-3.1-8b"}, "inference": {"prompt_tokens": 1000, "new_tokens": 100},
        "hardware": {"gpu": "h100-sxm-80gb"}});
    let assisted = with(one.clone(), "inference", "assistant_model", json!("llama-3.2-1b"));
    let answer = ask(assisted.clone());
    // 1,235,814,400 parameters of two bytes: every tensor is a multiple of 512 bytes but for tails of the allocator.
    let weights = entry(&answer, "assistant_weights");
    assert!((2_471_628_800..2_480_000_000).contains(&weights), "{weights}");
    // 16 layers of 2 x 8 heads of 64: at the end all but the last two tokens of 1100.
    let cache = |tokens: u64| 16 * 2 * 8 * 64 * 2 * tokens;
    let held: Vec<u64> = answer
        .ledger
        .iter()
        .filter(|row| row.id == "assistant_cache")
        .map(|row| row.unit_bytes.get())
        .collect();
    assert_eq!(held, [cache(1019), cache(1098)]);
    // 20 drafted rows of fp32 scores; 21 rows of logits in bf16, in fp32, and a clone.
    let rows = |count: u64, bytes: u64| count * bytes * 128_256;
    let scores: Vec<u64> = answer
        .ledger
        .iter()
        .filter(|row| row.id == "scores")
        .map(|row| row.unit_bytes.get())
        .collect();
    assert_eq!(scores, [rows(20, 4), rows(20, 4) + rows(21, 10)]);
    // The assistant's last step: its scores, a row in bf16, and a workspace of 32 MiB, which is more than stacking the scores.
    assert_eq!(
        entry(&answer, "decode_head"),
        rows(20, 4) + rows(1, 2) + (32 << 20)
    );
    let longer = ask(with(
        assisted.clone(),
        "inference",
        "num_assistant_tokens",
        json!(80),
    ));
    assert!(longer.need.expected_bytes > answer.need.expected_bytes);
    for (key, value) in [
        ("batch_size", json!(4)),
        ("num_beams", json!(2)),
        ("cache_implementation", json!("static")),
        ("use_kv_cache", json!(false)),
    ] {
        assert_eq!(
            refused(with(assisted.clone(), "inference", key, value)),
            [("unsupported_combination".to_string(), format!("inference.{key}"))]
        );
    }
}
