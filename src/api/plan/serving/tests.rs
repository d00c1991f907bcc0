//! The search against the door: every combination of small spaces, asked as a question of its own, gives the same best plans and
//! the same front.

use serde_json::json;

use super::super::super::inference::{answer, pace};
use super::*;
use crate::inference::evaluate;
use crate::memory::meters::Fit;
use crate::planner::{Deployment, Load, Served};

fn prepared(value: &serde_json::Value) -> Prepared {
    let request = Request::from_json(value).expect("a request");
    prepare(&request, Strictness::default()).unwrap_or_else(|issues| unreachable!("{issues:?}"))
}

/// Every combination of a space, without its requests at once.
fn all(space: &ServingSpace) -> Vec<Deployment> {
    let mut plans = Vec::new();
    for (number, way) in space.ways.iter().enumerate() {
        for tensor in &way.tensor {
            for pipeline in &way.pipeline {
                for data in &way.data {
                    for experts in &way.experts {
                        for format in 0..way.formats {
                            for cache in 0..way.caches {
                                plans.push(Deployment {
                                    way: number,
                                    tensor: *tensor,
                                    pipeline: *pipeline,
                                    data: *data,
                                    experts: *experts,
                                    format,
                                    cache,
                                    sequences: 1,
                                });
                            }
                        }
                    }
                }
            }
        }
    }
    plans
}

/// What the door says to a combination; nothing where it does not fit.
fn through_the_door(prepared: &Prepared, plan: Deployment) -> Option<Served> {
    let request = part(&judge::asked(&prepared.asked(), &plan), Task::Inference);
    let question = question(&request, Strictness::default()).ok()?;
    let estimate = evaluate(&question.job);
    if estimate.fit == Fit::DoesNotFit {
        return None;
    }
    let pace = pace(&question, &estimate);
    let load = Load {
        need: estimate.need.expected,
        rate: pace.map_or(0.0, |pace| pace.rate),
        delays: pace.map_or((0.0, 0.0), |pace| (pace.first, pace.per_token)),
    };
    let (first, each) = prepared.space.slowest;
    let sooner = |delay: f64, limit: Option<f64>| limit.is_none_or(|limit| delay <= limit);
    let within = prepared.space.limit.is_none_or(|limit| load.need <= limit);
    (within && sooner(load.delays.0, first) && sooner(load.delays.1, each)).then_some(Served { plan, load })
}

/// What the engine itself says the most is. llama.cpp gives several requests caches of their own, so it is asked about two.
fn most(prepared: &Prepared, plan: Deployment) -> u64 {
    let file = prepared.ways[plan.way].engine == ServerId::LlamaCpp;
    let plan = Deployment {
        sequences: if file { 2 } else { 1 },
        ..plan
    };
    let request = part(&judge::asked(&prepared.asked(), &plan), Task::Inference);
    let found = question(&request, Strictness::default()).ok();
    found
        .and_then(|question| answer(question).ok())
        .map_or(0, |answer| answer.max_supported_batch_size)
}

/// What must be equal of a plan; equal plans of other names are not told apart.
fn figures(found: &[Served], order: ServingOrder) -> Vec<(u64, u64, u64, u64)> {
    found
        .iter()
        .map(|one| {
            (
                one.load.rate.to_bits(),
                one.load.delays.1.to_bits(),
                one.load.need.get(),
                order.at_once(one),
            )
        })
        .collect()
}

