//! Plans as they are told: what a plan says of itself is what the plan says as a question, every option has an effect, the whole
//! space is accounted for, and multi-node questions of the compatibility data get theirs.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, InputId, PlanAnswer, Request};
use serde_json::{Map, Value, json};

fn ask(value: &Value) -> PlanAnswer {
    let request = Request::from_json(value).expect("a request");
    api::plan(&request).unwrap_or_else(|issues| unreachable!("{issues:?}"))
}

fn small() -> Value {
    json!({
        "model": {"id": "llama-3.1-8b"},
        "training": {"seq_length": 8192},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 16},
        "hybrid": {"global_batch_tokens": 1_048_576},
    })
}

/// The question with other options.
fn with(options: Value) -> Value {
    let mut question = small();
    let own = question["hybrid"].as_object_mut().expect("options");
    own.extend(options.as_object().expect("options").clone());
    question
}

/// A question with the inputs of a plan.
fn opened(question: &Value, values: &Map<String, Value>) -> Request {
    let mut request = Request::from_json(question).expect("a request");
    for (key, value) in values {
        let input = api::Input::by_key(key).expect("an input");
        request.set(input.id, value.clone());
    }
    for id in InputId::ALL.iter().filter(|id| id.key().starts_with("hybrid.")) {
        request.clear(*id);
    }
    request
}

#[test]
fn a_plan_says_of_itself_what_it_says_as_a_question() {
    let question = small();
    let found = ask(&question);
    assert_eq!(found.plans.len(), 10);
    let points = found.plans.iter().map(|plan| &plan.point).chain(&found.front);
    for point in points {
        let request = opened(&question, &point.values);
        let multi =
            api::multi_node(&request).unwrap_or_else(|issues| unreachable!("{}: {issues:?}", point.name));
        let step = multi.step.expect("a time");
        assert!(
            (step.step_ms.expected - point.step_ms).abs() < 1e-9,
            "{}",
            point.name
        );
        assert_eq!(multi.need.expected_bytes, point.need_bytes, "{}", point.name);
        assert!((step.tokens_per_step - 1_048_576.0).abs() < 1.0, "{}", point.name);
        assert!(point.need_bytes <= found.asked.limit_bytes);
        let unused: Vec<_> = multi
            .warnings
            .iter()
            .filter(|issue| issue.code == "not_used")
            .collect();
        assert!(unused.is_empty(), "{}: {unused:?}", point.name);
    }
}

#[test]
fn the_best_comes_first_and_the_front_falls() {
    let found = ask(&small());
    let times: Vec<f64> = found.plans.iter().map(|plan| plan.point.step_ms).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(found.front[0].step_ms, times[0]);
    for pair in found.front.windows(2) {
        assert!(pair[0].step_ms <= pair[1].step_ms && pair[0].need_bytes > pair[1].need_bytes);
    }
    let why = found.why.expect("a reason");
    assert!(why.saved_ms > 0.0 && !why.parts.is_empty());
    let parts: f64 = why.parts.iter().map(|part| part.other_ms - part.best_ms).sum();
    assert!((parts - why.saved_ms).abs() < 0.01, "{parts} of {}", why.saved_ms);
}

#[test]
fn every_combination_is_settled_by_one_rule() {
    let found = ask(&small());
    let left_out: u64 = found.space.left_out.iter().map(|one| one.combinations).sum();
    assert_eq!(left_out + found.space.fitting, found.space.combinations);
    assert!(found.space.calculated < found.space.combinations / 4);
}

