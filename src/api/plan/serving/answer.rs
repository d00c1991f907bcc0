//! What was found becomes an answer: the best plans are asked again through the door, so that what is told of a plan is what the
//! plan says as a question of its own.

use super::super::super::inference::{answer as answered, question};
use super::super::super::job::Strictness;
use super::super::super::part::part;
use super::judge;
use super::ways::Effect;
use super::{Prepared, limit};
use crate::planner::{Rule, Served, ServingFound, ServingOrder};
use crate::request::{
    Figures, InferenceAnswer, PlanSpace, ServerId, ServingNearest, ServingPlanAnswer, ServingPlanPoint,
    ServingPlanQuestion, ServingPlanReason, ServingPlanRow, Task,
};
use crate::units::Bytes;
use crate::warn::Issue;

/// Rates that differ by less are as good as equal.
const EQUAL: f64 = 0.01;

fn effect(prepared: &Prepared, served: &Served) -> Effect {
    let plan = &served.plan;
    let Some(way) = prepared.ways.get(plan.way) else {
        return Effect::None;
    };
    let of = |format: Option<&super::ways::Format>| format.map_or(Effect::None, |format| format.effect);
    of(way.weights.get(plan.format)).max(of(way.caches.get(plan.cache)))
}

/// The names of the formats of a plan.
fn formats(prepared: &Prepared, served: &Served) -> (String, String) {
    let way = prepared.ways.get(served.plan.way);
    let name =
        |format: Option<&super::ways::Format>| format.map_or_else(String::new, |format| format.name.clone());
    (
        name(way.and_then(|way| way.weights.get(served.plan.format))),
        name(way.and_then(|way| way.caches.get(served.plan.cache))),
    )
}

/// A plan in a few words.
fn name(prepared: &Prepared, served: &Served) -> String {
    let plan = &served.plan;
    let engine = prepared.ways.get(plan.way).map(|way| way.engine);
    let mut words = vec![engine.map_or("", ServerId::name).to_owned()];
    let copies = plan.copies(prepared.space.gpus);
    if copies > 1 {
        words.push(format!("{copies} copies"));
    }
    let data = match engine {
        Some(ServerId::Sglang) => "copies of attention",
        _ => "engines sharing experts",
    };
    for (label, size) in [("tensor", plan.tensor), ("pipeline", plan.pipeline)] {
        if size > 1 {
            words.push(format!("{label} {size}"));
        }
    }
    if plan.data > 1 {
        words.push(format!("{} {data}", plan.data));
    }
    if plan.experts {
        words.push("expert parallel".to_owned());
    }
    let (weights, cache) = formats(prepared, served);
    words.push(format!("{weights} weights"));
    words.push(format!("{cache} cache"));
    words.push(format!("{} at once per copy", plan.sequences));
    words.join(", ")
}

/// A plan as a point.
pub fn point(prepared: &Prepared, served: &Served) -> ServingPlanPoint {
    let load = &served.load;
    let known = (load.rate > 0.0).then_some(load);
    ServingPlanPoint {
        name: name(prepared, served),
        tokens_per_second_per_gpu: known.map(|load| load.rate),
        tpot_ms: known.map(|load| load.delays.1),
        at_once: prepared.order().at_once(served),
        need_bytes: load.need,
        effect: effect(prepared, served).key(),
        values: judge::values(&prepared.asked(), &served.plan),
    }
}

fn row(prepared: &Prepared, served: &Served) -> Result<ServingPlanRow, Vec<Issue>> {
    let plan = &served.plan;
    let request = part(&judge::asked(&prepared.asked(), plan), Task::Inference);
    let answer: InferenceAnswer = answered(question(&request, Strictness::default())?)?;
    let gpus = plan.tensor.saturating_mul(plan.pipeline).max(1) as f64;
    let rate = answer.speed.as_ref().map(|speed| {
        let all = &speed.output_tokens_per_second;
        Figures {
            low: all.low / gpus,
            expected: all.expected / gpus,
            high: all.high / gpus,
        }
    });
    let hours = rate.as_ref().map(|rate| 1e6 / rate.expected.max(1e-9) / 3600.0);
    let (weights, cache) = formats(prepared, served);
    Ok(ServingPlanRow {
        engine: prepared.ways.get(plan.way).map_or("", |way| way.engine.key()),
        tensor: plan.tensor,
        pipeline: plan.pipeline,
        data: plan.data,
        expert_parallel: plan.experts,
        copies: plan.copies(prepared.space.gpus),
        weights,
        cache,
        sequences: plan.sequences,
        most_sequences: answer.max_supported_batch_size,
        verdict: answer.verdict,
        tpot: answer.speed.as_ref().map(|speed| speed.tpot_ms),
        ttft: answer.speed.as_ref().map(|speed| speed.ttft_ms),
        rate,
        gpu_hours_per_million_tokens: hours,
        cost_per_million_tokens: prepared
            .plain
            .traffic
            .price
            .zip(hours)
            .map(|(price, hours)| price * hours),
        point: point(prepared, served),
    })
}

