//! The command line's formats and its manners: every command in every format, settings, saved questions, completions, the
//! manual, and what stands on standard error.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use gpu_mem_calc::api;
use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gpu-mem-calc"))
        .args(arguments)
        .output()
        .expect("the binary runs")
}

#[track_caller]
fn ok(arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

fn place(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    // It may be left from an earlier run.
    let _ = std::fs::remove_file(&path);
    path
}

const LLAMA: [&str; 7] = [
    "--model",
    "llama-3.1-8b",
    "--engine",
    "fsdp",
    "--gpus",
    "8",
    "--seq=1024",
];

/// Every command that gives data.
fn commands() -> Vec<Vec<&'static str>> {
    let with_llama = |command: &'static str| [&[command][..], &LLAMA].concat();
    vec![
        with_llama("calculate"),
        with_llama("multinode"),
        with_llama("explain"),
        with_llama("fixes"),
        with_llama("validate"),
        vec!["solve", "--for", "batch_size", "--model", "gpt2"],
        vec!["inference", "--model", "gpt2"],
        vec!["inference", "--model", "gpt2", "--side-by-side"],
        vec!["quick", "1"],
        vec!["model", "gpt2"],
        vec!["models", "gpt2"],
        vec!["gpus", "h100"],
        vec!["presets"],
    ]
}

#[test]
fn every_command_writes_json_yaml_csv_and_markdown() {
    for command in commands() {
        let of = |format: &'static str| ok(&[&command[..], &["--format", format]].concat());
        let data: Value = serde_json::from_str(&of("json")).expect("JSON");
        let yaml = of("yaml");
        let again = api::read_yaml(&yaml).unwrap_or_else(|problem| unreachable!("{command:?}: {problem:?}"));
        assert_eq!(again, data, "{command:?}");
        let csv = of("csv");
        let columns = csv.lines().next().expect("a heading").split(',').count();
        assert!(columns >= 2 && csv.lines().count() >= 2, "{command:?}: {csv}");
        let markdown = of("markdown");
        let is_rule = |line: &str| line.contains("---") && line.chars().all(|char| "|-: ".contains(char));
        assert!(markdown.lines().any(is_rule), "{command:?}: {markdown}");
        assert!(!of("table").is_empty());
    }
}

#[test]
fn presets_are_listed_by_id() {
    let text = ok(&["presets"]);
    let ids: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    assert_eq!(ids, sorted);
    assert_eq!(ids.len(), 10);
    assert!(ok(&["presets", "--format", "table"]).contains("state"));
}

#[test]
fn settings_an_explanation_and_a_saved_question() {
    let set = ok(&[
        "calculate",
        "--model",
        "gpt2",
        "--set",
        "training.batch_size=3",
        "--set",
        "engine.type=fsdp",
        "-f",
        "json",
    ]);
    let flag = ok(&[
        "calculate",
        "--model",
        "gpt2",
        "--batch-size",
        "3",
        "--engine",
        "fsdp",
        "-f",
        "json",
    ]);
    assert_eq!(set, flag);
    for wrong in ["batch_size", "training.no_such=1"] {
        assert_eq!(
            run(&["calculate", "--model", "gpt2", "--set", wrong])
                .status
                .code(),
            Some(2),
            "{wrong}"
        );
    }
    assert!(ok(&["calculate", "--model", "gpt2", "--explain"]).contains("At the tightest instant"));
    let both: Value = serde_json::from_str(&ok(&["calculate", "--model", "gpt2", "--explain", "-f", "json"]))
        .expect("JSON");
    assert!(both["answer"]["verdict"].is_string() && both["explanation"]["formula_components"].is_array());
    for name in ["saved.yaml", "saved.json"] {
        let path = place(name);
        let path = path.to_str().expect("a name");
        let first = ok(&[
            "calculate",
            "--model",
            "gpt2",
            "--batch-size",
            "3",
            "--engine",
            "fsdp",
            "-f",
            "json",
            "--save-config",
            path,
        ]);
        assert_eq!(first, flag);
        assert_eq!(ok(&["calculate", "--config", path, "-f", "json"]), flag, "{name}");
        let again = run(&["calculate", "--model", "gpt2", "--save-config", path]);
        assert_eq!(again.status.code(), Some(2), "a file is not overwritten unasked");
    }
}

