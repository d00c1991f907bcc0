//! Options of a training step: what each changes, what excludes what, and what has no effect.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{Answer, BackingStatus, Request, calculate, validate};
use serde_json::{Value, json};

/// A question on this model with these settings, on so many GPUs of DDP.
fn question(model: &str, gpus: u64, training: Value) -> Request {
    let value = json!({
        "model": {"id": model},
        "engine": {"type": "pytorch_ddp"},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": gpus},
        "training": training,
    });
    Request::from_json(&value).expect("a request")
}

#[track_caller]
fn ask(model: &str, training: Value) -> Answer {
    let request = question(model, 1, training);
    calculate(&request).unwrap_or_else(|issues| panic!("{issues:?}"))
}

#[track_caller]
fn peak(model: &str, training: Value) -> u64 {
    ask(model, training).peak_allocated_bytes.get()
}

#[track_caller]
fn says(request: &Request, code: &str, path: &str) {
    let issues = validate(request);
    let found = issues
        .iter()
        .any(|issue| issue.code == code && issue.path == path);
    assert!(found, "{code} on {path} is not among {issues:?}");
}

#[test]
fn compiled_runs_keep_less_than_eager_ones() {
    let with = |compile: &str| {
        ask(
            "llama-3.2-1b",
            json!({"seq_length": 4096, "precision_mode": "pure", "compile": compile}),
        )
    };
    let (eager, compiled) = (with("none"), with("model"));
    let rest = |answer: &Answer| {
        let found = answer.instants.iter().find(|instant| instant.id == "rest");
        found.expect("an instant").allocated_bytes
    };
    assert_eq!(rest(&eager), rest(&compiled));
    let (eager, compiled) = (eager.meters.allocated, compiled.meters.allocated);
    assert!(compiled.expected_bytes < eager.expected_bytes);
    // An interval: Inductor's choice of what to keep is not known in advance.
    let width = |low: u64, expected: u64, high: u64| (high - low) as f64 / expected as f64;
    assert!(
        width(
            compiled.low_bytes.get(),
            compiled.expected_bytes.get(),
            compiled.high_bytes.get()
        ) > width(
            eager.low_bytes.get(),
            eager.expected_bytes.get(),
            eager.high_bytes.get()
        )
    );
}

#[test]
fn dropout_is_that_of_the_class_or_of_the_input() {
    // GPT-2's class has dropout of 0.1 unless its configuration says otherwise.
    let usual = peak("gpt2", json!({"seq_length": 1024}));
    assert_eq!(usual, peak("gpt2", json!({"seq_length": 1024, "dropout": 0.1})));
    assert!(usual > peak("gpt2", json!({"seq_length": 1024, "dropout": 0})));
    // Llama's has one on the probabilities alone: masks of plain attention, a seed in fused attention.
    let eager = |dropout: f64| json!({"seq_length": 1024, "attention": "eager", "dropout": dropout});
    let llama = "llama-3.2-1b";
    assert!(peak(llama, eager(0.1)) > peak(llama, eager(0.0)));
    let fused = json!({"seq_length": 1024, "dropout": 0.1});
    assert_eq!(
        peak(llama, fused.clone()),
        peak(llama, json!({"seq_length": 1024}))
    );
    says(&question(llama, 1, fused), "not_used", "training.dropout");
}

#[test]
fn the_numbers_of_older_files_name_kinds_of_recomputation() {
    let at = |level: Value| {
        peak(
            "llama-3.2-1b",
            json!({"seq_length": 4096, "attention": "eager", "activation_checkpointing": level}),
        )
    };
    for (number, name) in [("0", "none"), ("1", "selective"), ("3", "every_n"), ("4", "full")] {
        assert_eq!(at(json!(number)), at(json!(name)), "{number}");
    }
    assert!(at(json!("none")) > at(json!("selective")));
    assert!(at(json!("selective")) > at(json!("full")));
}

