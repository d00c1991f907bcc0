//! Ranks that hold less than the fullest, against traces of single ranks.

// A test says what it expected by panicking.
#![allow(clippy::expect_used, clippy::panic)]

use gpu_mem_calc::api::{self, Answer, Request};
use serde_json::{Value, json};

fn answered(model: &str, gpus: u64, training: Value) -> Answer {
    asked(
        json!({"model": {"id": model}, "engine": {"type": "fsdp", "version": "2.15"}, "training": training,
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": gpus}}),
    )
}

fn asked(request: Value) -> Answer {
    api::calculate(&Request::from_json(&request).expect("a request")).expect("an answer")
}

/// TinyLlama, 512 tokens, recomputed.
fn with(engine: Value, gpus: u64, more: Value) -> Answer {
    let mut request = json!({"model": {"id": "tinyllama-1.1b"}, "engine": engine,
        "training": {"seq_length": 512, "activation_checkpointing": "full"},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": gpus}});
    for (section, values) in more.as_object().expect("sections") {
        let all = request.as_object_mut().expect("an object");
        let own = all.entry(section).or_insert(json!({}));
        for (key, value) in values.as_object().expect("inputs") {
            own[key] = value.clone();
        }
    }
    asked(request)
}

#[track_caller]
fn row(answer: &Answer, rank: u64) -> (u64, u64) {
    let found = answer
        .ranks
        .iter()
        .find(|row| (row.first..=row.last).contains(&rank));
    let row = found.expect("a class");
    (row.peak_allocated_bytes.get(), row.less_bytes.get())
}

/// Traced with DeepSpeed 0.19.8 and torch's AdamW (tests/measured/deepspeed-trace.jsonl, records with a rank): the last rank's
/// gradients are reduced first, so they are there at the tightest layer; the first rank's come at the end.
#[test]
fn the_last_rank_of_stage_2_is_the_fullest() {
    let optimizer = json!({"training": {"optimizer_implementation": "foreach"}});
    let zero = json!({"type": "deepspeed", "version": "2.15", "zero_stage": 2});
    for (gpus, traced) in [
        (
            8,
            [(0, 5_910_404_608_u64), (3, 5_910_404_608), (7, 6_198_783_488)],
        ),
        (64, [(0, 4_466_592_256), (30, 4_466_592_256), (63, 4_597_664_256)]),
    ] {
        let answer = with(zero.clone(), gpus, optimizer.clone());
        for (rank, traced) in traced {
            let (peak, _) = row(&answer, rank);
            let error = peak.abs_diff(traced) as f64 / traced as f64;
            assert!(error < 0.01, "rank {rank} of {gpus}: {peak}, traced {traced}");
        }
        let first = answer.ranks.first().expect("a class");
        assert_eq!(first.last, gpus - 1, "the fullest");
        assert_eq!(first.peak_allocated_bytes, answer.peak_allocated_bytes);
        let ranks: u64 = answer.ranks.iter().map(|row| row.last - row.first + 1).sum();
        assert_eq!(ranks, gpus);
    }
}

/// Traced with torch 2.15, pure bf16 and a vocabulary of 32,001: the last of four ranks held 12,288 bytes less at the peak with the
/// plan of transformers and with torch's, three rows of one matrix; the other rows stayed in the rest of a segment. So it is at
/// least that, and at most three rows of weight, gradient and two moments of embedding and head.
#[test]
fn the_last_tensor_parallel_rank_holds_less_of_an_odd_vocabulary() {
    for plan in ["transformers", "torch"] {
        let answer = with(
            json!({"type": "pytorch_ddp", "version": "2.15"}),
            4,
            json!({"model": {"vocab_size": 32_001},
                "training": {"dtype": "bf16", "precision_mode": "pure", "optimizer_implementation": "fused"},
                "parallelism": {"tensor_parallel_size": 4, "tensor_parallel_plan": plan}}),
        );
        assert!(
            answer.ranks.iter().all(|row| row.among == "tensor"),
            "{:?}",
            answer.ranks
        );
        let (_, less) = row(&answer, 3);
        assert!((12_288..=8 * 12_288).contains(&less), "{plan}: {less}");
        assert_eq!(row(&answer, 0).1, 0);
    }
}

#[test]
fn ranks_that_hold_the_same_are_one_class_and_the_answer_says_why() {
    let none = json!({});
    for (engine, gpus, more, why) in [
        (json!({"type": "pytorch_ddp"}), 1, none.clone(), "One GPU"),
        (
            json!({"type": "pytorch_ddp"}),
            7,
            none.clone(),
            "holds all weights",
        ),
        (
            json!({"type": "fsdp", "fsdp_version": "1"}),
            7,
            none.clone(),
            "padded",
        ),
        (
            json!({"type": "deepspeed", "zero_stage": 0}),
            8,
            none.clone(),
            "holds all weights",
        ),
        (
            json!({"type": "deepspeed", "zero_stage": 3}),
            96,
            none.clone(),
            "padded",
        ),
        (
            json!({"type": "deepspeed", "zero_stage": 2, "offload_optimizer": "cpu"}),
            8,
            none.clone(),
            "to the host",
        ),
        (
            json!({"type": "pytorch_ddp"}),
            4,
            json!({"parallelism": {"tensor_parallel_size": 4}}),
            "on every rank",
        ),
    ] {
        let answer = with(engine, gpus, more);
        assert_eq!(answer.ranks.len(), 1, "{why}");
        let only = answer.ranks.first().expect("a class");
        assert_eq!((only.first, only.last, only.less_bytes.get()), (0, gpus - 1, 0));
        assert!(answer.ranks_reason.contains(why), "{}", answer.ranks_reason);
    }
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
