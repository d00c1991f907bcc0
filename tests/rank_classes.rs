//! Ranks that hold less than the fullest, against traces of single ranks.

// A test says what it expected by panicking.
#![allow(clippy::expect_used, clippy::panic)]

use gpu_mem_calc::api::{self, Answer, Request};
use serde_json::{Value, json};

fn answered(model: &str, gpus: u64, training: Value) -> Answer {
    let request = json!({"model": {"id": model}, "engine": {"type": "fsdp", "version": "2.15"}, "training": training,
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": gpus}});
    api::calculate(&Request::from_json(&request).expect("a request")).expect("an answer")
}

/// TinyLlama on 96 ranks, traced with torch 2.15 (FSDP2, bf16 mixed precision, fused AdamW, 512 tokens, recomputed): ranks 0,
/// 93 and 95 allocated 1,084,910,080, 1,048,504,832 and 1,017,996,288 bytes at the peak.
#[test]
fn the_last_ranks_of_a_length_that_does_not_divide_hold_less() {
    let answer = answered(
        "tinyllama-1.1b",
        96,
        json!({"seq_length": 512, "activation_checkpointing": "full", "optimizer_implementation": "fused"}),
    );
    let peaks: Vec<u64> = answer
        .ranks
        .iter()
        .map(|row| row.peak_allocated_bytes.get())
        .collect();
    assert!(peaks.is_sorted_by(|one, next| one >= next), "the fullest first");
    assert_eq!(peaks.first(), Some(&answer.peak_allocated_bytes.get()));
    let of = |rank: u64| {
        let row = answer
            .ranks
            .iter()
            .find(|row| (row.first..=row.last).contains(&rank));
        row.expect("a class").less_bytes.get()
    };
    for (rank, traced) in [
        (93, 1_084_910_080_u64 - 1_048_504_832),
        (95, 1_084_910_080 - 1_017_996_288),
    ] {
        let error = of(rank).abs_diff(traced) as f64 / traced as f64;
        assert!(error < 0.06, "rank {rank}: {} less, traced {traced}", of(rank));
    }
    let ranks: u64 = answer.ranks.iter().map(|row| row.last - row.first + 1).sum();
    assert_eq!(ranks, 96);
}

#[test]
fn ranks_of_lengths_that_divide_hold_the_same() {
    let answer = answered("tinyllama-1.1b", 8, json!({"seq_length": 512}));
    assert_eq!(answer.ranks.len(), 1);
    let only = answer.ranks.first().expect("a class");
    assert_eq!((only.first, only.last, only.less_bytes.get()), (0, 7, 0));
}
