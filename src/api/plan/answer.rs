//! What was found becomes an answer: the best plans are asked again through the door, so that what is told of a plan is what the
//! plan says as a question of its own.

use serde_json::{Map, Value};

use super::super::answer::range;
use super::super::job::{Job, Strictness, job};
use super::super::measure::measure;
use super::super::network::{Estimate, estimate, step_parts};
use super::super::part::part;
use super::judge::{self, PlanJudge, recompute};
use super::ways::{Again, DECIDED, Way};
use super::{Asked, Prepared, smallest};
use crate::network::model_flops_per_token;
use crate::planner::{Counts, Found, Plan, Ranking, Rule, decisive};
use crate::request::{
    Assumed, EngineId, Figures, InputId, LeftOut, PlanAnswer, PlanMesh, PlanPart, PlanPoint, PlanQuestion,
    PlanReason, PlanRefusal, PlanRow, PlanSpace, Request, Task,
};
use crate::training::{Recomputation, Recompute, RecomputedModules};
use crate::warn::Issue;

/// Plans that differ by less are equally fast.
const EQUAL: f64 = 1e-6;

/// A plan as a point.
pub fn point(prepared: &Prepared, found: &Found) -> PlanPoint {
    let way = prepared.ways.get(found.plan.shape);
    let values = way.map_or_else(Map::new, |way| values(prepared, &found.plan, way));
    PlanPoint {
        name: way.map_or_else(String::new, |way| name(&found.plan, way, prepared.space.layers)),
        step_ms: found.time.to_millis(),
        need_bytes: found.need,
        values,
    }
}

/// The inputs that make the question the plan: what the plan decides, what is assumed about nodes, and null for what was typed and
/// belongs to another plan.
fn values(prepared: &Prepared, plan: &Plan, way: &Way) -> Map<String, Value> {
    let mut values = Map::new();
    for id in DECIDED {
        values.insert(id.key().to_owned(), Value::Null);
    }
    for id in [InputId::NodeShape, InputId::GpusPerNode, InputId::NumGpus] {
        if let Some(value) = prepared.request.get(id) {
            values.insert(id.key().to_owned(), value.clone());
        }
    }
    for (id, value) in judge::set(plan, way, &prepared.space) {
        values.insert(id.key().to_owned(), value);
    }
    values
}

/// A plan in a few words.
fn name(plan: &Plan, way: &Way, layers: u64) -> String {
    let mut words = vec![way.engine.name().to_owned()];
    if !way.name.is_empty() {
        words.push(way.name.clone());
    }
    for (label, size) in [
        ("tensor", plan.tensor),
        ("pipeline", plan.pipeline),
        ("context", plan.context),
        ("expert", plan.expert),
    ] {
        if size > 1 {
            words.push(format!("{label} {size}"));
        }
    }
    if plan.schedule.chunks() > 1 {
        words.push(format!("{} chunks", plan.schedule.chunks()));
    }
    if plan.sequence {
        words.push("sequence parallel".to_owned());
    }
    if way.engine == EngineId::MegatronLm && plan.distributed {
        words.push("distributed optimizer".to_owned());
    }
    words.push(format!("micro-batch {}", plan.micro_batch));
    let again = way.again.get(plan.recompute);
    words.extend(again.and_then(|again| recomputed(*again, plan, layers)));
    words.join(", ")
}

fn recomputed(again: Again, plan: &Plan, layers: u64) -> Option<String> {
    let words = match again {
        Again::Torch(Recomputation::None) | Again::Stages(Recompute::None) => return None,
        Again::Torch(Recomputation::Full) | Again::Stages(Recompute::Uniform(_)) => {
            "all layers recomputed".into()
        }
        Again::Torch(Recomputation::EveryNth(each)) => format!("every {each}nd layer recomputed"),
        Again::Torch(_) => "half of the products recomputed".into(),
        Again::Quarters(_) | Again::Stages(Recompute::Block(_)) => match recompute(again, layers, plan) {
            Recompute::Block(layers) => format!("{layers} layers of each chunk recomputed"),
            _ => return None,
        },
        Again::Stages(Recompute::Modules(modules)) => format!("{} recomputed", of_modules(modules)),
    };
    Some(words)
}

fn of_modules(modules: RecomputedModules) -> String {
    let names = [
        (modules.core_attention, "attention core"),
        (modules.norms, "norms"),
        (modules.up_projection, "latent projections"),
        (modules.feed_forward, "feed-forwards"),
        (modules.expert_activation, "expert activations"),
        (modules.shared_experts, "shared experts"),
        (modules.experts, "experts"),
    ];
    let names: Vec<&str> = names
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, name)| *name)
        .collect();
    names.join(" and ")
}

/// The plan as a question.
pub fn question(prepared: &Prepared, values: &Map<String, Value>) -> Request {
    let mut request = prepared.request.clone();
    for (key, value) in values {
        if let Some(input) = crate::request::Input::by_key(key) {
            request.set(input.id, value.clone());
        }
    }
    part(&request, Task::Training)
}

