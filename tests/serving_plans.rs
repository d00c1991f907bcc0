//! Plans of serving as they are told: what a plan says of itself is what it says as a question, the best comes first, every option
//! has an effect, and the whole space is accounted for.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, Planned, Request, ServingPlanAnswer};
use gpu_mem_calc::calls;
use serde_json::{Map, Value, json};

fn ask(value: &Value) -> ServingPlanAnswer {
    let request = Request::from_json(value).expect("a request");
    match api::planned(&request) {
        Ok(Planned::Serving(answer)) => *answer,
        other => unreachable!("{other:?}"),
    }
}

fn question() -> Value {
    json!({
        "model": {"id": "llama-3.1-8b"},
        "hardware": {"gpu": "l40s", "num_gpus": 4},
        "inference": {"prompt_tokens": 2000, "new_tokens": 200},
        "hybrid": {"engines": ["vllm", "sglang"]},
    })
}

/// The question with other values.
fn with(patch: Value) -> Value {
    let mut question = question();
    for (section, fields) in patch.as_object().expect("sections") {
        for (name, value) in fields.as_object().expect("fields") {
            question[section][name] = value.clone();
        }
    }
    question
}

/// The question with the inputs of a plan.
fn opened(question: &Value, values: &Map<String, Value>) -> Request {
    let mut question = question.clone();
    question.as_object_mut().expect("sections").remove("hybrid");
    let mut request = Request::from_json(&question).expect("a request");
    for (key, value) in values {
        let input = api::Input::by_key(key).expect("an input");
        request.set(input.id, value.clone());
    }
    request
}

#[test]
fn a_plan_of_serving_says_of_itself_what_it_says_as_a_question() {
    let question = question();
    let found = ask(&question);
    assert_eq!(found.plans.len(), 10);
    let points = found.plans.iter().map(|plan| &plan.point).chain(&found.front);
    for point in points {
        let answer = api::calculate_inference(&opened(&question, &point.values))
            .unwrap_or_else(|issues| unreachable!("{}: {issues:?}", point.name));
        assert!(answer.fits_on_gpu, "{}", point.name);
        assert_eq!(answer.need.expected_bytes, point.need_bytes, "{}", point.name);
        let speed = answer.speed.expect("a speed");
        let per_gpu = speed.output_tokens_per_second.expected * answer.replicas as f64 / 4.0;
        let said = point.tokens_per_second_per_gpu.expect("a rate");
        assert!(
            (per_gpu / said - 1.0).abs() < 1e-9,
            "{}: {per_gpu} of {said}",
            point.name
        );
        let delay = point.tpot_ms.expect("a delay");
        assert!(
            (speed.tpot_ms.expected / delay - 1.0).abs() < 1e-9,
            "{}",
            point.name
        );
    }
}

#[test]
fn the_best_way_of_serving_comes_first_and_the_front_gets_sooner() {
    let found = ask(&question());
    let rates: Vec<f64> = found
        .plans
        .iter()
        .filter_map(|plan| plan.point.tokens_per_second_per_gpu)
        .collect();
    assert!(rates.is_sorted_by(|left, right| left >= right), "{rates:?}");
    assert_eq!(found.front[0].tokens_per_second_per_gpu, Some(rates[0]));
    for pair in found.front.windows(2) {
        assert!(pair[0].tokens_per_second_per_gpu >= pair[1].tokens_per_second_per_gpu);
        assert!(pair[0].tpot_ms > pair[1].tpot_ms);
    }
    let effects: Vec<&str> = found.by_effect.iter().map(|point| point.effect).collect();
    assert_eq!(effects, ["none", "numerics", "quality"]);
    assert!(
        found
            .by_effect
            .iter()
            .any(|point| point.name == found.plans[0].point.name)
    );
    let why = found.why.expect("a reason");
    assert!(why.words.contains("tokens per second and GPU"), "{}", why.words);
    let left_out: u64 = found.space.left_out.iter().map(|one| one.combinations).sum();
    assert_eq!(left_out + found.space.fitting, found.space.combinations);
}

#[test]
fn options_of_a_search_for_serving_have_an_effect() {
    let plain = ask(&question());
    let different = |patch: Value| {
        let found = ask(&with(patch.clone()));
        assert_ne!(found.plans, plain.plans, "{patch}");
        found
    };
    let roomy = different(json!({"hybrid": {"rank_by": "capacity"}}));
    assert!(roomy.plans[0].point.at_once >= plain.plans[0].point.at_once);
    assert!(
        roomy
            .plans
            .is_sorted_by(|left, right| left.point.at_once >= right.point.at_once)
    );
    let asked = different(json!({"hybrid": {"precisions": "asked"}}));
    assert!(
        asked
            .plans
            .iter()
            .all(|plan| plan.point.effect == "none" && plan.weights == "bf16")
    );
    let tight = different(json!({"hybrid": {"target_gpu_utilization": 0.5}}));
    assert!(
        tight
            .plans
            .iter()
            .all(|plan| plan.point.need_bytes <= tight.asked.usable_bytes)
    );
    different(json!({"hybrid": {"engines": ["vllm"]}}));
    let few = different(json!({"hybrid": {"plans": 3}}));
    assert_eq!(few.plans.len(), 3);
    for (name, key) in [
        ("max_tensor_parallel", "tensor"),
        ("max_pipeline_parallel", "pipeline"),
    ] {
        let found = ask(&with(json!({"hybrid": {name: 1}})));
        assert!(found.space.fitting < plain.space.fitting, "{key}");
    }
    let soon = different(json!({"inference": {"max_tpot_ms": 15}}));
    assert!(soon.plans.iter().all(|plan| plan.point.tpot_ms <= Some(15.0)));
    assert!(soon.space.left_out.iter().any(|one| one.rule == "slow"));
    let priced = ask(&with(json!({"hardware": {"gpu_prices": ["l40s=0.9"]}})));
    let row = &priced.plans[0];
    let expected = row.gpu_hours_per_million_tokens.expect("hours") * 0.9;
    assert!((row.cost_per_million_tokens.expect("a cost") / expected - 1.0).abs() < 1e-9);
    let unread = ask(&with(json!({"hybrid": {"max_context_parallel": 2}})));
    assert!(
        unread
            .warnings
            .iter()
            .any(|issue| issue.path == "hybrid.max_context_parallel")
    );
}

