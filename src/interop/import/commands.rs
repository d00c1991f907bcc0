//! Command lines in: the words of a shell command and its flags with their values.

use serde_json::Value;

use super::findings::Findings;
use super::mapping::{Row, apply, row};

/// A flag with the words behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    /// Its name, with its hyphens.
    pub name: String,
    /// The words up to the next flag.
    pub values: Vec<String>,
}

impl Flag {
    /// The value as JSON: nothing for a switch.
    pub fn value(&self) -> Value {
        match self.values.first() {
            Some(word) => Value::from(word.as_str()),
            None => Value::Null,
        }
    }

    /// As it stood.
    pub fn text(&self) -> String {
        let mut text = self.name.clone();
        for value in &self.values {
            text.push(' ');
            text.push_str(value);
        }
        text
    }
}

/// The words of a text as a shell splits them; comments and line ends are left out.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match (quote, char) {
            (Some(open), _) if char == open => quote = None,
            (Some('"'), '\\') => {
                if let Some(next) = chars.next() {
                    word.get_or_insert_default().push(next);
                }
            }
            (Some(_), _) => word.get_or_insert_default().push(char),
            (None, '\'' | '"') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, '\\') => match chars.next() {
                Some('\r') => {
                    chars.next_if_eq(&'\n');
                }
                Some('\n') | None => {}
                Some(next) => word.get_or_insert_default().push(next),
            },
            (None, '#') if word.is_none() => while chars.next_if(|next| *next != '\n').is_some() {},
            (None, _) if char.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    words
}

/// Whether a word is a flag and no negative number.
fn is_flag(word: &str) -> bool {
    let rest = word.trim_start_matches('-');
    word.starts_with('-')
        && rest
            .chars()
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic())
}

/// The flags of some words, and the words that stand before the first one.
pub fn flags(words: &[String]) -> (Vec<String>, Vec<Flag>) {
    let mut before = Vec::new();
    let mut flags: Vec<Flag> = Vec::new();
    for word in words {
        if is_flag(word) {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            flags.push(Flag {
                name: name.to_owned(),
                values: value.into_iter().collect(),
            });
        } else if let Some(flag) = flags.last_mut() {
            flag.values.push(word.clone());
        } else {
            before.push(word.clone());
        }
    }
    (before, flags)
}

/// Reads flags by a table; what it does not have is not understood. `--no-x` is `--x` switched off.
pub fn read(findings: &mut Findings, table: &[Row], flags: &[Flag]) {
    for flag in flags {
        let found = row(table, &flag.name);
        if let Some(found) = found {
            if !apply(findings, found, &flag.value(), &flag.text()) {
                findings.strange(flag.text());
            }
            continue;
        }
        let positive = flag.name.strip_prefix("--no-").and_then(|name| row(table, name));
        match positive {
            Some(found) if flag.values.is_empty() => {
                if !apply(findings, found, &Value::Bool(false), &flag.text()) {
                    findings.strange(flag.text());
                }
            }
            _ => findings.strange(flag.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        let text = "vllm serve 'a b' \\\n  --x \"c\\\"d\" # comment\n --y=1 --z -1";
        assert_eq!(
            words(text),
            ["vllm", "serve", "a b", "--x", "c\"d", "--y=1", "--z", "-1"]
        );
        let (before, flags) = flags(&words(text));
        assert_eq!(before, ["vllm", "serve", "a b"]);
        assert_eq!(flags.len(), 3);
        assert_eq!(flags[2].values, ["-1"]);
    }
}
