//! Plans of serving: of all engines with their meshes, formats and requests at once, those that fit, the best first.
//!
//! `ways` lists the engines with what they load, `judge` asks memory and speed, `answer` tells what was found. The walk itself
//! is the planner's.

mod answer;
mod judge;
mod ways;

#[cfg(test)]
mod tests;

use super::super::given::Given;
use super::super::inference::{Question, question};
use super::super::job::Strictness;
use super::super::part::part;
use super::super::read::{Typed, read};
use super::spread::spread;
use super::{Hear, Pause, without_options};
use crate::planner::{Served, ServingFound, ServingOrder, ServingSearch, ServingSpace, serving_branches};
use crate::request::{
    InputId, PlanProgress, PlanRefusal, Request, Section, ServerId, ServingPlanAnswer, Task,
};
use crate::units::Bytes;
use crate::warn::Issue;
use judge::{Asked, Judge};
use ways::Way;

/// Requests at once that are tried, beside as many as fit.
const AT_ONCE: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// Options of a search that mean something for training alone.
const OF_TRAINING: [InputId; 9] = [
    InputId::GlobalBatchTokens,
    InputId::PlanOffload,
    InputId::MaxContextParallel,
    InputId::MaxPipelineChunks,
    InputId::MaxMicroBatch,
    InputId::EnableSequenceParallel,
    InputId::SequenceParallelThreshold,
    InputId::PreferPipeline,
    InputId::AutoOptimize,
];

/// What a search may try.
pub struct Options {
    /// Share of the usable memory that the expected need may be, where it is typed.
    pub utilization: Option<f64>,
    /// The engines.
    pub engines: Vec<ServerId>,
    /// Whether plans may round otherwise than asked.
    pub any_precision: bool,
    /// The most ranks that exchange something in every layer.
    pub tensor: Option<u64>,
    /// Pipeline ranks.
    pub pipeline: Option<u64>,
    /// Whether the most requests come first.
    pub by_capacity: bool,
    /// How many plans are told.
    pub count: usize,
}

impl Options {
    fn read(request: &Request, issues: &mut Vec<Issue>) -> Self {
        let given = Given::read(request, &mut Vec::new());
        for (id, value) in request.given() {
            let input = id.input();
            if input.section == Section::Hybrid
                && let Err(issue) = read(input, value)
            {
                issues.push(issue);
            } else if OF_TRAINING.contains(&id) && given.differs_from_default(id) {
                let words = "Plans of serving do not read it.";
                issues.push(Issue::warning("not_used", input.key, words).with_value(value.clone()));
            }
        }
        Self {
            utilization: given.typed_number(InputId::TargetUtilization),
            engines: engines(&given, issues),
            any_precision: given.choice(InputId::PlanPrecisions) != Some("asked"),
            tensor: given.typed_integer(InputId::MaxTensorParallel),
            pipeline: given.typed_integer(InputId::MaxPipelineParallel),
            by_capacity: given.choice(InputId::PlanRank) == Some("capacity"),
            count: usize::try_from(given.integer(InputId::PlanCount).unwrap_or(10)).unwrap_or(10),
        }
    }
}

/// The engines that are named; all of them where none is.
fn engines(given: &Given, issues: &mut Vec<Issue>) -> Vec<ServerId> {
    let Some(Typed::List(words)) = given.get(InputId::PlanEngines) else {
        return ServerId::ALL.to_vec();
    };
    let mut named = Vec::new();
    for word in words {
        let key = word.trim().to_ascii_lowercase().replace(['-', '.'], "_");
        let key = if key == "transformers" {
            "huggingface"
        } else {
            key.as_str()
        };
        match ServerId::from_key(key) {
            Some(engine) => named.push(engine),
            None => issues.push(
                Issue::error(
                    "unknown_value",
                    InputId::PlanEngines.key(),
                    format!("{word} is no engine that serves."),
                )
                .with_value(word.as_str())
                .with_allowed(ServerId::ALL.iter().map(|engine| engine.key())),
            ),
        }
    }
    named
}

/// A question, ready to be searched.
struct Prepared {
    options: Options,
    request: Request,
    engine: Option<ServerId>,
    plain: Question,
    ways: Vec<Way>,
    refused: Vec<PlanRefusal>,
    space: ServingSpace,
    warnings: Vec<Issue>,
}

impl Prepared {
    fn asked(&self) -> Asked<'_> {
        Asked {
            request: &self.request,
            engine: self.engine,
            ways: &self.ways,
        }
    }

    const fn order(&self) -> ServingOrder {
        ServingOrder {
            by_capacity: self.options.by_capacity,
            gpus: self.space.gpus,
        }
    }
}

/// The best plans for a question on serving, heard while they are searched.
pub fn plan(
    request: &Request,
    strictness: Strictness,
    hear: Hear<'_>,
) -> Result<ServingPlanAnswer, Vec<Issue>> {
    let prepared = prepare(request, strictness)?;
    let found = search(&prepared, hear);
    answer::answer(&prepared, &found)
}

