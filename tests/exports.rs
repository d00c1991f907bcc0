//! Exports: nothing typed is dropped, a target refuses engines that it has no place for, our own files come back, and each
//! fact that frameworks insist on stands in the file. That the frameworks themselves load the files is in
//! `tests/exporters`.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, Availability, Export, INPUTS, Request, Section};
use serde_json::{Value, json};

fn request(value: Value) -> Request {
    Request::from_json(&value).expect("a request")
}

#[track_caller]
fn export(format: &str, value: Value) -> Export {
    api::export(format, &request(value)).unwrap_or_else(|issues| unreachable!("{format}: {issues:?}"))
}

/// Variants of a training question, so that each input meets every engine that knows it.
fn variants(question: &Request) -> Vec<Request> {
    let mut all = vec![question.clone()];
    if question.serves() {
        return all;
    }
    for engine in [
        json!({"type": "pytorch_ddp"}),
        json!({"type": "fsdp"}),
        json!({"type": "fsdp", "fsdp_version": "1"}),
        json!({"type": "deepspeed", "zero_stage": 2}),
        json!({"type": "deepspeed", "zero_stage": 3}),
        json!({"type": "megatron_lm"}),
    ] {
        let mut asked = question.to_json();
        asked["engine"]
            .as_object_mut()
            .expect("an engine")
            .extend(engine.as_object().expect("settings").clone());
        asked["hardware"]["num_gpus"] = json!(8);
        all.push(request(asked));
    }
    all
}

#[test]
fn no_export_drops_what_was_typed() {
    let file: Value = serde_json::from_str(include_str!("inputs/changes.json")).unwrap();
    let mut dropped = Vec::new();
    let mut told = 0;
    for input in INPUTS {
        // What a search may try is no part of a configuration.
        if input.availability != Availability::Built || input.section == Section::Hybrid {
            continue;
        }
        let change = &file["changes"][input.key];
        let question = request(file["questions"][change["on"].as_str().unwrap()].clone());
        for base in variants(&question) {
            let changed = base.clone().with(input.id, change["to"].clone());
            for format in api::export_formats() {
                if matches!(format.name, "csv" | "markdown") {
                    continue;
                }
                let (Ok(one), Ok(other)) = (
                    api::export(format.name, &base),
                    api::export(format.name, &changed),
                ) else {
                    continue;
                };
                if base.get(input.id) == changed.get(input.id) {
                    continue;
                }
                told += 1;
                let same = one.text == other.text && one.notes == other.notes;
                // A value that says what holds anyway, as eight GPUs on each of two nodes do, changes no memory.
                if same && memory(&base) != memory(&changed) {
                    dropped.push(format!("{} drops {} = {}", format.name, input.key, change["to"]));
                }
            }
        }
    }
    dropped.sort();
    dropped.dedup();
    assert_eq!(dropped, Vec::<String>::new());
    assert!(told > 2000, "only {told} pairs were compared");
}

/// What decides about memory: need and tensors.
fn memory(request: &Request) -> Value {
    if request.serves() {
        let answer = api::calculate_inference(request).expect("an answer");
        return json!([answer.need, answer.ledger, answer.breakdown]);
    }
    let answer = api::calculate(request).expect("an answer");
    json!([answer.need, answer.ledger, answer.breakdown])
}

#[test]
fn every_target_says_what_the_others_can_do_for_a_foreign_engine() {
    let fsdp = request(
        json!({"model": {"id": "llama-3.1-8b"}, "engine": {"type": "fsdp"}, "hardware": {"num_gpus": 8}}),
    );
    let issues = api::export("deepspeed", &fsdp).unwrap_err();
    assert_eq!(issues[0].code, "unsupported_combination");
    assert!(issues[0].allowed.iter().any(|name| name == "accelerate"));
    let issues = api::export("word", &fsdp).unwrap_err();
    assert_eq!(issues[0].code, "unknown_value");
    assert!(issues[0].allowed.len() > 15);
    assert_eq!(api::export("Accelerate", &fsdp).unwrap().format, "accelerate");
}

#[test]
fn our_own_files_come_back() {
    let scenarios = include_str!("inputs/changes.json");
    let file: Value = serde_json::from_str(scenarios).unwrap();
    for question in file["questions"].as_object().unwrap().values() {
        let asked = request(question.clone());
        let export = api::export("json", &asked).unwrap();
        assert_eq!(Request::from_text(&export.text).unwrap(), asked);
        assert_eq!(export.file_name, "config.json");
    }
    for preset in api::presets() {
        let Ok(export) = api::export("json", &preset.request()) else {
            continue;
        };
        assert_eq!(Request::from_text(&export.text).unwrap(), preset.request());
    }
}