#[test]
fn options_of_the_hybrid_optimizer_have_an_effect() {
    let before = ask(&small());
    let best = |options: Value| ask(&with(options));
    let sizes = |found: &PlanAnswer| {
        let all = found.plans.iter();
        all.map(|plan| (plan.mesh.pipeline, plan.mesh.chunks, plan.point.values.clone()))
            .collect::<Vec<_>>()
    };
    // target_gpu_utilization
    let tight = best(json!({"target_gpu_utilization": 0.3}));
    assert!(tight.asked.limit_bytes < before.asked.limit_bytes);
    assert!(
        tight
            .plans
            .iter()
            .all(|plan| plan.point.need_bytes <= tight.asked.limit_bytes)
    );
    assert!(tight.space.fitting < before.space.fitting);
    // max_pipeline_chunks
    let whole = best(json!({"max_pipeline_chunks": 1, "engines": ["megatron_lm"]}));
    assert!(sizes(&whole).iter().all(|(_, chunks, _)| *chunks == 1));
    // enable_sequence_parallel is final, and so is its threshold
    for options in [
        json!({"enable_sequence_parallel": false}),
        json!({"sequence_parallel_threshold": 8193}),
    ] {
        let without = best(options);
        let on = |found: &PlanAnswer| {
            let all = found.plans.iter().map(|plan| &plan.point).chain(&found.front);
            all.filter(|point| point.values.get("parallelism.sequence_parallel") == Some(&json!(true)))
                .count()
        };
        assert_eq!(on(&without), 0);
        assert!(without.space.fitting < before.space.fitting);
    }
    // prefer_pipeline_parallel: among those within a hundredth of the fastest the longer pipelines come first
    let deep = |prefer: bool| {
        ask(&json!({
            "model": {"id": "llama-3.1-70b"},
            "training": {"seq_length": 4096},
            "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 64},
            "hybrid": {"global_batch_tokens": 2_097_152, "engines": ["megatron_lm"], "plans": 100,
                "prefer_pipeline_parallel": prefer},
        }))
    };
    let (preferred, plain) = (deep(true), deep(false));
    let fastest = plain.plans[0].point.step_ms;
    let equal: Vec<u64> = preferred
        .plans
        .iter()
        .take_while(|plan| plan.point.step_ms <= fastest * 1.01)
        .map(|plan| plan.mesh.pipeline)
        .collect();
    assert!(equal.is_sorted_by(|left, right| left >= right), "{equal:?}");
    assert_ne!(sizes(&preferred), sizes(&plain));
}

#[test]
fn tensor_and_pipeline_limits_are_inputs() {
    let small = ask(&with(
        json!({"max_tensor_parallel": 2, "max_pipeline_parallel": 2, "max_context_parallel": 1}),
    ));
    for plan in &small.plans {
        assert!(plan.mesh.tensor <= 2 && plan.mesh.pipeline <= 2 && plan.mesh.context == 1);
    }
    let usual = ask(&with(json!({"engines": ["megatron_lm"]})));
    assert!(
        usual.plans.iter().all(|plan| plan.mesh.tensor <= 8),
        "a node has 8"
    );
    let wide = ask(&with(
        json!({"engines": ["megatron_lm"], "max_tensor_parallel": 16}),
    ));
    assert!(wide.space.fitting >= usual.space.fitting);
}

#[test]
fn without_a_search_the_question_is_the_only_plan() {
    let mut question = with(json!({"auto_optimize": false}));
    question["engine"] = json!({"type": "fsdp"});
    let found = ask(&question);
    assert_eq!(found.plans.len(), 1);
    let same = opened(&question, &Map::new());
    let multi = api::multi_node(&same).expect("an answer");
    assert_eq!(multi.need.expected_bytes, found.plans[0].point.need_bytes);
}

#[test]
fn where_nothing_fits_the_nearest_is_told_with_what_is_missing() {
    let mut question = with(json!({"allow_offload": false}));
    question["model"] = json!({"id": "llama-3.1-405b"});
    question["hardware"]["num_gpus"] = json!(8);
    let found = ask(&question);
    assert!(found.plans.is_empty() && found.front.is_empty());
    let nearest = found.nearest.expect("the nearest");
    let shortfall = found.shortfall_bytes.expect("what is missing");
    assert_eq!(
        nearest.need_bytes.saturating_sub(found.asked.limit_bytes),
        shortfall
    );
    assert!(shortfall.get() > 0);
}