/// The answer to a search.
pub fn answer(prepared: &Prepared, found: &ServingFound) -> Result<ServingPlanAnswer, Vec<Issue>> {
    let order = prepared.order();
    let all = found.best(order, usize::MAX);
    let mut plans = Vec::new();
    for served in all.iter().take(prepared.options.count) {
        plans.push(row(prepared, served)?);
    }
    let by_effect = Effect::ALL
        .into_iter()
        .filter_map(|wanted| all.iter().find(|served| effect(prepared, served) == wanted))
        .map(|served| point(prepared, served))
        .collect();
    let front = found
        .front()
        .iter()
        .map(|served| point(prepared, served))
        .collect();
    let nearest = found.nearest.filter(|_| all.is_empty()).map(|(plan, short)| {
        let served = Served {
            plan,
            load: crate::planner::Load {
                need: Bytes::ZERO,
                rate: 0.0,
                delays: (0.0, 0.0),
            },
        };
        ServingNearest {
            name: name(prepared, &served),
            shortfall_bytes: short,
            values: judge::values(&prepared.asked(), &plan),
        }
    });
    let (job, counts) = (&prepared.plain.job, &found.counts);
    let mut assumed = prepared.plain.assumed.clone();
    assumed.retain(|one| super::ways::DECIDED.iter().all(|id| id.key() != one.path));
    let mut warnings = prepared.warnings.clone();
    warnings.extend(
        prepared
            .plain
            .warnings
            .iter()
            .filter(|issue| !matches!(issue.code, "not_used" | "assumed"))
            .cloned(),
    );
    Ok(ServingPlanAnswer {
        kind: "serving",
        asked: ServingPlanQuestion {
            gpus: prepared.space.gpus,
            gpus_per_node: prepared.space.most_ranks,
            gpu: prepared.plain.card.gpu.id.clone(),
            prompt_tokens: job.prompt,
            new_tokens: job.new_tokens,
            usable_bytes: limit(prepared),
            rank_by: if order.by_capacity { "capacity" } else { "speed" },
        },
        space: PlanSpace {
            combinations: prepared.space.size(),
            calculated: counts.calculated,
            fitting: counts.fitting,
            ways: prepared.ways.len() as u64,
            left_out: super::super::answer::left_out(counts, Rule::words_served),
        },
        why: why(prepared, order, &all),
        plans,
        front,
        by_effect,
        nearest,
        refused: prepared.refused.clone(),
        assumed,
        warnings,
    })
}

/// What the best has before the first that is really worse.
fn why(prepared: &Prepared, order: ServingOrder, all: &[Served]) -> Option<ServingPlanReason> {
    let best = all.first()?;
    let worse = |one: &&Served| match order.by_capacity {
        true => order.at_once(one) < order.at_once(best),
        false => one.load.rate < best.load.rate * (1.0 - EQUAL),
    };
    let other = all.iter().find(worse)?;
    let mut parts = Vec::new();
    let mut number = |label: &str, unit: &str, first: f64, second: f64| {
        if (first - second).abs() > 1e-9 * first.abs().max(second.abs()) {
            parts.push(format!("{label} {first:.1} instead of {second:.1}{unit}"));
        }
    };
    let (mine, theirs) = (&best.load, &other.load);
    if order.by_capacity {
        number(
            "requests at once",
            "",
            order.at_once(best) as f64,
            order.at_once(other) as f64,
        );
        number("tokens per second and GPU", "", mine.rate, theirs.rate);
    } else {
        number("tokens per second and GPU", "", mine.rate, theirs.rate);
        number(
            "requests at once",
            "",
            order.at_once(best) as f64,
            order.at_once(other) as f64,
        );
    }
    if mine.rate > 0.0 && theirs.rate > 0.0 {
        number("a token takes", " ms", mine.delays.1, theirs.delays.1);
        number("the first token takes", " ms", mine.delays.0, theirs.delays.0);
    }
    number(
        "it needs",
        " GiB per GPU",
        mine.need.to_gib(),
        theirs.need.to_gib(),
    );
    let mut words = parts.join("; ");
    words.push('.');
    Some(ServingPlanReason {
        words,
        other: point(prepared, other),
    })
}
