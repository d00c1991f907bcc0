//! All inference engines side by side: each answers what it answers alone, and the difference to the next is one of the parts.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod asked;

use asked::{ask, part, with};
use gpu_mem_calc::api::{self, Request, ServerRow, SideBySide};
use serde_json::{Value, json};

fn all(question: &Value) -> SideBySide {
    api::side_by_side(&Request::from_json(question).expect("a request"))
}

fn row<'a>(all: &'a SideBySide, engine: &str) -> &'a ServerRow {
    let found = all.engines.iter().find(|row| row.engine == engine);
    found.expect("a row of every engine")
}

fn question() -> Value {
    json!({
        "model": {"id": "llama-3.1-8b"},
        "inference": {"engine_type": "vllm", "engine_version": "0.33.0", "max_seq_len": 8192, "gpu_memory_utilization": 0.8},
        "hardware": {"gpu": "l40s"},
    })
}

#[test]
fn every_engine_answers_what_it_answers_alone() {
    let found = all(&question());
    assert_eq!(found.engines.len(), api::ServerId::ALL.len());
    for engine in api::ServerId::ALL {
        let mut alone = question();
        if *engine != api::ServerId::Vllm {
            alone["inference"] = json!({"engine_type": engine.key(), "max_seq_len": 8192});
            // A share of the card is read by some of the others, too.
            if !row(&found, engine.key())
                .left_out
                .contains(&"inference.gpu_memory_utilization")
            {
                alone["inference"]["gpu_memory_utilization"] = json!(0.8);
            }
        }
        let expected = ask(alone);
        let told = row(&found, engine.key()).answer.as_ref().expect("an answer");
        assert_eq!(told.need, expected.need, "{}", engine.key());
        assert_eq!(told.tokens, expected.kv_pool_tokens * expected.replicas);
        assert_eq!(told.weights_bytes.get(), part(&expected, "weights"));
    }
}

#[test]
fn those_that_hold_the_most_tokens_come_first() {
    for gpus in [1, 4] {
        let found = all(&with(question(), "hardware", "num_gpus", json!(gpus)));
        let tokens: Vec<u64> = found
            .engines
            .iter()
            .filter_map(|row| Some(row.answer.as_ref()?.tokens))
            .collect();
        assert!(tokens.is_sorted_by(|more, less| more >= less), "{tokens:?}");
    }
}

#[test]
fn the_difference_to_the_next_is_one_of_the_parts() {
    let found = all(&question());
    let first = found.engines.first().expect("engines");
    // Four bits against sixteen.
    assert_eq!((first.engine, first.asked), ("llama_cpp", false));
    let answer = first.answer.as_ref().expect("an answer");
    assert_eq!(answer.weights, "Q4_K_M");
    let difference = answer.difference.as_ref().expect("a difference");
    assert_eq!(difference.part, "weights");
    assert_eq!(difference.here, answer.weights_bytes.get());
    let next = row(&found, difference.to).answer.as_ref().expect("an answer");
    assert_eq!(difference.there, next.weights_bytes.get());
    assert!(
        difference.words.contains("weights: 4.30 GiB here"),
        "{}",
        difference.words
    );
    let last = found.engines.last().and_then(|row| row.answer.as_ref());
    assert!(last.is_some_and(|answer| answer.difference.is_none()));
}

#[test]
fn settings_of_one_engine_are_left_out_for_the_others() {
    let found = all(&with(question(), "inference", "gguf_type", json!("Q8_0")));
    let (own, other) = (row(&found, "vllm"), row(&found, "llama_cpp"));
    assert!(own.asked && own.left_out.is_empty());
    assert!(other.left_out.contains(&"inference.engine_version"));
    assert!(!other.left_out.contains(&"inference.gguf_type"));
    assert_eq!(
        other.answer.as_ref().map(|answer| answer.weights.as_str()),
        Some("Q8_0")
    );
    assert!(row(&found, "sglang").left_out.contains(&"inference.gguf_type"));
}

#[test]
fn an_engine_that_refuses_says_which_field() {
    let mut question = with(question(), "inference", "weight_format", json!("fp8"));
    question["hardware"]["gpu"] = json!("v100-sxm2-32gb");
    let found = all(&question);
    let refused: Vec<(&str, Vec<&str>)> = found
        .engines
        .iter()
        .filter(|row| row.answer.is_none())
        .map(|row| {
            (
                row.engine,
                row.issues.iter().map(|issue| issue.path.as_str()).collect(),
            )
        })
        .collect();
    // Below Turing neither runs it.
    let field = vec!["inference.weight_format"];
    assert_eq!(refused, [("huggingface", field.clone()), ("vllm", field)]);
    // Nothing to ask: every engine says so.
    let empty = all(&json!({}));
    assert!(
        empty
            .engines
            .iter()
            .all(|row| row.answer.is_none() && !row.issues.is_empty())
    );
}
