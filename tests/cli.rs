//! The command line as a user runs it: the real binary, its output, its exit codes.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use gpu_mem_calc::accuracy::calculate;
use gpu_mem_calc::api::{EngineId, INPUTS, Request, Section, Strictness};
use serde_json::Value;

const LLAMA: &str = r#"{"model_type":"llama","vocab_size":128256,"hidden_size":4096,"intermediate_size":14336,
    "num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"max_position_embeddings":8192}"#;

fn run_with(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gpu-mem-calc"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("standard input");
    // A command that does not read its input closes it early.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("the binary ends")
}

fn run(arguments: &[&str]) -> Output {
    run_with(arguments, "")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[track_caller]
fn ok(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", err(&output));
    out(&output)
}

#[track_caller]
fn ok_json(arguments: &[&str]) -> Value {
    serde_json::from_str(&ok(arguments)).expect("JSON")
}

#[track_caller]
fn refused(arguments: &[&str], code: i32, words: &str) {
    let output = run(arguments);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {}",
        err(&output)
    );
    assert!(err(&output).contains(words), "{arguments:?}: {}", err(&output));
    assert_eq!(out(&output), "", "nothing on standard output");
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a temporary file");
    path
}

#[test]
fn every_command_has_help_and_every_input_a_flag() {
    for command in [
        "calculate",
        "inference",
        "quick",
        "validate",
        "plan",
        "model",
        "presets",
        "gpus",
        "models",
        "schema",
        "accuracy",
    ] {
        assert!(ok(&[command, "--help"]).contains("Usage"), "{command}");
    }
    let help = ok(&["calculate", "--help"]);
    let serving = ok(&["inference", "--help"]);
    let plans = ok(&["plan", "--help"]);
    for input in INPUTS {
        let help = match input.section {
            Section::Inference => &serving,
            Section::Hybrid => &plans,
            _ => &help,
        };
        assert!(help.contains(input.flag), "{} has no flag", input.key);
    }
    for engine in EngineId::ALL {
        assert!(
            help.contains(engine.key()),
            "{} is no value of --engine",
            engine.key()
        );
    }
    assert!(ok(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]

fn a_config_json_alone_is_answered() {
    let path = file("llama.json", LLAMA);
    let path = path.to_str().expect("a path");
    let answer = ok_json(&["calculate", "--hf-config", path, "--format", "json"]);
    assert_eq!(answer["model"]["total_parameters"], 8_030_261_248u64);
    assert!(answer["total_memory_per_gpu_bytes"].as_u64() > Some(1 << 30));
    let table = ok(&["calculate", "--hf-config", path]);
    for words in [
        "8,030,261,248",
        "allocated (torch)",
        "<- binds",
        "Memory utilization",
    ] {
        assert!(table.contains(words), "{words}");
    }
}

#[test]

fn the_command_line_answers_what_the_library_answers() {
    let flags = [
        "calculate",
        "--model",
        "llama-3-8b",
        "--engine",
        "fsdp",
        "--gpus",
        "8",
        "--batch-size",
        "2",
        "--seq-length",
        "4096",
        "--activation-checkpointing",
        "full",
        "--format",
        "json",
    ];
    let mut answer = ok_json(&flags);
    let request = serde_json::json!({
        "model": {"id": "llama-3-8b"}, "engine": {"type": "fsdp"}, "hardware": {"num_gpus": 8},
        "training": {"batch_size": 2, "seq_length": 4096, "activation_checkpointing": "full"},
    });
    let asked = Request::from_json(&request).expect("a request");
    let library = calculate(&asked, Strictness::default()).expect("an answer");
    let mut library = serde_json::to_value(library).expect("JSON");
    assert_eq!(answer, library);
    let output = run_with(
        &["calculate", "--config", "-", "--format", "json"],
        &request.to_string(),
    );
    answer = serde_json::from_slice(&output.stdout).expect("JSON");
    library["model"]["fields"].take();
    answer["model"]["fields"].take();
    assert_eq!(answer, library, "from standard input");
}

#[test]

fn flags_override_a_file() {
    let path = file(
        "request.json",
        r#"{"model":{"id":"llama-3-8b"},"training":{"batch_size":4}}"#,
    );
    let path = path.to_str().expect("a path");
    let four = ok_json(&["calculate", "--config", path, "--format", "json"]);
    let one = ok_json(&[
        "calculate",
        "--config",
        path,
        "--batch-size",
        "1",
        "--format",
        "json",
    ]);
    assert!(four["peak_allocated_bytes"].as_u64() > one["peak_allocated_bytes"].as_u64());
}

#[test]
fn bad_input_is_refused_by_field_with_code_2() {
    refused(
        &["calculate", "--model", "llama-3-8b", "--batch-size", "-1"],
        2,
        "training.batch_size",
    );
    refused(
        &["calculate", "--model", "llama-3-8b", "--batch-size", "x"],
        2,
        "training.batch_size",
    );
    refused(&["calculate", "--model", "no-such-model"], 2, "model.id");
    refused(
        &["calculate", "--model", "llama-3-8b", "--gpu", "h1000"],
        2,
        "hardware.gpu",
    );
    refused(&["calculate", "--no-such-flag"], 2, "no-such-flag");
    refused(&["calculate", "--preset", "no-such-preset"], 2, "no-such-preset");
    refused(
        &[
            "calculate",
            "--model",
            "llama-3-8b",
            "--engine",
            "megatron_deepspeed",
            "--zero-stage",
            "2",
        ],
        2,
        "not_available_yet",
    );
    let output = run_with(&["calculate", "--config", "-"], "{nonsense");
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("json_invalid"));
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let output = run(&[
        "calculate",
        "--model",
        "llama-3-8b",
        "--batch-size",
        "0",
        "--format",
        "json",
    ]);
    assert_eq!(output.status.code(), Some(2));
    let error: Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert_eq!(error["type"], "validation_error");
    assert_eq!(error["error"], "validation_error");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| message.len() > 10)
    );
    assert_eq!(error["errors"][0]["path"], "training.batch_size");
}

