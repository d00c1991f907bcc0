//! A parameter count as text: exact, within its bounds, or refused with a message.
#![no_main]

use gpu_mem_calc::api;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    match api::parse_parameter_count(&Value::from(text)) {
        Ok(parsed) => assert!((1..=1_000_000_000_000_000).contains(&parsed.count.get())),
        Err(error) => assert!(!error.message.is_empty()),
    }
});
