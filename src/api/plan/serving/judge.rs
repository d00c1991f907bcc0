//! What a way of serving needs and how fast it is: each engine, mesh and format goes through the door, so that a plan is what it
//! is as a question of its own; requests at once are asked of the engine alone.

use serde_json::{Value, json};

use super::super::super::inference::{Question, pace, question};
use super::super::super::job::Strictness;
use super::super::ways::Set;
use super::ways::{self, Way};
use crate::inference::capacity::capacity;
use crate::inference::{Engine, Estimate, PartId, evaluate};
use crate::planner::{Deployment, Load, Rule, ServingJudge};
use crate::request::{InputId, Request, ServerId};
use crate::units::Bytes;
use crate::warn::Issue;

/// What a judge asks about.
pub struct Asked<'a> {
    /// The question.
    pub request: &'a Request,
    /// The engine that is typed.
    pub engine: Option<ServerId>,
    /// The engines.
    pub ways: &'a [Way],
}

/// A combination that went through the door.
struct Opened {
    plan: Deployment,
    question: Question,
    estimate: Estimate,
}

/// The judge of one thread.
pub struct Judge<'a> {
    asked: &'a Asked<'a>,
    opened: Option<Opened>,
    short: Bytes,
}

/// The inputs that make a plan, without its requests at once.
pub fn set(asked: &Asked<'_>, plan: &Deployment) -> Set {
    let Some(way) = asked.ways.get(plan.way) else {
        return Set::new();
    };
    let mut set: Set = vec![(InputId::ServerType, json!(way.engine.key()))];
    let mut whole = |id, value: u64, usual: u64| {
        if value != usual {
            set.push((id, json!(value)));
        }
    };
    whole(InputId::ServerTensorParallel, plan.tensor, 1);
    // llama.cpp divides layers among all that it sees unless it is told.
    let usual = if way.engine == ServerId::LlamaCpp { 0 } else { 1 };
    whole(InputId::ServerPipelineParallel, plan.pipeline, usual);
    whole(InputId::ServerDataParallel, plan.data, 1);
    if way.engine == ServerId::Sglang && plan.data > 1 {
        set.push((InputId::DpAttention, json!(true)));
    }
    if plan.experts {
        set.push((InputId::ServerExpertParallel, json!(true)));
    }
    for format in [way.weights.get(plan.format), way.caches.get(plan.cache)] {
        set.extend(format.into_iter().flat_map(|format| format.set.iter().cloned()));
    }
    set
}

/// The plan as a question.
pub fn asked(asked: &Asked<'_>, plan: &Deployment) -> Request {
    let engine = asked.ways.get(plan.way).map(|way| way.engine);
    let mut request = match engine {
        Some(engine) => ways::base(asked.request, engine, asked.engine),
        None => asked.request.clone(),
    };
    for (id, value) in set(asked, plan) {
        request.set(id, value);
    }
    request.with(InputId::Sequences, plan.sequences)
}

impl<'a> Judge<'a> {
    /// Nothing is known yet.
    pub const fn new(asked: &'a Asked<'a>) -> Self {
        Self {
            asked,
            opened: None,
            short: Bytes::ZERO,
        }
    }

    /// The combination at so many requests. What an engine reads at its start does not depend on them, but for llama.cpp, which
    /// gives several requests caches of their own.
    fn open(&mut self, plan: &Deployment, file_at: u64) -> Result<&mut Opened, Rule> {
        let way = self.asked.ways.get(plan.way);
        let file = way.is_some_and(|way| way.engine == ServerId::LlamaCpp);
        let plan = Deployment {
            sequences: if file { file_at } else { 1 },
            ..*plan
        };
        if self.opened.as_ref().is_none_or(|opened| opened.plan != plan) {
            self.opened = None;
            let request = asked(self.asked, &plan);
            let question = question(&request, Strictness::default()).map_err(|issues| refused(&issues))?;
            if attention_cannot(&question) {
                return Err(Rule::Tensor);
            }
            let estimate = evaluate(&question.job);
            self.opened = Some(Opened {
                plan,
                question,
                estimate,
            });
        }
        self.opened.as_mut().ok_or(Rule::Refused)
    }
}