#[test]
fn a_file_that_cannot_be_read_is_code_2() {
    refused(
        &["calculate", "--config", "/no/such/file.json"],
        2,
        "/no/such/file.json",
    );
    refused(&["accuracy", "/no/such/file.jsonl"], 2, "/no/such/file.jsonl");
}

#[test]

fn what_does_not_fit_is_answered_and_can_fail() {
    let too_large = ["calculate", "--model", "llama-3-70b", "--gpu", "l4"];
    assert!(ok(&too_large).contains("does not fit"));
    for flag in ["--check", "--fail-if-does-not-fit", "--fail-if-oom"] {
        let output = run(&[&too_large[..], &[flag]].concat());
        assert_eq!(output.status.code(), Some(1), "{flag}");
    }
}

#[test]

fn strict_turns_warnings_into_errors() {
    let request = r#"{"model":{"id":"llama-3-8b"},"training":{"batch_sise":4}}"#;
    let output = run_with(&["calculate", "--config", "-"], request);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("training.batch_sise"));
    let output = run_with(&["calculate", "--config", "-", "--strict"], request);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("training.batch_sise"));
}

#[test]

fn an_output_file_is_written_once_unless_forced() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("answer.json");
    let _ = std::fs::remove_file(&path);
    let path = path.to_str().expect("a path");
    let command = [
        "calculate",
        "--model",
        "llama-3-8b",
        "--format",
        "json",
        "--output",
        path,
    ];
    ok(&command);
    let written = std::fs::read_to_string(path).expect("the file");
    assert!(serde_json::from_str::<Value>(&written).is_ok());
    refused(&command, 2, "--force");
    ok(&[&command[..], &["--force"]].concat());
}

#[test]

