//! Sample configurations: the three of the original parse and validate as the compatibility data says; those of
//! `assets/configs/` are answered, and the README and the list beside them name each.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, Request};
use serde_json::{Value, json};

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

#[test]
fn configurations_to_try_are_answered_and_named() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("assets/configs");
    let [readme, list] = [root.join("README.md"), folder.join("README.md")]
        .map(|path| std::fs::read_to_string(path).expect("a text"));
    let mut found = 0;
    for entry in std::fs::read_dir(folder).expect("the folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".json") {
            continue;
        }
        found += 1;
        assert!(
            readme.contains(&name) && list.contains(&name),
            "{name} is named in no README"
        );
        let value: Value =
            serde_json::from_str(&std::fs::read_to_string(entry.path()).expect(&name)).expect(&name);
        let question = if value.get("model_type").is_some() {
            json!({"model": {"hf_config": value}, "engine": {"type": "fsdp"}, "hardware": {"num_gpus": 16}})
        } else {
            value
        };
        let request = Request::from_json(&question).expect(&name);
        let answer = match api::calculate(&request) {
            Ok(answer) => answer,
            Err(issues) => unreachable!("{name}: {issues:?}"),
        };
        let unread: Vec<_> = answer
            .warnings
            .iter()
            .filter(|issue| matches!(issue.code, "unknown_field" | "not_used"))
            .collect();
        assert!(unread.is_empty(), "{name}: {unread:?}");
        assert!(answer.fits_on_gpu, "{name} does not fit");
    }
    assert!(found >= 4, "only {found} files");
}
