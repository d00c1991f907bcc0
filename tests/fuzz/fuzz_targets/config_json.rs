//! A config.json: the report on its model, or issues with a message each.
#![no_main]

use gpu_mem_calc::api::{self, InputId, Request};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let config: Value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    let request = Request::new().with(InputId::HfConfig, config);
    match api::model_report(&request, true) {
        Ok(report) => assert!(report.summary.active_parameters <= report.summary.total_parameters),
        Err(issues) => assert!(
            issues
                .iter()
                .any(|issue| issue.is_error() && !issue.message.is_empty())
        ),
    }
});