/// The answer to a search.
pub fn answer(prepared: &Prepared, ranking: &Ranking, counts: &Counts) -> Result<PlanAnswer, Vec<Issue>> {
    let best = ranking.best(prepared.options.count);
    let mut plans = Vec::new();
    for found in &best {
        plans.push(row(prepared, found)?);
    }
    let front: Vec<PlanPoint> = ranking
        .front()
        .iter()
        .map(|found| point(prepared, found))
        .collect();
    let nearest = if plans.is_empty() {
        smallest(prepared)
    } else {
        None
    };
    let why = why(prepared, ranking);
    let mut answer = empty(prepared, counts);
    answer.plans = plans;
    answer.front = front;
    answer.why = why;
    answer.shortfall_bytes = nearest.map(|found| found.need.saturating_sub(prepared.space.limit));
    answer.nearest = nearest.map(|found| point(prepared, &found));
    Ok(answer)
}

/// The answer where nothing is searched: the question's own plan, unchanged.
pub fn asked(prepared: &Prepared) -> Result<PlanAnswer, Vec<Issue>> {
    let request = part(&prepared.request, Task::Training);
    let job = job(&request, Strictness::default())?;
    let row = of_job(prepared, &job, Map::new(), job_name(&job), None)?;
    let mut answer = empty(prepared, &Counts::default());
    answer.space.combinations = 1;
    answer.space.calculated = 1;
    answer.space.fitting = u64::from(row.point.need_bytes <= prepared.space.limit);
    answer.space.ways = 1;
    answer.asked.tokens_per_step = job
        .training
        .tokens()
        .saturating_mul(job.training.accumulation_steps)
        .saturating_mul(job.training.data_parallel);
    answer.plans = vec![row];
    answer.refused.clear();
    Ok(answer)
}

fn job_name(job: &Job) -> String {
    format!("{}, as asked", job.engine.id.name())
}

fn empty(prepared: &Prepared, counts: &Counts) -> PlanAnswer {
    let space = &prepared.space;
    let job = &prepared.job;
    let asked = Asked {
        base: &prepared.base,
        ways: &prepared.ways,
        space,
    };
    let mut judge = PlanJudge::new(&asked);
    let refused = prepared
        .ways
        .iter()
        .enumerate()
        .filter_map(|(shape, way)| {
            let refusal = judge.refusal(shape)?;
            let reason = match (refusal.issue, refusal.rule) {
                (Some(issue), _) => format!("{}: {}", issue.path, issue.message),
                (None, rule) => rule.words().to_owned(),
            };
            let name = match way.name.as_str() {
                "" => way.engine.name().to_owned(),
                name => format!("{}, {name}", way.engine.name()),
            };
            Some(PlanRefusal { way: name, reason })
        })
        .collect();
    let rows = job.training.objective.sequences_per_row();
    let mut assumed = job.assumed.clone();
    assumed.retain(|one| DECIDED.iter().all(|id| id.key() != one.path));
    assumed.push(Assumed {
        path: InputId::GlobalBatchTokens.key(),
        value: Value::from(
            space
                .sequences
                .saturating_mul(space.sequence)
                .saturating_mul(rows),
        ),
        reason: prepared.tokens_from.to_owned(),
    });
    PlanAnswer {
        asked: PlanQuestion {
            gpus: space.gpus,
            gpus_per_node: prepared.per_node,
            gpu: job.card.gpu.id.clone(),
            sequences_per_step: space.sequences.saturating_mul(rows),
            tokens_per_step: space
                .sequences
                .saturating_mul(space.sequence)
                .saturating_mul(rows),
            sequence_length: space.sequence,
            usable_bytes: prepared.usable.expected,
            target_gpu_utilization: prepared.options.utilization,
            limit_bytes: space.limit,
        },
        space: PlanSpace {
            combinations: space.size(),
            calculated: counts.calculated,
            fitting: counts.fitting,
            ways: prepared.ways.len() as u64,
            left_out: left_out(counts, Rule::words),
        },
        plans: Vec::new(),
        front: Vec::new(),
        why: None,
        nearest: None,
        shortfall_bytes: None,
        refused,
        assumed,
        warnings: job
            .warnings
            .iter()
            .filter(|issue| !matches!(issue.code, "not_used" | "assumed"))
            .cloned()
            .collect(),
    }
}

fn row(prepared: &Prepared, found: &Found) -> Result<PlanRow, Vec<Issue>> {
    let point = point(prepared, found);
    let job = job(&question(prepared, &point.values), Strictness::default())?;
    let chunks = found.plan.schedule.chunks();
    of_job(prepared, &job, point.values, point.name, Some(chunks))
}

