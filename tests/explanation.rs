//! The explanation of an answer: every line with numbers put in gives its result, and the lines add up to the total.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, Explanation, FormulaLine, Request};
use gpu_mem_calc::units::Bytes;
use serde_json::{Value, json};

#[track_caller]
fn explain(request: &Value) -> Explanation {
    let request = Request::from_json(request).expect("a request");
    api::explain(&request).unwrap_or_else(|issues| panic!("{issues:?}"))
}

/// The requests of all worked examples, and some of other engines and settings.
fn requests() -> Vec<Value> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/worked");
    let mut all = Vec::new();
    for file in std::fs::read_dir(folder).expect("worked examples") {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("a worked example");
        let example: Value = serde_json::from_str(&text).expect("JSON");
        all.push(example["request"].clone());
    }
    for model in [
        "mixtral-8x7b-v0.1",
        "deepseek-v3",
        "qwen3-next-80b-a3b",
        "gemma-3-4b",
    ] {
        for engine in [
            json!({"type": "fsdp"}),
            json!({"type": "deepspeed", "zero_stage": 2}),
            json!({"type": "deepspeed", "zero_stage": 3}),
            json!({"type": "pytorch_ddp", "version": "2.4"}),
        ] {
            all.push(json!({
                "model": {"id": model}, "engine": engine, "hardware": {"num_gpus": 24},
                "training": {"seq_length": 1000, "loss": "chunked"},
            }));
        }
    }
    all.extend(every_input());
    assert!(all.len() > 100 && all.iter().all(Value::is_object));
    all
}

/// Every input of the registry, changed on the question where it matters, where the change is answered.
fn every_input() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("inputs/changes.json")).expect("valid JSON");
    let mut all = Vec::new();
    for (key, change) in file["changes"].as_object().expect("changes") {
        let mut request = file["questions"][change["on"].as_str().expect("a question")].clone();
        let (section, field) = key.split_once('.').expect("a section");
        request[section][field] = change["to"].clone();
        if api::calculate(&Request::from_json(&request).expect("a request")).is_ok() {
            all.push(request);
        }
    }
    all
}

#[track_caller]
fn holds(line: &FormulaLine) {
    let value = api::evaluate_formula(&line.substituted);
    assert_eq!(
        value,
        Some(line.bytes.get()),
        "{}: {} = {}",
        line.id,
        line.formula,
        line.substituted
    );
    let bare = line.substituted.chars().all(|letter| letter.is_ascii_digit());
    let explained = line.symbols.is_empty();
    assert!(
        !bare || explained || line.formula.starts_with('Σ'),
        "{}: {}",
        line.id,
        line.formula
    );
    assert!(!line.source.is_empty() && !line.formula.is_empty(), "{}", line.id);
}

#[test]
fn every_line_with_numbers_put_in_gives_its_result() {
    for request in requests() {
        let explanation = explain(&request);
        explanation.formula_components.iter().for_each(holds);
        explanation.elsewhere.iter().for_each(holds);
    }
}

#[test]
fn the_lines_add_up_to_the_total_of_the_same_answer() {
    for request in requests() {
        let explanation = explain(&request);
        let answer = api::calculate(&Request::from_json(&request).unwrap()).unwrap();
        let total: Bytes = explanation.formula_components.iter().map(|line| line.bytes).sum();
        assert_eq!(total, answer.total_memory_per_gpu_bytes);
        assert_eq!(explanation.total_memory_bytes, total);
        assert_eq!(explanation.breakdown, answer.breakdown);
        let rows = explanation.formula_components.len() + explanation.elsewhere.len();
        assert!(
            rows >= answer.ledger.len(),
            "every row of the ledger is explained"
        );
        for line in &explanation.formula_components {
            assert!(
                explanation
                    .references
                    .iter()
                    .any(|reference| reference.title == line.source)
            );
        }
    }
}

#[test]
fn numbers_stand_for_their_symbols() {
    let explanation = explain(&json!({
        "model": {"id": "llama-3.1-8b"}, "hardware": {"num_gpus": 8}, "engine": {"type": "fsdp"},
        "training": {"batch_size": 2, "seq_length": 4096},
    }));
    let all: Vec<&FormulaLine> = explanation
        .formula_components
        .iter()
        .chain(&explanation.elsewhere)
        .collect();
    let gate = all.iter().find(|line| line.id == "mlp.gate").expect("a gate");
    assert!(gate.substituted.ends_with("2·14336·8192"), "{}", gate.substituted);
    assert_eq!(explanation.engine_type, "fsdp");
    assert_eq!(explanation.sharding_strategy, Some("full_shard"));
    assert_eq!(explanation.parallelism.data_parallel_size, 8);
    assert_eq!(explanation.zero_stage, None);
}

