//! `plan` as it is written in the documents: JSON on standard output alone, a table, and the exit code where nothing fits.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::process::{Command, Output};

use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-mem-calc"));
    command.args(arguments).output().expect("the command runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn plan_answers_as_written() {
    let words = "plan --preset llama-3-70b --gpu h100-sxm-80gb --gpus 256 --format json";
    let output = run(&words.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    // Progress is for a terminal; nothing else stands on standard error.
    assert_eq!(text(&output.stderr), "");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(answer["space"]["combinations"].as_u64() > Some(1_000_000));
    assert_eq!(answer["asked"]["gpus"], 256);
    let plans = answer["plans"].as_array().expect("plans");
    assert_eq!(plans.len(), 10);
    let limit = answer["asked"]["limit_bytes"].as_u64();
    for plan in plans {
        assert!(plan["need_bytes"].as_u64() <= limit);
        assert!(plan["step_ms"].as_f64() > Some(0.0));
        assert!(plan["values"]["engine.type"].is_string());
    }
}

#[test]
fn the_table_has_plans_front_reason_and_rules() {
    let output = run(&[
        "plan",
        "--model",
        "llama-3.1-8b",
        "--gpus",
        "8",
        "--engines",
        "fsdp,megatron_lm",
        "--global-batch-tokens",
        "524288",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    for words in [
        "Best plans",
        "Why the first",
        "Faster or smaller",
        "Left out",
        "MFU",
        "combinations",
    ] {
        assert!(table.contains(words), "{words} is missing in:\n{table}");
    }
}

#[test]
fn nothing_that_fits_is_said_with_what_is_missing() {
    let words = "plan --model llama-3.1-405b --gpus 8 --allow-offload false --global-batch-tokens 65536";
    let mut arguments: Vec<&str> = words.split(' ').collect();
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text(&output.stdout).contains("Nothing fits"),
        "{}",
        text(&output.stdout)
    );
    arguments.push("--fail-if-does-not-fit");
    assert_eq!(run(&arguments).status.code(), Some(1));
}

#[test]
fn serving_is_planned_where_an_input_of_serving_is_given() {
    let words = "plan --model llama-3.1-8b --gpu l40s --gpus 4 --prompt-tokens 2000 --new-tokens 200 --engines vllm,tgi";
    let mut arguments: Vec<&str> = words.split(' ').collect();
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for words in [
        "tokens/s/GPU",
        "Best for each effect",
        "Why the first",
        "Left out",
    ] {
        assert!(
            text(&output.stdout).contains(words),
            "{words}:\n{}",
            text(&output.stdout)
        );
    }
    arguments.extend(["--format", "json"]);
    let answer: Value = serde_json::from_slice(&run(&arguments).stdout).expect("JSON");
    assert_eq!(answer["kind"], "serving");
    assert_eq!(answer["plans"].as_array().map(Vec::len), Some(10));
}

#[test]
fn the_cheapest_gpu_is_listed_by_order() {
    let words = "cheapest --model llama-3.1-8b --engine fsdp --sort cost --whole-nodes --gpu-prices h100-sxm-80gb=2.5,l40s=0.9";
    let output = run(&words.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(
        table.contains("GPU-hours per 10⁹ tokens") && table.contains("left out"),
        "{table}"
    );
    let served = run(
        &"cheapest --model llama-3.1-8b --prompt-tokens 1000 --format json"
            .split(' ')
            .collect::<Vec<_>>(),
    );
    let answer: Value = serde_json::from_slice(&served.stdout).expect("JSON");
    assert_eq!(answer["kind"], "serving");
}