fn of_job(
    prepared: &Prepared,
    job: &Job,
    values: Map<String, Value>,
    name: String,
    chunks: Option<u64>,
) -> Result<PlanRow, Vec<Issue>> {
    let outcome = measure(job, job.training.micro_batch).map_err(|issue| vec![issue])?;
    let found = estimate(job);
    let need = range(outcome.need).expected_bytes;
    let [_, times, _] = &found.cases;
    let rate = |seconds: f64| found.work.tokens_per_step() / seconds.max(1e-9);
    let gpus = job.mesh.gpus.max(1) as f64;
    let flops = model_flops_per_token(&found.work.network, found.work.sequence);
    let peak = found.machine.stated_peak.get();
    let over = |of: &dyn Fn(f64) -> f64| {
        let [fast, expected, slow] = found.cases.each_ref().map(|case| of(case.total().get()));
        Figures {
            low: fast.min(slow).min(expected),
            expected,
            high: fast.max(slow).max(expected),
        }
    };
    let hours = 1e9 / rate(times.total().get()) * gpus / 3600.0;
    let rows = job.training.objective.sequences_per_row();
    Ok(PlanRow {
        engine: job.engine.id.key(),
        mesh: PlanMesh {
            data: job.mesh.data,
            tensor: job.mesh.tensor,
            pipeline: job.mesh.pipeline,
            chunks: chunks.unwrap_or_else(|| found.work.schedule.chunks()),
            context: job.mesh.context,
            expert: job.mesh.expert,
            expert_tensor: found.work.mesh.expert_tensor,
        },
        micro_batch: job.training.micro_batch / rows.max(1),
        micro_batches: job.training.accumulation_steps,
        margin_bytes: prepared.space.limit.saturating_sub(need),
        verdict: outcome.verdict,
        step: over(&|seconds| seconds * 1e3),
        tokens_per_second_per_gpu: over(&|seconds| rate(seconds) / gpus),
        mfu_percent: over(&|seconds| 100.0 * flops * rate(seconds) / gpus / peak.max(1.0)),
        gpu_hours_per_billion_tokens: hours,
        cost_per_billion_tokens: job.speed.price.map(|price| price * hours),
        point: PlanPoint {
            name,
            step_ms: times.total().to_millis(),
            need_bytes: need,
            values,
        },
    })
}

/// What the best saves against the first plan that is really slower, or larger where the least memory comes first.
fn why(prepared: &Prepared, ranking: &Ranking) -> Option<PlanReason> {
    let all = ranking.best(usize::MAX);
    let best = all.first()?;
    let by_memory = prepared.options.by_memory;
    let worse = |found: &&Found| match by_memory {
        true => found.need > best.need,
        false => found.time.get() > best.time.get() * (1.0 + EQUAL),
    };
    let other = all.iter().find(worse)?;
    let estimates = [best, other].map(|found| {
        let point = point(prepared, found);
        let job = job(&question(prepared, &point.values), Strictness::default()).ok()?;
        Some((point, estimate(&job)))
    });
    let [Some((first, mine)), Some((second, theirs))] = estimates else {
        return None;
    };
    let parts = |estimate: &Estimate| {
        let [_, expected, _] = &estimate.cases;
        step_parts(expected)
    };
    let parts: Vec<PlanPart> = decisive(&parts(&mine), &parts(&theirs))
        .into_iter()
        .map(|part| PlanPart {
            label: part.label,
            best_ms: part.better,
            other_ms: part.other,
        })
        .collect();
    let saved = second.step_ms - first.step_ms;
    let percent = 100.0 * saved / second.step_ms.max(1e-9);
    let gains: Vec<String> = parts
        .iter()
        .take(3)
        .map(|part| {
            format!(
                "{} {:.0} instead of {:.0} ms",
                part.label, part.best_ms, part.other_ms
            )
        })
        .collect();
    let memory = first.need_bytes.to_gib() - second.need_bytes.to_gib();
    let words = if by_memory {
        format!(
            "{:.2} GiB per GPU instead of {:.2}; a step takes {:.0} ms instead of {:.0}.",
            first.need_bytes.to_gib(),
            second.need_bytes.to_gib(),
            first.step_ms,
            second.step_ms,
        )
    } else {
        format!(
            "{:.0} ms a step instead of {:.0} ({percent:.1} % less): {}; it needs {:.1} GiB {} per GPU.",
            first.step_ms,
            second.step_ms,
            gains.join(", "),
            memory.abs(),
            if memory > 0.0 { "more" } else { "less" },
        )
    };
    Some(PlanReason {
        words,
        other: second,
        saved_ms: saved,
        saved_percent: percent,
        parts,
    })
}

/// What the rules left out, in the words of the search.
pub(super) fn left_out(counts: &Counts, words: fn(Rule) -> &'static str) -> Vec<LeftOut> {
    let rules = Rule::ALL.into_iter().filter(|rule| counts.of(*rule) > 0);
    rules
        .map(|rule| LeftOut {
            rule: rule.key(),
            label: words(rule),
            combinations: counts.of(rule),
        })
        .collect()
}
