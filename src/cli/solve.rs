//! `solve`: the largest micro-batch, the longest sequence, the fewest GPUs, the smallest card; and `calculate --max-batch`.

use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::accuracy;
use gpu_mem_calc::api::{self, Cards, Probe, Request, Solution, Unknown, Verdict};
use serde_json::{Map, Value};

use crate::failure::{self, Failure};
use crate::table::{Align, Table, count};
use crate::terminal::Progress;
use crate::{calculate, output, parts, sources};

/// The unknown that is a card and not a number.
const CARD: &str = "gpu";

/// What may be looked for.
pub fn unknowns() -> Vec<&'static str> {
    Unknown::ALL
        .iter()
        .map(|unknown| unknown.key())
        .chain([CARD])
        .collect()
}

/// Runs `solve`.
pub fn run(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let request = sources::request(given)?;
    let asked: Vec<&str> = match sources::text(given, "for") {
        Some(word) => vec![word],
        None => unknowns(),
    };
    let mut solutions = Vec::new();
    let mut cards = None;
    let progress = Progress::new(given);
    for word in asked {
        progress.say(&format!("solving for {word}"));
        match Unknown::from_key(word) {
            Some(unknown) => solutions.push(api::solve(&request, unknown).map_err(Failure::Input)?),
            None => cards = Some(api::smallest_card(&request).map_err(Failure::Input)?),
        }
    }
    let found = solutions.iter().all(|solution| solution.value.is_some())
        && cards.as_ref().is_none_or(|cards| cards.value.is_some());
    drop(progress);
    let data = json(&solutions, cards.as_ref())?;
    output::answer(given, &data, || table(&solutions, cards.as_ref()))?;
    let failed = !found;
    Ok(failure::judged(given, failed))
}

/// Runs `calculate --max-batch`: the answer at the largest micro-batch that fits.
pub fn max_batch(given: &ArgMatches, request: &Request) -> Result<ExitCode, Failure> {
    let result = accuracy::optimize_batch_size(request).map_err(Failure::Input)?;
    output::answer(given, &result, || {
        let first = match (result.max_batch_size, &result.reason) {
            (Some(batch), _) => format!("Largest micro-batch that fits: {batch}\n\n"),
            (None, Some(reason)) => format!("{reason}\n\n"),
            (None, None) => String::new(),
        };
        first + &calculate::table(&result.memory_result, sources::switch(given, "ledger"))
    })?;
    let failed = result.memory_result.verdict == Verdict::DoesNotFit;
    Ok(failure::judged(given, failed))
}

/// One object with a key for each unknown.
fn json(solutions: &[Solution], cards: Option<&Cards>) -> Result<Value, Failure> {
    let value = |part: Result<Value, serde_json::Error>| part.map_err(|error| Failure::Io(error.to_string()));
    let mut all = Map::new();
    for solution in solutions {
        all.insert(
            solution.variable.to_owned(),
            value(serde_json::to_value(solution))?,
        );
    }
    if let Some(cards) = cards {
        all.insert(CARD.to_owned(), value(serde_json::to_value(cards))?);
    }
    Ok(Value::Object(all))
}

fn table(solutions: &[Solution], cards: Option<&Cards>) -> String {
    let mut rows = Table::headed(&[
        ("unknown", Align::Left),
        ("fits", Align::Right),
        ("at best", Align::Right),
        ("need there", Align::Right),
        ("one further", Align::Right),
    ]);
    let mut notes = String::new();
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), count);
    let need = |probe: &Probe| parts::span(probe.need);
    for solution in solutions {
        let label = match Unknown::from_key(solution.variable) {
            Some(Unknown::MicroBatch) => "largest micro-batch",
            Some(Unknown::SequenceLength) => "longest sequence",
            Some(Unknown::Gpus) | None => "fewest GPUs",
        };
        rows.row([
            label.to_owned(),
            number(solution.certain),
            number(solution.value),
            need(&solution.at),
            solution.beyond.as_ref().map(need).unwrap_or_default(),
        ]);
        if let Some(reason) = &solution.reason {
            notes.push_str(&format!("{label}: {reason}\n"));
        }
    }
    if let Some(cards) = cards {
        let id = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let at = cards.cards.first().map(|card| parts::span(card.need));
        rows.row([
            "smallest card".to_owned(),
            id(&cards.certain),
            id(&cards.value),
            at.unwrap_or_default(),
            String::new(),
        ]);
        if let Some(reason) = &cards.reason {
            notes.push_str(&format!("smallest card: {reason}\n"));
        }
    }
    let mut text = rows.text(0);
    if !notes.is_empty() {
        text.push('\n');
        text.push_str(&notes);
    }
    text
}
