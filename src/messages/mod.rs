//! Messages in other languages: a table from the English text to that of the language, where `{}` stands for what is put in.
//! Here a text is found in the table and said again. What a document shows, and in which language, is the affair of the page.

mod pattern;

use std::cell::RefCell;
use std::collections::HashMap;

use pattern::Pattern;

/// Texts that are remembered with what they became; beyond that the memory begins anew.
const REMEMBERED: usize = 20_000;

/// How deep a value that is put into a message may itself be a message with values.
const DEPTH: usize = 3;

/// What separates the parts of a text that is no message as a whole, and what separates them in Chinese.
const SEPARATORS: &[(&str, &str)] = &[
    ("\n", "\n"),
    (" · ", " · "),
    ("; ", "；"),
    (", ", "，"),
    (": ", "："),
    (" and ", "和"),
];

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is not a JSON object of texts.
    #[error("the table of messages is not an object of texts: {0}")]
    NotATable(#[from] serde_json::Error),
    /// Both texts of a message have the same values.
    #[error("values of \"{0}\" and of its translation are not the same")]
    Values(String),
    /// Two values need text between them, or nobody knows where one ends.
    #[error("two values touch in \"{0}\"")]
    Touching(String),
}

/// The messages of one language.
#[derive(Debug)]
pub struct Table {
    exact: HashMap<String, String>,
    /// Messages with values by their first word, the one with the most text of its own first.
    by_word: HashMap<String, Vec<Pattern>>,
    /// Those that begin with a value, likewise.
    open: Vec<Pattern>,
    known: RefCell<HashMap<String, Option<String>>>,
}

impl Table {
    /// Reads a table: an object whose keys are the English texts and whose values are those of the language.
    ///
    /// # Errors
    /// Where it is no such object, where two values touch, or where a translation has other values than its text.
    pub fn from_json(json: &str) -> Result<Self, Fault> {
        let messages: HashMap<String, String> = serde_json::from_str(json)?;
        let mut table = Self {
            exact: HashMap::with_capacity(messages.len()),
            by_word: HashMap::new(),
            open: Vec::new(),
            known: RefCell::default(),
        };
        for (english, said) in messages {
            if !english.contains("{}") {
                table.know_sentences(&english, &said);
                table.exact.insert(english, said);
                continue;
            }
            let pattern = Pattern::new(&english, &said)?;
            match pattern.first_word() {
                Some(word) => table.by_word.entry(word.to_owned()).or_default().push(pattern),
                None => table.open.push(pattern),
            }
        }
        for patterns in table.by_word.values_mut().chain([&mut table.open]) {
            patterns.sort_by(Pattern::by_own_text);
        }
        Ok(table)
    }

    /// The sentences of a text are shown by themselves, too, where both languages have as many.
    fn know_sentences(&mut self, english: &str, said: &str) {
        let own: Vec<&str> = english.split_inclusive(". ").map(str::trim).collect();
        let theirs: Vec<&str> = said.split_inclusive('。').map(str::trim).collect();
        if own.len() < 2 || own.len() != theirs.len() {
            return;
        }
        for (own, theirs) in own.into_iter().zip(theirs) {
            let entry = self.exact.entry(own.to_owned());
            entry.or_insert_with(|| theirs.to_owned());
        }
    }

    /// The text in the language; nothing where the table does not have it. Spaces around it are kept.
    pub fn translate(&self, text: &str) -> Option<String> {
        let inner = text.trim();
        if !has_words(inner) {
            return None;
        }
        if let Some(known) = self.known.borrow().get(inner) {
            return known.as_deref().map(|said| framed(text, inner, said));
        }
        let said = self.say(inner, DEPTH);
        let mut known = self.known.borrow_mut();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(inner.to_owned(), said.clone());
        said.map(|said| framed(text, inner, &said))
    }

    fn say(&self, text: &str, depth: usize) -> Option<String> {
        self.whole(text, depth)
            .or_else(|| self.sentences(text, depth))
            .or_else(|| self.pieces(text, depth))
            .or_else(|| self.numbered(text))
    }

