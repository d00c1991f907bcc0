//! Changed configurations of the hybrid families (other widths, depths, heads, experts, patterns, tied or not), counted
//! from their tensors, against the reference classes built without memory: equal to the last digit.
//! `tests/model/variants_hybrid.jsonl` has one configuration per line with its counts.

use gpu_mem_calc::model::Role;
use gpu_mem_calc::model::import::network_from_config;
use serde_json::Value;

#[test]
fn every_changed_configuration_is_exact() {
    let mut wrong = Vec::new();
    let mut number = 0;
    for line in include_str!("model/variants_hybrid.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let id = row["id"].as_str().unwrap();
        let network = match network_from_config(&row["config"]) {
            Ok(imported) => imported.network,
            Err(issues) => {
                let messages: Vec<_> = issues.iter().map(|issue| &issue.message).collect();
                wrong.push(format!("{id}: {messages:?}"));
                continue;
            }
        };
        number += 1;
        let role = |wanted: Role| network.parameters_where(|tensor| tensor.role == wanted).get();
        let buffers: u64 = network.layers().map(|layer| layer.buffers.get()).sum();
        let found = [
            ("total", network.total_parameters().get()),
            ("active", network.active_parameters().get()),
            ("embedding", network.embedding_parameters().get()),
            ("lm_head", network.head_parameters().get()),
            ("routed", network.routed_expert_parameters().get()),
            ("vision", role(Role::Tower)),
            ("buffers", buffers),
        ];
        for (column, found) in found {
            let Some(expected) = row["expected"][column].as_u64() else {
                continue;
            };
            if found != expected {
                let difference = i128::from(found) - i128::from(expected);
                wrong.push(format!(
                    "{id}: {column} is {found}, not {expected} ({difference:+})"
                ));
            }
        }
    }
    println!("{number} changed configurations counted");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every key of every configuration replaced by nonsense: an answer or errors at their keys, never a panic.
#[test]
fn nonsense_is_answered() {
    let nonsense = [
        Value::Null,
        Value::from(-1),
        Value::from(0),
        Value::from(7),
        Value::from(1.5),
        Value::from(u64::MAX),
        Value::from("x"),
        serde_json::json!([]),
        serde_json::json!([0, "y", null]),
        serde_json::json!({}),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for line in include_str!("model/variants_hybrid.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let config = &row["config"];
        for section in ["", "text_config", "vision_config"] {
            let part = if section.is_empty() {
                config
            } else {
                &config[section]
            };
            let Some(map) = part.as_object() else { continue };
            for key in map.keys() {
                if !seen.insert(format!("{} {section} {key}", config["model_type"])) {
                    continue;
                }
                for value in &nonsense {
                    let mut changed = config.clone();
                    let target = if section.is_empty() {
                        &mut changed
                    } else {
                        &mut changed[section]
                    };
                    target[key] = value.clone();
                    if let Err(issues) = network_from_config(&changed) {
                        assert!(
                            issues
                                .iter()
                                .all(|issue| issue.path.starts_with("model.hf_config"))
                        );
                    }
                }
            }
        }
    }
}
