//! Patterns over the names of tensors, as `--override-tensor` and `--tensor-type` take them: the part of regular expressions
//! that people use there. A pattern matches anywhere in a name.

/// One character, or several of which any may stand there, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Atom {
    any: bool,
    negated: bool,
    ranges: Vec<(char, char)>,
    least: usize,
    many: bool,
}

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    choices: Vec<Vec<Atom>>,
}

/// Alternatives that one pattern may have after its groups are written out, and the longest pattern that is read.
const MOST: usize = 128;

impl Pattern {
    /// Reads a pattern; `None` where it uses what is not understood (look-around, back-references, counted repetition).
    pub fn read(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > MOST {
            return None;
        }
        let choices = expand(text)?
            .iter()
            .map(|choice| atoms(choice))
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            text: text.to_string(),
            choices,
        })
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it occurs in a name: the places that are reached after each character of the pattern.
    pub fn matches(&self, name: &str) -> bool {
        let letters: Vec<char> = name.chars().collect();
        self.choices.iter().any(|atoms| {
            let everywhere = vec![true; letters.len().saturating_add(1)];
            let reached = atoms
                .iter()
                .fold(everywhere, |from, atom| atom.next(&from, &letters));
            reached.contains(&true)
        })
    }
}

impl Atom {
    fn fits(&self, letter: char) -> bool {
        let listed = self
            .ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&letter));
        self.any || listed != self.negated
    }

    /// The places that are reached from others by as many characters as it takes.
    fn next(&self, from: &[bool], letters: &[char]) -> Vec<bool> {
        let mut reached = vec![false; from.len()];
        let mut running = false;
        for (place, begins) in from.iter().enumerate() {
            let arrives = running
                && place
                    .checked_sub(1)
                    .and_then(|last| letters.get(last))
                    .is_some_and(|last| self.fits(*last));
            if let Some(here) = reached.get_mut(place) {
                *here = arrives || *begins && self.least == 0;
            }
            running = *begins || arrives && self.many;
        }
        reached
    }
}

/// Writes out the innermost groups until there are none: `a(b|c)d` becomes `abd` and `acd`.
fn expand(text: &str) -> Option<Vec<String>> {
    let mut open: Vec<String> = alternatives(text)?;
    let mut done = Vec::new();
    while let Some(next) = open.pop() {
        if done.len().saturating_add(open.len()) > MOST {
            return None;
        }
        let Some((before, inner, after)) = group(&next)? else {
            done.push(next);
            continue;
        };
        for choice in alternatives(inner.strip_prefix("?:").unwrap_or(inner))? {
            open.push(format!("{before}{choice}{after}"));
        }
    }
    Some(done)
}

/// The parts between `|` outside of groups and brackets.
fn alternatives(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let (mut depth, mut escaped) = (0_usize, false);
    for letter in text.chars() {
        match letter {
            '(' if !escaped => depth = depth.saturating_add(1),
            ')' if !escaped => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if letter == '|' && depth == 0 && !escaped {
            parts.push(String::new());
            continue;
        }
        escaped = letter == '\\' && !escaped;
        parts.last_mut()?.push(letter);
    }
    (depth == 0).then_some(parts)
}

/// What is before, in and after the first group; a repeated group is not understood.
fn group(text: &str) -> Option<Option<(&str, &str, &str)>> {
    let mut start = None;
    let (mut depth, mut escaped) = (0_usize, false);
    for (place, letter) in text.char_indices() {
        match letter {
            '(' if !escaped => {
                start = start.or(Some(place));
                depth = depth.saturating_add(1);
            }
            ')' if !escaped => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    let after = text.get(place.saturating_add(1)..)?;
                    let inner = text.get(start?.saturating_add(1)..place)?;
                    let odd = inner.starts_with('?') && !inner.starts_with("?:");
                    if after.starts_with(['*', '+', '?', '{']) || odd {
                        return None;
                    }
                    return Some(Some((text.get(..start?)?, inner, after)));
                }
            }
            _ => {}
        }
        escaped = letter == '\\' && !escaped;
    }
    Some(None)
}

fn atoms(text: &str) -> Option<Vec<Atom>> {
    let mut found: Vec<Atom> = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let mut atom = Atom {
            any: letter == '.',
            negated: false,
            ranges: vec![(letter, letter)],
            least: 1,
            many: false,
        };
        match letter {
            '\\' => {
                let next = letters.next()?;
                atom.ranges = match next {
                    'd' => vec![('0', '9')],
                    'w' => vec![('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')],
                    other if other.is_alphanumeric() => return None,
                    other => vec![(other, other)],
                };
            }
            '[' => {
                atom.ranges.clear();
                if letters.peek() == Some(&'^') {
                    letters.next();
                    atom.negated = true;
                }
                loop {
                    let low = letters.next()?;
                    if low == ']' {
                        break;
                    }
                    let high = if letters.peek() == Some(&'-') {
                        letters.next();
                        letters.next().filter(|high| *high != ']')?
                    } else {
                        low
                    };
                    atom.ranges.push((low, high));
                }
            }
            '*' | '+' | '?' | '{' | '}' | '^' | '$' | ']' => return None,
            _ => {}
        }
        match letters.peek() {
            Some('*') => (atom.least, atom.many) = (0, true),
            Some('+') => atom.many = true,
            Some('?') => atom.least = 0,
            _ => {
                found.push(atom);
                continue;
            }
        }
        letters.next();
        found.push(atom);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn matches(pattern: &str, name: &str, expected: bool) {
        let found = Pattern::read(pattern).map(|pattern| pattern.matches(name));
        assert_eq!(found, Some(expected), "{pattern} on {name}");
    }

    #[test]
    fn patterns_that_people_use() {
        matches("exps", "blk.3.ffn_down_exps.weight", true);
        matches("ffn_.*_exps", "blk.3.ffn_down_exps.weight", true);
        matches("ffn_.*_exps", "blk.3.ffn_down_shexp.weight", false);
        matches(r"blk\.(3|4|5)\.ffn", "blk.4.ffn_up.weight", true);
        matches(r"blk\.(3|4|5)\.ffn", "blk.14.attn_q.weight", false);
        matches(r"blk\.(?:[0-9]|1[0-7])\.", "blk.17.ffn_up.weight", true);
        matches(r"blk\.(?:[0-9]|1[0-7])\.", "blk.18.ffn_up.weight", false);
        matches(r"blk\.\d+\.attn_[^k]", "blk.18.attn_q.weight", true);
        matches(r"blk\.\d+\.attn_[^k]", "blk.18.attn_k.weight", false);
        matches("a|token_embd", "token_embd.weight", true);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in ["", "(a", "a)", "(ab)+", "a{2}", "(?!a)b", "[a", r"\b", "*a"] {
            assert_eq!(Pattern::read(text), None, "{text}");
        }
    }
}
