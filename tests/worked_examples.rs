//! Worked examples of whole steps through the door: published measurements on A100, and sums that can be done by hand.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, Answer, Request};
use serde_json::{Value, json};

#[track_caller]
fn ask(request: Value) -> Answer {
    let request = Request::from_json(&request).expect("a request");
    api::calculate(&request).unwrap_or_else(|issues| panic!("{issues:?}"))
}

#[track_caller]
fn allocated(answer: &Answer, instant: &str) -> u64 {
    let row = answer.instants.iter().find(|row| row.id == instant);
    row.unwrap_or_else(|| panic!("{instant} does not occur"))
        .allocated_bytes
        .get()
}

/// Bytes of the ledger's rows with this key at an instant.
fn held(answer: &Answer, id: &str, instant: &str) -> u64 {
    let rows = answer.ledger.iter().filter(|row| row.id == id);
    rows.map(|row| row.unit_bytes.get() * row.held_at.get(instant).copied().unwrap_or(0))
        .sum()
}

#[track_caller]
fn close(what: &str, ours: u64, expected: u64, percent: f64) {
    let off = 100.0 * (ours as f64 / expected as f64 - 1.0);
    assert!(
        off.abs() <= percent,
        "{what}: {ours} instead of {expected}, {off:+.3} %, more than {percent} %"
    );
}

/// Pure bf16 on one A100 as the fms-acceleration records ran it: torch 2.4, AdamW with foreach, full recomputation.
fn a100(model: &str, batch: u64) -> Answer {
    ask(json!({
        "model": {"id": model},
        "engine": {"type": "pytorch_ddp", "version": "2.4"},
        "hardware": {"gpu": "a100-sxm-80gb", "num_gpus": 1},
        "training": {"dtype": "bf16", "precision_mode": "pure", "optimizer": "adamw",
            "optimizer_implementation": "foreach", "batch_size": batch, "seq_length": 4096,
            "activation_checkpointing": "full", "gradient_clipping": 0},
    }))
}

#[test]
fn mistral_7b_in_bf16_at_rest_and_in_its_step() {
    for (batch, step) in [(4, 72_434_837_504), (8, 72_435_230_720)] {
        let answer = a100("mistral-7b-v0.1", batch);
        close("rest", allocated(&answer, "rest"), 43_467_860_764, 0.1);
        close("step", allocated(&answer, "optimizer_step"), step, 0.1);
        assert_eq!(held(&answer, "cublas.workspace", "rest"), 17_039_360);
        assert_eq!(
            answer.peak_allocated_bytes.get(),
            allocated(&answer, "optimizer_step")
        );
    }
}

#[test]
fn llama_3_8b_in_bf16_in_its_step() {
    let answer = a100("llama-3-8b", 4);
    close("step", allocated(&answer, "optimizer_step"), 80_318_097_408, 0.1);
    assert_eq!(
        answer.peak_allocated_bytes.get(),
        allocated(&answer, "optimizer_step")
    );
}

#[test]
fn ddp_holds_buckets_beside_gradients_or_gradients_in_them() {
    let gpt2 = |view: bool| {
        ask(json!({
            "model": {"id": "gpt2"},
            "engine": {"type": "pytorch_ddp", "gradient_as_bucket_view": view},
            "hardware": {"gpu": "a100-sxm-80gb", "num_gpus": 8},
            "training": {"dtype": "fp32", "seq_length": 128, "optimizer_implementation": "fused"},
        }))
    };
    let weights = 497_759_232;
    let copied = gpt2(false);
    for id in ["weights", "gradients", "ddp.buckets"] {
        close(id, held(&copied, id, "optimizer_step"), weights, 0.5);
    }
    close(
        "states",
        held(&copied, "optimizer.states", "rest"),
        2 * weights,
        0.5,
    );
    let clip = held(&copied, "clip.norms", "clip");
    let viewed = gpt2(true);
    close("copied", allocated(&copied, "clip") - clip, 2_488_796_160, 0.5);
    close("viewed", allocated(&viewed, "clip") - clip, 1_991_036_928, 0.5);
    assert_eq!(held(&viewed, "ddp.buckets", "clip"), 0);
    close(
        "gradients in buckets stay",
        held(&viewed, "gradients", "rest"),
        weights,
        0.5,
    );
    assert_eq!(held(&copied, "gradients", "rest"), 0);
}

#[test]
fn fsdp2_gathers_and_reduces_one_layer_at_a_time() {
    let answer = ask(json!({
        "model": {"id": "llama-3-8b"},
        "engine": {"type": "fsdp", "fsdp_version": "2", "reduce_dtype": "fp32"},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8},
        "training": {"dtype": "bf16", "precision_mode": "mixed", "seq_length": 512,
            "activation_checkpointing": "full"},
    }));
    let unit: u64 = 218_112_000;
    for (id, per_weight) in [
        ("fsdp.gathered", 2),
        ("fsdp.all_gather", 2),
        ("fsdp.gradients", 2),
        ("fsdp.reduce_scatter", 4),
    ] {
        let row = answer
            .ledger
            .iter()
            .find(|row| row.id == id && !["before the layers", "head and final norm"].contains(&&*row.place));
        let row = row.unwrap_or_else(|| panic!("{id} is nowhere"));
        assert_eq!(row.unit_bytes.get(), per_weight * unit, "{id}");
        assert!(
            row.held_at.values().all(|count| *count <= 1),
            "{id}: one layer at a time"
        );
    }
    // fp32 shards with both moments; their step scalars are on top.
    let states = 12 * 8_030_261_248 / 8;
    close("rest", allocated(&answer, "rest"), states, 0.01);
}

/// Adapters of rank 16 on the projections of attention, in fp32 beside frozen weights, on one A100.
fn adapted(model: &str, base: &str) -> Answer {
    ask(json!({
        "model": {"id": model},
        "engine": {"type": "pytorch_ddp", "version": "2.4"},
        "hardware": {"gpu": "a100-sxm-80gb", "num_gpus": 1},
        "training": {"dtype": "bf16", "precision_mode": "pure", "optimizer": "adamw",
            "optimizer_implementation": "foreach", "batch_size": 4, "seq_length": 4096,
            "activation_checkpointing": "full", "gradient_clipping": 0,
            "adapter": "lora", "lora_rank": 16, "lora_targets": "attention", "base_format": base},
    }))
}

#[test]
fn adapters_rest_beside_plain_or_quantised_weights() {
    for (model, base, rest) in [
        ("mistral-7b-v0.1", "plain", 14_664_081_408),
        ("mistral-7b-v0.1", "nf4_double", 4_306_456_334),
        ("llama-3-8b", "nf4_double", 5_884_105_196),
    ] {
        let answer = adapted(model, base);
        close(model, allocated(&answer, "rest"), rest, 0.1);
        // Of 13,631,488 weights in the adapters.
        close(
            "states",
            held(&answer, "optimizer.states", "rest"),
            8 * 13_631_488,
            0.1,
        );
        close(
            "gradients",
            held(&answer, "gradients", "optimizer_step"),
            4 * 13_631_488,
            0.1,
        );
    }
}