#[test]
fn experts_are_shared_among_engines_and_files_are_ranked_by_capacity() {
    let experts = json!({
        "model": {"id": "qwen3-30b-a3b"},
        "hardware": {"gpu": "l40s", "num_gpus": 4},
        "inference": {"prompt_tokens": 2000, "new_tokens": 200},
        "hybrid": {"engines": ["vllm"], "precisions": "asked", "plans": 100},
    });
    let found = ask(&experts);
    assert!(
        found
            .plans
            .iter()
            .any(|plan| plan.data > 1 && plan.expert_parallel),
        "none shares experts"
    );
    let refused = ask(&with(json!({"hybrid": {"engines": ["llama_cpp", "vllm"]}})));
    assert!(
        refused.refused.iter().any(|one| one.way == "llama.cpp"),
        "{:?}",
        refused.refused
    );
    let files = ask(&with(
        json!({"hybrid": {"engines": ["llama_cpp"], "rank_by": "capacity"}}),
    ));
    assert!(
        files
            .plans
            .iter()
            .all(|plan| plan.engine == "llama_cpp" && plan.point.tpot_ms.is_none())
    );
    assert!(!files.plans.is_empty());
}

#[test]
fn what_is_too_large_and_what_is_wrong_is_told() {
    let mut large = question();
    large["model"] = json!({"id": "llama-3.1-405b"});
    let found = ask(&large);
    assert!(found.plans.is_empty() && found.front.is_empty() && found.why.is_none());
    assert!(found.nearest.expect("the nearest").shortfall_bytes.get() > 0);
    for (patch, path) in [
        (json!({"hybrid": {"engines": ["fsdp"]}}), "hybrid.engines"),
        (
            json!({"inference": {"other_gpus": ["rtx-3090"]}}),
            "inference.other_gpus",
        ),
        (
            json!({"hardware": {"gpu_prices": ["l40s"]}}),
            "hardware.gpu_prices",
        ),
        (json!({"hybrid": {"rank_by": "beauty"}}), "hybrid.rank_by"),
    ] {
        let request = Request::from_json(&with(patch)).expect("a request");
        let issues = api::planned(&request).expect_err("refused");
        assert!(
            issues.iter().any(|issue| issue.is_error() && issue.path == path),
            "{path}: {issues:?}"
        );
    }
}

#[test]
fn the_call_plans_serving_where_serving_is_asked_and_training_else() {
    let served = calls::run("plan", &[question()]).unwrap();
    assert_eq!(served["kind"], "serving");
    assert_eq!(served["asked"]["rank_by"], "speed");
    let training = json!({"model": {"id": "llama-3.1-8b"}, "hardware": {"num_gpus": 2}, "hybrid": {"engines": ["fsdp"]}});
    let trained = calls::run("plan", std::slice::from_ref(&training)).unwrap();
    assert_eq!(
        trained,
        calls::run("optimizeHybridParallelism", &[training]).unwrap()
    );
    assert!(trained["plans"][0]["step_ms"].is_number());
}

#[test]
fn in_slices_the_same_is_found_and_a_listener_can_end_it() {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};
    // Nothing waits here: every pause is over at once.
    fn done<T>(future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(found) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return found;
            }
        }
    }
    let training = json!({"model": {"id": "llama-3.1-8b"}, "hardware": {"num_gpus": 2}, "hybrid": {"engines": ["fsdp"]}});
    for asked in [question(), training] {
        let request = Request::from_json(&asked).expect("a request");
        let mut pauses = 0;
        let mut pause = || -> Pin<Box<dyn Future<Output = ()>>> {
            pauses += 1;
            Box::pin(std::future::ready(()))
        };
        let strict = api::Strictness::default();
        let found = done(api::planned_slowly(&request, strict, &mut |_| true, &mut pause));
        assert_eq!(found, api::planned(&request));
        let least = done(api::cheapest_slowly(
            &request,
            (api::CheapestSort::Gpus, false),
            &|| true,
            &mut pause,
        ));
        assert_eq!(least, api::cheapest(&request, api::CheapestSort::Gpus, false));
        let mut heard = 0;
        let mut ends = |_: &api::PlanProgress| {
            heard += 1;
            heard < 2
        };
        let ended = done(api::planned_slowly(&request, strict, &mut ends, &mut pause));
        assert!(ended.is_ok() && heard == 2, "{heard}");
        assert!(pauses > 100, "{pauses}");
    }
}
