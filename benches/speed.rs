//! How long the calls of a file of cases take natively, JSON in and JSON out, and what has no JSON around it, as JSON: name to
//! microseconds. `cargo xtask bench compare` sets the calls beside the same as WebAssembly and by the original calculator; without
//! a file nothing is timed.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark reports on standard output and says what it expected by a panic"
)]

mod settings;

use std::hint::black_box;
use std::time::{Duration, Instant};

use gpu_mem_calc::calls::run_text;
use gpu_mem_calc::training::{Prepared, evaluate};
use serde_json::{Map, Value, json};

const PEAK: &str = "the peak of one setting of a search, Llama 3.1 405B";
const LEDGER: &str = "the ledger of a training step, Llama 3.1 405B";

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
    println!("{}", json!({ "calls": found, "within": within() }));
}

/// What searches and answers are made of, of a model with 126 layers: the peak of one setting, and the ledger of one step.
fn within() -> Value {
    let model = "llama-3.1-405b";
    let settings = settings::settings(model);
    let every = median(|| {
        let mut prepared = Prepared::new();
        let peaks = settings.iter().map(|job| prepared.peak(job).get());
        black_box(peaks.max());
    });
    let job = settings::job(model);
    let ledger = median(|| drop(black_box(evaluate(black_box(&job)))));
    let each = every / f64::from(u32::try_from(settings.len()).expect("a few settings"));
    json!({ PEAK: each, LEDGER: ledger })
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