#[test]
fn a_wrong_option_is_refused_by_field() {
    for (options, path) in [
        (json!({"engines": ["vllm"]}), "hybrid.engines"),
        (
            json!({"target_gpu_utilization": 1.5}),
            "hybrid.target_gpu_utilization",
        ),
    ] {
        let request = Request::from_json(&with(options)).expect("a request");
        let issues = api::plan(&request).expect_err("refused");
        assert!(
            issues.iter().any(|issue| issue.is_error() && issue.path == path),
            "{issues:?}"
        );
    }
}

#[test]
fn a_multi_node_question_of_the_compatibility_data_gets_plans() {
    let bases: Value = serde_json::from_str(include_str!("compat/base_requests.json")).expect("bases");
    let mut question = bases["calculateMultiNode"].clone();
    let plain = api::multi_node(&Request::from_json(&question).expect("a request")).expect("an answer");
    assert!(plain.plans.is_none());
    question["optimize_strategy"] = json!(true);
    let planned = api::multi_node(&Request::from_json(&question).expect("a request")).expect("an answer");
    let plans = planned.plans.expect("a recommended plan");
    assert!(!plans.is_empty());
    let times = planned.step.expect("a time").step_ms.expected;
    assert!(
        plans[0].point.step_ms <= times,
        "{} of {times}",
        plans[0].point.step_ms
    );
}

/// The multi-node question of the compatibility data with other values.
fn compatible(patch: Value) -> api::MultiNodeAnswer {
    let bases: Value = serde_json::from_str(include_str!("compat/base_requests.json")).expect("bases");
    let mut question = bases["calculateMultiNode"].clone();
    for (section, fields) in patch.as_object().expect("sections") {
        for (name, value) in fields.as_object().expect("fields") {
            question[section][name] = value.clone();
        }
    }
    let request = Request::from_json(&question).expect("a request");
    api::multi_node(&request).unwrap_or_else(|issues| unreachable!("{patch}: {issues:?}"))
}

#[test]
fn values_of_a_multi_node_question_that_were_dropped_are_used() {
    let total = |answer: &api::MultiNodeAnswer| answer.network_overhead.total_overhead_bytes;
    let plain = compatible(json!({}));
    assert!(total(&plain).get() > 0);
    // One node: nothing leaves it.
    let one = compatible(json!({"node_config": {"num_nodes": 1}}));
    assert_eq!(total(&one).get(), 0);
    // No interconnect is InfiniBand.
    let default = compatible(json!({"node_config": {"interconnect_type": null}}));
    let named = compatible(json!({"node_config": {"interconnect_type": "infiniband"}}));
    assert_eq!(default.network_overhead, named.network_overhead);
    // Twice the bandwidth: the same volumes, and the part of the time that is volume is halved.
    let rate = |gbps: u64| compatible(json!({"node_config": {"interconnect_bandwidth_gbps": gbps}}));
    let (slow, fast) = (rate(200), rate(400));
    assert_eq!(total(&slow), total(&fast));
    let volume = |answer: &api::MultiNodeAnswer| {
        answer.network_overhead.communication_time_ms_per_step - answer.network_overhead.latency_overhead_ms
    };
    assert!(volume(&fast) < volume(&slow));
    // A longer sequence sends as much more from stage to stage. DeepSpeed's pipeline is not built, Megatron's is.
    let long = |length: u64| {
        compatible(json!({"engine": {"type": "megatron_lm", "zero_stage": null},
            "training": {"seq_length": length}, "parallelism": {"pipeline_parallel_size": 2}}))
    };
    let pipeline = |answer: &api::MultiNodeAnswer| answer.network_overhead.pipeline_bytes.get();
    assert_eq!(pipeline(&long(131_072)), 32 * pipeline(&long(4096)));
    // A stated number of replicas is the one that there is.
    let stated = compatible(json!({"parallelism": {"data_parallel_size": 16}}));
    assert_eq!(stated.gpus_used, 16);
}