#[test]
fn more_recomputed_layers_need_less() {
    let every = |n: u64| {
        peak(
            "llama-3.2-1b",
            json!({"seq_length": 4096, "activation_checkpointing": "every_n", "checkpoint_every": n}),
        )
    };
    let full = peak(
        "llama-3.2-1b",
        json!({"seq_length": 4096, "activation_checkpointing": "full"}),
    );
    assert_eq!(every(1), full);
    assert!(every(1) < every(2) && every(2) < every(4));
    let none = peak("llama-3.2-1b", json!({"seq_length": 4096}));
    assert!(every(4) < none);
    assert_eq!(every(1000), none);
}

#[test]
fn a_step_inside_backward_frees_gradients_and_excludes_what_needs_them() {
    let plain = json!({"seq_length": 256, "precision_mode": "pure", "gradient_clipping": 0});
    let mut inside = plain.clone();
    inside["optimizer_in_backward"] = json!(true);
    let model = "llama-3.1-8b";
    let saved = peak(model, plain) - peak(model, inside.clone());
    // All gradients but those at hand: 16 GB less the largest of them.
    assert!(saved > 12_000_000_000, "{saved}");
    let mut accumulated = inside.clone();
    accumulated["gradient_accumulation_steps"] = json!(2);
    let path = "training.gradient_accumulation_steps";
    says(&question(model, 1, accumulated), "unsupported_combination", path);
    let mut clipped = inside.clone();
    clipped["gradient_clipping"] = json!(1.0);
    let path = "training.gradient_clipping";
    says(&question(model, 1, clipped), "unsupported_combination", path);
    let on = |engine: Value| {
        let value = json!({
            "model": {"id": model},
            "engine": engine,
            "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8},
            "training": inside.clone(),
        });
        Request::from_json(&value).expect("a request")
    };
    let path = "training.optimizer_in_backward";
    says(&on(json!({"type": "deepspeed"})), "unsupported_combination", path);
    let flat = on(json!({"type": "fsdp", "fsdp_version": "1", "use_orig_params": false}));
    says(&flat, "unsupported_combination", "engine.use_orig_params");
    // DDP's buckets keep the gradients: what is saved is their copy, 16 GB, and no more.
    let whole = |request: &Request| {
        let answer = calculate(request).unwrap_or_else(|issues| panic!("{issues:?}"));
        let rest = answer.instants.iter().find(|row| row.id == "rest").unwrap();
        rest.allocated_bytes.to_gib()
    };
    let weights = 2.0 * 8_030_261_248.0 / f64::from(1 << 30);
    let buckets = whole(&on(json!({"type": "pytorch_ddp"})));
    assert!((buckets / weights - 4.0).abs() < 0.01, "{buckets}");
    // FSDP1 has none left: an eighth of weights and moments.
    let first = whole(&on(json!({"type": "fsdp", "fsdp_version": "1"})));
    assert!((first / weights - 3.0 / 8.0).abs() < 0.01, "{first}");
}

#[test]
fn optimizers_that_look_at_shapes_need_tensors_of_their_own() {
    let on = |engine: Value, optimizer: &str| {
        let value = json!({
            "model": {"id": "llama-3.1-8b"},
            "engine": engine,
            "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8},
            "training": {"seq_length": 512, "optimizer": optimizer},
        });
        Request::from_json(&value).expect("a request")
    };
    let path = "training.optimizer";
    for optimizer in ["muon", "galore", "schedule_free", "adamw_8bit_torchao"] {
        let request = on(json!({"type": "deepspeed"}), optimizer);
        says(&request, "unsupported_combination", path);
    }
    let sharded = on(json!({"type": "fsdp"}), "galore");
    says(&sharded, "unsupported_combination", path);
    assert!(calculate(&on(json!({"type": "fsdp"}), "muon")).is_ok());
    let flat = on(json!({"type": "fsdp", "fsdp_version": "1"}), "muon");
    says(&flat, "unsupported_combination", path);
    for optimizer in ["adafactor", "adafactor_transformers"] {
        says(
            &on(json!({"type": "fsdp"}), optimizer),
            "unsupported_combination",
            path,
        );
    }
    let vectors = on(json!({"type": "fsdp", "fsdp_version": "1"}), "adafactor");
    assert!(calculate(&vectors).is_ok());
}

