//! What an answer costs, as the number of instructions that its command executes under callgrind: the same on every machine
//! of one architecture, and so a budget where times are none. The command is the unoptimised one, which the tests build anyway.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::budget::Budget;
use crate::place;
use crate::step::{cargo, command, output, run, step};

/// The questions, by the names of their budgets.
const QUESTIONS: [(&str, &[&str]); 5] = [
    ("instructions_start", &["--version"]),
    (
        "instructions_training",
        &[
            "calculate",
            "--model",
            "llama-3.1-8b",
            "--engine",
            "fsdp",
            "--gpus",
            "8",
            "--format",
            "json",
        ],
    ),
    (
        "instructions_experts",
        &[
            "calculate",
            "--model",
            "qwen3-30b-a3b",
            "--engine",
            "megatron_lm",
            "--gpus",
            "256",
            "--tp",
            "4",
            "--pp",
            "4",
            "--sequence-parallel",
            "--format",
            "json",
        ],
    ),
    (
        "instructions_inference",
        &[
            "inference",
            "--model",
            "llama-3.1-8b",
            "--engine",
            "vllm",
            "--gpu",
            "h100-sxm-80gb",
            "--format",
            "json",
        ],
    ),
    (
        "instructions_import",
        &["model", "deepseek-v3", "--tensors", "--format", "json"],
    ),
];

/// Millions of instructions of each question.
pub fn measure() -> Result<Vec<(String, u64)>> {
    if place::on_path("valgrind").is_none() {
        bail!("valgrind counts the instructions; install it, for example with apt-get install valgrind");
    }
    run(&mut cargo(&[
        "build",
        "--locked",
        "--quiet",
        "--features",
        "cli",
        "--bin",
        "gpu-mem-calc",
    ]))?;
    let program = place::target()
        .join("debug/gpu-mem-calc")
        .to_string_lossy()
        .into_owned();
    let file = place::target().join("callgrind.out");
    let mut counts = Vec::new();
    for (name, question) in QUESTIONS {
        let out = format!("--callgrind-out-file={}", file.display());
        let mut valgrind = command("valgrind", &["--quiet", "--tool=callgrind", &out, &program]);
        output(valgrind.args(question))?;
        let text = fs::read_to_string(&file).context("callgrind's file")?;
        let total = text
            .lines()
            .find_map(|line| {
                line.strip_prefix("summary: ")
                    .or_else(|| line.strip_prefix("totals: "))
            })
            .and_then(|number| number.trim().parse::<u64>().ok())
            .context("callgrind's total")?;
        counts.push((name.to_owned(), total.div_ceil(1_000_000)));
    }
    Ok(counts)
}

/// Counts, and fails above the budget.
pub fn check() -> Result<()> {
    let counts = step("instructions, in millions", measure)?;
    Budget::read()?.check(&counts)
}
