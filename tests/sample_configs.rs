//! The three sample configurations of the original: they parse, and validate as the compatibility data says.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, Request};
use serde_json::Value;

fn text(name: &str) -> String {
    let path = format!("{}/tests/compat/configs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).expect(&path)
}

#[test]
fn sample_configurations_validate_as_expected() {
    for line in include_str!("compat/config_expectations.jsonl").lines() {
        let row: Value = serde_json::from_str(line).expect("a row");
        let name = row["config"].as_str().expect("config");
        let request = Request::from_text(&text(name)).expect(name);
        let issues = api::validate(&request);
        let empty = Vec::new();
        for (key, is_error) in [("warnings", false), ("errors", true)] {
            for expected in row[key].as_array().unwrap_or(&empty) {
                let found = issues.iter().find(|issue| {
                    issue.is_error() == is_error
                        && expected["code"] == issue.code
                        && expected["path"] == issue.path.as_str()
                });
                let Some(found) = found else {
                    unreachable!("{name}: {expected} is not in {issues:#?}");
                };
                if let Some(fixes) = expected["fixes"].as_array() {
                    let given: Vec<Value> = found.fixes.iter().cloned().map(Value::Object).collect();
                    assert_eq!(&given, fixes, "{name}");
                }
            }
        }
        let other: Vec<_> = issues
            .iter()
            .filter(|issue| issue.is_error())
            .filter(|issue| issue.code != "gpu_count_mismatch")
            .filter(|issue| issue.code != "not_available_yet")
            .collect();
        assert!(other.is_empty(), "{name}: {other:#?}");
        assert_eq!(
            Request::from_json(&request.to_json()),
            Ok(request),
            "{name}: comes back"
        );
    }
}
