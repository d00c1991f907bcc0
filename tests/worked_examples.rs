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

/// LoRA of rank 16 beside all matrices, 128 tokens on 8 GPUs, traced with torch 2.15 (fsdp2-a005 of
/// tests/measured/fsdp2-adapter-trace.jsonl): 6,718,607,360 bytes where the root's all-gather of embedding and head stands beside
/// its copy, and the first layer's arrives. No gradient of a frozen weight is ever tighter.
#[test]
fn fsdp2_holds_the_root_twice_when_a_pass_begins() {
    let answer = ask(json!({
        "model": {"id": "llama-3-8b"},
        "engine": {"type": "fsdp", "fsdp_version": "2", "version": "2.15"},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8},
        "training": {"dtype": "bf16", "precision_mode": "pure", "seq_length": 128, "activation_checkpointing": "full",
            "adapter": "lora", "lora_rank": 16, "optimizer_implementation": "fused"},
    }));
    let binding = answer.instants.iter().find(|row| row.binding).map(|row| row.id);
    assert_eq!(binding, Some("forward_start"));
    let root = 2 * (2 * 128_256 * 4096 + 4096);
    let (unit, adapters) = (2 * 218_112_000, 4 * 1_310_720);
    let shards = (2 * 8_030_261_248 + 32 * 3 * adapters) / 8;
    let embedding = 128 * 4096 * 2;
    let by_hand = shards + 2 * root + unit + adapters + embedding;
    close("by hand", answer.peak_allocated_bytes.get(), by_hand, 0.05);
    close("traced", answer.peak_allocated_bytes.get(), 6_718_607_360, 0.05);
    // Gathered again for backward: once more in two copies, without the first layer.
    let again = allocated(&answer, "backward_start");
    assert!(again > shards + 2 * root && again < by_hand);
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

/// Frozen matrices of Llama-2-7B's layers: four of 4096 by 4096 and three of 4096 by 11008 in each of 32.
const MATRICES: u64 = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008);

#[test]
fn frozen_matrices_are_stored_in_few_bits_with_their_scales() {
    let outputs = 32 * (5 * 4096 + 2 * 11008);
    let inputs = 32 * (6 * 4096 + 11008);
    let groups = MATRICES / 128;
    for (base, bytes) in [
        ("int8", MATRICES + 4 * outputs),
        ("gptq_int4", MATRICES / 2 + groups / 2 + 2 * groups + 4 * inputs),
        ("gptq_int8", MATRICES + groups + 2 * groups + 4 * inputs),
        ("awq_int4", MATRICES / 2 + groups / 2 + 2 * groups),
    ] {
        let answer = adapted("llama-2-7b", base);
        // Blocks of more than 10 MiB come in steps of 2 MiB: of 43 MiB that is 2.3 % of the feed-forward's matrices.
        close(base, held(&answer, "weights.quantised", "load"), bytes, 2.0);
    }
}

#[test]
fn awq_repeats_an_expanded_matrix_for_every_sequence() {
    let answer = ask(json!({
        "model": {"id": "llama-2-7b"},
        "engine": {"type": "pytorch_ddp", "version": "2.4"},
        "hardware": {"gpu": "a100-sxm-80gb", "num_gpus": 1},
        "training": {"dtype": "fp16", "precision_mode": "pure", "adapter": "lora", "lora_targets": "query_value",
            "base_format": "awq_int4", "batch_size": 4, "seq_length": 128, "activation_checkpointing": "full"},
    }));
    let expanded = held(&answer, "weight.expanded", "backward_first");
    assert_eq!(
        expanded,
        (4 + 1) * 2 * 4096 * 11008,
        "4 sequences and the matrix itself, fp16"
    );
}

#[test]
fn a_reference_is_a_second_copy_of_the_weights_or_the_model_without_its_adapters() {
    let ask = |adapter: &str, how: &str| {
        ask(json!({
            "model": {"id": "tinyllama-1.1b"},
            "engine": {"type": "pytorch_ddp"},
            "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 1},
            "training": {"dtype": "bf16", "precision_mode": "pure", "objective": "preference", "adapter": adapter,
                "log_probabilities": how, "batch_size": 2, "seq_length": 1024, "activation_checkpointing": "full"},
        }))
    };
    let full = ask("none", "wide");
    assert_eq!(
        held(&full, "weights.reference", "load"),
        held(&full, "weights", "load")
    );
    assert_eq!(held(&ask("lora", "rows"), "weights.reference", "load"), 0);
    // Two pairs: four sequences, of which the last position predicts nothing. The model keeps its log-probabilities in fp32;
    // the reference has logits in bf16, their fp32 copy, and log-probabilities.
    let (all, cut) = (32_000 * 4 * 1024, 32_000 * 4 * 1023);
    let logits: u64 = ["logits", "logits.fp32", "log_probabilities"]
        .iter()
        .map(|id| held(&full, id, "reference_forward"))
        .sum();
    close("reference", logits, 2 * all + (4 + 4 + 4) * cut, 0.5);
}

