//! FSDP2 over context, pipeline and expert ranks, DeepSpeed's pipeline, and what is told about a mesh beside the answer.

// A test says what it expected by panicking.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gpu_mem_calc::api::{self, Answer, Request};
use serde_json::{Value, json};

fn question(engine: Value, parallelism: Value, more: Value) -> Request {
    let mut request = json!({"model": {"id": "llama-3-8b"}, "engine": engine,
        "training": {"batch_size": 1, "seq_length": 8192, "precision_mode": "mixed", "reduce_dtype": "fp32",
            "activation_checkpointing": "full"},
        "parallelism": parallelism, "hardware": {"gpu": "h100-sxm-80gb"}});
    for (section, values) in more.as_object().expect("sections") {
        for (key, value) in values.as_object().expect("inputs") {
            request[section][key] = value.clone();
        }
    }
    Request::from_json(&request).expect("a request")
}

fn fsdp(parallelism: Value, more: Value) -> Answer {
    let request = question(json!({"type": "fsdp", "version": "2.10"}), parallelism, more);
    api::calculate(&request).unwrap_or_else(|issues| panic!("{issues:?}"))
}

#[track_caller]
fn refused(engine: Value, parallelism: Value, more: Value, path: &str) {
    let request = question(engine, parallelism, more);
    let issues = api::calculate(&request).expect_err("refused");
    assert!(
        issues.iter().any(|issue| issue.is_error() && issue.path == path),
        "{path}: {issues:?}"
    );
}

fn peak(answer: &Answer) -> u64 {
    answer.peak_allocated_bytes.get()
}

/// pytorch/torchtitan benchmarks/llama3_h100_202412_torchtitan.md, table 2, has the same memory for twice the sequence on twice
/// the ranks: 84.2, 84.0 and 84.5 GiB.
#[test]
fn a_sequence_twice_as_long_on_twice_the_context_ranks_holds_the_same() {
    let on = |context: u64| {
        fsdp(
            json!({"context_parallel_size": context, "data_parallel_size": 8 / context}),
            json!({"training": {"seq_length": 32_768 * context}}),
        )
    };
    let (two, eight) = (on(2), on(8));
    assert_eq!((two.gpus_used, eight.gpus_used), (8, 8));
    let difference = peak(&two).abs_diff(peak(&eight)) as f64 / peak(&two) as f64;
    assert!(difference < 0.05, "{} {}", peak(&two), peak(&eight));
}

#[test]
fn stages_of_a_pipeline_add_up_to_the_whole_model() {
    let answer = fsdp(
        json!({"pipeline_parallel_size": 4, "data_parallel_size": 2}),
        json!({"training": {"gradient_accumulation_steps": 8}}),
    );
    let sum: u64 = answer.stages.iter().map(|stage| stage.parameters).sum();
    assert_eq!(sum, answer.model.total_parameters.get());
    let layers: Vec<u64> = answer
        .stages
        .iter()
        .map(|stage| stage.layers.iter().map(|(first, last)| last + 1 - first).sum())
        .collect();
    // Embedding and head weigh a layer each: 34 over four.
    assert_eq!(layers, [8, 9, 8, 7]);
    let in_flight: Vec<Vec<u64>> = answer
        .stages
        .iter()
        .map(|stage| stage.in_flight.clone())
        .collect();
    assert_eq!(in_flight, [[4], [3], [2], [1]]);
    // The answer is that of the fullest.
    let fullest = answer
        .stages
        .iter()
        .map(|stage| stage.peak_allocated_bytes.get())
        .max();
    assert_eq!(fullest, Some(peak(&answer)));
    // A stage rests on its shards, with two moments.
    for stage in &answer.stages {
        let shards = stage.parameters as f64 * 12.0 / 2.0;
        let rest = stage.rest_bytes.get() as f64;
        assert!((rest / shards - 1.0).abs() < 0.02, "{rest} {shards}");
    }
}

