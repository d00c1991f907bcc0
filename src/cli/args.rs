//! The commands. Every input of the registry is a flag of every command that asks a question; `flags` holds what several share.

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command};
use gpu_mem_calc::api::{CheapestSort, INPUTS, Task};

use crate::flags::{
    flag, force, format_of, inputs, judgement, output_file, save_config, sources, strict, switch,
    with_serving,
};
use crate::output;

/// The whole command line.
pub fn command() -> Command {
    Command::new("gpu-mem-calc")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Will this LLM train or run on these GPUs, what takes the memory, and at which instant is it tightest?")
        .after_help(
            "Exit codes: 0 answered; 1 does not fit (only with --check); 2 bad input or usage, or a file that cannot be \
             read or written.\n\
             Example: gpu-mem-calc calculate --hf-config config.json --engine fsdp --gpus 16 --gpu h100-sxm-80gb",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(later(
            "calculate",
            "Answer a training request: memory per GPU, verdict, instants, every tensor",
            calculate,
        ))
        .subcommand(later(
            "inference",
            "Answer an inference request: memory per GPU, verdict, capacity both ways, every tensor",
            inference,
        ))
        .subcommand(later(
            "multinode",
            "What travels between GPUs and nodes in one step, how long the step takes, and what would save time",
            multinode,
        ))
        .subcommand(later(
            "plan",
            "Search all ways to divide a training job among its GPUs, or to serve on them: those that fit, the best first",
            plan,
        ))
        .subcommand(later(
            "explain",
            "Explain an answer: each part with its formula, the numbers put in, the result and the source",
            explain,
        ))
        .subcommand(later(
            "quick",
            "Answer from a parameter count alone, with the nearest typical architecture",
            quick,
        ))
        .subcommand(later(
            "solve",
            "Find the largest micro-batch, the longest sequence, the fewest GPUs and the smallest card that fit",
            solve,
        ))
        .subcommand(later(
            "cheapest",
            "Find the cheapest GPU: of each kind the least number that works, by GPUs, GPU-hours or typed prices",
            cheapest,
        ))
        .subcommand(later(
            "fixes",
            "Find what would make it fit: changes that lower the need, each with its new need and what it costs",
            fixes,
        ))
        .subcommand(later(
            "validate",
            "Check a request and list every issue, without calculating",
            validate,
        ))
        .subcommand(later(
            "model",
            "Describe a model: architecture, exact counts, warnings, every weight tensor",
            model,
        ))
        .arg(switch("quiet", "Print results and errors only: no notes, no progress").short('q').global(true))
        .subcommand(
            later("presets", "List the built-in training setups", |command| {
                command
                    .after_help("Example: gpu-mem-calc presets --format table")
                    .arg(
                        format_of(&["list", "table", "json", "yaml", "csv", "markdown"]).default_value("list"),
                    )
                    .arg(output_file())
                    .arg(force())
                    .args(inputs())
            }),
        )
        .subcommand(
            list("gpus", "List the GPUs with the memory that a program gets of them").defer(|command| {
                command
                    .arg(Arg::new("search").help("Only GPUs whose id or name contains this"))
                    .args(inputs())
            }),
        )
        .subcommand(
            list("models", "List the models of the catalogue").defer(|command| {
                command
                    .arg(Arg::new("search").help("Only models whose id or name contains this"))
                    .args(inputs())
            }),
        )
        .subcommand(
            Command::new("schema")
                .about("Print the JSON Schema of a request, of an error, or of the answer of a call")
                .after_help("Example: gpu-mem-calc schema calculate")
                .arg(Arg::new("name").help("Which schema; without a name that of a request"))
                .arg(output_file())
                .arg(force()),
        )
        .subcommand(later(
            "export",
            "Write a question as the configuration of a framework, a command, or a table of its result",
            export,
        ))
        .subcommand(later(
            "import",
            "Read a configuration, a command line, a log or a message of another program as a question",
            import,
        ))
        .subcommand(later(
            "accuracy",
            "Compare predictions with measured runs",
            accuracy,
        ))
        .subcommand(
            Command::new("completions")
                .about("Print the completions of a shell")
                .after_help("Example: gpu-mem-calc completions bash > /etc/bash_completion.d/gpu-mem-calc")
                .arg(
                    Arg::new("shell")
                        .required(true)
                        .value_name("SHELL")
                        .value_parser(clap::value_parser!(clap_complete::Shell))
                        .help("Which shell"),
                )
                .arg(output_file())
                .arg(force()),
        )
        .subcommand(
            Command::new("man")
                .about("Print the manual page")
                .after_help("Example: gpu-mem-calc man calculate | man -l -")
                .arg(Arg::new("command").value_name("COMMAND").help("Of this command; of the program without it"))
                .arg(output_file())
                .arg(force()),
        )
}

/// A command whose flags are made when it is the one that runs: all flags of all commands take longer than most answers.
fn later(name: &'static str, about: &'static str, flags: fn(Command) -> Command) -> Command {
    Command::new(name).about(about).defer(flags)
}

fn import(command: Command) -> Command {
    command
        .after_help(
            "Prints what was found, assumed and not understood, and what was measured beside what is predicted. With --format json \
             the question itself is among it.\nExample: vllm serve ... 2>&1 | gpu-mem-calc import -",
        )
        .arg(
            Arg::new("file")
                .required(true)
                .value_name("FILE")
                .help("A file, or - for standard input"),
        )
        .arg(save_config())
        .arg(format_of(output::FORMATS))
        .arg(output_file())
        .arg(force())
        .args(inputs())
}

fn export(command: Command) -> Command {
    let names = gpu_mem_calc::api::export_formats()
        .into_iter()
        .map(|format| format.name);
    command
        .after_help(
            "What a target cannot express is named in its comments, and on standard error.\n\
             Example: gpu-mem-calc export accelerate --model llama-3.1-8b --engine fsdp --gpus 8",
        )
        .arg(Arg::new("target").value_name("FORMAT").help(format!(
            "What is written: {}",
            names.collect::<Vec<_>>().join(", ")
        )))
        .arg(
            Arg::new("format")
                .short('f')
                .long("format")
                .value_name("FORMAT")
                .help("The same as the argument"),
        )
        .args(sources())
        .arg(output_file())
        .arg(force())
        .arg(switch(
            "list",
            "List the formats that the question can be exported to",
        ))
        .args(inputs())
}

fn calculate(command: Command) -> Command {
    command
        .after_help(
            "Example: gpu-mem-calc calculate --model llama-3.1-8b --engine fsdp --gpus 8 --batch-size 2 --format json",
        )
        .args(sources())
        .arg(format_of(output::FORMATS))
        .arg(output_file())
        .arg(force())
        .args(judgement())
        .arg(switch("ledger", "Print every tensor of the ledger in the table, not only the largest"))
        .arg(switch("explain", "Also explain each part with its formula, its numbers and its source"))
        .arg(save_config())
        .arg(switch("max-batch", "Answer at the largest micro-batch that fits, and say which it is"))
        .args(inputs())
}

fn multinode(command: Command) -> Command {
    command
        .after_help(
            "Times are rooflines: amounts over stated rates, in three cases.\n\
             Example: gpu-mem-calc multinode --model llama-3.1-8b --engine fsdp --node-shape dgx-h100 --nodes 2",
        )
        .args(sources())
        .arg(format_of(output::FORMATS))
        .arg(output_file())
        .arg(force())
        .args(judgement())
        .args(inputs())
}

fn plan(command: Command) -> Command {
    command
        .after_help(
            "Tries engines, sharding, tensor, pipeline, context, expert and data parallelism, micro-batches, recomputation and \
             offloading. What the question says about these is not kept; all else is. Where an input of serving is given: engines, \
             tensor and pipeline parallelism, engines that share experts, formats of weights and cache, and requests at once.\n\
             Example: gpu-mem-calc plan --model llama-3.1-70b --gpus 8 --prompt-tokens 4096 --new-tokens 512\n\
             Example: gpu-mem-calc plan --preset llama-3-70b --gpu h100-sxm-80gb --gpus 256 --format json",
        )
        .args(sources())
        .arg(format_of(output::FORMATS))
        .arg(output_file())
        .arg(force())
        .args(judgement())
        .args(with_serving(Task::Plan))
}

fn solve(command: Command) -> Command {
    command
        .after_help(
            "The column \"fits\" is sure; \"at best\" is the last value at which it may still fit.\n\
             Example: gpu-mem-calc solve --for seq_length --model llama-3.1-8b --engine fsdp --gpus 8",
        )
        .arg(
            Arg::new("for")
                .long("for")
                .value_name("UNKNOWN")
                .value_parser(PossibleValuesParser::new(crate::solve::unknowns()))
                .help("What is looked for; all of them where it is not given"),
        )
        .args(sources())
        .arg(format_of(output::FORMATS))
        .arg(output_file())
        .arg(force())
        .args(judgement())
        .args(inputs())
}

fn cheapest(command: Command) -> Command {
    command
        .after_help(
            "Everything else is as it is asked; the inference question is asked where one of its inputs is given.\n\
             Example: gpu-mem-calc cheapest --model llama-3.1-8b --engine fsdp --sort cost --gpu-prices h100-sxm-80gb=2.5,l40s=0.9",
        )
        .args(sources())
        .arg(
            Arg::new("sort")
                .long("sort")
                .value_name("ORDER")
                .value_parser(PossibleValuesParser::new(CheapestSort::ALL.map(CheapestSort::key)))
                .help("The fewest GPUs (the default), the fewest GPU-hours, or the least money by the typed prices"),
        )
        .arg(switch("whole-nodes", "Count whole nodes of each GPU"))
        .arg(format_of(output::FORMATS))
        .arg(output_file())
        .arg(force())
        .args(judgement())
        .args(with_serving(Task::Training))
}

fn fixes(command: Command) -> Command {
    command
        .after_help(
            "Asks the inference question where one of its inputs is given.\n\
             Example: gpu-mem-calc fixes --model llama-3.1-8b --batch-size 4 --gpu rtx-4090-24gb",
        )
        .args(sources())
        .arg(format_of(output::FORMATS))
        .arg(output_file())
        .arg(force())
        .args(judgement())
        .args(inputs())
}

fn explain(command: Command) -> Command {
    command
        .after_help("Example: gpu-mem-calc explain --model llama-3.1-8b --engine fsdp --gpus 8")
        .args(sources())
        .arg(format_of(output::FORMATS))
        .arg(output_file())
        .arg(force())
        .args(inputs())
}

fn inference(command: Command) -> Command {
    command
        .after_help(
            "Example: gpu-mem-calc inference --model llama-3.1-8b --batch-size 8 --seq 4096 --gpu l40s",
        )
        .args(sources())
        .arg(format_of(output::FORMATS))
        .arg(output_file())
        .arg(force())
        .args(judgement())
        .arg(switch(
            "ledger",
            "Print every tensor of the ledger in the table, not only the largest",
        ))
        .arg(switch(
            "side-by-side",
            "Ask every inference engine, and say what makes the largest difference between them",
        ))
        .args(
            INPUTS
                .iter()
                .filter(|input| input.section.belongs_to(Task::Inference))
                .map(|input| {
                    // Here no input of training stands beside them, so the shorter name is free.
                    let flag = flag(input);
                    match input.flag.strip_prefix("--inference-") {
                        Some(short) if !is_flag(short) => {
                            flag.long(short).visible_alias(input.flag.trim_start_matches('-'))
                        }
                        _ => flag,
                    }
                }),
        )
}

/// Whether an input of inference has this flag.
fn is_flag(name: &str) -> bool {
    INPUTS
        .iter()
        .any(|input| input.section.belongs_to(Task::Inference) && input.flag.strip_prefix("--") == Some(name))
}

fn quick(command: Command) -> Command {
    command
        .after_help("Example: gpu-mem-calc quick 7 --gpus 8 --engine fsdp")
        .arg(
            Arg::new("params")
                .required(true)
                .value_name("PARAMS")
                .help("Billions of parameters (7), or a count with a suffix (7B, 500M)"),
        )
        .arg(format_of(output::FORMATS))
        .arg(output_file())
        .arg(force())
        .args(judgement())
        .arg(switch(
            "ledger",
            "Print every tensor of the ledger in the table, not only the largest",
        ))
        .args(inputs())
}

fn validate(command: Command) -> Command {
    command
        .after_help("Example: gpu-mem-calc validate request.json")
        .arg(
            Arg::new("path")
                .value_name("FILE")
                .help("A request; - for standard input"),
        )
        .args(sources())
        .arg(format_of(output::FORMATS))
        .arg(strict())
        .args(inputs())
}

fn model(command: Command) -> Command {
    command
        .after_help("Example: gpu-mem-calc model qwen3-30b-a3b --tensors --format json")
        .arg(
            Arg::new("name")
                .value_name("NAME")
                .help("Id, Hugging Face name or alias of a model of the catalogue"),
        )
        .arg(switch("tensors", "List every weight tensor"))
        .arg(format_of(output::FORMATS))
        .arg(output_file())
        .arg(force())
        .args(inputs())
}

fn accuracy(command: Command) -> Command {
    command
        .after_help("Example: gpu-mem-calc accuracy tests/measured --worst 10")
        .arg(
            Arg::new("files")
                .value_name("FILE")
                .required(true)
                .num_args(1..)
                .help("Record files (one JSON object per line), folders of them, or - for standard input"),
        )
        .arg(format_of(&["table", "json", "jsonl", "markdown", "evidence"]))
        .arg(
            Arg::new("worst")
                .long("worst")
                .value_name("N")
                .value_parser(clap::value_parser!(usize))
                .help("Also list so many of the worst predictions"),
        )
        .arg(output_file())
        .arg(force())
}

fn list(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .after_help(format!("Example: gpu-mem-calc {name} --format csv"))
        .arg(format_of(output::FORMATS))
        .arg(output_file())
        .arg(force())
}