#[test]
fn quick_has_the_defaults_of_the_original() {
    let quick: Value = serde_json::from_str(&ok(&["quick", "7", "-f", "json"])).expect("JSON");
    let same = ok(&[
        "calculate",
        "--parameters",
        "7B",
        "--seq",
        "2048",
        "--batch",
        "1",
        "-f",
        "json",
    ]);
    let same: Value = serde_json::from_str(&same).expect("JSON");
    assert_eq!(quick, same);
    let table = ok(&[
        "quick",
        "7",
        "-e",
        "deepspeed",
        "--zero-stage",
        "3",
        "--gpus",
        "8",
    ]);
    assert!(table.contains("8 GPUs"), "{table}");
    for engine in ["pytorch", "deepspeed", "megatron", "fsdp"] {
        ok(&["quick", "7", "--gpus", "8", "--engine", engine]);
    }
}

#[test]
fn completions_and_the_manual_know_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let text = ok(&["completions", shell]);
        for word in ["calculate", "multinode", "--save-config"] {
            assert!(text.contains(word.trim_start_matches('-')), "{shell}: {word}");
        }
    }
    assert_eq!(run(&["completions", "nothing"]).status.code(), Some(2));
    let page = ok(&["man"]);
    assert!(
        page.contains(".TH gpu-mem-calc") || page.contains(".TH"),
        "{page}"
    );
    for command in ["calculate", "export", "completions"] {
        assert!(page.contains(command), "{command}");
        assert!(ok(&["man", command]).contains("Example"), "{command}");
    }
    assert_eq!(run(&["man", "nothing"]).status.code(), Some(2));
}

#[test]
fn every_schema_can_be_printed() {
    for name in gpu_mem_calc::calls::schema_names() {
        let schema: Value = serde_json::from_str(&ok(&["schema", name])).expect("JSON");
        assert!(schema["$id"].is_string(), "{name}");
    }
}

#[test]
fn help_has_an_example_for_each_command() {
    let all = ok(&["--help"]);
    assert!(all.contains("--version") && all.contains("Exit codes"));
    assert_eq!(
        ok(&["--version"]).trim(),
        concat!("gpu-mem-calc ", env!("CARGO_PKG_VERSION"))
    );
    let commands = all
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1);
    let names: Vec<&str> = commands
        .take_while(|line| !line.trim().is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() >= 18, "{names:?}");
    for name in names {
        assert!(ok(&[name, "--help"]).contains("Example"), "{name}");
    }
}

#[test]
fn quiet_leaves_results_and_errors_alone() {
    let said = |arguments: &[&str]| String::from_utf8_lossy(&run(arguments).stderr).into_owned();
    let path = place("quiet.json");
    let path = path.to_str().expect("a name");
    let write = ["gpus", "h100", "-f", "json", "--force", "-o", path];
    assert!(said(&write).contains("written to"));
    assert_eq!(said(&[&write[..], &["--quiet"]].concat()), "");
    assert_eq!(said(&[&["-q"][..], &write].concat()), "");
    assert!(said(&["-q", "calculate", "--model", "no-such"]).contains("model.id"));
    let export = [&["export", "torchtitan"][..], &LLAMA].concat();
    assert!(said(&export).contains("note: "));
    assert_eq!(said(&[&export[..], &["-q"]].concat()), "");
}

#[test]
fn there_is_no_colour_where_nobody_watches() {
    for arguments in [
        &["calculate", "--model", "gpt2"][..],
        &["--help"],
        &["solve", "--for", "gpu", "--model", "gpt2"],
    ] {
        let output = run(arguments);
        let escape = |bytes: &[u8]| bytes.contains(&0x1b);
        assert!(
            !escape(&output.stdout) && !escape(&output.stderr),
            "{arguments:?}"
        );
    }
}

#[test]
fn it_starts_at_once() {
    let shortest = (0..10)
        .map(|_| {
            let start = Instant::now();
            ok(&["--version"]);
            start.elapsed()
        })
        .min()
        .expect("ten runs");
    // Unoptimised and beside other tests; the release build takes a tenth of that.
    assert!(shortest < Duration::from_millis(60), "{shortest:?}");
}