#[test]
fn deepspeed_keeps_frozen_weights_whole_or_divides_them() {
    let on = |stage: u64, base: &str| {
        let value = json!({
            "model": {"id": "llama-3.1-8b"},
            "engine": {"type": "deepspeed", "zero_stage": stage},
            "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8},
            "training": {"seq_length": 512, "precision_mode": "mixed", "adapter": "lora", "base_format": base},
        });
        Request::from_json(&value).expect("a request")
    };
    let rest = |stage: u64, base: &str| {
        let answer = calculate(&on(stage, base)).unwrap_or_else(|issues| panic!("{issues:?}"));
        let row = answer.instants.iter().find(|row| row.id == "rest").unwrap();
        row.allocated_bytes.to_gib()
    };
    let whole = 2.0 * 8_030_261_248.0 / f64::from(1 << 30);
    for stage in 0..3 {
        assert!(rest(stage, "plain") > whole, "stage {stage}");
        assert!((5.0..8.0).contains(&rest(stage, "nf4")), "stage {stage}");
    }
    assert!((whole / 8.0..whole / 2.0).contains(&rest(3, "plain")));
    // Four bits, divided: 1.05 billion weights of embedding and head in 16 bits, 6.98 billion in 4, over 8 GPUs; the scales,
    // an fp32 value for 64 weights, are whole.
    let divided = (2.0 * 1_050_939_392.0 + 6_979_321_856.0 / 2.0) / 8.0 + 6_979_321_856.0 / 16.0;
    let gib = |bytes: f64| bytes / f64::from(1 << 30);
    assert!((gib(divided)..gib(divided) + 1.4).contains(&rest(3, "nf4")));
    says(&on(3, "int8"), "not_available_yet", "training.base_format");
}

/// What bitsandbytes' product keeps in its context outlives the gathering of ZeRO-3, but for checkpoints that re-enter.
#[test]
fn packed_weights_stay_gathered_where_the_graph_holds_them() {
    let peak = |reentrant: bool| {
        let value = json!({
            "model": {"id": "llama-2-7b"},
            "engine": {"type": "deepspeed", "zero_stage": 3, "max_live_parameters": 1_000_000},
            "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8},
            "training": {"seq_length": 512, "precision_mode": "mixed", "adapter": "lora", "base_format": "nf4",
                "activation_checkpointing": "full", "checkpoint_reentrant": reentrant},
        });
        let answer = calculate(&Request::from_json(&value).expect("a request")).expect("an answer");
        answer.meters.allocated.expected_bytes.to_gib()
    };
    // 32 layers of 202 million weights in four bits.
    let packed = 32.0 * 202_375_168.0 / 2.0 / f64::from(1 << 30);
    let held = peak(false) - peak(true);
    assert!(
        (packed * 0.6..packed * 1.1).contains(&held),
        "{held} of {packed} GiB"
    );
}