/// Searches both ways; how many combinations were asked and how many fit.
fn agrees(prepared: &Prepared) -> (u64, u64) {
    let space = &prepared.space;
    let order = prepared.order();
    let mut slow = ServingFound::default();
    let mut asked = 0;
    for plan in all(space) {
        let way = &space.ways[plan.way];
        let copy = plan.tensor * plan.pipeline;
        let ranks = if way.data_within {
            plan.tensor
        } else {
            plan.tensor * plan.data
        };
        let gpus = ranks * plan.pipeline;
        let allowed = space.gpus.is_multiple_of(gpus)
            && ranks <= space.most_ranks
            && (!way.data_within || plan.tensor.is_multiple_of(plan.data))
            && (!plan.experts || ranks > 1);
        if !allowed || copy > space.gpus {
            continue;
        }
        let mut loads = space.sequences.clone();
        loads.push(most(prepared, plan));
        loads.dedup();
        for sequences in loads.into_iter().filter(|sequences| *sequences > 0) {
            asked += 1;
            slow.served
                .extend(through_the_door(prepared, Deployment { sequences, ..plan }));
        }
    }
    let fast = search(prepared, &mut |_| true);
    assert_eq!(
        fast.counts.all(),
        space.size(),
        "combinations are lost or counted twice"
    );
    let best = |found: &ServingFound| figures(&found.best(order, 10), order);
    assert_eq!(best(&fast), best(&slow), "the best plans");
    assert_eq!(
        figures(&fast.front(), order),
        figures(&slow.front(), order),
        "the front"
    );
    assert_eq!(fast.counts.fitting, slow.served.len() as u64, "what fits");
    (asked, fast.counts.fitting)
}

#[test]
fn pruned_search_of_serving_finds_what_exhaustive_search_finds() {
    let mut spaces = Vec::new();
    let mut ask = |model: &str, engines: &[&str], gpus: u64, more: serde_json::Value| {
        let mut question = json!({
            "model": {"id": model},
            "hardware": {"gpu": "l40s", "num_gpus": gpus},
            "inference": {"prompt_tokens": 2000, "new_tokens": 200},
            "hybrid": {"engines": engines},
        });
        for (section, fields) in more.as_object().expect("sections") {
            for (name, value) in fields.as_object().expect("fields") {
                question[section][name] = value.clone();
            }
        }
        let mut found = prepared(&question);
        found.space.sequences = vec![1, 8, 64];
        for (dimensions, way) in found.space.ways.iter_mut().zip(&mut found.ways) {
            way.weights.truncate(3);
            way.caches.truncate(2);
            dimensions.formats = way.weights.len();
            dimensions.caches = way.caches.len();
            dimensions.pipeline.truncate(2);
        }
        spaces.push(found);
    };
    let engines = ["vllm", "sglang", "tgi", "tensorrt_llm", "transformers"];
    for engine in engines {
        ask("llama-3.1-8b", &[engine], 4, json!({}));
        ask(
            "mistral-7b-v0.1",
            &[engine],
            2,
            json!({"hybrid": {"rank_by": "capacity"}}),
        );
        ask(
            "qwen2.5-32b",
            &[engine],
            4,
            json!({"hybrid": {"target_gpu_utilization": 0.9}}),
        );
    }
    ask(
        "llama-3.1-8b",
        &engines,
        2,
        json!({"inference": {"max_tpot_ms": 20}}),
    );
    ask(
        "llama-3.1-8b",
        &engines,
        2,
        json!({"inference": {"max_ttft_ms": 150}}),
    );
    ask("qwen3-30b-a3b", &["vllm"], 4, json!({}));
    ask(
        "qwen3-30b-a3b",
        &["sglang"],
        4,
        json!({"hybrid": {"rank_by": "capacity"}}),
    );
    ask("deepseek-v2-lite", &["vllm", "sglang"], 4, json!({}));
    ask("llama-3.1-70b", &["vllm", "tgi"], 4, json!({}));
    ask(
        "llama-3.1-8b",
        &["llama_cpp"],
        2,
        json!({"hybrid": {"rank_by": "capacity"}}),
    );
    ask(
        "llama-3.1-8b",
        &["vllm", "sglang"],
        2,
        json!({"hybrid": {"precisions": "asked"}}),
    );
    let (mut asked, mut with_plans) = (0, 0);
    for prepared in &spaces {
        let (combinations, fitting) = agrees(prepared);
        asked += combinations;
        with_plans += u64::from(fitting > 0);
    }
    assert!(
        spaces.len() >= 20 && with_plans >= 20,
        "only {with_plans} spaces have plans that fit"
    );
    assert!(asked > 1500, "only {asked} combinations were asked one by one");
}
