//! The parameter texts of the compatibility data, each with its count, code, message and warning.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::parse_parameter_count;
use serde_json::Value;

#[test]
fn parameter_strings_as_in_the_compatibility_data() {
    let mut failures = Vec::new();
    let text = include_str!("compat/param_strings.jsonl");
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let row: Value = serde_json::from_str(line).unwrap();
        let input = &row["input"];
        match parse_parameter_count(input) {
            Ok(parsed) => {
                if Some(parsed.count.get()) != row["ok"].as_u64()
                    || parsed.warning.as_deref() != row["warning"].as_str()
                {
                    failures.push(format!("{input}: {parsed:?}"));
                }
            }
            Err(error) => {
                let same_message = row["error"]["message"] == error.message.as_str() || input.is_f64();
                if row["error"]["code"] != error.code || !same_message {
                    failures.push(format!("{input}: {error:?}"));
                }
            }
        }
    }
    assert_eq!(failures, Vec::<String>::new());
    assert_eq!(text.lines().count(), 86);
}