#[test]
fn weights_of_a_pipeline_stay_gathered_and_its_gradients_whole() {
    let answer = fsdp(
        json!({"pipeline_parallel_size": 4, "data_parallel_size": 8}),
        json!({"training": {"gradient_accumulation_steps": 16, "seq_length": 512}}),
    );
    let fullest = answer
        .stages
        .iter()
        .max_by_key(|stage| stage.peak_allocated_bytes)
        .expect("stages");
    let gathered = fullest.parameters * 2;
    let whole = fullest.parameters * 4;
    assert!(
        fullest.groups.model_params.get() >= gathered,
        "{:?}",
        fullest.groups
    );
    assert!(fullest.groups.gradients.get() >= whole, "{:?}", fullest.groups);
}

/// Record titan-405b-512gpu-interleaved1f1b held 9.8 GiB less than its twin: a chunk's gradients are reduced before those of the
/// next one are there.
#[test]
fn chunks_with_one_turn_each_hold_the_gradients_of_one() {
    let with = |chunks: u64| {
        let answer = fsdp(
            json!({"pipeline_parallel_size": 4, "virtual_pipeline_size": chunks, "data_parallel_size": 4}),
            json!({"training": {"gradient_accumulation_steps": 4, "seq_length": 1024}}),
        );
        // A rank without the ends of the network.
        let stage = answer.stages.get(1).expect("stages");
        stage.groups.gradients.get()
    };
    assert!(with(2) * 10 < with(1) * 7, "{} {}", with(2), with(1));
}

#[test]
fn expert_ranks_gather_fewer_experts_and_share_the_same_states() {
    let with = |expert: u64| {
        let request = json!({"model": {"id": "deepseek-v2-lite"}, "engine": {"type": "fsdp", "version": "2.10"},
            "training": {"seq_length": 512, "precision_mode": "mixed", "activation_checkpointing": "full"},
            "parallelism": {"data_parallel_size": 8, "expert_parallel_size": expert},
            "hardware": {"gpu": "h100-sxm-80gb"}});
        api::calculate(&Request::from_json(&request).expect("a request")).expect("an answer")
    };
    let (one, eight) = (with(1), with(8));
    assert!(peak(&eight) < peak(&one));
    let rest = |answer: &Answer| {
        let found = answer.instants.iter().find(|instant| instant.id == "rest");
        found.expect("rest").allocated_bytes.get() as f64
    };
    assert!((rest(&eight) / rest(&one) - 1.0).abs() < 0.01);
}

#[test]
fn what_was_not_read_is_refused_by_its_field() {
    let fsdp2 = json!({"type": "fsdp"});
    let pipeline = json!({"pipeline_parallel_size": 2, "data_parallel_size": 2});
    let steps = json!({"training": {"gradient_accumulation_steps": 4}});
    refused(
        json!({"type": "fsdp", "fsdp_version": "1"}),
        pipeline.clone(),
        steps.clone(),
        "parallelism.pipeline_parallel_size",
    );
    refused(
        fsdp2.clone(),
        pipeline.clone(),
        json!({"model": {"id": "llama-3.2-1b"}, "training": {"gradient_accumulation_steps": 4}}),
        "parallelism.pipeline_parallel_size",
    );
    refused(
        fsdp2.clone(),
        pipeline.clone(),
        json!({"training": {"gradient_accumulation_steps": 4, "adapter": "lora"}}),
        "training.adapter",
    );
    refused(
        fsdp2.clone(),
        json!({"context_parallel_size": 2, "data_parallel_size": 2}),
        json!({"training": {"attention": "eager"}}),
        "parallelism.context_parallel_size",
    );
    refused(
        json!({"type": "deepspeed", "zero_stage": 2}),
        pipeline,
        steps,
        "engine.zero_stage",
    );
}

