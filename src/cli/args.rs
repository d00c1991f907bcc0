//! The commands and their flags. Every input of the registry is a flag of every command that asks a question.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command};
use gpu_mem_calc::api::{
    CheapestSort, INPUTS, Input, InputDefault, InputId, InputKind, Level, Section, Task,
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
        .subcommand(calculate())
        .subcommand(inference())
        .subcommand(multinode())
        .subcommand(plan())
        .subcommand(explain())
        .subcommand(quick())
        .subcommand(solve())
        .subcommand(cheapest())
        .subcommand(fixes())
        .subcommand(validate())
        .subcommand(model())
        .arg(switch("quiet", "Print results and errors only: no notes, no progress").short('q').global(true))
        .subcommand(
            Command::new("presets")
                .about("List the built-in training setups")
                .after_help("Example: gpu-mem-calc presets --format table")
                .arg(format_of(&["list", "table", "json", "yaml", "csv", "markdown"]).default_value("list"))
                .arg(output_file())
                .arg(force())
                .args(inputs()),
        )
        .subcommand(
            list("gpus", "List the GPUs with the memory that a program gets of them")
                .arg(Arg::new("search").help("Only GPUs whose id or name contains this"))
                .args(inputs_but(&[])),
        )
        .subcommand(
            list("models", "List the models of the catalogue")
                .arg(Arg::new("search").help("Only models whose id or name contains this"))
                .args(inputs()),
        )
        .subcommand(
            Command::new("schema")
                .about("Print the JSON Schema of a request, of an error, or of the answer of a call")
                .after_help("Example: gpu-mem-calc schema calculate")
                .arg(Arg::new("name").help("Which schema; without a name that of a request"))
                .arg(output_file())
                .arg(force()),
        )
        .subcommand(export())
        .subcommand(import())
        .subcommand(accuracy())
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

fn import() -> Command {
    Command::new("import")
        .about("Read a configuration, a command line, a log or a message of another program as a question")
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

fn export() -> Command {
    let names = gpu_mem_calc::api::export_formats()
        .into_iter()
        .map(|format| format.name);
    Command::new("export")
        .about("Write a question as the configuration of a framework, a command, or a table of its result")
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

fn calculate() -> Command {
    Command::new("calculate")
        .about("Answer a training request: memory per GPU, verdict, instants, every tensor")
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

fn multinode() -> Command {
    Command::new("multinode")
        .about("What travels between GPUs and nodes in one step, how long the step takes, and what would save time")
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

fn plan() -> Command {
    Command::new("plan")
        .about("Search all ways to divide a training job among its GPUs, or to serve on them: those that fit, the best first")
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

fn solve() -> Command {
    Command::new("solve")
        .about("Find the largest micro-batch, the longest sequence, the fewest GPUs and the smallest card that fit")
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

fn cheapest() -> Command {
    Command::new("cheapest")
        .about("Find the cheapest GPU: of each kind the least number that works, by GPUs, GPU-hours or typed prices")
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

fn fixes() -> Command {
    Command::new("fixes")
        .about("Find what would make it fit: changes that lower the need, each with its new need and what it costs")
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

fn explain() -> Command {
    Command::new("explain")
        .about("Explain an answer: each part with its formula, the numbers put in, the result and the source")
        .after_help("Example: gpu-mem-calc explain --model llama-3.1-8b --engine fsdp --gpus 8")
        .args(sources())
        .arg(format_of(output::FORMATS))
        .arg(output_file())
        .arg(force())
        .args(inputs())
}

fn inference() -> Command {
    Command::new("inference")
        .about("Answer an inference request: memory per GPU, verdict, capacity both ways, every tensor")
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

fn quick() -> Command {
    Command::new("quick")
        .about("Answer from a parameter count alone, with the nearest typical architecture")
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

fn validate() -> Command {
    Command::new("validate")
        .about("Check a request and list every issue, without calculating")
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

fn model() -> Command {
    Command::new("model")
        .about("Describe a model: architecture, exact counts, warnings, every weight tensor")
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

fn accuracy() -> Command {
    Command::new("accuracy")
        .about("Compare predictions with measured runs")
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

fn sources() -> [Arg; 4] {
    [
        Arg::new("set")
            .long("set")
            .value_name("KEY=VALUE")
            .action(ArgAction::Append)
            .help("Set an input by its key, for example training.batch_size=4; may stand several times"),
        Arg::new("gguf")
            .long("gguf")
            .value_name("FILE")
            .help("A GGUF file: its header gives model, engine and the exact types of all tensors"),
        Arg::new("config")
            .short('c')
            .long("config")
            .value_name("FILE")
            .conflicts_with("preset")
            .help("A request as JSON; - for standard input. Flags override what it says"),
        Arg::new("preset")
            .short('p')
            .long("preset")
            .value_name("NAME")
            .help("A preset, or a model of the catalogue, by id or alias"),
    ]
}

fn format_of(values: &'static [&'static str]) -> Arg {
    Arg::new("format")
        .short('f')
        .long("format")
        .value_name("FORMAT")
        .value_parser(PossibleValuesParser::new(values))
        .default_value("table")
        .help("How to print the result")
}

fn output_file() -> Arg {
    Arg::new("output")
        .short('o')
        .long("output")
        .value_name("FILE")
        .help("Write the result to a file")
}

fn force() -> Arg {
    switch("force", "Overwrite the file of --output")
}

fn save_config() -> Arg {
    Arg::new("save-config")
        .long("save-config")
        .value_name("FILE")
        .help("Also save the question, as YAML under the ending .yaml, else as JSON")
}

fn strict() -> Arg {
    switch("strict", "Refuse unknown keys and inputs that have no effect")
}

fn judgement() -> [Arg; 2] {
    [
        strict(),
        switch("check", "Exit with code 1 when the verdict is \"does not fit\"")
            .visible_aliases(["fail-if-does-not-fit", "fail-if-oom"]),
    ]
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// One flag per input of the registry.
pub fn inputs() -> Vec<Arg> {
    inputs_but(&[])
}

fn inputs_but(left_out: &[InputId]) -> Vec<Arg> {
    INPUTS
        .iter()
        .filter(|input| !left_out.contains(&input.id) && input.section.belongs_to(Task::Training))
        .map(|input| flag(input))
        .collect()
}

/// Every input of a task and, under their long names alone, those of serving.
fn with_serving(task: Task) -> impl Iterator<Item = Arg> {
    INPUTS.iter().filter_map(move |input| {
        if input.section.belongs_to(task) {
            return Some(flag(input));
        }
        (input.section == Section::Inference).then(|| plain(input))
    })
}

fn flag(input: &'static Input) -> Arg {
    let mut arg = plain(input);
    for (id, aliases, short) in ALIASES {
        if *id == input.id {
            arg = arg.visible_aliases(aliases.iter().copied());
            if let Some(short) = short {
                arg = arg.short(*short);
            }
        }
    }
    arg
}

/// A flag without shorter names.
fn plain(input: &'static Input) -> Arg {
    let mut arg = Arg::new(input.key)
        .long(input.flag.trim_start_matches('-'))
        .value_name(placeholder(input))
        .help(short_help(input))
        .long_help(long_help(input))
        .help_heading(input.group.title())
        .allow_negative_numbers(true)
        .hide_short_help(input.level == Level::Advanced);
    if matches!(input.kind, InputKind::Toggle) {
        arg = arg.num_args(0..=1).default_missing_value("true");
    }
    arg
}

/// Shorter names of some flags.
const ALIASES: &[(InputId, &[&str], Option<char>)] = &[
    (InputId::NumGpus, &["num-gpus"], Some('g')),
    (InputId::InterconnectBandwidthGbps, &["bandwidth-gbps"], None),
    (InputId::GpuMemoryGb, &["gpu-mem"], Some('m')),
    (InputId::EngineType, &[], Some('e')),
    (InputId::Dtype, &[], Some('d')),
    (InputId::SeqLength, &["seq", "seq-len"], None),
    (InputId::BatchSize, &["batch"], None),
    (InputId::DataParallelSize, &["dp"], None),
    (InputId::TensorParallelSize, &["tp"], None),
    (InputId::PipelineParallelSize, &["pp"], None),
    (InputId::ContextParallelSize, &["cp"], None),
    (InputId::ExpertParallelSize, &["ep"], None),
    (InputId::ServerTensorParallel, &["tp"], None),
    (InputId::ServerPipelineParallel, &["pp"], None),
    (InputId::TotalTokens, &["seq"], None),
    (InputId::ServerType, &[], Some('e')),
];

fn placeholder(input: &Input) -> &'static str {
    match input.kind {
        InputKind::Integer { .. } | InputKind::Number { .. } => "N",
        InputKind::Count { .. } => "COUNT",
        InputKind::Toggle => "true|false",
        InputKind::Choice(_) => "CHOICE",
        InputKind::Text { .. } => "TEXT",
        InputKind::List { .. } => "A,B,...",
        InputKind::Json => "FILE",
    }
}

fn short_help(input: &Input) -> String {
    let unit = input.unit.map(|unit| format!(", {unit}")).unwrap_or_default();
    let choices: Vec<&str> = input.kind.choices().iter().map(|choice| choice.value).collect();
    let choices = match choices.is_empty() {
        true => String::new(),
        false => format!(": {}", choices.join(", ")),
    };
    let default = match input.default {
        InputDefault::Fixed(value) => format!(" [default: {value}]"),
        InputDefault::Derived(_) | InputDefault::None => String::new(),
    };
    format!("{}{unit}{choices}{default}", input.label)
}

fn long_help(input: &Input) -> String {
    let derived = match input.default {
        InputDefault::Derived(from) => format!("\nDefault: {from}."),
        InputDefault::Fixed(_) | InputDefault::None => String::new(),
    };
    format!("{}\n{}{derived}", short_help(input), input.help)
}