fn quick_answers_from_a_count() {
    let command = [
        "quick", "7", "--gpus", "8", "--engine", "fsdp", "--format", "json",
    ];
    let answer = ok_json(&command);
    assert_eq!(answer["model"]["given_parameters"], 7_000_000_000u64);
    let same = ok_json(&["quick", "7B", "-g", "8", "-e", "fsdp", "-f", "json"]);
    assert_eq!(answer["peak_allocated_bytes"], same["peak_allocated_bytes"]);
    assert_eq!(
        ok_json(&["quick", "500M", "-f", "json"])["model"]["given_parameters"],
        500_000_000u64
    );
    let small = ok_json(&["quick", "7", "-m", "24", "-d", "fp32", "-f", "json"]);
    assert_eq!(small["capacity"]["usable_bytes"], 24u64 << 30);
    let named = ok_json(&["quick", "7", "--gpu", "h100-80gb", "-f", "json"]);
    assert_eq!(named["capacity"]["gpu"], "h100-sxm-80gb");
    let weights = |answer: &Value| {
        let rows = answer["ledger"].as_array().expect("a ledger").iter();
        let own = rows.filter(|row| row["id"] == "weights" && row["dtype"] == "fp32");
        own.count()
    };
    assert!(weights(&small) > 0, "fp32 weights");
    refused(&["quick", "0"], 2, "model.num_parameters");
    refused(&["quick", "seven"], 2, "model.num_parameters");
}

#[test]
fn validate_lists_issues() {
    let good = file("good.json", r#"{"model":{"id":"llama-3-8b"}}"#);
    assert!(ok(&["validate", good.to_str().expect("a path")]).ends_with("valid\n"));
    let bad = file(
        "bad.json",
        r#"{"model":{"id":"llama-3-8b"},"training":{"batch_size":0}}"#,
    );
    let output = run(&["validate", bad.to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(out(&output).contains("training.batch_size"));
    let output = run(&["validate", bad.to_str().expect("a path"), "--format", "json"]);
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(result["valid"], false);
}

#[test]
fn a_model_is_described_with_its_tensors() {
    let model = ok_json(&["model", "llama-3-8b", "--format", "json"]);
    assert_eq!(model["total_parameters"], 8_030_261_248u64);
    assert!(model.get("tensors").is_none());
    let path = file("model.json", LLAMA);
    let model = ok_json(&[
        "model",
        "--hf-config",
        path.to_str().expect("a path"),
        "--tensors",
        "-f",
        "json",
    ]);
    assert_eq!(model["total_parameters"], 8_030_261_248u64);
    assert_eq!(model["embedding_parameters"], 525_336_576u64);
    assert!(
        model["tensors"]
            .as_array()
            .is_some_and(|tensors| tensors.len() > 9)
    );
    assert!(ok(&["model", "llama-3-8b"]).contains("8,030,261,248"));
    refused(&["model", "no-such-model"], 2, "no-such-model");
}

#[test]
fn lists_are_searched() {
    let gpus = ok_json(&["gpus", "--format", "json"]);
    let gpus = gpus.as_array().expect("a list");
    assert!(gpus.len() >= 141);
    let h100 = gpus
        .iter()
        .find(|gpu| gpu["id"] == "h100-sxm-80gb")
        .expect("the card");
    assert_eq!(h100["usable_bytes"], 81_079u64 << 20);
    assert!(ok(&["gpus", "mi300x"]).contains("instinct-mi300x"));
    assert!(ok(&["models", "llama-3.1"]).contains("llama-3.1-8b"));
    assert!(ok(&["presets"]).contains("llama2-7b"));
    assert!(ok_json(&["schema"])["properties"]["training"].is_object());
    refused(&["schema", "nonsense"], 2, "request");
}

#[test]
fn accuracy_reads_any_file_of_records() {
    let line = r#"{"id":"mine","source_group":"g","model":"x","strategy":"Megatron","quantity":"max_allocated","unit":"bytes","value_raw":5}"#;
    let output = run_with(&["accuracy", "-", "--format", "jsonl"], line);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let object: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(object["id"], "mine");
    assert_eq!(object["reason"], "its arguments under Megatron are not read yet");
    let output = run_with(&["accuracy", "-"], "{broken");
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("line 1"));
}

#[test]

fn accuracy_prints_predictions_in_three_formats() {
    let traces = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/measured/torch-trace.jsonl");
    let text = ok(&["accuracy", traces, "--format", "jsonl"]);
    let first: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    let keys: Vec<&String> = first.as_object().expect("an object").keys().collect();
    assert_eq!(
        keys,
        ["id", "engine", "quantity", "measured", "low", "expected", "high"]
    );
    let table = ok_json(&["accuracy", traces, "--format", "json", "--worst", "3"]);
    assert_eq!(table["records"], 271);
    assert_eq!(table["worst"].as_array().map(Vec::len), Some(3));
    assert!(ok(&["accuracy", traces, "--worst", "2"]).contains("Worst"));
}

/// The value behind a label of a table.
fn cell<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let line = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(label))?;
    Some(line.trim())
}

