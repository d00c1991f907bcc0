//! The table of messages in Simplified Chinese: what is in it can be used, and what the calculator says is in it. That all
//! the page shows is in it, is the page's own test.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod inputs;

use std::collections::{BTreeMap, BTreeSet};

use gpu_mem_calc::api::{self, FormGroup, INPUTS, Request, Section};
use gpu_mem_calc::messages::{Table, is_prose};
use inputs::changes;
use serde_json::{Value, json};

const CHINESE: &str = include_str!("../assets/messages/zh-hans.json");

/// Members of answers that are no text for readers, or the same in all languages: keys, formulas, sources, names, lines that
/// programs print.
const LEFT_ALONE: &[&str] = &[
    "source", "sources", "formula", "citation", "id", "key", "path", "code", "name", "model", "gpu", "log",
    "line", "lines", "from", "command", "text", "content", "value", "allowed", "config", "request", "family",
    "cited", "start_up", "failure",
];

fn table() -> Table {
    Table::from_json(CHINESE).expect("a table that can be used")
}

/// All texts of an answer that a reader reads, with the member that they stand in.
fn texts(value: &Value, member: &str, found: &mut BTreeMap<String, String>) {
    match value {
        Value::String(text) if is_prose(text) => {
            found.insert(text.clone(), member.to_owned());
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, member, found)),
        Value::Object(members) => {
            for (name, value) in members {
                if !LEFT_ALONE.contains(&name.as_str()) {
                    texts(value, name, found);
                }
            }
        }
        _ => {}
    }
}

/// Fails with the texts that the table lacks.
fn all_known(found: &BTreeMap<String, String>) {
    let table = table();
    let lacking: BTreeSet<String> = found
        .iter()
        .filter(|(text, _)| {
            table
                .translate(text)
                .is_none_or(|said| said != **text && is_prose(&said))
        })
        // Texts that differ in their numbers alone are one message.
        .map(|(text, member)| {
            format!(
                "{member}: {}",
                text.replace(|letter: char| letter.is_ascii_digit(), "0")
            )
        })
        .collect();
    assert!(
        lacking.is_empty(),
        "{} of {} texts are not in assets/messages/zh-hans.json:\n{}",
        lacking.len(),
        found.len(),
        Vec::from_iter(lacking.clone()).join("\n")
    );
}

#[test]
fn the_table_is_in_order_and_each_text_has_its_values() {
    table();
    let messages: serde_json::Map<String, Value> = serde_json::from_str(CHINESE).expect("an object");
    assert!(messages.len() > 3000);
    let keys: Vec<&String> = messages.keys().collect();
    assert!(keys.is_sorted(), "sorted by the English text");
    for (english, said) in &messages {
        assert_eq!(english.trim(), english, "no spaces around a text");
        let said = said.as_str().expect("a text");
        let command = english.contains("--");
        assert!(
            said == english || command || !is_prose(said),
            "still English: {said}"
        );
    }
}

#[test]
fn every_input_can_be_read_in_chinese() {
    let mut found = BTreeMap::new();
    let mut add = |text: &str, member: &str| {
        if text
            .split(' ')
            .any(|word| word.len() > 2 && word.bytes().all(|letter| letter.is_ascii_lowercase()))
        {
            found.insert(text.to_owned(), member.to_owned());
        }
    };
    for input in INPUTS {
        add(input.label, "label");
        add(input.words().help, "help");
        let first = input
            .words()
            .help
            .split_inclusive(". ")
            .next()
            .unwrap_or(input.words().help);
        add(first.trim_end(), "first sentence");
        if let Some(unit) = input.unit {
            add(unit, "unit");
        }
        if let api::InputDefault::Derived(from) = input.default {
            add(from, "default");
        }
        for choice in input.kind.choices() {
            add(choice.label, "choice");
            add(choice.help, "help of a choice");
        }
    }
    for group in FormGroup::ALL {
        add(group.title(), "group");
    }
    all_known(&found);
}

fn said(section: Section, request: &Request) -> Value {
    match section {
        Section::Inference => match api::calculate_inference(request) {
            Ok(answer) => json!(answer),
            Err(issues) => json!(issues),
        },
        Section::Hybrid => match api::plan(request) {
            Ok(answer) => json!(answer),
            Err(issues) => json!(issues),
        },
        _ => match (api::calculate(request), api::multi_node(request)) {
            (Ok(answer), Ok(nodes)) => json!([answer, nodes]),
            (Err(issues), _) | (_, Err(issues)) => json!(issues),
        },
    }
}

#[test]
fn every_answer_can_be_read_in_chinese() {
    let file = changes();
    let mut found = BTreeMap::new();
    for input in INPUTS {
        let change = &file["changes"][input.key];
        let question = &file["questions"][change["on"].as_str().expect("a question")];
        let question = Request::from_json(question).expect("a request");
        texts(&said(input.section, &question), "", &mut found);
        let changed = question.with(input.id, change["to"].clone());
        texts(&said(input.section, &changed), "", &mut found);
    }
    all_known(&found);
}

#[test]
fn every_error_can_be_read_in_chinese() {
    let mut found = BTreeMap::new();
    for line in include_str!("compat/bad_inputs.jsonl")
        .lines()
        .filter(|line| !line.is_empty())
    {
        let row: Value = serde_json::from_str(line).expect("valid JSON");
        for body in ["request", "body", "input"] {
            if let Ok(request) = Request::from_json(&row[body]) {
                texts(&json!(api::validate(&request)), "", &mut found);
                texts(&json!(api::validate_inference(&request)), "", &mut found);
            }
        }
    }
    for name in ["errors.json", "imports.json", "training.json", "inference.json"] {
        let file = std::fs::read_to_string(format!("tests/vectors/{name}")).expect("vectors");
        let file: Value = serde_json::from_str(&file).expect("valid JSON");
        for vector in file["vectors"].as_array().expect("vectors") {
            texts(&vector["answer"], "answer", &mut found);
            texts(&vector["fault"], "fault", &mut found);
        }
    }
    all_known(&found);
}
