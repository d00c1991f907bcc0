//! The cheapest GPU: of each kind the least number that works, judged by the door, in training and in serving, by whole nodes too,
//! sorted by numbers, GPU-hours and typed prices.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, Cheapest, CheapestRow, CheapestSort, InputId, Request, Verdict};
use gpu_mem_calc::calls;
use serde_json::{Value, json};

fn ask(value: &Value, sort: CheapestSort, whole: bool) -> Cheapest {
    let request = Request::from_json(value).expect("a request");
    api::cheapest(&request, sort, whole).unwrap_or_else(|issues| unreachable!("{issues:?}"))
}

fn training() -> Value {
    json!({"model": {"id": "llama-3.1-8b"}, "engine": {"type": "fsdp"}, "training": {"seq_length": 4096},
        "hardware": {"gpu_prices": ["h100-sxm-80gb=2.5", "l40s=0.9", "a100-sxm-80gb=1.6"]}})
}

fn serving() -> Value {
    json!({"model": {"id": "llama-3.1-70b"}, "inference": {"engine_type": "vllm", "batch_size": 8, "prompt_tokens": 2000,
        "new_tokens": 200}, "hardware": {"gpu_prices": ["h100-sxm-80gb=2.5", "l40s=0.9"]}})
}

fn row<'a>(found: &'a Cheapest, gpu: &str) -> &'a CheapestRow {
    let mut rows = found.rows.iter();
    rows.find(|row| row.gpu == gpu)
        .unwrap_or_else(|| unreachable!("no {gpu}"))
}

fn fits(request: &Request) -> bool {
    api::calculate(request).is_ok_and(|answer| answer.verdict != Verdict::DoesNotFit)
}

#[test]
fn the_least_number_of_each_gpu_works_and_one_fewer_does_not() {
    let question = training();
    let found = ask(&question, CheapestSort::Gpus, false);
    assert_eq!(found.kind, "training");
    assert!(found.rows.len() > 40, "{} kinds", found.rows.len());
    assert!(found.rows.is_sorted_by_key(|row| (row.gpus, row.usable_bytes)));
    let request = Request::from_json(&question).expect("a request");
    for gpu in [
        "h100-sxm-80gb",
        "a100-sxm-80gb",
        "l40s",
        "a100-sxm-40gb",
        "h200-sxm-141gb",
    ] {
        let row = row(&found, gpu);
        let of = |gpus: u64| {
            let mut own = request
                .clone()
                .with(InputId::Gpu, gpu)
                .with(InputId::NumGpus, gpus);
            if gpus > row.gpus_per_node {
                own.set(InputId::GpusPerNode, row.gpus_per_node);
            }
            own
        };
        assert!(fits(&of(row.gpus)), "{gpu}: {}", row.gpus);
        let fewer = match row.nodes {
            1 => row.gpus - 1,
            nodes => (nodes - 1) * row.gpus_per_node,
        };
        assert!(fewer == 0 || !fits(&of(fewer)), "{gpu}: {fewer} work too");
    }
    let all = found.rows.len() + found.left_out.len();
    assert_eq!(all, api::gpus().len());
}