#[test]
fn the_table_has_the_rows_of_the_original() {
    let asked = [
        "calculate",
        "--model",
        "llama-3.1-8b",
        "--engine",
        "deepspeed",
        "--zero-stage",
        "3",
        "--offload-optimizer",
        "cpu",
        "--gpus",
        "8",
        "--batch-size",
        "4096",
    ];
    let text = out(&run(&asked));
    let json = out(&run(&[&asked[..], &["--format", "json"]].concat()));
    let answer: Value = serde_json::from_str(&json).expect("JSON");
    let parts = &answer["breakdown"];
    for (label, gib) in [
        ("Memory per GPU", &answer["total_memory_per_gpu_gb"]),
        ("Total GPU memory", &answer["total_memory_all_gpus_gb"]),
        ("CPU memory", &answer["cpu_memory_gb"]),
        ("Model parameters", &parts["model_params_gb"]),
        ("Gradients", &parts["gradients_gb"]),
        ("Optimizer states", &parts["optimizer_states_gb"]),
        ("Activations", &parts["activations_gb"]),
        ("Overhead", &parts["overhead_gb"]),
    ] {
        let expected = format!("{:.2} GiB", gib.as_f64().expect("a number"));
        assert_eq!(cell(&text, label), Some(expected.as_str()), "{label}");
    }
    assert!(answer["cpu_memory_gb"].as_f64() > Some(100.0));
    assert_eq!(cell(&text, "Status"), Some("OOM (does not fit)"));
    let percent = answer["memory_utilization_percent"].as_f64().expect("a number");
    assert_eq!(
        cell(&text, "Memory utilization"),
        Some(format!("{percent:.1} %").as_str())
    );
    let batch = answer["recommended_batch_size"].to_string();
    assert_eq!(cell(&text, "Recommended batch size"), Some(batch.as_str()));
    // Traced and published runs are counted apart, each with its own error.
    let validation = &answer["validation"];
    let agreement = cell(&text, "Agreement with measured runs:").expect("a line");
    let mut origins = 0;
    for origin in ["traced", "published"] {
        if let Some(runs) = validation[origin]["runs"].as_u64() {
            assert!(agreement.contains(&format!("{runs} {origin}")), "{agreement}");
            assert!(
                agreement.contains(&format!("{origin}: median error")),
                "{agreement}"
            );
            origins += 1;
        }
    }
    assert!(origins > 0, "{validation}");
    // No colours and no control characters: the output is not a terminal.
    assert!(!text.contains('\u{1b}'));
    let fits = ok(&["calculate", "--model", "smollm2-135m"]);
    assert_eq!(cell(&fits, "Status"), Some("Fits"));
    assert_eq!(cell(&fits, "CPU memory"), Some("0.00 GiB"));
}

