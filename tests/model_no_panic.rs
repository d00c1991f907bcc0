//! Arbitrary configurations never panic: the import answers with a network or with errors that name their fields, and so
//! do changes of fields.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::model::catalogue;
use gpu_mem_calc::model::import::{Field, edit, network_from_config, read_fields};
use proptest::prelude::*;
use serde_json::{Value, json};

fn nonsense() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0u32..64).prop_map(|power| json!(1u64 << power)),
        2 => any::<i64>().prop_map(Value::from),
        2 => (0u64..9).prop_map(Value::from),
        2 => (-4.0..1e20f64).prop_map(|number| json!(number)),
        2 => any::<bool>().prop_map(Value::from),
        1 => Just(json!(u64::MAX)),
        1 => Just(Value::Null),
        1 => ".{0,8}".prop_map(Value::from),
        1 => Just(json!([])),
        1 => Just(json!([1, "x", {}, null, -1])),
        1 => Just(json!({"hidden_size": -1, "model_type": 5})),
    ]
}

/// Replaces or removes values at arbitrary places.
fn spoil(config: &mut Value, changes: &[(usize, Value, bool)]) {
    for (place, value, nested) in changes {
        let Value::Object(map) = config else { return };
        let keys: Vec<String> = map.keys().cloned().collect();
        let key = &keys[place % keys.len()];
        let inner = map.get_mut(key).unwrap();
        match inner {
            Value::Object(section) if *nested && !section.is_empty() => {
                let keys: Vec<String> = section.keys().cloned().collect();
                section.insert(keys[(place / 7) % keys.len()].clone(), value.clone());
            }
            Value::Array(list) if *nested && !list.is_empty() => {
                let index = place % list.len();
                list[index] = value.clone();
            }
            _ => *inner = value.clone(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn spoilt_configurations_are_answered(
        model in 0usize..10_000,
        changes in prop::collection::vec((0usize..10_000, nonsense(), any::<bool>()), 1..5),
        field in 0usize..100,
        value in prop_oneof![0u64..20, Just(u64::MAX), 1u64..2_000_000],
    ) {
        let entries = catalogue::all();
        let mut config = entries[model % entries.len()].config.clone();
        spoil(&mut config, &changes);
        match network_from_config(&config) {
            Ok(imported) => prop_assert!(imported.network.total_parameters().get() <= 1_000_000_000_000_000),
            Err(issues) => {
                prop_assert!(!issues.is_empty());
                prop_assert!(issues.iter().all(|issue| issue.is_error() && issue.path.starts_with("model.hf_config")));
            }
        }
        let _ = read_fields(&config);
        let field = Field::ALL[field % Field::ALL.len()];
        if let Ok(edited) = edit(&config, field, value) {
            let _ = network_from_config(&edited.config);
        }
    }

    #[test]
    fn arbitrary_json_is_answered(value in nonsense(), key in "[a-z_]{1,12}") {
        let _ = network_from_config(&value);
        let _ = network_from_config(&json!({key: value.clone(), "model_type": value.clone(), "text_config": value}));
    }
}