/// TinyLlama, 8 GPUs: the reference is a second engine without an optimizer, whole up to stage 2, divided and gathered ahead at
/// stage 3 (TRL 1.16 models/utils.py, `prepare_deepspeed`).
#[test]
fn deepspeed_s_reference_is_an_engine_of_its_own() {
    let on = |engine: Value, training: Value| {
        let mut value = json!({
            "model": {"id": "tinyllama-1.1b"},
            "engine": {"type": "deepspeed"},
            "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8},
            "training": {"seq_length": 512, "objective": "preference"},
        });
        for (section, more) in [("engine", engine), ("training", training)] {
            for (key, one) in more.as_object().expect("settings") {
                value[section][key] = one.clone();
            }
        }
        Request::from_json(&value).expect("a request")
    };
    let held = |stage: u64, id: &str, instant: &str| {
        let answer = calculate(&on(json!({"zero_stage": stage}), json!({}))).expect("an answer");
        let rows = answer.ledger.iter().filter(|row| row.id == id);
        rows.map(|row| (row.unit_bytes * row.held_at[instant]).get())
            .sum::<u64>()
    };
    let weights = 2 * 1_100_048_384_u64;
    for stage in 0..3 {
        assert!(held(stage, "zero.reference", "rest").abs_diff(weights) < 2 << 20);
        assert_eq!(held(stage, "zero.reference_ahead", "reference_forward"), 0);
    }
    assert!(held(3, "zero.reference", "rest").abs_diff(weights / 8) < 2 << 20);
    // 10^9 elements and one tensor more, of 32,000 x 2,048: all but 35 million of the weights; the head alone for the logits.
    let ahead = 2 * (1_000_000_000 + 32_000 * 2048);
    assert!(held(3, "zero.reference_ahead", "reference_layers").abs_diff(ahead) < 2 << 20);
    assert_eq!(held(3, "zero.reference_ahead", "rest"), 0);
    for (engine, training, path) in [
        (
            json!({"zero_hpz_partition_size": 4}),
            json!({}),
            "engine.zero_hpz_partition_size",
        ),
        (json!({"offload_param": "cpu"}), json!({}), "engine.offload_param"),
        (json!({}), json!({"adapter": "lora"}), "training.objective"),
    ] {
        let mut third = engine;
        third["zero_stage"] = json!(3);
        let answer = calculate(&on(third, training)).expect("an answer");
        assert_eq!(answer.evidence.status, BackingStatus::NotValidated);
        assert!(
            answer.evidence.options.iter().any(|option| option.path == path),
            "{path}"
        );
    }
    let lower = on(json!({"zero_stage": 2}), json!({"adapter": "lora"}));
    let answer = calculate(&lower).expect("an answer");
    assert!(answer.ledger.iter().all(|row| row.id != "zero.reference"));
}

#[test]
fn batches_differ_by_how_they_are_filled() {
    let with = |layout: Value| {
        let mut training = json!({"seq_length": 2048, "batch_size": 4, "precision_mode": "pure"});
        for (key, value) in layout.as_object().expect("settings") {
            training[key] = value.clone();
        }
        ask("llama-3.2-1b", training)
    };
    let packed = with(json!({}));
    // Padded to the longest: the same live blocks, more of them cached.
    let padded = with(json!({"batch_layout": "padded"}));
    assert_eq!(padded.peak_allocated_bytes, packed.peak_allocated_bytes);
    assert!(padded.meters.reserved.expected_bytes > packed.meters.reserved.expected_bytes);
    // Without padding: between batches of mean and of full sequences.
    let free = with(json!({"batch_layout": "padding_free", "mean_length": 512}));
    assert!(free.peak_allocated_bytes < packed.peak_allocated_bytes);
    assert_eq!(
        free.meters.allocated.high_bytes,
        packed.meters.allocated.high_bytes
    );
    let short = ask(
        "llama-3.2-1b",
        json!({"seq_length": 512, "batch_size": 4, "precision_mode": "pure"}),
    );
    assert_eq!(free.meters.allocated.low_bytes, short.meters.allocated.low_bytes);
    let masked = json!({"batch_layout": "padding_free", "attention": "masked"});
    let request = question("llama-3.2-1b", 1, masked);
    says(&request, "unsupported_combination", "training.batch_layout");
    let long = json!({"seq_length": 512, "batch_layout": "padding_free", "mean_length": 1024});
    says(
        &question("llama-3.2-1b", 1, long),
        "out_of_range",
        "training.mean_length",
    );
}

#[test]
fn tf32_changes_no_memory() {
    let of = |dtype: &str| peak("llama-3.2-1b", json!({"seq_length": 512, "dtype": dtype}));
    assert_eq!(of("tf32"), of("fp32"));
}

