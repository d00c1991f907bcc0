//! The rules of validation: product of the mesh, nodes, capacity, precision by engine, what is not used, what is planned.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, Job, Request};
use serde_json::{Value, json};

fn request(patch: Value) -> Request {
    let mut value = json!({
        "model": {"num_layers": 4, "hidden_size": 1024, "intermediate_size": 2816, "num_attention_heads": 16},
        "training": {"batch_size": 1, "seq_length": 512},
        "engine": {"type": "pytorch_ddp"},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8},
    });
    for (section, fields) in patch.as_object().expect("sections") {
        for (name, field) in fields.as_object().expect("fields") {
            value[section][name] = field.clone();
        }
    }
    Request::from_json(&value).expect("a request")
}

fn job(patch: Value) -> Job {
    match api::job(&request(patch.clone()), api::Strictness::default()) {
        Ok(job) => job,
        Err(issues) => unreachable!("{patch}: {issues:?}"),
    }
}

/// Issues as "code path", errors marked with `!`.
fn issues(patch: Value) -> Vec<String> {
    api::validate(&request(patch))
        .iter()
        .map(|issue| {
            format!(
                "{}{} {}",
                if issue.is_error() { "!" } else { "" },
                issue.code,
                issue.path
            )
        })
        .collect()
}

#[track_caller]
fn expect(patch: Value, expected: &[&str]) {
    assert_eq!(issues(patch.clone()), expected, "{patch}");
}

#[test]
fn the_product_of_the_mesh_is_the_number_of_gpus() {
    expect(json!({}), &[]);
    expect(json!({"parallelism": {"data_parallel_size": 8}}), &[]);
    expect(
        json!({"parallelism": {"data_parallel_size": 4}}),
        &["!gpu_count_mismatch parallelism"],
    );
    let found = api::validate(&request(json!({"parallelism": {"data_parallel_size": 4}})));
    let fixes: Vec<Value> = found[0].fixes.iter().cloned().map(Value::Object).collect();
    assert_eq!(
        fixes,
        [
            json!({"parallelism.data_parallel_size": 8}),
            json!({"hardware.num_gpus": 4})
        ]
    );
}

#[test]
fn gpus_follow_from_the_mesh_where_they_are_not_given() {
    let mut asked = request(json!({"parallelism": {"data_parallel_size": 4}}));
    asked.clear(api::InputId::NumGpus);
    let job = api::job(&asked, api::Strictness::default()).expect("valid");
    assert_eq!((job.mesh.gpus, job.training.data_parallel), (4, 4));
    assert!(
        job.assumed
            .iter()
            .any(|assumed| assumed.path == "hardware.num_gpus" && assumed.value == 4)
    );
}

#[test]
fn parallel_sizes_of_other_engines_are_refused() {
    for name in [
        "pipeline_parallel_size",
        "context_parallel_size",
        "expert_parallel_size",
    ] {
        let found = issues(json!({"parallelism": {name: 2}}));
        assert!(
            found.contains(&format!("!not_supported_by_engine parallelism.{name}")),
            "{name}: {found:?}"
        );
    }
}

