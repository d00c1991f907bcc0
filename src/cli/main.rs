//! The native command line `gpu-mem-calc`: a thin shell that turns flags and files into a request and prints the answer.
//!
//! Flags are generated from the input registry, so a new input has its flag at once. Results go to standard output, errors
//! to standard error. Exit codes: 0 answered; 1 does not fit, and `--check` was given; 2 bad input or usage, or a file that
//! could not be read or written.

mod accuracy;
mod args;
mod calculate;
mod cheapest;
mod explain;
mod export;
mod failure;
mod fixes;
mod flags;
mod import;
mod inference;
mod lists;
mod model;
mod multinode;
mod output;
mod parts;
mod plan;
mod plan_serving;
mod quick;
mod shell;
mod solve;
mod sources;
mod table;
mod tabular;
mod terminal;
mod validate;

use std::process::ExitCode;

use clap::ArgMatches;

use failure::Failure;

fn main() -> ExitCode {
    let matches = args::command().get_matches();
    match run(&matches) {
        Ok(code) => code,
        Err(failure) => {
            failure.report(output::wants_json(&matches));
            Failure::code()
        }
    }
}

fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    match matches.subcommand() {
        Some(("calculate", given)) => calculate::run(given),
        Some(("inference", given)) => inference::run(given),
        Some(("multinode", given)) => multinode::run(given),
        Some(("plan", given)) => plan::run(given),
        Some(("explain", given)) => explain::run(given),
        Some(("quick", given)) => quick::run(given),
        Some(("solve", given)) => solve::run(given),
        Some(("cheapest", given)) => cheapest::run(given),
        Some(("fixes", given)) => fixes::run(given),
        Some(("validate", given)) => validate::run(given),
        Some(("model", given)) => model::run(given),
        Some(("presets", given)) => lists::presets(given),
        Some(("gpus", given)) => lists::gpus(given),
        Some(("models", given)) => lists::models(given),
        Some(("schema", given)) => lists::schema(given),
        Some(("export", given)) => export::run(given),
        Some(("import", given)) => import::run(given),
        Some(("accuracy", given)) => accuracy::run(given),
        Some(("completions", given)) => shell::completions(given),
        Some(("man", given)) => shell::man(given),
        _ => Err(Failure::usage("No command was given; see --help.")),
    }
}
