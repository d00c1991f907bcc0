//! The flags that several commands share: one for each input of the registry, and those about sources, formats and files.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction};
use gpu_mem_calc::api::{INPUTS, Input, InputDefault, InputId, InputKind, Level, Section, Task};

/// Where a question comes from.
pub fn sources() -> [Arg; 4] {
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

/// How a result is printed: one of these ways.
pub fn format_of(values: &'static [&'static str]) -> Arg {
    Arg::new("format")
        .short('f')
        .long("format")
        .value_name("FORMAT")
        .value_parser(PossibleValuesParser::new(values))
        .default_value("table")
        .help("How to print the result")
}

/// The file of the result.
pub fn output_file() -> Arg {
    Arg::new("output")
        .short('o')
        .long("output")
        .value_name("FILE")
        .help("Write the result to a file")
}

/// Whether that file may be replaced.
pub fn force() -> Arg {
    switch("force", "Overwrite the file of --output")
}

/// The file that keeps the question.
pub fn save_config() -> Arg {
    Arg::new("save-config")
        .long("save-config")
        .value_name("FILE")
        .help("Also save the question, as YAML under the ending .yaml, else as JSON")
}

/// Whether what has no effect is refused.
pub fn strict() -> Arg {
    switch("strict", "Refuse unknown keys and inputs that have no effect")
}

/// How the request is judged, and what the exit code says.
pub fn judgement() -> [Arg; 2] {
    [
        strict(),
        switch("check", "Exit with code 1 when the verdict is \"does not fit\"")
            .visible_aliases(["fail-if-does-not-fit", "fail-if-oom"]),
    ]
}

/// A flag without a value.
pub fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// One flag per input of the registry.
pub fn inputs() -> Vec<Arg> {
    INPUTS
        .iter()
        .filter(|input| input.section.belongs_to(Task::Training))
        .map(|input| flag(input))
        .collect()
}

/// Every input of a task and, under their long names alone, those of serving.
pub fn with_serving(task: Task) -> impl Iterator<Item = Arg> {
    INPUTS.iter().filter_map(move |input| {
        if input.section.belongs_to(task) {
            return Some(flag(input));
        }
        (input.section == Section::Inference).then(|| plain(input))
    })
}

/// The flag of an input, with its shorter names.
pub fn flag(input: &'static Input) -> Arg {
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
    format!("{}\n{}{derived}", short_help(input), input.words().help)
}