#[test]
fn four_optimizers_have_their_states_in_every_engine() {
    // Llama-3.2-1B with states in fp32: two moments, one momentum, none; and in 8 bits two with an fp32 scale per 256.
    let all = 1_235_814_400_f64;
    let states = |engine: &Value, ranks: f64, training: Value| {
        let value = json!({"model": {"id": "llama-3.2-1b"}, "engine": engine,
            "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 2}, "training": training});
        let answer = calculate(&Request::from_json(&value).expect("a request"))
            .unwrap_or_else(|issues| panic!("{engine}: {issues:?}"));
        let rest = answer.instants.iter().find(|instant| instant.id == "rest");
        rest.expect("an instant").groups.optimizer_states.get() as f64 * ranks / all
    };
    let engines = [
        (json!({"type": "pytorch_ddp"}), 1.0, 0.0),
        (json!({"type": "fsdp"}), 2.0, 0.0),
        (json!({"type": "fsdp", "fsdp_version": 1}), 2.0, 0.0),
        // DeepSpeed's fp32 master weights are states as well.
        (json!({"type": "deepspeed", "zero_stage": 2}), 2.0, 4.0),
    ];
    for (engine, ranks, master) in &engines {
        let per_weight = |optimizer: &str, momentum: f64| {
            let training = json!({"seq_length": 128, "optimizer": optimizer, "momentum": momentum});
            states(engine, *ranks, training) - master
        };
        for (optimizer, momentum, bytes) in [
            ("adam", 0.9, 8.0),
            ("AdamW", 0.9, 8.0),
            ("sgd", 0.9, 4.0),
            ("sgd", 0.0, 0.0),
        ] {
            let found = per_weight(optimizer, momentum);
            assert!((found - bytes).abs() < 0.01, "{engine}: {optimizer}: {found}");
        }
        // bitsandbytes has no kernels for the DTensors of FSDP2.
        let second = *engine == json!({"type": "fsdp"});
        if master == &0.0 && !second {
            let found = per_weight("adamw_8bit", 0.9);
            assert!((found - (2.0 + 8.0 / 256.0)).abs() < 0.05, "{engine}: {found}");
        }
    }
}

/// TinyLlama, 8 GPUs: what FSDP2 gathers and reduces on streams of its own stays reserved beside the computation's blocks, so an
/// answer expects more to be reserved than the surplus of one stream over the allocated peak.
#[test]
fn streams_keep_pools_of_their_own() {
    let ask = |engine: Value| {
        let question = json!({"model": {"id": "llama-3.1-8b"}, "engine": engine,
            "hardware": {"gpu": "h200-sxm-141gb", "num_gpus": 8},
            "training": {"seq_length": 4096, "activation_checkpointing": "full"}});
        calculate(&Request::from_json(&question).expect("a request")).expect("an answer")
    };
    let over = |answer: &Answer| {
        let reserved = answer.meters.reserved.expected_bytes.get() as f64;
        reserved / answer.peak_allocated_bytes.get() as f64
    };
    // Traced: 20.58 GiB alive at the peak, 26.33 the sum of what each stream has at most, 28.89 reserved.
    let sharded = ask(json!({"type": "fsdp"}));
    let traced = 28.887;
    let expected = sharded.meters.reserved.expected_bytes.to_gib();
    assert!((expected / traced - 1.0).abs() < 0.08, "{expected}");
    assert!(over(&sharded) > 1.3);
    assert!(over(&ask(json!({"type": "pytorch_ddp"}))) < 1.1);
}

/// At stage 3 the averaged weights are divided as those that train are.
#[test]
fn a_moving_average_is_divided_at_stage_3() {
    let load = |average: &str| {
        let question = json!({"model": {"id": "tinyllama-1.1b"}, "engine": {"type": "deepspeed", "zero_stage": 3},
            "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8}, "training": {"seq_length": 512, "moving_average": average}});
        let answer = calculate(&Request::from_json(&question).expect("a request")).expect("an answer");
        let at = answer.instants.iter().find(|instant| instant.id == "load");
        (
            at.expect("an instant").allocated_bytes.get(),
            answer.evidence.status,
        )
    };
    let ((with, status), (without, _)) = (load("fp32"), load("none"));
    assert!((with - without).abs_diff(4 * 1_100_048_384 / 8) < 2 << 20);
    assert_eq!(status, BackingStatus::NotValidated);
}