/// P6 of the parity table: the model is divided first, its states are shared by what is left of the GPUs.
#[test]
fn deepspeed_divides_the_model_before_it_shards_its_states() {
    let with = |stage: u64, parallelism: Value| {
        let request = question(
            json!({"type": "deepspeed", "zero_stage": stage}),
            parallelism,
            json!({"training": {"gradient_accumulation_steps": 4}, "hardware": {"num_gpus": 8}}),
        );
        let request = request.with(api::InputId::ReduceDtype, Value::Null);
        api::calculate(&request).unwrap_or_else(|issues| panic!("{issues:?}"))
    };
    let rest = |answer: &Answer| {
        let found = answer.instants.iter().find(|instant| instant.id == "rest");
        found.expect("rest").allocated_bytes.get() as f64
    };
    let alone = with(1, json!({}));
    for (stage, parallelism) in [
        (0, json!({"tensor_parallel_size": 2})),
        (1, json!({"tensor_parallel_size": 2})),
        (2, json!({"tensor_parallel_size": 2})),
        (3, json!({"tensor_parallel_size": 2})),
        (1, json!({"pipeline_parallel_size": 2})),
        (1, json!({"tensor_parallel_size": 2, "pipeline_parallel_size": 2})),
    ] {
        let answer = with(stage, parallelism.clone());
        assert_eq!(answer.engine, "deepspeed");
        // AutoTP is traced with stages 0 to 2.
        if stage == 3 || parallelism.get("pipeline_parallel_size").is_some() {
            assert_eq!(answer.evidence.status, api::BackingStatus::NotValidated);
        }
        let parts = ["tensor_parallel_size", "pipeline_parallel_size"]
            .iter()
            .map(|key| parallelism[key].as_u64().unwrap_or(1))
            .product::<u64>() as f64;
        let parameters = answer.model.total_parameters.get() as f64 / parts;
        let ranks = 8.0 / parts;
        // 16-bit weights, and fp32 weights with two moments, shared from stage 1 on, the weights from stage 3 on.
        let states = match stage {
            0 => 2.0 + 12.0,
            3 => 14.0 / ranks,
            _ => 2.0 + 12.0 / ranks,
        };
        let wanted = parameters * states;
        let found = rest(&answer);
        assert!(
            found > 0.85 * wanted,
            "stage {stage} {parallelism}: {found} of {wanted}, {} alone",
            rest(&alone)
        );
    }
}

/// DeepSpeed leaves an embedding of its own whole and rejects plans with styles that it does not know.
#[test]
fn deepspeed_converts_the_plan_of_transformers() {
    let on = |model: &str| {
        json!({
            "model": {"id": model},
            "engine": {"type": "deepspeed", "zero_stage": 0},
            "parallelism": {"tensor_parallel_size": 2},
            "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 2},
            "training": {"seq_length": 512, "activation_checkpointing": "full"},
        })
    };
    let ask = |model: &str| api::calculate(&Request::from_json(&on(model)).expect("a request"));
    let answer = ask("llama-3.1-8b").unwrap_or_else(|issues| panic!("{issues:?}"));
    let found = answer.instants.iter().find(|instant| instant.id == "rest");
    let rest = found.expect("rest").allocated_bytes.get() as f64;
    let embedding = answer.model.embedding_parameters.get() as f64;
    let all = answer.model.total_parameters.get() as f64;
    let wanted = 14.0 * (embedding + (all - embedding) / 2.0);
    assert!((rest / wanted - 1.0).abs() < 0.01, "{rest} of {wanted}");
    for model in ["phi-3-mini-4k", "phi-3-medium-4k"] {
        let Ok(request) = Request::from_json(&on(model)) else {
            panic!("{model}");
        };
        let issues = api::validate(&request);
        let said = |issue: &api::Issue| {
            issue.path == "parallelism.tensor_parallel_size" && issue.code == "unsupported_combination"
        };
        assert!(issues.iter().any(said), "{model}: {issues:?}");
    }
}

