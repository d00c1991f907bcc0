//! A request as JSON or YAML: what is read comes back from what is written.
#![no_main]

use gpu_mem_calc::api;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(request) = api::request_from_text(text) {
        let value = request.to_json();
        let again = api::request_from_text(&value.to_string()).map(|again| again.to_json());
        assert_eq!(again.as_ref(), Ok(&value));
        let yaml = api::request_from_text(&api::yaml_text(&value)).map(|again| again.to_json());
        assert_eq!(yaml.as_ref(), Ok(&value));
    }
});
