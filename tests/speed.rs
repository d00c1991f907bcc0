//! Published speeds against the roofline: how far it is off is a bound that is only tightened. Bounds are of the comparison as it
//! stands; nothing is fitted to these records.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeSet;
use std::path::Path;

use gpu_mem_calc::accuracy::record::{Format, Record, read};
use gpu_mem_calc::accuracy::speed::{SpeedRow, lines, rows};

fn records(name: &str) -> Vec<Record> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/measured")
        .join(name);
    let text = std::fs::read_to_string(path).expect("a file of records");
    read(&text).expect("records")
}

#[track_caller]
fn within(rows: &[SpeedRow], kind: &str, quantity: &str, (records, median, p90): (usize, f64, f64)) {
    let row = rows
        .iter()
        .find(|row| row.kind == kind && row.quantity == quantity)
        .unwrap_or_else(|| unreachable!("no {kind}, {quantity}: {rows:?}"));
    assert!(row.records >= records, "{row:?}");
    assert!(row.median_percent <= median && row.p90_percent <= p90, "{row:?}");
}

#[test]
fn training_speeds_are_as_far_off_as_stated_and_no_farther() {
    let records = records("throughput.jsonl");
    let found = rows(&lines(&records).expect("every record is answered"));
    let tokens = "tokens_per_second_per_gpu";
    within(&found, "fsdp, a100-sxm-80gb", tokens, (61, 4.4, 13.0));
    within(&found, "fsdp, a100-sxm-40gb", tokens, (78, 4.6, 12.5));
    within(&found, "fsdp, h100-sxm-80gb", tokens, (41, 12.8, 32.5));
    within(&found, "megatron_lm, a100-sxm-80gb", "mfu_percent", (4, 3.8, 4.7));
}

#[test]
fn serving_speeds_are_as_far_off_as_stated_and_no_farther() {
    let records = records("serving-speed.jsonl");
    let found = rows(&lines(&records).expect("every record is answered"));
    let output = "output_tokens_per_second";
    within(&found, "tensorrt_llm, h100-sxm-80gb", output, (20, 9.2, 122.0));
    within(&found, "tensorrt_llm, l40s", output, (8, 6.0, 7.3));
    within(&found, "tensorrt_llm, a100-sxm-80gb", output, (5, 6.6, 25.0));
    within(&found, "tensorrt_llm, h100-sxm-80gb", "ttft_ms", (9, 14.3, 19.1));
    within(&found, "tensorrt_llm, l40s", "ttft_ms", (4, 52.2, 59.1));
    within(&found, "tensorrt_llm, a100-sxm-80gb", "ttft_ms", (8, 8.0, 19.9));
    within(&found, "tensorrt_llm, h100-sxm-80gb", "tpot_ms", (1, 13.6, 13.6));
}

#[test]
fn every_published_speed_has_a_source_and_a_name_of_its_own() {
    let records = [records("throughput.jsonl"), records("serving-speed.jsonl")].concat();
    let ids: BTreeSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(ids.len(), records.len());
    for record in &records {
        assert_eq!(record.format, Format::Speed, "{}", record.id);
        assert!(
            record.text("source").is_some_and(|source| source.len() > 20),
            "{}",
            record.id
        );
    }
}
