//! Garbage: 10,000 mutations of the samples of each importer, the same in every run. None panics, each is explained, and none
//! takes long. Large, deep and repeated texts as well.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use gpu_mem_calc::api::{self, Import, Request};
use serde_json::Value;

/// Mutations of each kind.
const MUTATIONS: usize = 10_000;

/// The longest that a text of ordinary size may take, on a slow machine and unoptimised.
const PATIENCE: Duration = Duration::from_secs(2);

/// SplitMix64: the same mutations in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }

    fn of<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// What people and machines put where it does not belong.
const STRANGE: &[&str] = &[
    "-1",
    "0",
    "NaN",
    "Infinity",
    "-0.0",
    "1e308",
    "1e999",
    "99999999999999999999999",
    "0x10",
    "1_000",
    "８",
    "null",
    "true",
    "\"",
    "'",
    "\\",
    "{",
    "}",
    "[",
    "]",
    "{{{{",
    "]]]]",
    ":",
    ": ",
    "- ",
    "#",
    "---",
    "...",
    "&a *a",
    "!!python/object",
    "%",
    "=",
    "--",
    "--=",
    "$(rm -rf /)",
    "`x`",
    "\u{0}",
    "\u{1b}[31m",
    "\u{feff}",
    "\u{202e}",
    "\u{1f600}",
    "\r",
    "\t",
    "\n\n\n",
    "GiB",
    "0 GiB",
    "-5 MiB",
    "1e400 GiB",
    "auto",
    "<<: *x",
    "? x",
    "|",
    ">",
    "\"\"\"",
    "'''",
    "None",
    "torch.bfloat16",
    "lambda: 1",
];

/// The samples by their kinds.
fn samples() -> BTreeMap<String, Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    let table = std::fs::read_to_string(folder.join("samples.json")).unwrap();
    let table: Value = serde_json::from_str(&table).unwrap();
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, expected) in table.as_object().unwrap() {
        let text = std::fs::read_to_string(folder.join("samples").join(name)).unwrap();
        let kind = expected["kind"].as_str().unwrap().to_owned();
        kinds.entry(kind).or_default().push(text);
    }
    kinds
}

/// A place at which a text can be cut.
fn place(random: &mut Random, text: &str) -> usize {
    let mut at = random.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn mutate(random: &mut Random, text: &mut String, all: &[&str]) {
    let at = place(random, text);
    match random.below(8) {
        0 => text.insert_str(at, random.of::<&str>(STRANGE)),
        1 => text.truncate(at),
        2 => {
            let end = at + text[at..].chars().next().map_or(0, char::len_utf8);
            text.replace_range(at..end, "");
        }
        3 => {
            let end = at + text[at..].chars().next().map_or(0, char::len_utf8);
            text.replace_range(at..end, random.of::<&str>(STRANGE));
        }
        // A number becomes another one.
        4 => {
            let digits = |char: char| char.is_ascii_digit() || char == '.';
            if let Some(start) = text[at..].find(digits).map(|offset| at + offset) {
                let end = text[start..]
                    .find(|char| !digits(char))
                    .map_or(text.len(), |length| start + length);
                text.replace_range(start..end, random.of::<&str>(STRANGE));
            }
        }
        // A line stands twice, goes away, or changes its place.
        5 => {
            let mut lines: Vec<&str> = text.lines().collect();
            if !lines.is_empty() {
                let from = random.below(lines.len());
                let line = lines[from];
                match random.below(3) {
                    0 => lines.insert(from, line),
                    1 => drop(lines.remove(from)),
                    _ => {
                        lines.remove(from);
                        let to = random.below(lines.len() + 1);
                        lines.insert(to, line);
                    }
                }
                *text = lines.join("\n");
            }
        }
        // A piece of another sample.
        6 => {
            let other = *random.of(all);
            let start = place(random, other);
            let piece: String = other[start..].chars().take(random.below(120)).collect();
            text.insert_str(at, &piece);
        }
        _ => {
            let piece = text[at..].chars().take(random.below(40)).collect::<String>();
            text.insert_str(at, &piece.repeat(1 + random.below(6)));
        }
    }
}

/// Whether the reader says anything about a text.
fn explains(import: &Import) -> bool {
    !import.found.is_empty()
        || !import.assumed.is_empty()
        || !import.not_understood.is_empty()
        || import.issues.iter().any(|issue| !issue.message.is_empty())
}

/// Reads a text, and fails by saying which it was.
#[track_caller]
fn read(text: &str, patience: Duration) {
    let start = Instant::now();
    let import = api::read_text(text);
    let took = start.elapsed();
    let shown: String = text.chars().take(600).collect();
    assert!(explains(&import), "nothing is said about {shown:?}");
    assert!(took < patience, "{took:?} for {} bytes: {shown:?}", text.len());
}

#[test]
fn ten_thousand_mutations_of_each_importer_are_explained_and_none_panics() {
    let kinds = samples();
    assert!(kinds.len() >= 20, "{:?}", kinds.keys());
    let all: Vec<&str> = kinds.values().flatten().map(String::as_str).collect();
    let mut random = Random(20_261_126);
    for own in kinds.values() {
        for _ in 0..MUTATIONS {
            let mut text = random.of(own).clone();
            for _ in 0..=random.below(5) {
                mutate(&mut random, &mut text, &all);
            }
            read(&text, PATIENCE);
        }
    }
}

#[test]
fn what_mutations_say_can_be_asked_about() {
    let kinds = samples();
    let all: Vec<&str> = kinds.values().flatten().map(String::as_str).collect();
    let mut random = Random(7);
    for own in kinds.values() {
        for _ in 0..60 {
            let mut text = random.of(own).clone();
            mutate(&mut random, &mut text, &all);
            // Laid over a question and calculated: an answer or issues, never a panic.
            let imported = api::import(&text, &Request::new());
            let _ = api::validate_request(&imported.request);
        }
    }
}

#[test]
fn large_deep_and_repeated_texts_end_in_time() {
    let patience = Duration::from_secs(20);
    for own in samples().values() {
        let text = &own[0];
        read(&text.repeat(2_000_000 / text.len().max(1)), patience);
    }
    for deep in [
        "{\"a\":", "[", "a: {b: ", "- - - - ", "((((", "\"", "--x=", "a.b.c.d.",
    ] {
        read(&deep.repeat(200_000), patience);
    }
    let lines: String = (0..200_000)
        .map(|at| format!("{}k{at}:\n", " ".repeat(at.min(300))))
        .collect();
    read(&lines, patience);
    read(&"x".repeat(10_000_000), patience);
    read(&"model:\n".repeat(500_000), patience);
}