#[test]
fn whole_nodes_hours_and_prices_sort_the_answer() {
    let question = training();
    let nodes = ask(&question, CheapestSort::Gpus, true);
    for row in &nodes.rows {
        assert_eq!(row.gpus, row.nodes * row.gpus_per_node, "{}", row.gpu);
    }
    let hours = ask(&question, CheapestSort::GpuHours, false);
    let known: Vec<f64> = hours
        .rows
        .iter()
        .map(|row| row.gpu_hours.unwrap_or(f64::INFINITY))
        .collect();
    assert!(known.is_sorted(), "{known:?}");
    let cost = ask(&question, CheapestSort::Cost, false);
    let priced: Vec<&str> = cost
        .rows
        .iter()
        .filter(|row| row.cost.is_some())
        .map(|row| row.gpu.as_str())
        .collect();
    assert_eq!(priced.len(), 3);
    assert!(
        cost.rows[..3].iter().all(|row| row.cost.is_some()),
        "what has no price comes last"
    );
    for row in &cost.rows[..3] {
        let (price, hours) = (
            row.price_per_gpu_hour.expect("a price"),
            row.gpu_hours.expect("hours"),
        );
        assert!((row.cost.expect("a cost") / (price * hours) - 1.0).abs() < 1e-12);
        assert_eq!(row.cost_per_hour, Some(price * row.gpus as f64));
        // Hours are those of the rate: a billion tokens.
        let rate = row.tokens_per_second.expect("a rate");
        assert!((hours / (1e9 / rate / 3600.0 * row.gpus as f64) - 1.0).abs() < 1e-12);
    }
    assert!(cost.rows[..3].is_sorted_by(|left, right| left.cost <= right.cost));
}

#[test]
fn a_copy_that_serves_needs_the_fewest_gpus_and_traffic_multiplies_them() {
    let question = serving();
    let found = ask(&question, CheapestSort::Gpus, false);
    assert_eq!((found.kind, found.per_tokens), ("serving", 1_000_000));
    let request = Request::from_json(&question).expect("a request");
    for gpu in ["h100-sxm-80gb", "l40s", "h200-sxm-141gb"] {
        // Opened, a row is the question that it says it is.
        let mut opened = request.clone();
        for (key, value) in &row(&found, gpu).values {
            opened.set(api::Input::by_key(key).expect("an input").id, value.clone());
        }
        let said = api::calculate_inference(&opened).expect("an answer");
        assert_eq!(said.need, row(&found, gpu).need, "{gpu}");
        assert_eq!(said.gpus_used, row(&found, gpu).gpus, "{gpu}");
        let answer = api::calculate_inference(&request.clone().with(InputId::Gpu, gpu)).expect("an answer");
        assert_eq!(answer.fewest_gpus, Some(row(&found, gpu).gpus), "{gpu}");
    }
    let mut busy = question.clone();
    busy["inference"]["requests_per_second"] = json!(40);
    let more = ask(&busy, CheapestSort::Cost, false);
    assert!(row(&more, "h100-sxm-80gb").gpus > row(&found, "h100-sxm-80gb").gpus);
    let nodes = ask(&question, CheapestSort::Gpus, true);
    assert_eq!(row(&nodes, "h100-sxm-80gb").gpus, 8);
}

#[test]
fn a_mesh_is_kept_and_what_never_works_has_its_reason() {
    let mut question = training();
    question["parallelism"] = json!({"tensor_parallel_size": 4});
    question["engine"] = json!({"type": "megatron_lm"});
    let found = ask(&question, CheapestSort::Gpus, false);
    assert!(found.rows.iter().all(|row| row.gpus % 4 == 0));
    let copies = json!({"model": {"id": "llama-3.1-405b"}, "engine": {"type": "pytorch_ddp"}});
    let none = ask(&copies, CheapestSort::Gpus, false);
    assert!(none.rows.is_empty());
    assert!(none.left_out.iter().all(|one| !one.reason.is_empty()));
    let wrong = Request::from_json(&json!({"model": {"id": "no such model"}})).expect("a request");
    assert!(api::cheapest(&wrong, CheapestSort::Gpus, false).is_err());
}

#[test]
fn the_call_takes_its_order_and_refuses_others() {
    let options = json!({"sort": "cost", "whole_nodes": true});
    let found = calls::run("cheapest", &[serving(), options]).unwrap();
    assert_eq!(
        (&found["sorted_by"], &found["whole_nodes"]),
        (&json!("cost"), &json!(true))
    );
    let fault = calls::run("cheapest", &[serving(), json!({"sort": "beauty"})]).unwrap_err();
    assert!(fault.issues[0].allowed.contains(&"gpu_hours".to_owned()));
}