#[test]
fn every_engine_and_stage_is_described_in_words_of_its_own() {
    let described = |engine: Value, gpus: u64| {
        let explanation = explain(&json!({
            "model": {"id": "llama-3.2-1b"}, "hardware": {"num_gpus": gpus}, "engine": engine,
        }));
        assert!(!explanation.instant.is_empty());
        (explanation.engine_name, explanation.formula_description)
    };
    let zero = |stage: u64| json!({"type": "deepspeed", "zero_stage": stage});
    let all = [
        (json!({"type": "pytorch_ddp"}), 1, "one GPU holds"),
        (json!({"type": "pytorch_ddp"}), 2, "buckets"),
        (zero(0), 2, "Stage 0 divides nothing"),
        (zero(1), 2, "Stage 1 divides the optimizer's states"),
        (zero(2), 2, "and the gradients"),
        (zero(3), 2, "and the weights"),
        (json!({"type": "fsdp"}), 2, "its shards of weights"),
    ];
    let mut texts = Vec::new();
    for (engine, gpus, words) in all {
        let (name, text) = described(engine.clone(), gpus);
        let expected = match engine["type"].as_str() {
            Some("fsdp") => "FSDP",
            Some("deepspeed") => "DeepSpeed",
            _ => "DDP",
        };
        assert!(name.contains(expected), "{name}");
        assert!(text.contains(words), "{engine}: {text}");
        texts.push(text);
    }
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 7, "each has words of its own");
}

#[test]
fn the_degrees_of_parallelism_are_those_of_the_job() {
    let explanation = explain(&json!({
        "model": {"id": "llama-3.1-8b"}, "hardware": {"num_gpus": 16}, "engine": {"type": "fsdp"},
        "parallelism": {"tensor_parallel_size": 4}, "training": {"seq_length": 2048},
    }));
    let degrees = explanation.parallelism;
    assert_eq!((degrees.tensor_parallel_size, degrees.data_parallel_size), (4, 4));
    assert_eq!(
        (
            degrees.pipeline_parallel_size,
            degrees.context_parallel_size,
            degrees.expert_parallel_size
        ),
        (1, 1, 1)
    );
    assert_eq!(explanation.strategy_name, Some("full shard"));
}

#[test]
fn deepspeed_names_its_stage_and_where_its_states_are() {
    let explanation = explain(&json!({
        "model": {"id": "llama-3.1-8b"}, "hardware": {"num_gpus": 8},
        "engine": {"type": "deepspeed", "zero_stage": 3, "offload_optimizer": "cpu"},
    }));
    assert_eq!(explanation.zero_stage, Some(3));
    assert_eq!(explanation.offload_optimizer.as_deref(), Some("cpu"));
    assert_eq!(explanation.strategy_name, None);
    let weights = explanation
        .formula_components
        .iter()
        .find(|line| line.id == "zero.weights");
    assert!(weights.expect("weights").substituted.contains("⌈8030261248/8⌉"));
}

#[test]
fn states_of_the_optimizer_are_explained_by_precision_mode() {
    let bytes = |mode: &str| {
        let explanation = explain(&json!({
            "model": {"id": "llama-3.1-8b"}, "hardware": {"num_gpus": 8}, "engine": {"type": "fsdp"},
            "training": {"precision_mode": mode},
        }));
        let all = explanation
            .formula_components
            .iter()
            .chain(&explanation.elsewhere);
        let states = all.filter(|line| line.id == "optimizer.states");
        let symbols = states.flat_map(|line| line.symbols.clone());
        symbols
            .filter(|symbol| symbol.name == "β")
            .map(|symbol| symbol.value)
            .max()
    };
    assert_eq!(bytes("pure"), Some(2));
    assert_eq!(bytes("mixed"), Some(4));
}

#[test]
fn a_refused_request_names_its_fields() {
    let request = json!({"model": {"id": "llama-3.1-8b"}, "training": {"batch_size": 0}});
    let issues = api::explain(&Request::from_json(&request).unwrap()).expect_err("refused");
    assert!(issues.iter().any(|issue| issue.path == "training.batch_size"));
}
