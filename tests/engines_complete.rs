//! An engine is more than its formulas. What else every engine of `EngineId` needs is checked here, and a failure names the
//! file in which it is missing: a choice on form and command line, its help and its place in the schema, an answer or a
//! refusal, an explanation of every line of the answer, a chapter for the reader, a worked example, and what is said about
//! its accuracy. (An engine without its states, its name in the answer or its settings does not compile.)

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod by_hand;

use std::collections::BTreeMap;
use std::path::Path;

use by_hand::Worked;
use gpu_mem_calc::accuracy::{self, record::EngineName};
use gpu_mem_calc::api::{
    self, Answer, Availability, Choice, EngineId, FormGroup, INPUTS, InputId, Request, Validation,
};
use serde_json::json;

const FORM: &str = "src/request/registry/engine.rs, TYPE";
const CHAPTERS: &str = "assets/docs/engines.md";

fn choices() -> &'static [Choice] {
    InputId::EngineType.input().kind.choices()
}

fn choice(engine: EngineId) -> &'static Choice {
    let found = choices().iter().find(|choice| choice.value == engine.key());
    found.unwrap_or_else(|| unreachable!("{FORM}: no choice \"{}\"", engine.key()))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

/// A small question to an engine.
fn question(engine: EngineId, gpus: u64, nodes: u64) -> Request {
    let question = json!({"model": {"id": "smollm2-135m"}, "engine": {"type": engine.key()},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": gpus}, "node_config": {"num_nodes": nodes},
        "training": {"seq_length": 512}});
    Request::from_json(&question).expect("a request")
}

/// A question with every built value of every setting of the engine itself that is a choice.
fn with_settings(engine: EngineId, question: &Request) -> Vec<Request> {
    let mut questions = vec![question.clone()];
    let own = INPUTS.iter().filter(|input| {
        input.group == FormGroup::EngineSettings
            && input.availability == Availability::Built
            && input.engines.to(engine)
    });
    for input in own {
        let built = |choice: &&Choice| choice.availability == Availability::Built;
        let more: Vec<Request> = questions
            .iter()
            .flat_map(|question| {
                let choices = input.kind.choices().iter().filter(built);
                choices.map(|choice| question.clone().with(input.id, choice.value))
            })
            .collect();
        questions.extend(more);
    }
    questions
}

/// What the built engines call themselves in an answer, on one GPU, on eight and on two nodes, with all their settings.
fn answered() -> BTreeMap<&'static str, Answer> {
    let mut found = BTreeMap::new();
    let built = EngineId::ALL
        .iter()
        .filter(|engine| choice(**engine).availability == Availability::Built);
    for engine in built {
        for (gpus, nodes) in [(1, 1), (8, 1), (16, 2)] {
            let plain = question(*engine, gpus, nodes);
            for asked in with_settings(*engine, &plain) {
                match accuracy::calculate(&asked, api::Strictness::default()) {
                    Ok(answer) => {
                        found.insert(answer.engine, answer);
                    }
                    // Settings may contradict each other; without any it is answered.
                    Err(issues) if asked == plain => {
                        unreachable!("{FORM}: {} is built, and refused: {issues:?}", engine.key())
                    }
                    Err(_) => {}
                }
            }
        }
    }
    found
}

#[test]
fn every_engine_can_be_chosen_and_is_explained_on_the_form() {
    for engine in EngineId::ALL {
        let choice = choice(*engine);
        assert!(!choice.label.is_empty(), "{FORM}: {} has no label", choice.value);
        assert!(choice.help.ends_with('.'), "{FORM}: {} has no help", choice.value);
    }
    for choice in choices() {
        assert!(
            EngineId::from_key(choice.value).is_some(),
            "src/request/registry/kind.rs: \"{}\" is a choice and no engine",
            choice.value
        );
    }
}

#[test]
fn every_engine_is_in_the_schema() {
    let schema = api::schema("request").expect("the schema");
    let values = schema["properties"]["engine"]["properties"]["type"]["x-values"]
        .as_array()
        .expect("values");
    for engine in EngineId::ALL {
        assert!(
            values.contains(&json!(engine.key())),
            "{} is not in the schema",
            engine.key()
        );
    }
}

#[test]
fn an_engine_is_answered_or_refused_as_not_built() {
    assert!(!answered().is_empty());
    let planned = EngineId::ALL
        .iter()
        .filter(|engine| choice(**engine).availability != Availability::Built);
    for engine in planned {
        let issues = api::calculate(&question(*engine, 8, 1)).expect_err(engine.key());
        assert!(
            issues
                .iter()
                .any(|issue| issue.code == "not_available_yet" && issue.path == "engine.type"),
            "{}: {issues:?}",
            engine.key()
        );
    }
}

#[test]
fn every_engine_has_a_chapter_for_the_reader() {
    let chapters = text(CHAPTERS);
    for engine in EngineId::ALL {
        assert!(
            chapters
                .lines()
                .any(|line| line == format!("## {}", engine.name())),
            "{CHAPTERS}: no chapter \"## {}\"",
            engine.name()
        );
    }
}

#[test]
fn every_line_of_an_answer_has_formula_symbols_and_source() {
    for (name, answer) in answered() {
        assert!(!answer.ledger.is_empty(), "{name}: no ledger");
        for row in &answer.ledger {
            let place = format!("{name}: {} {}", row.id, row.place);
            assert!(!row.label.is_empty(), "{place}: no label");
            assert!(!row.formula.is_empty(), "{place}: no formula");
            assert!(!row.citation.source.is_empty(), "{place}: no source");
            for symbol in &row.symbols {
                assert!(
                    !symbol.meaning.is_empty(),
                    "{place}: {} is not explained",
                    symbol.name
                );
            }
        }
    }
}

#[test]
fn the_accuracy_of_every_engine_is_stated() {
    let readme = text("README.md");
    for (name, answer) in answered() {
        assert!(
            EngineName::ALL.iter().any(|known| known.key() == name),
            "src/accuracy/record.rs: records of \"{name}\" would not be recognised"
        );
        let measured = accuracy::evidence::row(name, "max_allocated").is_some();
        match answer.validation {
            Validation::Records {
                traced, published, ..
            } => {
                let runs = |found: Option<api::Checked>| found.map_or(0, |found| found.runs);
                assert!(measured && runs(traced) + runs(published) > 0, "{name}");
            }
            Validation::None(words) => assert_eq!((words, measured), ("not validated", false), "{name}"),
        }
        assert!(
            readme
                .lines()
                .any(|line| line.starts_with(&format!("| {name} |"))),
            "README.md: the accuracy table has no row for {name}: run `cargo xtask accuracy`"
        );
    }
}

#[test]
fn every_engine_has_a_worked_example() {
    for name in answered().keys() {
        let path = format!("tests/worked/{name}.json");
        let file = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path));
        let Ok(file) = file else {
            unreachable!("{path}: {name} has no worked example");
        };
        let answer = Worked::read(&path, &file).check(&path);
        assert_eq!(&answer.engine, name, "{path}: it is answered by another engine");
    }
}