/// GPT-BigCode before transformers 4.53 fills its cache while layers are recomputed, so each layer's projection of queries,
/// keys and values stays until the outputs are dropped; and its class holds a mask over all positions
/// (fms-main-gpt_bigcode-santacoder records).
#[test]
fn santacoder_keeps_its_cache_through_the_loss() {
    let run = |version: &str, training: Value| {
        let mut request = json!({
            "model": {"id": "santacoder"},
            "engine": {"type": "pytorch_ddp", "version": "2.4", "transformers_version": version},
            "hardware": {"gpu": "a100-sxm-80gb", "num_gpus": 1},
            "training": {"dtype": "bf16", "precision_mode": "pure", "seq_length": 2048, "batch_size": 8,
                "activation_checkpointing": "full", "attention": "flash_attention"},
        });
        let fields = request["training"].as_object_mut().unwrap();
        fields.extend(training.as_object().unwrap().clone());
        ask(request)
    };
    let plain = run("4.48", json!({}));
    close("loss", plain.peak_allocated_bytes.get(), 15_193_274_880, 0.1);
    let tokens = 8 * 2048;
    let projections = 24 * (2048 + 2 * 128) * 2 * tokens;
    assert_eq!(held(&plain, "attention.qkv", "loss_forward"), projections);
    assert_eq!(held(&plain, "attention.qkv", "loss_backward"), 0);
    assert_eq!(held(&plain, "buffers.causal_mask", "rest"), 2048 * 2048);
    let later = run("4.53", json!({}));
    assert_eq!(held(&later, "attention.qkv", "loss_forward"), 0);
    let in_place = run("4.48", json!({"loss": "fused_in_place"}));
    close(
        "loss in place",
        in_place.peak_allocated_bytes.get(),
        13_582_956_544,
        0.1,
    );
}

/// Under autocast the loss of GPT-BigCode computes on an fp32 copy of bf16 logits, and the outputs are copied to fp32 when
/// the forward pass has returned; which of both is tighter depends on the loss.
#[test]
fn santacoder_with_adapters_copies_its_logits_to_fp32() {
    for (loss, measured) in [("plain", 9_147_162_112), ("fused_in_place", 7_538_417_152)] {
        let answer = ask(json!({
            "model": {"id": "santacoder"},
            "engine": {"type": "pytorch_ddp", "version": "2.4", "transformers_version": "4.48"},
            "hardware": {"gpu": "a100-sxm-80gb", "num_gpus": 1},
            "training": {"dtype": "bf16", "precision_mode": "autocast", "seq_length": 2048, "batch_size": 4,
                "activation_checkpointing": "full", "attention": "flash_attention", "loss": loss,
                "adapter": "lora", "lora_rank": 16, "lora_targets": "query_value", "lora_dropout": 0.1,
                "base_format": "nf4_double"},
        }));
        close(loss, answer.peak_allocated_bytes.get(), measured, 1.0);
    }
}

/// FSDP ignores adapters that are fused with quantised layers: they lie whole on every rank, in the type of the arithmetic
/// (fms-liger-Meta-Llama-3-8B-accelerated-peft-bnb-foak-lora-4gpu-bs4-amp, whose gradients are there at rest).
#[test]
fn fused_adapters_are_whole_under_fsdp() {
    let answer = ask(json!({
        "model": {"id": "llama-3-8b"},
        "engine": {"type": "fsdp", "fsdp_version": "1", "version": "2.4", "transformers_version": "4.45"},
        "hardware": {"gpu": "a100-sxm-80gb", "num_gpus": 4},
        "training": {"dtype": "bf16", "precision_mode": "autocast", "seq_length": 4096, "batch_size": 4,
            "activation_checkpointing": "full", "attention": "flash_attention", "loss": "fused_in_place",
            "fused_kernels": "norm_rotary_adapter", "adapter": "lora", "lora_rank": 16,
            "lora_targets": "attention", "lora_dropout": 0.1, "base_format": "nf4_double"},
    }));
    let adapters = 2 * 16 * 32 * (4096 + 4096 + 2 * (4096 + 1024) + 4096 + 4096);
    assert_eq!(held(&answer, "adapters", "rest"), adapters);
    assert_eq!(held(&answer, "optimizer.states", "rest"), 2 * adapters);
    assert_eq!(held(&answer, "gradients", "optimizer_step"), adapters);
    close("rest", allocated(&answer, "rest"), 1_636_382_539, 0.2);
    close("peak", answer.peak_allocated_bytes.get(), 25_112_976_896, 0.2);
}
