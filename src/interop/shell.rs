//! Command lines out: a program with flags, one to a line, each word quoted as a POSIX shell reads it.

use std::fmt::Display;

/// A command with its flags.
#[derive(Clone, Debug, Default)]
pub struct Command {
    lines: Vec<Vec<String>>,
}

impl Command {
    /// A program and the words that come before every flag.
    pub fn new(words: &[&str]) -> Self {
        Self {
            lines: vec![words.iter().map(|word| (*word).to_owned()).collect()],
        }
    }

    /// A flag with its value.
    pub fn flag(&mut self, name: &str, value: impl Display) {
        self.lines.push(vec![name.to_owned(), value.to_string()]);
    }

    /// A flag with its value, where there is one.
    pub fn maybe(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.flag(name, value);
        }
    }

    /// A flag without a value.
    pub fn switch(&mut self, name: &str) {
        self.lines.push(vec![name.to_owned()]);
    }

    /// A flag with several values.
    pub fn several(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        let mut words = vec![name.to_owned()];
        words.extend(values);
        self.lines.push(words);
    }

    /// The flags and words of another command behind these.
    pub fn append(&mut self, other: Self) {
        self.lines.extend(other.lines);
    }

    /// Every word in order.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().flatten().map(String::as_str)
    }

    /// As text for a shell, a flag to a line.
    pub fn text(&self) -> String {
        let lines: Vec<String> = self
            .lines
            .iter()
            .map(|words| {
                words
                    .iter()
                    .map(|word| quoted(word))
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        format!("{}\n", lines.join(" \\\n    "))
    }
}

/// A word as a shell reads it back.
pub fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "_-./:=,@%+".contains(char);
    // Variables of a skeleton are meant to be expanded.
    let variable = word
        .strip_prefix('$')
        .is_some_and(|name| name.chars().all(|char| char.is_ascii_uppercase() || char == '_'));
    if variable {
        format!("\"{word}\"")
    } else if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        let mut command = Command::new(&["vllm", "serve", "a b"]);
        command.flag("--config", "{\"a\": 1}");
        command.switch("--it's");
        assert_eq!(
            command.text(),
            "vllm serve 'a b' \\\n    --config '{\"a\": 1}' \\\n    '--it'\\''s'\n"
        );
    }
}