fn on_four_nodes(engine: Value) -> Value {
    json!({
        "model": {"id": "llama-3.1-8b"},
        "engine": engine,
        "training": {"batch_size": 4, "gradient_accumulation_steps": 4},
        "hardware": {"num_gpus": 32},
        "node_config": {"num_nodes": 4},
    })
}

#[test]
fn accelerate_has_the_keys_that_its_launcher_reads() {
    let ddp = export("accelerate", on_four_nodes(json!({"type": "pytorch_ddp"})));
    assert_eq!(ddp.file_name, "accelerate_config.yaml");
    let first = ddp.text.lines().find(|line| !line.starts_with('#'));
    assert_eq!(first, Some("compute_environment: LOCAL_MACHINE"));
    for line in [
        "distributed_type: MULTI_GPU",
        "mixed_precision: bf16",
        "downcast_bf16: \"no\"",
        "num_machines: 4",
        "num_processes: 32",
        "machine_rank: 0",
        "main_process_port: 29500",
        "main_training_function: main",
    ] {
        assert!(ddp.text.contains(line), "{line}");
    }
    let fsdp = export("accelerate", on_four_nodes(json!({"type": "fsdp"}))).text;
    for line in [
        "fsdp_version: 2",
        "fsdp_reshard_after_forward: true",
        "fsdp_transformer_layer_cls_to_wrap: LlamaDecoderLayer",
    ] {
        assert!(fsdp.contains(line), "{line}");
    }
    assert!(!fsdp.contains("fsdp_origin_params"));
    let zero = json!({"type": "deepspeed", "zero_stage": 3, "offload_optimizer": "cpu"});
    let zero = export("accelerate", on_four_nodes(zero)).text;
    for line in [
        "zero_stage: 3",
        "offload_optimizer_device: cpu",
        "offload_param_device: none",
        "zero3_init_flag: true",
    ] {
        assert!(
            zero.contains(line) || zero.contains(&line.replace("none", "\"none\"")),
            "{line}"
        );
    }
    assert!(!zero.contains("zero_optimization"));
    let mut megatron = on_four_nodes(json!({"type": "megatron_lm"}));
    megatron["parallelism"] = json!({"tensor_parallel_size": 4, "pipeline_parallel_size": 2});
    let megatron = export("accelerate", megatron).text;
    for line in [
        "megatron_lm_tp_degree: 4",
        "megatron_lm_pp_degree: 2",
        "megatron_lm_num_micro_batches: 4",
    ] {
        assert!(megatron.contains(line), "{line}");
    }
}

#[test]
fn classes_of_layers_come_from_the_architecture() {
    for (id, class) in [
        ("mixtral-8x7b", "MixtralDecoderLayer"),
        ("glm-4.5", "Glm4MoeDecoderLayer"),
    ] {
        let asked = json!({"model": {"id": id}, "engine": {"type": "fsdp"}, "hardware": {"num_gpus": 64}});
        assert!(export("accelerate", asked).text.contains(class), "{class}");
    }
    let typed = json!({
        "model": {"name": "my-llama", "num_layers": 16, "hidden_size": 2048, "num_attention_heads": 16, "intermediate_size": 5632},
        "engine": {"type": "fsdp"}, "hardware": {"num_gpus": 8},
    });
    let typed = export("accelerate", typed);
    assert!(!typed.text.contains("cls_to_wrap:"), "{}", typed.text);
    assert!(
        typed
            .notes
            .iter()
            .any(|note| note.contains("class of the layers"))
    );
}