    /// A text that is one message.
    fn whole(&self, text: &str, depth: usize) -> Option<String> {
        if let Some(said) = self.as_written(text) {
            return Some(said.to_owned());
        }
        let depth = depth.checked_sub(1)?;
        let word = pattern::first_word(text);
        let of_word = word.and_then(|word| self.by_word.get(word));
        of_word
            .into_iter()
            .flatten()
            .chain(&self.open)
            .find_map(|pattern| {
                let values = pattern.values(text)?;
                let value = |value: &&str| {
                    if pattern.is_slight() {
                        self.name(value)
                    } else {
                        self.value(value, depth)
                    }
                };
                let said: Option<Vec<String>> = values.iter().map(value).collect();
                Some(pattern.said(&said?))
            })
    }

    /// A message without values, also where it begins a sentence or is no beginning.
    fn as_written(&self, text: &str) -> Option<&str> {
        let other = || {
            let mut letters = text.chars();
            let first = letters.next()?;
            let first = if first.is_ascii_uppercase() {
                first.to_ascii_lowercase()
            } else {
                first.to_ascii_uppercase()
            };
            self.exact.get(&format!("{first}{}", letters.as_str()))
        };
        self.exact.get(text).or_else(other).map(String::as_str)
    }

    /// What is put into a message that has next to no text of its own, and would fit nearly all: a message without values, a name
    /// or a number.
    fn name(&self, value: &str) -> Option<String> {
        let known = self.as_written(value).map(str::to_owned);
        known.or_else(|| (!is_prose(value)).then(|| value.to_owned()))
    }

    /// A value that is put into a message: itself a message, or a name or number that is the same in all languages. Two sentences
    /// are no value.
    fn value(&self, value: &str, depth: usize) -> Option<String> {
        if value.contains(". ") {
            return self.whole(value, depth);
        }
        self.say(value, depth).or_else(|| self.name(value))
    }

    /// Sentences that follow each other, each by itself; one that is not known stays as it is.
    fn sentences(&self, text: &str, depth: usize) -> Option<String> {
        if !text.contains(". ") {
            return None;
        }
        let mut any = false;
        let mut out = String::new();
        for sentence in text.split_inclusive(". ") {
            let own = sentence.trim();
            let said = self.whole(own, depth).or_else(|| self.pieces(own, depth));
            any |= said.is_some();
            match said {
                Some(said) => out.push_str(&said),
                None => out.push_str(sentence),
            }
        }
        any.then_some(out)
    }

    /// A message behind a number or a sign.
    fn numbered(&self, text: &str) -> Option<String> {
        let start = text.find(|letter: char| letter.is_ascii_alphabetic())?;
        let (number, own) = text
            .split_at_checked(start)
            .filter(|(number, _)| !number.is_empty())?;
        Some(format!("{number}{}", self.whole(own, 1)?))
    }

    /// Parts of a list, all of which are messages, names or numbers. A message may contain what separates the parts, so the longest
    /// one that begins a text is taken.
    fn pieces(&self, text: &str, depth: usize) -> Option<String> {
        let depth = depth.checked_sub(1)?;
        SEPARATORS.iter().find_map(|(separator, between)| {
            let mut any = false;
            let mut parts = Vec::new();
            let mut left = Some(text);
            while let Some(rest) = left {
                let ends = rest.match_indices(separator).map(|(at, _)| at);
                let mut ends: Vec<usize> = ends.chain([rest.len()]).collect();
                if parts.is_empty() {
                    // The whole is known not to be a message.
                    ends.pop();
                }
                let found = ends.iter().rev().find_map(|end| {
                    let own = rest.get(..*end)?;
                    Some((*end, self.whole(own.trim(), depth)?))
                });
                let found = found.or_else(|| {
                    let end = *ends.first()?;
                    Some((end, self.pieces(rest.get(..end)?.trim(), depth)?))
                });
                let name = || {
                    let end = *ends.first()?;
                    let own = rest.get(..end)?.trim();
                    (!is_prose(own)).then(|| (end, own.to_owned()))
                };
                any |= found.is_some();
                let (end, said) = found.or_else(name)?;
                parts.push(said);
                left = rest.get(end..).and_then(|rest| rest.strip_prefix(separator));
            }
            any.then(|| parts.join(between))
        })
    }
}

