//! Any text as it is pasted or dropped: configurations of frameworks, command lines, logs, messages. Something is always said.
#![no_main]

use gpu_mem_calc::api;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let import = api::read_text(text);
    let says = !import.found.is_empty()
        || !import.assumed.is_empty()
        || !import.not_understood.is_empty()
        || !import.issues.is_empty();
    assert!(says);
});
