//! Arbitrary requests never panic, and whatever is answered adds up.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, InputId, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => (0u64..70).prop_map(|power| json!(1u64.checked_shl(u32::try_from(power).unwrap_or(0)).unwrap_or(u64::MAX))),
        4 => any::<i64>().prop_map(Value::from),
        4 => (-4.0..1e7f64).prop_map(|number| json!(number)),
        2 => any::<bool>().prop_map(Value::from),
        2 => prop::sample::select(vec!["7B", "0", "fsdp", "bf16", "full", "chunked", "nan", "", "1e999", "８", "eager"]).prop_map(Value::from),
        1 => ".{0,8}".prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!([1, "x", {}])),
        1 => Just(json!({"hidden_size": -1, "model_type": 5})),
    ]
}

fn base(index: usize) -> Value {
    match index {
        0 => json!({}),
        1 => json!({"model": {"num_parameters": "7B"}}),
        _ => json!({
            "model": {"num_layers": 4, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 512},
            "engine": {"type": if index == 2 { "fsdp" } else { "pytorch_ddp" }},
            "hardware": {"num_gpus": 4},
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_request_panics(
        index in 0usize..4,
        changes in prop::collection::vec((0..InputId::ALL.len(), value()), 0..6),
    ) {
        let mut request = Request::from_json(&base(index)).unwrap_or_default();
        for (input, value) in changes {
            if let Some(id) = InputId::ALL.get(input) {
                request.set(*id, value);
            }
        }
        match api::calculate(&request) {
            Ok(answer) => {
                let parts: u64 = answer.components.iter().map(|component| component.bytes.get()).sum();
                prop_assert_eq!(parts, answer.total_memory_per_gpu_bytes.get());
                prop_assert!(answer.memory_utilization_percent.is_finite());
            }
            Err(issues) => prop_assert!(issues.iter().any(|issue| issue.is_error())),
        }
    }

    #[test]
    fn no_text_panics(text in "[{}\\[\\]\":,a-z0-9 ]{0,60}") {
        if let Ok(request) = Request::from_text(&text) {
            let _ = api::calculate(&request);
        }
    }
}