#[test]
fn hints_say_which_sizes_are_valid_and_why_others_are_not() {
    let request = question(
        json!({"type": "megatron_lm"}),
        json!({"tensor_parallel_size": 2}),
        json!({"hardware": {"num_gpus": 24}, "training": {"reduce_dtype": null}}),
    );
    let hints = api::mesh_hints(&request);
    let of = |path: &str| hints.iter().find(|hint| hint.path == path).expect("a hint");
    let tensor = of("parallelism.tensor_parallel_size");
    let sizes: Vec<(u64, bool)> = tensor
        .sizes
        .iter()
        .map(|size| (size.size, size.refused.is_none()))
        .collect();
    // 32 query heads and 8 of keys and values.
    assert_eq!(
        sizes,
        [
            (1, true),
            (2, true),
            (3, false),
            (4, true),
            (6, false),
            (8, true),
            (12, false),
            (24, false)
        ]
    );
    assert!(tensor.sizes.iter().any(|size| size.chosen && size.size == 2));
    let experts = of("parallelism.expert_parallel_size");
    assert!(
        experts
            .sizes
            .iter()
            .all(|size| (size.size == 1) == size.refused.is_none())
    );
    // DDP has no pipeline, so nothing is told about one.
    let alone = question(
        json!({"type": "pytorch_ddp"}),
        json!({}),
        json!({"hardware": {"num_gpus": 4}}),
    );
    let paths: Vec<&str> = api::mesh_hints(&alone).iter().map(|hint| hint.path).collect();
    assert_eq!(paths, ["parallelism.tensor_parallel_size"]);
}

#[test]
fn a_picture_has_every_cell_of_the_schedule() {
    let request = question(
        json!({"type": "megatron_lm"}),
        json!({"pipeline_parallel_size": 4, "data_parallel_size": 1}),
        json!({"training": {"gradient_accumulation_steps": 8, "reduce_dtype": null}}),
    );
    let picture = api::schedule_picture(&request).expect("a picture");
    assert_eq!(
        (picture.micro_batches, picture.drawn, picture.ranks.len()),
        (8, 8, 4)
    );
    for row in &picture.ranks {
        assert_eq!(row.cells.len(), 3 * 8);
        assert_eq!(row.most_in_flight, 4 - row.rank);
        assert_eq!(row.cells.last().map(|cell| cell.in_flight), Some(0));
    }
    let answer = api::calculate(&request).expect("an answer");
    for (stage, row) in answer.stages.iter().zip(&picture.ranks) {
        assert_eq!(stage.in_flight.iter().sum::<u64>(), row.most_in_flight);
    }
    assert!(api::schedule_picture(&question(json!({"type": "fsdp"}), json!({}), json!({}))).is_none());
}

#[test]
fn the_fullest_expert_rank_of_every_stage_is_told_beside_the_expected_one() {
    let request = json!({"model": {"id": "mixtral-8x7b"}, "engine": {"type": "megatron_lm"},
        "training": {"seq_length": 4096, "gradient_accumulation_steps": 4},
        "parallelism": {"pipeline_parallel_size": 4, "expert_parallel_size": 4, "data_parallel_size": 4},
        "hardware": {"gpu": "h100-sxm-80gb"}});
    let answer = api::calculate(&Request::from_json(&request).expect("a request")).expect("an answer");
    assert_eq!(answer.stages.len(), 4);
    for stage in &answer.stages {
        let [expected, hot] = stage.experts.as_slice() else {
            panic!("two classes: {:?}", stage.experts)
        };
        assert_eq!((expected.class, expected.load_thousandths), ("expected", 1000));
        assert_eq!((hot.class, hot.load_thousandths), ("hot", 1230));
        assert!(hot.peak_allocated_bytes > expected.peak_allocated_bytes);
        assert!(hot.groups.activations > expected.groups.activations);
        assert_eq!(expected.peak_allocated_bytes, stage.peak_allocated_bytes);
    }
}

