//! A feed-forward width that was not typed: from the parameter count, or the usual multiple of the hidden size.

use serde_json::Value;

use super::super::given::Given;
use super::Report;
use super::model::grouped;
use super::source::{self, Source};
use crate::request::InputId;
use crate::warn::Issue;

/// Largest width that is accepted.
const MAX_WIDTH: u64 = 1_048_576;

/// Puts a width into the configuration, so that the architecture has the typed count; where that is impossible or none
/// is typed, four times the hidden size.
pub fn solve_width(given: &Given, source: &mut Source, width: InputId, report: &mut Report) {
    let hidden = given.integer(InputId::HiddenSize).unwrap_or(1);
    let usual = hidden.saturating_mul(4).min(MAX_WIDTH);
    let Some(count) = given.typed_integer(InputId::NumParameters) else {
        put(source, width, usual);
        report.add(
            Issue::warning(
                "assumed",
                width.key(),
                format!(
                    "{} is not given: 4 times the hidden size, {usual}, is taken.",
                    width.input().label
                ),
            )
            .with_hint("It decides most of the weights; type the real one."),
        );
        return;
    };
    let typical = typical_count(given, source, width, usual);
    let (Some(one), Some(two)) = (count_with(source, width, 1), count_with(source, width, 2)) else {
        put(source, width, usual);
        return;
    };
    let per_unit = two.saturating_sub(one).max(1);
    let rest = one.saturating_sub(per_unit);
    let solved = count
        .checked_sub(rest)
        .map(|left| (left + per_unit / 2) / per_unit);
    let fits = solved.is_some_and(|width| (1..=MAX_WIDTH).contains(&width));
    let value = solved
        .filter(|_| fits)
        .unwrap_or(if count > rest { MAX_WIDTH } else { usual });
    put(source, width, value);
    source.solved = true;
    report.assume(
        width,
        value,
        "so that the architecture has the given number of parameters",
    );
    let differs = typical.is_some_and(|typical| typical.abs_diff(count) > count / 10);
    if differs || !fits {
        report.add(
            Issue::warning(
                "count_differs_from_architecture",
                InputId::NumParameters.key(),
                format!(
                    "With the usual feed-forward width of 4 times the hidden size these fields give {} parameters, not {}. {}",
                    grouped(typical.unwrap_or(0)),
                    grouped(count),
                    if fits {
                        format!("The given count is kept: it means a width of {value}.")
                    } else {
                        format!("No width gives that count; {value} is taken.")
                    },
                ),
            )
            .with_value(count)
            .with_hint(format!("Type {} as well.", width.key())),
        );
    }
}

/// The count with the usual width: 4 times the hidden size and two matrices.
fn typical_count(given: &Given, source: &Source, width: InputId, usual: u64) -> Option<u64> {
    let mut typical = source.clone();
    if given.get(InputId::MlpGated).is_none() && width == InputId::IntermediateSize {
        source::edit(&mut typical.config, InputId::MlpGated, &Value::from(false)).ok()?;
    }
    count_with(&typical, width, usual)
}

fn count_with(source: &Source, width: InputId, value: u64) -> Option<u64> {
    let mut source = source.clone();
    source::edit(&mut source.config, width, &Value::from(value)).ok()?;
    source::network(&source)
        .ok()
        .map(|(network, _, _)| network.total_parameters().get())
}

fn put(source: &mut Source, width: InputId, value: u64) {
    // A width is always a field of the configuration that typed fields start from.
    let _ = source::edit(&mut source.config, width, &Value::from(value));
}
