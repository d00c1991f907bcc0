//! Configurations that no catalogue has: other widths, layer counts, heads, experts, ties and patterns of every family,
//! with the total that the reference class has (`tests/model/variants.jsonl`, built without memory). Equal to the last
//! digit.

use gpu_mem_calc::model::import::network_from_config;
use serde_json::Value;

#[test]
fn changed_configurations_are_exact() {
    let mut wrong = Vec::new();
    let mut exact = 0;
    for (line, text) in include_str!("model/variants.jsonl").lines().enumerate() {
        let row: Value = serde_json::from_str(text).unwrap();
        let family = row["family"].as_str().unwrap();
        let expected = row["total"].as_u64().unwrap();
        match network_from_config(&row["config"]) {
            Ok(imported) if imported.generic => wrong.push(format!("{}: {family} is not known", line + 1)),
            Ok(imported) => {
                // A file as the library saves it has every key of its class: none of them may be unknown.
                let unknown = imported
                    .warnings
                    .iter()
                    .filter(|issue| issue.code == "unknown_field");
                if row["saved"] == true {
                    wrong.extend(unknown.map(|issue| format!("{}: {family}: {}", line + 1, issue.path)));
                }
                let found = imported.network.total_parameters().get();
                if found == expected {
                    exact += 1;
                } else {
                    let difference = i128::from(found) - i128::from(expected);
                    wrong.push(format!(
                        "{}: {family} has {found}, not {expected} ({difference:+})",
                        line + 1
                    ));
                }
            }
            Err(issues) => wrong.push(format!("{}: {family}: {issues:?}", line + 1)),
        }
    }
    println!("{exact} exact");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