/// The rule behind what the door says.
fn refused(issues: &[Issue]) -> Rule {
    let first = issues.iter().find(|issue| issue.is_error());
    match first.map(|issue| issue.code) {
        Some("not_divisible") => Rule::Tensor,
        Some("gpu_count_mismatch") => Rule::Mesh,
        _ => Rule::Refused,
    }
}

/// Copies of attention that SGLang cannot make of so many ranks.
fn attention_cannot(question: &Question) -> bool {
    match &question.job.engine {
        Engine::Sglang(options) => !question
            .job
            .tensor
            .is_multiple_of(options.attention_copies.max(1)),
        _ => false,
    }
}

fn weights(estimate: &Estimate) -> Bytes {
    let parts = estimate.parts.iter().filter(|part| part.id == PartId::Weights);
    parts.map(|part| part.bytes.low).sum()
}

impl ServingJudge for Judge<'_> {
    fn opens(&mut self, plan: &Deployment) -> Result<(), Rule> {
        let opened = self.open(plan, 1)?;
        // Layers that do not fit stay on the host there.
        let spills = matches!(opened.question.job.engine, Engine::LlamaCpp(_));
        let usable = opened.question.card.usable.high;
        let held = weights(&opened.estimate);
        if !spills && held > usable {
            self.short = held.saturating_sub(usable);
            return Err(Rule::States);
        }
        Ok(())
    }

    fn most(&mut self, plan: &Deployment) -> Result<u64, Rule> {
        for at in [2, 1] {
            let opened = self.open(plan, at)?;
            let found = capacity(&opened.question.job, &opened.estimate, Some(2), |_| false).sequences;
            let file = matches!(opened.question.job.engine, Engine::LlamaCpp(_));
            let (need, budget) = (opened.estimate.need.expected, opened.estimate.budget);
            self.short = need.saturating_sub(budget).max(Bytes::new(1));
            if !file || found >= at {
                return Ok(found.min(if file && at == 1 { 1 } else { u64::MAX }));
            }
        }
        Ok(0)
    }

    fn load(&mut self, plan: &Deployment) -> Load {
        let nothing = Load {
            need: Bytes::MAX,
            rate: 0.0,
            delays: (f64::INFINITY, f64::INFINITY),
        };
        let sequences = plan.sequences;
        let Ok(opened) = self.open(plan, sequences) else {
            return nothing;
        };
        let before = std::mem::replace(&mut opened.question.job.sequences, sequences);
        let estimate = evaluate(&opened.question.job);
        let found = pace(&opened.question, &estimate);
        opened.question.job.sequences = before;
        Load {
            need: estimate.need.expected,
            rate: found.map_or(0.0, |pace| pace.rate),
            delays: found.map_or((0.0, 0.0), |pace| (pace.first, pace.per_token)),
        }
    }

    fn shortfall(&self) -> Bytes {
        self.short
    }
}

/// The inputs that make the question the plan: what the plan decides, and null for what was typed and belongs to another plan.
pub fn values(asked: &Asked<'_>, plan: &Deployment) -> serde_json::Map<String, Value> {
    let mut values = serde_json::Map::new();
    for id in ways::DECIDED {
        values.insert(id.key().to_owned(), Value::Null);
    }
    let engine = asked.ways.get(plan.way).map(|way| way.engine);
    if engine != asked.engine {
        values.insert(InputId::ServerVersion.key().to_owned(), Value::Null);
    }
    for (id, value) in set(asked, plan) {
        values.insert(id.key().to_owned(), value);
    }
    values.insert(InputId::Sequences.key().to_owned(), json!(plan.sequences));
    values
}