#[test]
fn a_question_is_exported_and_its_notes_are_told() {
    let words = |text: &'static str| text.split(' ').collect::<Vec<_>>();
    let asked = "export accelerate --model llama-3.1-8b --engine fsdp --gpus 8";
    let output = run(&words(asked));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("fsdp_version: 2"));
    assert!(err(&output).contains("note: "), "{}", err(&output));
    let same = ok(&words(
        "export --format ACCELERATE --model llama-3.1-8b --engine fsdp --gpus 8",
    ));
    assert_eq!(same, out(&output));
    assert!(ok(&["export", "--list"]).contains("torchtitan"));
    let refused = run(&words("export deepspeed --model llama-3.1-8b"));
    assert_eq!(refused.status.code(), Some(2));
    assert!(err(&refused).contains("unsupported_combination"));
    assert_eq!(run(&["export"]).status.code(), Some(2));
}

#[test]
fn all_inference_engines_are_asked_side_by_side() {
    let flags = [
        "inference",
        "--side-by-side",
        "--model",
        "llama-3.1-8b",
        "--gpu",
        "l40s",
        "--seq",
        "8192",
    ];
    let table = ok(&flags);
    for engine in [
        "HF Transformers",
        "vLLM",
        "SGLang",
        "TensorRT-LLM",
        "TGI",
        "llama.cpp",
    ] {
        assert!(table.contains(engine), "{engine}");
    }
    assert!(table.contains("most of all by"));
    let json = ok_json(&[&flags[..], &["--format", "json"]].concat());
    assert_eq!(json["engines"].as_array().map(Vec::len), Some(6));
}

#[test]
fn the_multi_node_question_is_answered_on_the_command_line() {
    let asked = [
        "multinode",
        "--model",
        "llama-3.1-8b",
        "--engine",
        "fsdp",
        "--node-shape",
        "dgx-h100",
        "--nodes",
        "2",
        "--token-budget",
        "1T",
        "--price-per-gpu-hour",
        "2",
    ];
    let table = ok(&asked);
    for words in [
        "8 ports of 400 Gbit/s",
        "Roofline",
        "Out of each node per step",
        "Cost of the run",
    ] {
        assert!(table.contains(words), "{words} is not in\n{table}");
    }
    let json = ok_json(&[&asked[..], &["--format", "json"]].concat());
    let request = serde_json::json!({"model": {"id": "llama-3.1-8b"}, "engine": {"type": "fsdp"},
        "node_config": {"node_shape": "dgx-h100", "num_nodes": 2, "token_budget": "1T", "price_per_gpu_hour": 2}});
    let request = Request::from_json(&request).expect("a request");
    let answer = gpu_mem_calc::api::multi_node(&request).expect("an answer");
    assert_eq!(json, serde_json::to_value(answer).expect("JSON"));
}

#[test]
fn a_log_and_a_yaml_file_are_read() {
    let yaml = "model:\n  id: smollm2-135m\nhardware: {gpu: l4-24gb}\n";
    let answer = run_with(&["calculate", "-c", "-", "--format", "json"], yaml);
    assert_eq!(answer.status.code(), Some(0), "{}", err(&answer));
    let log = include_str!("interop/samples/vllm-log-v1.txt");
    let table = run_with(&["import", "-", "--gpu", "h100-sxm-80gb"], log);
    assert_eq!(table.status.code(), Some(0), "{}", err(&table));
    let words = out(&table);
    assert!(words.contains("Measured beside predicted"), "{words}");
    let read = run_with(&["import", "-", "--format", "json"], log);
    let read: Value = serde_json::from_str(&out(&read)).expect("JSON");
    assert_eq!(read["request"]["model"]["id"], "llama-3.1-8b");
    assert_eq!(read["kind"], "vllm_log");
    let strange = run_with(&["import", "-"], "nothing of this kind");
    assert_eq!(strange.status.code(), Some(2));
    assert!(err(&strange).contains("not_recognised"));
}