fn prepare(request: &Request, strictness: Strictness) -> Result<Prepared, Vec<Issue>> {
    let mut issues = Vec::new();
    let options = Options::read(request, &mut issues);
    for id in [InputId::OtherGpus, InputId::OtherEngines] {
        if request.has(id) {
            let words = "Plans are searched for equal GPUs that one engine has for itself.";
            issues.push(Issue::error("unsupported_combination", id.key(), words));
        }
    }
    if issues.iter().any(Issue::is_error) {
        return Err(issues);
    }
    let own = without_options(request);
    let given = Given::read(&own, &mut Vec::new());
    let engine = given
        .typed_choice(InputId::ServerType)
        .and_then(ServerId::from_key);
    // All that is typed for the question's own engine is checked with it; formats and sizes belong to plans.
    let asked = engine.or(options.engines.first().copied());
    let checked = asked.unwrap_or(ServerId::Vllm);
    let plain = question(
        &ways::base(&part(&own, Task::Inference), checked, engine),
        strictness,
    )?;
    let gpus = given.typed_integer(InputId::NumGpus).unwrap_or(1);
    let network = plain.job.network.clone();
    let mut ways = Vec::new();
    let mut refused = Vec::new();
    for engine_id in &options.engines {
        let refusal = |reason: String| PlanRefusal {
            way: engine_id.name().to_owned(),
            reason,
        };
        if *engine_id == ServerId::LlamaCpp && !options.by_capacity {
            let reason = "Its speed is not calculated, as layers may run on the host: ranked by capacity it is among the plans.";
            refused.push(refusal(reason.to_owned()));
            continue;
        }
        match ways::way(&own, *engine_id, engine, &options) {
            Ok(way) => ways.push(way),
            Err(issue) => refused.push(refusal(format!("{}: {}", issue.path, issue.message))),
        }
    }
    let known = plain.card.gpu.bandwidth_gb_per_s.is_some() && plain.card.gpu.bf16_tflops.is_some();
    if !known && !options.by_capacity {
        let words = format!(
            "The rates of {} are not in the table, and plans are ranked by speed.",
            plain.card.gpu.name
        );
        let issue = Issue::error("missing", InputId::PlanRank.key(), words).with_hint("Rank by capacity.");
        return Err(vec![issue]);
    }
    let node = plain.card.gpu.node_gpus.map_or(8, u64::from);
    let space = ServingSpace {
        gpus,
        most_ranks: options.tensor.unwrap_or(node),
        layers: network.depth().max(1),
        sequences: AT_ONCE.to_vec(),
        limit: options
            .utilization
            .map(|share| plain.card.usable.expected.scaled(share)),
        slowest: plain.traffic.limits,
        ways: ways
            .iter()
            .map(|way| ways::dimensions(way, &network, gpus, &options))
            .collect(),
    };
    Ok(Prepared {
        options,
        request: own,
        engine,
        plain,
        ways,
        refused,
        space,
        warnings: issues,
    })
}

/// As [`plan`], with a pause between the pieces of the search.
pub async fn plan_slowly(
    request: &Request,
    strictness: Strictness,
    hear: Hear<'_>,
    pause: Pause<'_>,
) -> Result<ServingPlanAnswer, Vec<Issue>> {
    let prepared = prepare(request, strictness)?;
    let asked = prepared.asked();
    let mut heard = Heard::default();
    let mut search = ServingSearch::new(&prepared.space, Judge::new(&asked));
    for branch in serving_branches(&prepared.space) {
        search.branch(branch);
        if !heard.add(&prepared, search.take(), hear) {
            break;
        }
        pause().await;
    }
    answer::answer(&prepared, &heard.found)
}

/// What was found so far.
#[derive(Default)]
struct Heard {
    found: ServingFound,
    best: Option<Served>,
}

impl Heard {
    /// Adds what a branch gave, and tells how far it is; whether the search goes on.
    fn add(&mut self, prepared: &Prepared, found: ServingFound, hear: Hear<'_>) -> bool {
        let order = prepared.order();
        for one in found.best(order, 1) {
            if self.best.is_none_or(|best| order.compare(&one, &best).is_lt()) {
                self.best = Some(one);
            }
        }
        self.found.merge(found);
        hear(&PlanProgress {
            settled: self.found.counts.all(),
            combinations: prepared.space.size(),
            fitting: self.found.counts.fitting,
            best: None,
            serving: self.best.map(|best| answer::point(prepared, &best)),
        })
    }
}

/// Searches the whole space.
fn search(prepared: &Prepared, hear: Hear<'_>) -> ServingFound {
    let (asked, space) = (prepared.asked(), &prepared.space);
    let mut heard = Heard::default();
    spread(
        &serving_branches(space),
        || ServingSearch::new(space, Judge::new(&asked)),
        |search, branch| {
            search.branch(*branch);
            search.take()
        },
        &mut |found: ServingFound| heard.add(prepared, found, hear),
    );
    heard.found
}

/// Bytes that may be needed.
const fn limit(prepared: &Prepared) -> Bytes {
    match prepared.space.limit {
        Some(limit) => limit,
        None => prepared.plain.card.usable.expected,
    }
}