fn framed(text: &str, inner: &str, said: &str) -> String {
    text.replacen(inner, said, 1)
}

/// Whether a text has a word at all.
fn has_words(text: &str) -> bool {
    text.as_bytes()
        .windows(2)
        .any(|pair| pair.iter().all(u8::is_ascii_alphabetic))
}

/// Whether a text reads as English: two words of small letters that follow each other.
pub fn is_prose(text: &str) -> bool {
    let plain = |word: &str| {
        let word =
            word.trim_matches(|letter: char| matches!(letter, '.' | ',' | ':' | ';' | '(' | ')' | '?'));
        word.len() > 1 && word.bytes().all(|letter| letter.is_ascii_lowercase())
    };
    let mut before = false;
    text.split_whitespace().any(|word| {
        let now = plain(word);
        let both = before && now;
        // Names of a list that follow each other are no sentence.
        before = now && !word.ends_with([',', ';', ':']);
        both
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

    use super::*;

    fn table() -> Table {
        Table::from_json(
            r#"{
                "Fits": "放得下",
                "needs": "需要",
                "Largest micro-batch that fits: {}.": "放得下的最大微批次：{}。",
                "Tightest at {}.": "最紧张的时刻：{}。",
                "{} of {}": "{1} 中的 {0}",
                "all layers have run forward": "所有层完成前向",
                "It is not sharded.": "它没有分片。",
                "keys, one per row": "每行一个键",
                "weights": "权重"
            }"#,
        )
        .unwrap()
    }

    #[test]
    fn a_text_is_found_with_its_spaces_and_its_values() {
        let table = table();
        assert_eq!(table.translate(" needs ").as_deref(), Some(" 需要 "));
        assert_eq!(
            table.translate("Largest micro-batch that fits: 4.").as_deref(),
            Some("放得下的最大微批次：4。")
        );
        assert_eq!(table.translate("3 of 12 GiB").as_deref(), Some("12 GiB 中的 3"));
    }

    #[test]
    fn a_value_that_is_a_message_is_said_too() {
        assert_eq!(
            table()
                .translate("Tightest at all layers have run forward.")
                .as_deref(),
            Some("最紧张的时刻：所有层完成前向。")
        );
    }

    #[test]
    fn a_value_that_nobody_knows_leaves_the_whole_as_it_is() {
        assert_eq!(table().translate("the size of the largest bucket"), None);
        assert_eq!(table().translate("12.5"), None);
        // "{} of {}" is no message for whatever has an "of" in it.
        assert_eq!(table().translate("GLM, some experts of which two are used"), None);
    }

    #[test]
    fn sentences_and_lists_are_said_part_by_part() {
        let table = table();
        assert_eq!(
            table
                .translate("It is not sharded. Largest micro-batch that fits: 2.")
                .as_deref(),
            Some("它没有分片。放得下的最大微批次：2。")
        );
        assert_eq!(table.translate("weights, H100").as_deref(), Some("权重，H100"));
        assert_eq!(
            table.translate("keys, one per row, weights").as_deref(),
            Some("每行一个键，权重")
        );
    }

    #[test]
    fn the_first_sentence_of_a_help_is_known_by_itself() {
        let table = Table::from_json(r#"{"It is halved. It is kept.": "减半。保留。"}"#).unwrap();
        assert_eq!(table.translate("It is halved.").as_deref(), Some("减半。"));
        assert_eq!(
            table.translate("It is halved. It is kept.").as_deref(),
            Some("减半。保留。")
        );
    }

    #[test]
    fn a_table_with_other_values_or_touching_ones_is_refused() {
        assert!(matches!(
            Table::from_json(r#"{"a {} b": "a"}"#),
            Err(Fault::Values(_))
        ));
        assert!(matches!(
            Table::from_json(r#"{"a {}{} b": "{}{}"}"#),
            Err(Fault::Touching(_))
        ));
        assert!(matches!(Table::from_json("[]"), Err(Fault::NotATable(_))));
    }

    #[test]
    fn english_is_told_from_names_and_numbers() {
        assert!(is_prose("the gathered weights"));
        assert!(!is_prose("Llama-3.1-8B on H100"));
        assert!(!is_prose("12 GiB"));
    }
}
