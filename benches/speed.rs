//! How long the calls of a file of cases take natively, JSON in and JSON out, as JSON: case to microseconds. `cargo xtask bench compare`
//! sets them beside the same calls as WebAssembly and beside the original calculator; without a file nothing is timed.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark reports on standard output and says what it expected by a panic"
)]

use std::time::{Duration, Instant};

use gpu_mem_calc::calls::run_text;
use serde_json::{Map, Value, json};

fn main() {
    let Ok(path) = std::env::var("GPU_MEM_CALC_CASES") else {
        return;
    };
    let text = std::fs::read_to_string(&path).expect("the cases");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("cases as JSON");
    let mut found = Map::new();
    for case in &cases {
        let text = |key: &str| {
            case.get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let given = case.get("arguments").unwrap_or(&Value::Null).to_string();
        let (name, function) = (text("name"), text("call"));
        let answer = run_text(&function, &given);
        assert!(!answer.contains("\"fault\""), "{name}: {answer}");
        found.insert(name, json!(median(|| drop(run_text(&function, &given)))));
    }
    println!("{}", Value::Object(found));
}

/// The median duration in microseconds, over a second of calls.
fn median(run: impl Fn()) -> f64 {
    let end = Instant::now() + Duration::from_secs(1);
    let mut times = Vec::new();
    while Instant::now() < end || times.len() < 5 {
        let start = Instant::now();
        run();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    middle.as_secs_f64() * 1e6
}
