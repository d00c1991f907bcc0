//! Request to answer: values of any kind for some inputs of the registry, over a question that is answered. What is answered
//! adds up; what is not has an error with a message.
#![no_main]

use gpu_mem_calc::api::{self, InputId, Request};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

#[derive(Arbitrary, Debug)]
enum Given<'a> {
    Whole(i64),
    Small(u16),
    Power(u8),
    Real(f64),
    Switch(bool),
    Text(&'a str),
    Choice(u8),
    Nothing,
}

fn value(id: InputId, given: &Given<'_>) -> Value {
    match given {
        Given::Whole(whole) => json!(whole),
        Given::Small(whole) => json!(whole),
        Given::Power(power) => json!(1u64 << (power % 64)),
        Given::Real(real) => json!(real),
        Given::Switch(on) => json!(on),
        Given::Text(text) => json!(text),
        Given::Choice(at) => {
            let choices = id.input().kind.choices();
            choices
                .get(usize::from(*at) % choices.len().max(1))
                .map_or(json!(at), |choice| json!(choice.value))
        }
        Given::Nothing => Value::Null,
    }
}

const MODELS: [&str; 6] = [
    "llama-3.1-8b",
    "mixtral-8x7b",
    "gpt2",
    "deepseek-v3",
    "gemma-3-27b",
    "qwen3-30b-a3b",
];

fuzz_target!(|input: (u8, bool, Vec<(u16, Given<'_>)>)| {
    let (model, serves, changes) = input;
    let mut request = Request::new().with(InputId::ModelId, MODELS[usize::from(model) % MODELS.len()]);
    if serves {
        request.set(InputId::ServerType, "vllm");
    }
    for (at, given) in changes.iter().take(12) {
        let id = InputId::ALL[usize::from(*at) % InputId::ALL.len()];
        request.set(id, value(id, given));
    }
    let refused = |issues: Vec<api::Issue>| {
        assert!(
            issues
                .iter()
                .any(|issue| issue.is_error() && !issue.message.is_empty())
        );
    };
    if request.serves() {
        match api::calculate_inference(&request) {
            Ok(answer) => assert!(answer.need.low_bytes <= answer.need.high_bytes),
            Err(issues) => refused(issues),
        }
        return;
    }
    match api::calculate(&request) {
        Ok(answer) => {
            let parts: u64 = answer.components.iter().map(|part| part.bytes.get()).sum();
            assert_eq!(parts, answer.total_memory_per_gpu_bytes.get());
            assert!(answer.need.low_bytes <= answer.need.expected_bytes);
            assert!(answer.need.expected_bytes <= answer.need.high_bytes);
        }
        Err(issues) => refused(issues),
    }
    let _ = api::multi_node(&request);
});
