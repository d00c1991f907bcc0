//! The predictions against measured runs: every record reads, and the gates of `tests/measured/gates.toml` hold.

use std::collections::BTreeMap;
use std::path::Path;

use gpu_mem_calc::accuracy::quantity::measurements;
use gpu_mem_calc::accuracy::record::{Format, Record, read};

fn file(name: &str) -> Vec<Record> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/measured")
        .join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    read(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_record_is_read_in_its_format() {
    for (name, count, format) in [
        ("torch-trace.jsonl", 271, Format::TorchTrace),
        ("deepspeed-trace.jsonl", 24, Format::DeepSpeedTrace),
        ("training-extras-trace.jsonl", 138, Format::TrainingExtras),
        ("training.jsonl", 901, Format::Training),
        (
            "transformers-inference-trace.jsonl",
            302,
            Format::TransformersInference,
        ),
        ("vllm.jsonl", 140, Format::Vllm),
        ("serving.jsonl", 189, Format::Serving),
        ("saved-activations.jsonl", 54, Format::SavedActivations),
        ("smallest-card.jsonl", 15, Format::SmallestCard),
    ] {
        let records = file(name);
        assert_eq!(records.len(), count, "{name}");
        for record in &records {
            assert_eq!(record.format, format, "{name}: {}", record.id);
        }
    }
}

#[test]
fn published_quantities_are_as_many_as_their_description_says() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failed = 0;
    for record in file("training.jsonl") {
        let own = measurements(&record);
        let first = own.first().expect("a quantity");
        match first.bytes {
            Some(_) => *counts.entry(first.quantity.key()).or_default() += 1,
            None => failed += 1,
        }
    }
    assert_eq!(failed, 113);
    assert_eq!(counts.get("max_active"), Some(&10));
    assert_eq!(counts.get("max_reserved"), Some(&220));
    assert_eq!(counts.get("max_allocated").copied().unwrap_or(0), 370);
    assert_eq!(counts.values().sum::<usize>(), 788);
}
