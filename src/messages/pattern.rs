//! One message with values: whether a text is it, which values it has, and how it is said in the other language.

use std::cmp::Ordering;

use super::Fault;

/// Letters below which a message is slight.
const SLIGHT: usize = 6;

/// A part of the translation.
#[derive(Debug)]
enum Part {
    Text(String),
    /// The value at this place of the English text.
    Value(usize),
}

/// A message with values.
#[derive(Debug)]
pub(super) struct Pattern {
    /// The English text around the values: one more than there are values.
    around: Vec<String>,
    said: Vec<Part>,
}

impl Pattern {
    pub(super) fn new(english: &str, said: &str) -> Result<Self, Fault> {
        let around: Vec<String> = english.split("{}").map(str::to_owned).collect();
        let values = around.len() - 1;
        let inner = around.get(1..values).unwrap_or_default();
        if inner.iter().any(String::is_empty) {
            return Err(Fault::Touching(english.to_owned()));
        }
        let parts = parts(said);
        let mut used = vec![false; values];
        for part in &parts {
            if let Part::Value(at) = part {
                *used
                    .get_mut(*at)
                    .ok_or_else(|| Fault::Values(english.to_owned()))? = true;
            }
        }
        if used.contains(&false) {
            return Err(Fault::Values(english.to_owned()));
        }
        Ok(Self { around, said: parts })
    }

    /// The word with which each text of this message begins.
    pub(super) fn first_word(&self) -> Option<&str> {
        let start = self.around.first()?;
        // A word that the value may lengthen is not known.
        let whole = start.contains(' ');
        first_word(start).filter(|_| whole)
    }

    /// Whether it has so little text of its own that nearly every text would be it.
    pub(super) fn is_slight(&self) -> bool {
        let letters = self.around.iter().flat_map(|text| text.bytes());
        letters.filter(u8::is_ascii_alphabetic).count() < SLIGHT
    }

    /// The one with more text of its own comes first, so that the more special message is found; then by the alphabet.
    pub(super) fn by_own_text(&self, other: &Self) -> Ordering {
        let own = |pattern: &Self| pattern.around.iter().map(String::len).sum::<usize>();
        own(other)
            .cmp(&own(self))
            .then_with(|| self.around.cmp(&other.around))
    }

    /// The values of a text that is this message.
    pub(super) fn values<'text>(&self, text: &'text str) -> Option<Vec<&'text str>> {
        let (first, rest) = self.around.split_first()?;
        let (last, middle) = rest.split_last()?;
        let mut left = text.strip_prefix(first.as_str())?.strip_suffix(last.as_str())?;
        let mut values = Vec::with_capacity(rest.len());
        for between in middle {
            let (value, after) = left.split_once(between.as_str())?;
            values.push(value);
            left = after;
        }
        values.push(left);
        values
            .iter()
            .all(|value| !value.is_empty() && value.trim() == *value)
            .then_some(values)
    }

    /// The message in the other language.
    pub(super) fn said(&self, values: &[String]) -> String {
        let parts = self.said.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Value(at) => values.get(*at).map(String::as_str).unwrap_or_default(),
        });
        parts.collect()
    }
}

/// The first word of a text.
pub(super) fn first_word(text: &str) -> Option<&str> {
    text.split(' ').next().filter(|word| !word.is_empty())
}

/// A translation in parts: `{}` is the next value, `{2}` the third.
fn parts(said: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut next = 0;
    let mut left = said;
    while let Some((before, after)) = left.split_once('{') {
        let Some((inside, rest)) = after.split_once('}') else {
            break;
        };
        let place = match inside {
            "" => Some(next),
            digits => digits.parse().ok(),
        };
        let Some(place) = place else {
            // A brace of the text itself.
            parts.push(Part::Text(format!("{before}{{{inside}}}")));
            left = rest;
            continue;
        };
        parts.push(Part::Text(before.to_owned()));
        parts.push(Part::Value(place));
        next = place + 1;
        left = rest;
    }
    parts.push(Part::Text(left.to_owned()));
    parts
}
