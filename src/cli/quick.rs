//! `quick 7`: an answer from a parameter count alone.

use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::api::{InputId, Request};

use crate::failure::Failure;
use crate::{calculate, sources};

/// Numbers below this mean billions.
const BILLIONS_BELOW: f64 = 1e6;

/// What holds unless a flag says otherwise: the sequence and the micro-batch of the original's command.
const FIXED: [(InputId, u64); 2] = [(InputId::SeqLength, 2048), (InputId::BatchSize, 1)];

/// Runs the command.
pub fn run(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let mut request = Request::new();
    let words = sources::text(given, "params").unwrap_or_default().trim();
    // A bare number means billions; with the suffix the one reader of counts decides what it is.
    let count = match words.parse::<f64>() {
        Ok(number) if number < BILLIONS_BELOW => format!("{words}B"),
        _ => words.to_owned(),
    };
    request.set(InputId::NumParameters, count);
    for (id, value) in FIXED {
        request.set(id, value);
    }
    sources::flags(given, &mut request)?;
    calculate::answer(given, &request)
}