/// P52 of the parity table. NVIDIA/Megatron-LM core/transformer/attention.py: with fewer heads of keys and values than ranks each
/// rank stores its part of the projection and computes one whole head.
#[test]
fn more_ranks_than_key_value_heads_divide_the_weights_and_repeat_the_heads() {
    let on = |ranks: u64| {
        let request = json!({"model": {"id": "qwen2.5-7b"}, "engine": {"type": "megatron_lm"},
            "training": {"seq_length": 4096, "optimizer": "adamw"},
            "parallelism": {"tensor_parallel_size": ranks, "data_parallel_size": 1},
            "hardware": {"gpu": "h100-sxm-80gb"}});
        api::calculate(&Request::from_json(&request).expect("a request")).expect("an answer")
    };
    let keys = |answer: &Answer| {
        let rows = answer.ledger.iter().filter(|row| row.id == "attention.qkv");
        rows.map(|row| row.unit_bytes.get()).max().expect("a row")
    };
    // 28 query heads and 4 of keys and values, 128 wide, 2 bytes, 4096 tokens.
    let token = |queries: u64, pairs: u64| (queries + 2 * pairs) * 128 * 2 * 4096;
    assert_eq!(keys(&on(4)), token(7, 1));
    let refused = |ranks: u64| {
        let request = json!({"model": {"id": "qwen2.5-7b"}, "engine": {"type": "megatron_lm"},
            "parallelism": {"tensor_parallel_size": ranks, "data_parallel_size": 1}});
        api::calculate(&Request::from_json(&request).expect("a request")).is_err()
    };
    // 28 heads do not divide by 8.
    assert!(refused(8));
    let wide = |ranks: u64| {
        let request = json!({"model": {"id": "llama-3-70b"}, "engine": {"type": "megatron_lm"},
            "training": {"seq_length": 4096},
            "parallelism": {"tensor_parallel_size": ranks, "data_parallel_size": 1},
            "hardware": {"gpu": "h100-sxm-80gb"}});
        api::calculate(&Request::from_json(&request).expect("a request")).expect("an answer")
    };
    // 64 query heads and 8 of keys and values: on 16 ranks four queries with one whole head each.
    assert_eq!(keys(&wide(8)), token(8, 1));
    assert_eq!(keys(&wide(16)), token(4, 1));
    let parameters = |answer: &Answer| answer.stages.first().map_or(0, |stage| stage.parameters);
    assert!(parameters(&wide(16)) * 2 < parameters(&wide(8)) * 11 / 10);
}

/// Grouped heads, experts, latent attention and both: what a rank holds between steps never grows when twice as many share it, with
/// as many replicas as before.
#[test]
fn twice_the_tensor_parallel_ranks_never_hold_more_states_of_any_architecture() {
    let rest = |model: &str, engine: &Value, parallelism: &Value| {
        let request = json!({"model": {"id": model}, "engine": engine, "training": {"seq_length": 1024},
            "parallelism": parallelism, "hardware": {"gpu": "h100-sxm-80gb"}});
        let answer = api::calculate(&Request::from_json(&request).expect("a request"));
        let answer = answer.unwrap_or_else(|issues| panic!("{model} {parallelism}: {issues:?}"));
        let found = answer.instants.iter().find(|instant| instant.id == "rest");
        found.expect("rest").allocated_bytes.get()
    };
    for model in [
        "llama-3-8b",
        "qwen2.5-7b",
        "mixtral-8x7b",
        "deepseek-v2-lite",
        "qwen3-30b-a3b",
    ] {
        for engine in [
            json!({"type": "megatron_lm"}),
            json!({"type": "megatron_lm", "use_distributed_optimizer": true}),
        ] {
            for experts in [1, 2] {
                if experts > 1 && matches!(model, "llama-3-8b" | "qwen2.5-7b") {
                    continue;
                }
                for ranks in [1_u64, 2] {
                    let mesh = |ranks: u64| {
                        json!({"tensor_parallel_size": ranks, "sequence_parallel": ranks > 1, "data_parallel_size": 4,
                            "expert_parallel_size": experts})
                    };
                    let (less, more) = (
                        rest(model, &engine, &mesh(2 * ranks)),
                        rest(model, &engine, &mesh(ranks)),
                    );
                    assert!(less <= more, "{model} {engine} {}: {less} {more}", mesh(ranks));
                }
            }
        }
    }
    for ranks in [1_u64, 2, 4] {
        let mesh = |ranks: u64| json!({"tensor_parallel_size": ranks, "data_parallel_size": 2});
        let engine = json!({"type": "fsdp"});
        assert!(rest("llama-3-8b", &engine, &mesh(2 * ranks)) <= rest("llama-3-8b", &engine, &mesh(ranks)));
    }
}
