//! Which options runs and calculations by hand stand behind: the text of `assets/evidence.csv`, made from records and worked
//! examples. A run counts where its answer is near what it measured.

use std::collections::{BTreeMap, BTreeSet};

use super::predict::{Outcome, predict, question};
use super::record::{Format, Record};
use super::statistics::Line;
use crate::api::evidence::{ENGINES, every_option, pair_key, pairs};
use crate::api::{self, Request};

/// How far the expected value may lie from a traced run that counts, in percent: what the gates on traces allow at worst.
const NEAR_TRACE: f64 = 5.0;
/// The same for a published run: the 90th percentile that the gates allow, since not everything of a run is published.
const NEAR_RECORD: f64 = 10.0;

/// The table over records and the requests of worked examples.
pub fn evidence_table<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    worked: impl IntoIterator<Item = Request>,
    traced: impl IntoIterator<Item = Request>,
) -> String {
    let mut seen = Seen::default();
    for record in records {
        let (letter, near) = match record.format {
            Format::TorchTrace | Format::DeepSpeedTrace | Format::TrainingExtras => ('t', NEAR_TRACE),
            Format::Training if record.text("confidence") != Some("low") => ('r', NEAR_RECORD),
            _ => continue,
        };
        if agrees(record, near)
            && let Ok(question) = question(record)
        {
            seen.add(&question.request, letter);
        }
    }
    for (requests, letter) in [
        (worked.into_iter().collect::<Vec<_>>(), 'w'),
        (traced.into_iter().collect(), 't'),
    ] {
        for request in &requests {
            seen.add(request, letter);
        }
    }
    seen.text()
}

/// Whether a run completed, and the first quantity that it measured is as near to its answer.
fn agrees(record: &Record, percent: f64) -> bool {
    match predict(record) {
        Outcome::Predicted(lines, _) => lines
            .first()
            .and_then(Line::error_percent)
            .is_some_and(|error| error <= percent),
        Outcome::NotMapped(_) => false,
    }
}

/// Letters by option and engine.
#[derive(Default)]
struct Seen {
    options: BTreeMap<(String, usize), BTreeSet<char>>,
    pairs: BTreeSet<String>,
}

impl Seen {
    fn add(&mut self, request: &Request, letter: char) {
        let Ok((engine, chosen)) = api::options(request) else {
            return;
        };
        let Some(column) = ENGINES.iter().position(|name| *name == engine) else {
            return;
        };
        for (first, second) in pairs(&chosen) {
            let key = pair_key(first, second);
            self.pairs.insert(key.clone());
            self.options.entry((key, column)).or_default().insert(letter);
        }
        for one in &chosen {
            self.options
                .entry((one.key(), column))
                .or_default()
                .insert(letter);
        }
    }

    fn text(&self) -> String {
        let mut text = format!("option,{}\n", ENGINES.join(","));
        let options = every_option().into_iter().map(|option| option.key());
        for option in options.chain(self.pairs.iter().cloned()) {
            text.push_str(&option);
            for column in 0..ENGINES.len() {
                text.push(',');
                let letters = self.options.get(&(option.clone(), column));
                text.extend(letters.into_iter().flatten());
            }
            text.push('\n');
        }
        text
    }
}