/// What is said of tensor parallelism on these GPUs, beside warnings on other inputs.
fn divided(engine: Value, gpus: u64, parallelism: Value, training: Value) -> Vec<String> {
    let asked = json!({"model": {"id": "llama-3.1-8b"}, "engine": engine, "parallelism": parallelism,
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": gpus}, "training": training});
    let found = api::validate(&Request::from_json(&asked).expect("a request"));
    let errors = found.iter().filter(|issue| issue.is_error());
    errors
        .map(|issue| format!("{} {}", issue.code, issue.path))
        .collect()
}

#[test]
fn tensor_parallelism_goes_alone_or_with_fsdp2() {
    let tensor = json!({"tensor_parallel_size": 8});
    let refused = "unsupported_combination parallelism.tensor_parallel_size";
    for (engine, gpus, expected) in [
        (json!({"type": "pytorch_ddp"}), 8, vec![]),
        (json!({"type": "fsdp"}), 32, vec![]),
        (json!({"type": "pytorch_ddp"}), 16, vec![refused]),
        (json!({"type": "fsdp", "fsdp_version": "1"}), 16, vec![refused]),
    ] {
        assert_eq!(
            divided(engine.clone(), gpus, tensor.clone(), json!({"seq_length": 2048})),
            expected,
            "{engine}"
        );
    }
}

#[test]
fn tensor_parallelism_divides_heads_and_tokens() {
    let alone = json!({"type": "pytorch_ddp"});
    let ask = |size: u64, more: Value, training: Value| {
        let mut parallelism = json!({"tensor_parallel_size": size});
        for (key, value) in more.as_object().expect("fields") {
            parallelism[key] = value.clone();
        }
        divided(alone.clone(), size, parallelism, training)
    };
    let length = json!({"seq_length": 2048});
    let heads = "not_divisible parallelism.tensor_parallel_size";
    assert_eq!(ask(3, json!({}), length.clone()), [heads]);
    // 32 heads, but 8 key/value heads, which the plan never copies.
    assert_eq!(ask(16, json!({}), length.clone()), [heads]);
    let sequence = json!({"sequence_parallel": true});
    assert_eq!(ask(8, sequence.clone(), length.clone()), Vec::<String>::new());
    assert_eq!(
        ask(8, sequence.clone(), json!({"seq_length": 2044})),
        ["not_divisible parallelism.sequence_parallel"]
    );
    assert_eq!(
        ask(
            8,
            json!({"loss_parallel": true, "tensor_parallel_plan": "transformers"}),
            length.clone()
        ),
        ["unsupported_combination parallelism.loss_parallel"]
    );
    assert_eq!(
        ask(8, sequence, json!({"seq_length": 2048, "loss": "chunked"})),
        ["unsupported_combination training.loss"]
    );
    // PEFT divides LoRA with the plan of transformers; torchtitan's plan does not name it, and DoRA's norms are not divided.
    let torch = json!({"tensor_parallel_plan": "torch"});
    let lora = json!({"seq_length": 2048, "adapter": "lora"});
    assert_eq!(ask(8, json!({}), lora.clone()), Vec::<String>::new());
    assert_eq!(ask(8, torch, lora), ["unsupported_combination training.adapter"]);
    assert_eq!(
        ask(8, json!({}), json!({"seq_length": 2048, "adapter": "dora"})),
        ["unsupported_combination training.adapter"]
    );
    assert_eq!(
        ask(8, json!({}), json!({"seq_length": 2048, "optimizer": "lion"})),
        ["unsupported_combination training.optimizer"]
    );
}

#[test]
fn nodes_divide_the_gpus_evenly() {
    expect(json!({"node_config": {"num_nodes": 2}}), &[]);
    expect(
        json!({"node_config": {"num_nodes": 3}}),
        &["!not_divisible node_config.num_nodes"],
    );
    expect(
        json!({"node_config": {"num_nodes": 16}}),
        &["!out_of_range node_config.num_nodes"],
    );
    expect(
        json!({"node_config": {"num_nodes": 2, "gpus_per_node": 8}}),
        &["!gpu_count_mismatch node_config.gpus_per_node"],
    );
    expect(
        json!({"node_config": {"interconnect_type": "ethernet_25g"}}),
        &["not_used node_config.interconnect_type"],
    );
    let nodes = job(json!({"node_config": {"gpus_per_node": 4}}))
        .nodes
        .expect("two nodes");
    assert_eq!(
        (
            nodes.num_nodes,
            nodes.gpus_per_node,
            nodes.interconnect_bandwidth_gbps
        ),
        (2, 4, 200.0)
    );
    assert!(job(json!({})).nodes.is_none());
}

#[test]
fn the_card_gives_its_capacity() {
    let usable = |patch: Value| {
        let card = job(patch).card;
        (
            card.known.then_some(card.gpu.id),
            card.usable.expected.get() >> 20,
        )
    };
    assert_eq!(usable(json!({})), (Some("h100-sxm-80gb".into()), 81_079));
    assert_eq!(
        usable(json!({"hardware": {"used_memory_gb": 1}})).1,
        81_079 - 1024
    );
    assert_eq!(
        usable(json!({"hardware": {"gpu": null, "gpu_memory_gb": 24}})),
        (None, 24 * 1024)
    );
    assert_eq!(
        usable(json!({"hardware": {"gpu_memory_gb": 24}})),
        (Some("h100-sxm-80gb".into()), 24 * 1024)
    );
    assert_eq!(
        usable(json!({"hardware": {"gpu": null}})).0,
        Some("h100-sxm-80gb".into())
    );
    expect(
        json!({"hardware": {"gpu": "h1000"}}),
        &["!unknown_value hardware.gpu"],
    );
    expect(
        json!({"hardware": {"used_memory_gb": 90}}),
        &["!out_of_range hardware.used_memory_gb"],
    );
    expect(json!({"hardware": {"ecc": true}}), &["not_used hardware.ecc"]);
    expect(
        json!({"hardware": {"unified_memory_gb": 20}}),
        &["not_used hardware.unified_memory_gb"],
    );
    expect(
        json!({"hardware": {"total_gpu_memory_gb": 640}}),
        &["not_used hardware.total_gpu_memory_gb"],
    );
    expect(
        json!({"hardware": {"gpu_memory_gb": 80, "total_gpu_memory_gb": 640}}),
        &[],
    );
    let answer = api::calculate(&request(json!({"hardware": {"gpu_memory_gb": 80}}))).expect("an answer");
    assert_eq!(answer.total_gpu_memory_gb, 640.0);
    assert_eq!(answer.total_gpu_memory_bytes.get(), 640 << 30);
}

#[test]
fn precision_is_resolved_from_type_mode_and_engine() {
    use gpu_mem_calc::training::Precision;
    use gpu_mem_calc::units::DType::{Bf16, Fp16, Fp32};
    let precision = |patch: Value| {
        api::job(&request(patch), api::Strictness::default())
            .expect("valid")
            .training
            .precision
    };
    assert_eq!(precision(json!({})), Precision::Autocast(Bf16));
    assert_eq!(
        precision(json!({"training": {"precision_mode": "mixed"}})),
        Precision::Autocast(Bf16)
    );
    assert_eq!(
        precision(json!({"training": {"precision_mode": "pure"}})),
        Precision::Pure(Bf16)
    );
    assert_eq!(
        precision(json!({"training": {"dtype": "fp16"}})),
        Precision::Autocast(Fp16)
    );
    assert_eq!(
        precision(json!({"training": {"dtype": "fp32"}})),
        Precision::Pure(Fp32)
    );
    let stored = |stored, compute, reduce| Precision::ShardedMixed {
        stored,
        compute,
        reduce,
    };
    let mixed = |compute, reduce| stored(Fp32, compute, reduce);
    let fsdp = |training: Value, reduce: Value| {
        precision(json!({"engine": {"type": "fsdp", "reduce_dtype": reduce}, "training": training}))
    };
    assert_eq!(fsdp(json!({}), json!(null)), mixed(Bf16, Fp32));
    assert_eq!(fsdp(json!({}), json!("bf16")), mixed(Bf16, Bf16));
    assert_eq!(
        fsdp(json!({"precision_mode": "pure"}), json!(null)),
        Precision::Pure(Bf16)
    );
    assert_eq!(
        fsdp(json!({"precision_mode": "pure"}), json!("fp32")),
        stored(Bf16, Bf16, Fp32)
    );
    assert_eq!(
        precision(json!({"engine": {"type": "fsdp"}, "training": {"precision_mode": "autocast"}})),
        Precision::Autocast(Bf16)
    );
    assert_eq!(
        precision(json!({"engine": {"type": "deepspeed"}})),
        Precision::Master(Bf16)
    );
    // Without fp32 master weights only where DeepSpeed divides them, and in bf16.
    let bare = |stage: u64, dtype: &str| {
        json!({
            "engine": {"type": "deepspeed", "zero_stage": stage},
            "training": {"precision_mode": "pure", "dtype": dtype},
        })
    };
    for stage in [1, 2, 3] {
        assert_eq!(precision(bare(stage, "bf16")), Precision::Pure(Bf16));
    }
    for (stage, dtype) in [(0, "bf16"), (2, "fp16")] {
        expect(
            bare(stage, dtype),
            &["!unsupported_combination training.precision_mode"],
        );
    }
    expect(
        json!({"training": {"dtype": "fp32", "precision_mode": "mixed"}}),
        &["not_used training.precision_mode"],
    );
}

#[test]
fn whole_numbers_are_a_frozen_base_and_need_adapters() {
    for dtype in ["int8", "int4"] {
        expect(
            json!({"training": {"dtype": dtype}}),
            &["!unsupported_combination training.dtype"],
        );
        let found = api::validate(&request(json!({"training": {"dtype": dtype}})));
        assert!(found[0].message.contains("receive no gradients"), "{found:?}");
    }
    let one = |training: Value| job(json!({"training": training, "hardware": {"num_gpus": 1}})).training;
    for (dtype, format) in [("int8", "int8"), ("int4", "nf4")] {
        let by_type = one(json!({"dtype": dtype, "adapter": "lora"}));
        let by_format = one(json!({"dtype": "bf16", "adapter": "lora", "base_format": format}));
        assert_eq!(format!("{by_type:?}"), format!("{by_format:?}"));
        let plain = one(json!({"dtype": "bf16", "adapter": "lora"}));
        assert_ne!(format!("{by_type:?}"), format!("{plain:?}"));
    }
    // A typed format of as many bits holds; one of others contradicts.
    let gptq = one(json!({"dtype": "int4", "adapter": "lora", "base_format": "gptq_int4"}));
    let same = one(json!({"adapter": "lora", "base_format": "gptq_int4"}));
    assert_eq!(format!("{gptq:?}"), format!("{same:?}"));
    expect(
        json!({"training": {"dtype": "int8", "adapter": "lora", "base_format": "nf4"}}),
        &["!unsupported_combination training.base_format"],
    );
    expect(
        json!({"training": {"dtype": "int4", "adapter": "lora", "base_format": "plain"}}),
        &["!unsupported_combination training.base_format"],
    );
}

#[test]
fn the_optimizer_runs_as_the_version_does() {
    use gpu_mem_calc::training::OptimizerImplementation::{Foreach, Fused, Loop};
    let implementation = |patch: Value| {
        api::job(&request(patch), api::Strictness::default())
            .expect("valid")
            .training
            .implementation
    };
    assert_eq!(implementation(json!({})), Fused);
    assert_eq!(implementation(json!({"engine": {"version": "2.7.1"}})), Foreach);
    assert_eq!(implementation(json!({"training": {"optimizer": "sgd"}})), Foreach);
    assert_eq!(
        implementation(json!({"training": {"optimizer_implementation": "loop"}})),
        Loop
    );
    expect(
        json!({"training": {"momentum": 0.5}}),
        &["not_used training.momentum"],
    );
    expect(
        json!({"training": {"loss_chunks": 4}}),
        &["not_used training.loss_chunks"],
    );
    expect(
        json!({"engine": {"version": "newest"}}),
        &["!unknown_value engine.version"],
    );
    expect(
        json!({"engine": {"version": "1.13"}}),
        &["!not_available_yet engine.version"],
    );
}

#[test]
fn settings_of_fsdp_agree_or_are_refused() {
    let fsdp = |fields: Value| {
        let mut patch = json!({"engine": {"type": "fsdp"}});
        for (name, field) in fields.as_object().expect("fields") {
            patch["engine"][name] = field.clone();
        }
        issues(patch)
    };
    assert_eq!(
        fsdp(json!({"sharding_strategy": "shard_grad_op"})),
        Vec::<String>::new()
    );
    assert_eq!(
        fsdp(json!({"sharding_strategy": "shard_grad_op", "reshard_after_forward": false})),
        Vec::<String>::new()
    );
    assert_eq!(
        fsdp(json!({"sharding_strategy": "full_shard", "reshard_after_forward": false})),
        ["!unsupported_combination engine.reshard_after_forward"]
    );
    assert_eq!(fsdp(json!({"fsdp_version": 1})), Vec::<String>::new());
    assert_eq!(
        fsdp(json!({"sharding_strategy": "hybrid_shard"})),
        ["!unsupported_combination engine.sharding_strategy"]
    );
    assert_eq!(fsdp(json!({"zero_stage": 0})), Vec::<String>::new());
    assert_eq!(
        fsdp(json!({"gradient_as_bucket_view": true})),
        ["not_used engine.gradient_as_bucket_view"]
    );
}

#[test]
fn what_megatron_deepspeed_has_not_is_refused_by_field() {
    expect(
        json!({"engine": {"type": "megatron_deepspeed", "zero_stage": 2}}),
        &["!not_available_yet engine.zero_stage"],
    );
}

#[test]
fn what_has_no_effect_is_said() {
    // The defaults of the original say nothing.
    expect(
        json!({"training": {"weight_decay": 0.01, "learning_rate": 1e-4, "warmup_steps": 2000,
            "gradient_clipping": 1.0}}),
        &[],
    );
    for name in [
        "weight_decay",
        "learning_rate",
        "warmup_steps",
        "gradient_clipping",
    ] {
        expect(
            json!({"training": {name: -1}}),
            &[format!("!out_of_range training.{name}").as_str()],
        );
    }
    for name in ["weight_decay", "learning_rate", "warmup_steps"] {
        expect(
            json!({"training": {name: 7}}),
            &[format!("not_used training.{name}").as_str()],
        );
    }
    expect(
        json!({"training": {"dropout": 0.1}}),
        &["not_used training.dropout"],
    );
    expect(json!({"training": {"dropout": 0}}), &[]);
    expect(
        json!({"model": {"num_experts": 8}}),
        &["not_used model.num_experts"],
    );
}

#[test]
fn the_sequence_is_typed_or_assumed() {
    let length = |patch: Value| {
        let job = api::job(&request(patch), api::Strictness::default()).expect("valid");
        job.training.sequence_length
    };
    assert_eq!(length(json!({})), 512);
    assert_eq!(
        length(json!({"training": {"seq_length": null}, "model": {"max_seq_len": 4096}})),
        4096
    );
    assert_eq!(length(json!({"training": {"seq_length": null}})), 2048);
    expect(
        json!({"training": {"seq_length": 8192}, "model": {"max_seq_len": 4096}}),
        &["longer_than_model training.seq_length"],
    );
}

#[test]
fn every_preset_validates_and_states_whether_it_fits() {
    use api::PresetState;
    assert_eq!(api::presets().len(), 10);
    for preset in api::presets() {
        match preset.state() {
            PresetState::Answered(_) => {}
            PresetState::NotAvailable(issues) => {
                for issue in issues.iter().filter(|issue| issue.is_error()) {
                    assert_eq!(issue.code, "not_available_yet", "{}: {issue:?}", preset.id);
                }
                assert!(issues.iter().any(|issue| issue.is_error()), "{}", preset.id);
            }
        }
    }
    assert_eq!(
        api::preset_request("nope").expect_err("unknown").code,
        "not_found"
    );
    assert!(api::preset_request("LLaMA2-7b").is_ok());
}
