//! The search against the door: every combination of small spaces asked as a question of its own gives the same best plans and the
//! same front.

use serde_json::json;

use super::super::measure::measure;
use super::super::network::estimate;
use super::*;
use crate::planner::{Found, Plan, Shape};

fn prepared(value: &serde_json::Value) -> Prepared {
    let request = Request::from_json(value).expect("a request");
    prepare(&request, Strictness::default()).expect("a question")
}

/// Every combination of a space.
fn all(space: &Space) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (number, shape) in space.shapes.iter().enumerate() {
        for tensor in &shape.tensor {
            for context in &shape.context {
                for pipeline in &shape.pipeline {
                    let model = tensor * context * pipeline;
                    if space.gpus.is_multiple_of(model) {
                        let mesh = (number, *tensor, *context, *pipeline);
                        below(space, shape, mesh, space.gpus / model, &mut plans);
                    }
                }
            }
        }
    }
    plans
}

fn below(
    space: &Space,
    shape: &Shape,
    (number, tensor, context, pipeline): (usize, u64, u64, u64),
    data: u64,
    plans: &mut Vec<Plan>,
) {
    for expert in &shape.expert {
        for together in &shape.expert_tensor {
            for deal in &shape.deals {
                for chunks in &shape.chunks {
                    let schedule = match *chunks {
                        1 => Schedule::OneForwardOneBackward,
                        chunks => Schedule::Interleaved {
                            chunks,
                            group: pipeline,
                        },
                    };
                    let Ok(split) = deal.split(space.layers, pipeline, *chunks) else {
                        continue;
                    };
                    for distributed in &shape.distributed {
                        for sequence in &shape.sequence {
                            for micro_batch in &shape.micro_batch {
                                let each = data * micro_batch;
                                if !space.sequences.is_multiple_of(each) {
                                    continue;
                                }
                                for recompute in 0..shape.recompute {
                                    plans.push(Plan {
                                        shape: number,
                                        tensor,
                                        context,
                                        pipeline,
                                        schedule,
                                        split,
                                        expert: *expert,
                                        expert_tensor: if *together { tensor } else { 1 },
                                        data,
                                        distributed: *distributed,
                                        sequence: *sequence,
                                        micro_batch: *micro_batch,
                                        micro_batches: space.sequences / each,
                                        recompute,
                                    });
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A plan as a question of its own: its need and its time, where the door answers.
fn through_the_door(prepared: &Prepared, plan: &Plan) -> Option<Found> {
    let way = prepared.ways.get(plan.shape)?;
    let mut request = prepared.base.clone();
    for (id, value) in judge::set(plan, way, &prepared.space) {
        request.set(id, value);
    }
    let job = job(&part(&request, Task::Training), Strictness::default()).ok()?;
    let outcome = measure(&job, job.training.micro_batch).ok()?;
    let [_, expected, _] = &estimate(&job).cases;
    if outcome.host.as_ref().and_then(|host| host.verdict) == Some(crate::request::Verdict::DoesNotFit) {
        return None;
    }
    Some(Found {
        plan: *plan,
        need: outcome.need.expected,
        time: expected.total(),
    })
}

/// Time and need of found plans, equal ones once.
fn figures(found: &[Found]) -> Vec<(f64, u64)> {
    let mut figures: Vec<(f64, u64)> = found
        .iter()
        .map(|found| (found.time.get(), found.need.get()))
        .collect();
    figures.dedup();
    figures
}

#[track_caller]
fn agrees(prepared: &Prepared) -> (usize, u64) {
    let space = &prepared.space;
    let order = Order {
        prefer_pipeline: prepared.options.prefer_pipeline,
        by_memory: prepared.options.by_memory,
        per_node: prepared.per_node,
    };
    let mut slow = Ranking::new(order);
    let mut asked = 0;
    for plan in all(space) {
        let allowed = plan.tensor <= space.most_tensor && (!plan.sequence || space.sequence_parallel);
        if !allowed {
            continue;
        }
        asked += 1;
        if let Some(found) = through_the_door(prepared, &plan).filter(|found| found.need <= space.limit) {
            slow.add(found);
        }
    }
    let (fast, counts) = search(prepared, &mut |_| true);
    assert_eq!(
        counts.all(),
        space.size(),
        "combinations are lost or counted twice"
    );
    let few = |ranking: &Ranking| {
        let mut figures = figures(&ranking.best(40));
        figures.truncate(10);
        figures
    };
    assert_eq!(few(&fast), few(&slow), "the best plans");
    assert_eq!(figures(&fast.front()), figures(&slow.front()), "the front");
    for found in fast.best(10) {
        assert_eq!(
            through_the_door(prepared, &found.plan),
            Some(found),
            "as a question of its own"
        );
    }
    (asked, counts.fitting)
}

/// Keeps some of a space.
fn some(mut prepared: Prepared, keep: impl Fn(&mut Shape)) -> Prepared {
    for (shape, way) in prepared.space.shapes.iter_mut().zip(&mut prepared.ways) {
        keep(shape);
        let count = shape.recompute;
        way.again.truncate(count);
    }
    prepared
}

#[test]
fn pruned_search_finds_what_exhaustive_search_finds() {
    let ask = |model: &str, engine: &str, gpus: u64, batch: u64, limit: f64| {
        prepared(&json!({
            "model": {"id": model},
            "training": {"seq_length": 4096},
            "hardware": {"gpu": "a100-sxm-80gb", "num_gpus": gpus},
            "node_config": {"gpus_per_node": 4, "num_nodes": gpus.div_ceil(4)},
            "hybrid": {"engines": [engine], "global_batch_tokens": batch * 4096, "max_micro_batch": 2,
                "target_gpu_utilization": limit, "max_context_parallel": 2, "max_pipeline_parallel": 4},
        }))
    };
    let meshes = |prepared: Prepared| {
        some(prepared, |shape| {
            shape.recompute = 1;
            shape.chunks.truncate(2);
            shape.deals.truncate(1);
            shape.distributed.retain(|on| *on);
        })
    };
    let again = |prepared: Prepared| {
        some(prepared, |shape| {
            shape.context.truncate(1);
            shape.chunks.truncate(1);
            shape.deals.truncate(1);
            shape.tensor.truncate(2);
            shape.pipeline.truncate(2);
        })
    };
    let deals = |prepared: Prepared| {
        some(prepared, |shape| {
            shape.recompute = shape.recompute.min(2);
            shape.context.truncate(1);
            shape.tensor.truncate(1);
            shape.sequence.truncate(1);
            shape.distributed.retain(|on| *on);
            shape.chunks.truncate(3);
        })
    };
    let flat = |prepared: Prepared| some(prepared, |shape| shape.tensor.truncate(2));
    let mut spaces = Vec::new();
    for (model, limit) in [
        ("llama-3.1-8b", 0.85),
        ("qwen3-30b-a3b", 0.9),
        ("mistral-7b-v0.1", 0.35),
    ] {
        spaces.push(meshes(ask(model, "megatron_lm", 8, 16, limit)));
        spaces.push(again(ask(model, "megatron_lm", 8, 16, limit)));
        spaces.push(deals(ask(model, "megatron_lm", 4, 8, limit)));
        spaces.push(flat(ask(model, "fsdp", 8, 16, limit)));
        spaces.push(flat(ask(model, "deepspeed", 8, 16, limit)));
        spaces.push(flat(ask(model, "pytorch_ddp", 4, 8, limit)));
    }
    spaces.push(flat(ask("smollm2-135m", "pytorch_ddp", 4, 8, 0.5)));
    spaces.push(flat(ask("smollm2-135m", "deepspeed", 4, 4, 0.05)));
    spaces.push(meshes(ask("deepseek-v2-lite", "megatron_lm", 8, 16, 0.95)));
    spaces.push(deals(ask("llama-3.1-70b", "megatron_lm", 8, 16, 1.0)));
    for (model, engine) in [
        ("smollm2-360m", "pytorch_ddp"),
        ("smollm2-360m", "fsdp"),
        ("smollm2-360m", "megatron_lm"),
        ("qwen3-0.6b", "pytorch_ddp"),
        ("qwen3-0.6b", "deepspeed"),
        ("qwen3-0.6b", "megatron_lm"),
    ] {
        spaces.push(flat(meshes(ask(model, engine, 4, 8, 0.6))));
    }
    let (mut asked, mut with_plans) = (0, 0);
    let mut fit = Vec::new();
    for prepared in &spaces {
        let (combinations, fitting) = agrees(prepared);
        asked += combinations;
        with_plans += u64::from(fitting > 0);
        fit.push(fitting);
    }
    // The others have none: copies of 8B on 80 GB, 30B and 70B with 18 bytes per parameter on four and eight cards, 7B in 28 GiB.
    assert!(
        with_plans >= 20,
        "only {with_plans} spaces have plans that fit: {fit:?}"
    );
    assert!(asked > 3000, "only {asked} combinations were asked one by one");
}

#[test]
fn the_large_space_is_counted_whole() {
    let prepared = prepared(&json!({
        "model": {"id": "llama-3-70b"},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 256},
    }));
    assert!(prepared.space.size() > 1_000_000, "{}", prepared.space.size());
}