#[test]
fn the_batch_of_deepspeed_is_that_of_all_replicas() {
    let mut asked = on_four_nodes(json!({"type": "deepspeed", "zero_stage": 3}));
    asked["hardware"]["num_gpus"] = json!(8);
    asked["node_config"] = json!({});
    let read = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    let plain = read(&export("deepspeed", asked.clone()).text);
    assert_eq!(plain["train_batch_size"], 128);
    assert_eq!(plain["train_micro_batch_size_per_gpu"], 4);
    assert_eq!(plain["steps_per_print"], 100);
    assert_eq!(plain["prescale_gradients"], false);
    assert_eq!(plain["bf16"]["enabled"], true);
    assert_eq!(plain["fp16"]["enabled"], false);
    assert_eq!(plain["optimizer"]["params"]["weight_decay"], 0.01);
    assert_eq!(plain["scheduler"]["params"]["warmup_num_steps"], 2000);
    assert!(plain["zero_optimization"].get("offload_optimizer").is_none());
    asked["engine"]["offload_optimizer"] = json!("nvme");
    asked["training"]["optimizer"] = json!("adamw_8bit");
    asked["training"]["dtype"] = json!("fp32");
    if let Ok(export) = api::export("deepspeed", &request(asked)) {
        let read = read(&export.text);
        assert_eq!(read["zero_optimization"]["offload_optimizer"]["device"], "nvme");
        assert!(read["zero_optimization"]["offload_optimizer"]["nvme_path"].is_string());
        assert!(read.get("optimizer").is_none());
        assert!(export.notes.iter().any(|note| note.contains("adamw_8bit")));
        assert_eq!(
            (&read["bf16"]["enabled"], &read["fp16"]["enabled"]),
            (&json!(false), &json!(false))
        );
    }
}

/// Master weights in fp32 are DeepSpeed's usual way; without them, and with its own autocast, the file says so and reads back.
#[test]
fn deepspeed_says_in_which_type_it_keeps_what() {
    for (mode, block, others) in [
        ("mixed", json!({"enabled": true}), Value::Null),
        (
            "pure",
            json!({"enabled": true, "bf16_master_weights_and_grads": true, "bf16_optimizer_states": true}),
            Value::Null,
        ),
        (
            "autocast",
            json!({"enabled": false}),
            json!({"enabled": true, "dtype": "bfloat16"}),
        ),
    ] {
        let mut asked = on_four_nodes(json!({"type": "deepspeed", "zero_stage": 2}));
        asked["training"]["precision_mode"] = json!(mode);
        let file = export("deepspeed", asked);
        let written: Value = serde_json::from_str(&file.text).unwrap();
        assert_eq!(written["bf16"], block, "{mode}");
        assert_eq!(written["torch_autocast"], others, "{mode}");
        let back = api::import(&file.text, &Request::new()).import.request.to_json();
        let read = back["training"].get("precision_mode");
        assert_eq!(read, (mode != "mixed").then_some(&json!(mode)), "{mode}");
    }
}

#[test]
fn axolotl_has_no_key_that_its_schema_refuses() {
    let mut asked = on_four_nodes(json!({"type": "fsdp"}));
    asked["training"]["optimizer"] = json!("sgd");
    asked["training"]["seq_length"] = json!(4096);
    let export = export("axolotl", asked);
    for key in [
        "batch_size:",
        "special_tokens:",
        "num_nodes:",
        "gpus_per_node:",
        "fsdp:",
    ] {
        assert!(!export.text.lines().any(|line| line.starts_with(key)), "{key}");
    }
    for line in [
        "sequence_len: 4096",
        "optimizer: sgd",
        "micro_batch_size: 4",
        "  transformer_layer_cls_to_wrap: LlamaDecoderLayer",
        "val_set_size: 0.1",
        "save_total_limit: 2",
        "lr_scheduler: cosine",
        "warmup_ratio: 0.03",
    ] {
        assert!(export.text.lines().any(|own| own == line), "{line}");
    }
    assert!(export.notes.iter().any(|note| note.contains("--nnodes 4")));
}

#[test]
fn lightning_reaches_the_strategy_with_every_setting() {
    let zero = json!({"type": "deepspeed", "zero_stage": 3, "offload_optimizer": "cpu"});
    let zero = export("lightning", on_four_nodes(zero)).text;
    for part in [
        "DeepSpeedStrategy(config=DEEPSPEED)",
        "\"stage\": 3",
        "\"device\": \"cpu\"",
        "devices=8",
        "num_nodes=4",
        "precision=\"bf16-mixed\"",
        "accumulate_grad_batches=4",
        "log_every_n_steps=50",
        "\"num_attention_heads\": 32",
    ] {
        assert!(zero.contains(part), "{part}\n{zero}");
    }
    let first = json!({"type": "fsdp", "fsdp_version": "1", "sharding_strategy": "shard_grad_op"});
    let first = export("lightning", on_four_nodes(first)).text;
    assert!(first.contains("sharding_strategy=\"SHARD_GRAD_OP\""), "{first}");
}

