//! Every call of the JavaScript module, with arguments as JSON text. The outcome is JSON, and never a fault of the calculator.
#![no_main]

use gpu_mem_calc::calls::{CALLS, run_text};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Calls that try hundreds of questions: too slow for a fuzzer, and each of those questions is tried by other targets.
const SLOW: [&str; 7] = [
    "plan",
    "optimizeHybridParallelism",
    "optimizeBatchSize",
    "solve",
    "smallestCard",
    "fixes",
    "presets",
];

fuzz_target!(|input: (u8, &str)| {
    let (at, arguments) = input;
    let call = &CALLS[usize::from(at) % CALLS.len()];
    if SLOW.contains(&call.name) {
        return;
    }
    let outcome: Value = serde_json::from_str(&run_text(call.name, arguments)).expect("JSON");
    assert!(outcome.get("answer").is_some() ^ outcome.get("fault").is_some());
});
