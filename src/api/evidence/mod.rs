//! What stands behind the options of a training request: traced runs, published records, or calculations by hand from the
//! framework's code. `options` lists what a request chooses, `table` holds what was seen of it; here both meet. How runs
//! compare with answers is told in `accuracy`, not here.

mod options;
mod table;

pub use options::{Chosen, chosen, every_option, is_option, is_size, meet};
pub use table::{ENGINES, kinds};

use crate::request::{Backing, BackingStatus, Unproven};
use crate::warn::Issue;

/// How far an answer can lie from a run where nothing stands behind one of its options, as shares of what is expected: the
/// largest errors below and above of options that were compared with a run for the first time, before the model of them
/// was corrected (tests/measured/first-comparison.csv; a test holds both to that file).
pub const UNSEEN: (f64, f64) = (0.27, 0.09);

/// What stands behind a request: its options with an engine, pairs of options that act on each other, and `further` combinations
/// without a run that resolving it has named.
pub fn evidence(engine: &str, chosen: &[Chosen], further: &[Unproven]) -> Backing {
    let mut options: Vec<Unproven> = chosen
        .iter()
        .filter(|one| kinds(&one.key(), Some(engine)).is_empty())
        .map(|one| unproven(one, engine))
        .collect();
    for (first, second) in pairs(chosen) {
        let known = options
            .iter()
            .any(|missing| [first.id.key(), second.id.key()].contains(&missing.path));
        if !known && kinds(&pair_key(first, second), None).is_empty() {
            options.push(unproven(first, &second.key()));
        }
    }
    for one in further {
        if !options.iter().any(|missing| missing.path == one.path) {
            options.push(one.clone());
        }
    }
    let validated = options.is_empty();
    let (below, above) = if validated { (0.0, 0.0) } else { UNSEEN };
    Backing {
        status: if validated {
            BackingStatus::Validated
        } else {
            BackingStatus::NotValidated
        },
        options,
        below_percent: 100.0 * below,
        above_percent: 100.0 * above,
    }
}

/// The options of a request that act on each other, in the order of the registry.
pub fn pairs(chosen: &[Chosen]) -> impl Iterator<Item = (&Chosen, &Chosen)> {
    chosen.iter().enumerate().flat_map(move |(place, first)| {
        let later = chosen.get(place + 1..).unwrap_or_default();
        let acting = later.iter().filter(move |second| meet(first.id, second.id));
        acting.map(move |second| (first, second))
    })
}

/// The key of two options together.
pub fn pair_key(first: &Chosen, second: &Chosen) -> String {
    format!("{} + {}", first.key(), second.key())
}

fn unproven(one: &Chosen, with: &str) -> Unproven {
    Unproven {
        path: one.id.key(),
        value: one.value.clone(),
        with: with.to_string(),
    }
}

/// One warning for each option without evidence.
pub fn warnings(evidence: &Backing) -> impl Iterator<Item = Issue> + '_ {
    evidence.options.iter().map(|missing| {
        Issue::warning(
            "not_validated",
            missing.path,
            format!(
                "Not validated: {} with {}. No trace, record or calculation by hand stands behind it, so the interval is widened to {:.0} % below and {:.0} % above.",
                missing.value, missing.with, evidence.below_percent, evidence.above_percent
            ),
        )
        .with_value(missing.value.as_str())
    })
}
