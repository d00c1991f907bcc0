//! What an answer holds, whatever was asked: parts that add up, meters, instants, the verdict and the recommendation; and
//! the fields of a model that decide its count.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, Answer, InputId, Request, Verdict};
use gpu_mem_calc::units::Bytes;
use serde_json::{Value, json};

fn answer(request: &Request) -> Answer {
    match api::calculate(request) {
        Ok(answer) => answer,
        Err(issues) => unreachable!("{}: {issues:?}", request.to_json()),
    }
}

fn request(model: Value, engine: Value, gpus: u64, training: Value) -> Request {
    let value = json!({"model": model, "engine": engine, "training": training,
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": gpus}});
    Request::from_json(&value).expect("a request")
}

fn llama(engine: Value, gpus: u64, training: Value) -> Request {
    request(json!({"id": "llama-3-8b"}), engine, gpus, training)
}

/// Questions of every built engine, with dense and sparse models.
fn questions() -> Vec<Request> {
    let long = json!({"seq_length": 4096, "batch_size": 2});
    let recomputed = json!({"seq_length": 4096, "activation_checkpointing": "full", "loss": "chunked"});
    let (ddp, fsdp) = (json!({"type": "pytorch_ddp"}), json!({"type": "fsdp"}));
    let kept = json!({"type": "fsdp", "sharding_strategy": "shard_grad_op"});
    let zero = |stage: u64| json!({"type": "deepspeed", "zero_stage": stage});
    let (two, three) = (zero(2), zero(3));
    let mut questions = Vec::new();
    for id in [
        "smollm2-135m",
        "llama-3-8b",
        "qwen3-30b-a3b",
        "deepseek-v2-lite",
        "qwen3-next-80b-a3b",
        "falcon-h1-0.5b",
        "jamba-1.5-mini",
        "mamba-2.8b",
    ] {
        for training in [&long, &recomputed] {
            for (engine, gpus) in [
                (&ddp, 1),
                (&ddp, 8),
                (&fsdp, 8),
                (&kept, 16),
                (&two, 8),
                (&three, 8),
            ] {
                questions.push(request(json!({"id": id}), engine.clone(), gpus, training.clone()));
            }
        }
    }
    questions
}

#[test]
fn the_parts_add_up_to_the_total_to_the_byte() {
    for question in questions() {
        let answer = answer(&question);
        let parts = answer.breakdown;
        let total = answer.total_memory_per_gpu_bytes;
        let five = [
            (parts.model_params_bytes, parts.model_params_gb, "model_params"),
            (parts.gradients_bytes, parts.gradients_gb, "gradients"),
            (
                parts.optimizer_states_bytes,
                parts.optimizer_states_gb,
                "optimizer_states",
            ),
            (parts.activations_bytes, parts.activations_gb, "activations"),
            (parts.overhead_bytes, parts.overhead_gb, "overhead"),
        ];
        assert_eq!(five.iter().map(|part| part.0).sum::<Bytes>(), total);
        let listed: Bytes = answer.components.iter().map(|component| component.bytes).sum();
        assert_eq!(listed, total, "components");
        for (bytes, gib, group) in five {
            let of_group = answer
                .components
                .iter()
                .filter(|component| component.group == group);
            assert_eq!(
                of_group.map(|component| component.bytes).sum::<Bytes>(),
                bytes,
                "{group}"
            );
            assert_eq!(gib, bytes.get() as f64 / (1u64 << 30) as f64, "{group} in GiB");
        }
        assert_eq!(answer.total_memory_per_gpu_gb, total.to_gib());
        assert_eq!(answer.total_memory_all_gpus_bytes, total * answer.gpus_used);
        for component in &answer.components {
            assert!(
                !component.formula.is_empty() && !component.source.is_empty(),
                "{}",
                component.id
            );
        }
    }
}

#[test]
fn the_total_is_the_expected_need_and_the_meters_are_ordered_intervals() {
    for question in questions() {
        let answer = answer(&question);
        assert_eq!(answer.total_memory_per_gpu_bytes, answer.need.expected_bytes);
        let meters = answer.meters;
        for range in [meters.allocated, meters.reserved, meters.device, answer.need] {
            assert!(range.low_bytes <= range.expected_bytes && range.expected_bytes <= range.high_bytes);
        }
        assert!(meters.allocated.expected_bytes <= meters.reserved.expected_bytes);
        assert!(meters.reserved.expected_bytes < meters.device.expected_bytes);
        assert_eq!(
            (
                answer.peak_allocated_bytes,
                answer.peak_reserved_bytes,
                answer.device_bytes
            ),
            (
                meters.allocated.expected_bytes,
                meters.reserved.expected_bytes,
                meters.device.expected_bytes
            )
        );
    }
}

#[test]
fn one_instant_binds_and_holds_the_peak() {
    for question in questions() {
        let answer = answer(&question);
        let binding: Vec<_> = answer.instants.iter().filter(|instant| instant.binding).collect();
        assert_eq!(binding.len(), 1);
        assert_eq!(binding[0].allocated_bytes, answer.peak_allocated_bytes);
        let ids: Vec<_> = answer.instants.iter().map(|instant| instant.id).collect();
        for id in [
            "load",
            "rest",
            "forward_end",
            "loss_forward",
            "backward_last",
            "optimizer_step",
        ] {
            assert!(ids.contains(&id), "{id} is missing in {ids:?}");
        }
        for instant in &answer.instants {
            assert!(
                instant.allocated_bytes <= answer.peak_allocated_bytes,
                "{}",
                instant.id
            );
            let rows = answer.ledger.iter();
            let listed = rows
                .map(|row| row.unit_bytes * row.held_at[instant.id])
                .sum::<Bytes>();
            assert_eq!(listed, instant.allocated_bytes, "{}", instant.id);
        }
    }
}

#[test]
fn the_verdict_follows_from_the_need_and_the_usable_capacity() {
    let question = llama(json!({"type": "fsdp"}), 8, json!({"seq_length": 4096}));
    let need = answer(&question).need;
    let on = |bytes: u64| {
        let gib = bytes as f64 / (1u64 << 30) as f64;
        answer(&question.clone().with(InputId::GpuMemoryGb, gib))
    };
    let mib = 1 << 20;
    for (capacity, verdict) in [
        (need.high_bytes.get() + mib, Verdict::Fits),
        (need.high_bytes.get() - mib, Verdict::Tight),
        (need.low_bytes.get() + mib, Verdict::Tight),
        (need.low_bytes.get() - mib, Verdict::DoesNotFit),
    ] {
        let answer = on(capacity);
        assert_eq!(answer.verdict, verdict, "{capacity}");
        assert_eq!(answer.fits_on_gpu, verdict != Verdict::DoesNotFit);
        let share = 100.0 * need.expected_bytes.get() as f64 / answer.capacity.usable_bytes.get() as f64;
        assert!((answer.memory_utilization_percent - share).abs() < 1e-9);
    }
}

#[test]
fn the_recommended_batch_is_the_largest_that_fits() {
    let with = |batch: u64| {
        llama(
            json!({"type": "fsdp"}),
            8,
            json!({"seq_length": 4096, "batch_size": batch}),
        )
    };
    let small = answer(&with(1));
    assert!(small.fits_on_gpu);
    assert_eq!(small.recommended_batch_size, None);
    let large = answer(&with(64));
    assert!(!large.fits_on_gpu);
    let batch = large.recommended_batch_size.expect("a batch that fits");
    assert!(answer(&with(batch)).fits_on_gpu);
    assert!(!answer(&with(batch + 1)).fits_on_gpu);
    let hopeless = answer(&llama(
        json!({"type": "pytorch_ddp"}),
        1,
        json!({"batch_size": 8}),
    ));
    assert_eq!(hopeless.recommended_batch_size, None);
    let reason = hopeless.recommended_batch_size_reason.expect("a reason");
    assert!(reason.contains("the largest part is"), "{reason}");
}

#[test]
fn the_global_batch_is_micro_batch_times_accumulation_times_replicas() {
    let training = json!({"batch_size": 2, "gradient_accumulation_steps": 4, "seq_length": 512});
    assert_eq!(
        answer(&llama(json!({"type": "fsdp"}), 8, training)).global_batch_size,
        64
    );
    let rest = |steps: u64| {
        let training = json!({"seq_length": 2048, "gradient_accumulation_steps": steps});
        let answer = answer(&llama(json!({"type": "fsdp"}), 8, training));
        let forward = answer.instants.iter().find(|instant| instant.id == "forward_end");
        forward.expect("an instant").allocated_bytes
    };
    assert!(
        rest(1) < rest(2),
        "from two steps on gradients are alive in the forward pass"
    );
    assert_eq!(rest(2), rest(8));
}

#[test]
fn keeping_gathered_weights_costs_them_in_the_compute_type() {
    let forward = |strategy: &str| {
        let engine = json!({"type": "fsdp", "sharding_strategy": strategy});
        let answer = answer(&llama(engine, 8, json!({"seq_length": 512})));
        let forward = answer.instants.iter().find(|instant| instant.id == "forward_end");
        forward.expect("an instant").allocated_bytes.get() as f64
    };
    // All layers of Llama-3-8B: 32 of 218,112,000 parameters, in bf16.
    let kept = forward("shard_grad_op") - forward("full_shard");
    let layers = 32.0 * 218_112_000.0 * 2.0;
    assert!((kept / layers - 1.0).abs() < 0.05, "{kept} of {layers}");
}

fn count(model: Value) -> u64 {
    let request = Request::from_json(&json!({"model": model})).expect("a request");
    let report = api::model_report(&request, false).expect("a model");
    report.summary.total_parameters.get()
}

/// A typed decoder with these fields besides.
fn typed(more: Value) -> u64 {
    let mut model = json!({"num_layers": 4, "hidden_size": 1024, "intermediate_size": 2816, "num_attention_heads": 16,
        "num_key_value_heads": 4, "vocab_size": 32000});
    for (name, value) in more.as_object().expect("fields") {
        model[name] = value.clone();
    }
    count(model)
}

#[test]
fn tied_embeddings_and_biases_are_counted() {
    let plain = typed(json!({}));
    assert_eq!(plain - typed(json!({"tie_word_embeddings": true})), 32_000 * 1024);
    let biases = typed(json!({"attention_bias": true})) - plain;
    // Query, two times key and value of a quarter of the heads, and where it has one the output.
    let inputs = 4 * (1024 + 2 * 256);
    assert!(biases == inputs || biases == inputs + 4 * 1024, "{biases}");
    let ungated = plain - typed(json!({"mlp_gated": false}));
    assert_eq!(ungated, 4 * 1024 * 2816);
}

#[test]
fn shared_experts_and_dense_layers_are_counted() {
    let sparse = |more: Value| {
        let mut fields =
            json!({"moe_enabled": true, "num_experts": 16, "top_k": 4, "expert_intermediate_size": 512});
        for (name, value) in more.as_object().expect("fields") {
            fields[name] = value.clone();
        }
        typed(fields)
    };
    let plain = sparse(json!({}));
    let expert = 3 * 512 * 1024;
    let shared = sparse(json!({"num_shared_experts": 2})) - plain;
    assert!(
        (shared as i64 - 4 * 2 * expert).unsigned_abs() <= 4 * 1024,
        "{shared}"
    );
    let wide = sparse(json!({"shared_expert_intermediate_size": 2048})) - plain;
    assert!(
        (wide as i64 - 4 * 4 * expert).unsigned_abs() <= 4 * 1024,
        "{wide}"
    );
    let dense = plain - sparse(json!({"first_k_dense_replace": 1}));
    assert_eq!(dense as i64, 16 * expert + 16 * 1024 - 3 * 2816 * 1024);
    let every_second = plain - sparse(json!({"moe_layer_freq": 2}));
    assert_eq!(every_second, 2 * dense);
}

#[test]
fn every_model_of_the_catalogue_is_a_preset_with_every_default() {
    let preset = api::preset("LLAMA-3-8B").expect("a model");
    assert_eq!(
        (preset.id.as_str(), preset.architecture.as_str()),
        ("llama-3-8b", "llama-3-8b")
    );
    assert!(preset.description.ends_with("with every default."));
    assert_eq!(
        preset.request(),
        Request::new().with(InputId::ModelId, "llama-3-8b")
    );
    assert!(matches!(preset.state(), api::PresetState::Answered(_)));
    let issue = api::preset_request("llama-3-8c").expect_err("unknown");
    assert!(issue.hint.is_some_and(|hint| hint.starts_with("Did you mean ")));
}

#[test]
fn a_configuration_comes_back_from_its_text() {
    for question in questions() {
        let text = question.to_json().to_string();
        assert_eq!(Request::from_text(&text), Ok(question));
    }
}