#[test]
fn results_are_tables() {
    let asked = json!({"model": {"id": "smollm2-135m"}, "hardware": {"gpu": "l4-24gb"}});
    let csv = export("csv", asked.clone()).text;
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some("part,name,low_bytes,expected_bytes,high_bytes,expected_gib")
    );
    assert!(lines.any(|line| line.starts_with("breakdown,gradients,")));
    let markdown = export("md", asked).text;
    assert!(markdown.contains("| meter | allocated |"), "{markdown}");
    let served = json!({"model": {"id": "smollm2-135m"}, "inference": {"engine_type": "vllm"}, "hardware": {"gpu": "l4-24gb"}});
    assert!(export("csv", served).text.contains("part,"));
}

#[test]
fn every_format_is_written_for_its_engines() {
    let file: Value = serde_json::from_str(include_str!("inputs/changes.json")).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for question in file["questions"].as_object().unwrap().values() {
        let asked = request(question.clone());
        for format in api::export_formats_for(&asked) {
            let export = api::export(format.name, &asked).expect("a listed format is written");
            assert_eq!(export.file_name, format.file_name);
            assert!(
                export.text.ends_with('\n') && !export.text.contains("null,"),
                "{}",
                format.name
            );
            match export.language {
                "json" => drop(serde_json::from_str::<Value>(&export.text).expect("JSON")),
                "toml" => drop(toml::from_str::<Value>(&export.text).expect("TOML")),
                _ => {}
            }
            seen.insert(format.name);
        }
    }
    let all: Vec<_> = api::export_formats()
        .into_iter()
        .map(|format| format.name)
        .collect();
    let missing: Vec<_> = all.iter().filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(INPUTS.iter().any(|input| input.section == Section::Inference));
}

/// FNV-1a over 64 bits: the same on every machine.
fn hash(text: &str, mut state: u64) -> u64 {
    for byte in text.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    state
}

/// Every export of every question of the tests: by target, file name and text.
fn all_exports() -> Vec<(&'static str, String, String)> {
    let file: Value = serde_json::from_str(include_str!("inputs/changes.json")).unwrap();
    let more: Value = serde_json::from_str(include_str!("exporters/questions.json")).unwrap();
    let own = file["questions"].as_object().unwrap().iter();
    let mut all = Vec::new();
    for (name, question) in own.chain(more.as_object().unwrap()) {
        let asked = request(question.clone());
        for format in api::export_formats() {
            if matches!(format.name, "csv" | "markdown" | "json" | "yaml") {
                continue;
            }
            if let Ok(export) = api::export(format.name, &asked) {
                all.push((format.name, format!("{name}-{}", export.file_name), export.text));
            }
        }
    }
    all
}

/// What the frameworks loaded (`tests/exporters/results.json`) is what is written now. `cargo xtask exporters` loads anew,
/// and sets the variable to have the exports written into a folder.
#[test]
fn exports_are_those_that_the_frameworks_loaded() {
    let exports = all_exports();
    let mut hashes = std::collections::BTreeMap::new();
    for (target, name, text) in &exports {
        let state = hashes.entry(*target).or_insert(0xcbf2_9ce4_8422_2325);
        *state = hash(text, hash(name, *state));
    }
    if let Some(folder) = std::env::var_os("GPU_MEM_CALC_EXPORTS") {
        let folder = std::path::PathBuf::from(folder);
        for (target, name, text) in &exports {
            std::fs::create_dir_all(folder.join(target)).expect("a folder");
            std::fs::write(folder.join(target).join(name), text).expect("a file");
        }
        let text: std::collections::BTreeMap<_, _> = hashes
            .iter()
            .map(|(target, state)| (target, format!("{state:016x}")))
            .collect();
        std::fs::write(folder.join("hashes.json"), serde_json::to_string(&text).unwrap()).expect("a file");
        return;
    }
    let results: Value = serde_json::from_str(include_str!("exporters/results.json")).unwrap();
    let mut wrong = Vec::new();
    for (target, state) in hashes {
        let row = results
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["target"] == target);
        match row {
            None => wrong.push(format!("{target} was never loaded")),
            Some(row) if row["exports"] != format!("{state:016x}") => {
                wrong.push(format!("{target} changed after {} loaded it", row["framework"]));
            }
            Some(row) if row["loaded"] != row["files"] => wrong.push(format!("{target}: {}", row["refused"])),
            Some(_) => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "run `cargo xtask exporters`:\n{}",
        wrong.join("\n")
    );
}
