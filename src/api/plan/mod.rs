//! Plans: of all ways to divide a training job among its GPUs, those that fit, the fastest first.
//!
//! `options` reads what may be tried, `ways` lists engines with their settings, `judge` asks memory and time, `answer` tells what
//! was found. The walk itself is the planner's. Natively all cores search; a caller in a browser does it in a worker, and
//! hears how far it is.

mod answer;
mod judge;
mod options;
mod serving;
mod spread;
mod ways;

#[cfg(test)]
mod tests;

use std::pin::Pin;

use serde_json::json;

use super::given::Given;
use super::job::{Job, Strictness, job};
use super::part::part;
use crate::hardware::{find, usual_machine};
use crate::memory::Interval;
use crate::model::Mixer;
use crate::parallel::Schedule;
use crate::planner::{Branch, Counts, Order, Ranking, Search, Space, branches};
use crate::request::{InputId, PlanAnswer, PlanProgress, Planned, Request, Section, Task};
use crate::units::Bytes;
use crate::warn::Issue;
use judge::{Asked, PlanJudge};
use options::Options;
pub(super) use spread::spread;
use ways::Way;

/// Hears how far a search is; `false` stops it.
pub type Hear<'a> = &'a mut dyn FnMut(&PlanProgress) -> bool;

/// Lets something else happen.
pub type Pause<'a> = &'a mut dyn FnMut() -> Pin<Box<dyn Future<Output = ()>>>;

/// A question, ready to be searched.
struct Prepared {
    options: Options,
    /// The question as asked, with what is assumed about nodes.
    request: Request,
    /// The same, without what plans decide.
    base: Request,
    /// It as a job, where it is one.
    job: Job,
    ways: Vec<Way>,
    space: Space,
    usable: Interval,
    per_node: u64,
    tokens_from: &'static str,
}

/// The best plans for a question on training.
pub fn plan(request: &Request) -> Result<PlanAnswer, Vec<Issue>> {
    plan_with(request, Strictness::default(), &mut |_| true)
}

/// As [`plan`], as strictly as asked, heard while it runs.
pub fn plan_with(
    request: &Request,
    strictness: Strictness,
    hear: Hear<'_>,
) -> Result<PlanAnswer, Vec<Issue>> {
    let prepared = prepare(request, strictness)?;
    if !prepared.options.auto {
        return answer::asked(&prepared);
    }
    let (ranking, counts) = search(&prepared, hear);
    answer::answer(&prepared, &ranking, &counts)
}

/// The best plans for a question: of serving where inputs of section `inference` are given, else of training.
pub fn planned(request: &Request) -> Result<Planned, Vec<Issue>> {
    planned_with(request, Strictness::default(), &mut |_| true)
}

/// As [`planned`], as strictly as asked, heard while it runs.
pub fn planned_with(
    request: &Request,
    strictness: Strictness,
    hear: Hear<'_>,
) -> Result<Planned, Vec<Issue>> {
    if request.serves() {
        let found = serving::plan(request, strictness, hear)?;
        return Ok(Planned::Serving(Box::new(found)));
    }
    let found = plan_with(request, strictness, hear)?;
    Ok(Planned::Training(Box::new(found)))
}

/// The question without the options of a search.
pub fn without_options(request: &Request) -> Request {
    let mut own = request.clone();
    for id in InputId::ALL {
        if id.input().section == Section::Hybrid {
            own.clear(*id);
        }
    }
    own
}

fn prepare(request: &Request, strictness: Strictness) -> Result<Prepared, Vec<Issue>> {
    let mut issues = Vec::new();
    let options = Options::read(request, &mut issues);
    let own = with_nodes(&without_options(request));
    let base = judge::base(&own);
    // What plans decide can be wrong in the question; all else must hold for one of the engines.
    let mut refused = None;
    let mut plain = None;
    for engine in &options.engines {
        let mut asked = base.clone().with(InputId::EngineType, engine.key());
        asked.clear(InputId::PipelineSchedule);
        asked.clear(InputId::MicrobatchGroup);
        let asked = part(&asked, Task::Training);
        match job(&asked, strictness) {
            Ok(job) => {
                plain = Some(job);
                break;
            }
            Err(found) => refused = refused.or(Some(found)),
        }
    }
    let Some(job) = plain else {
        issues.extend(refused.unwrap_or_default());
        return Err(issues);
    };
    let mut warnings = issues;
    if warnings.iter().any(Issue::is_error) {
        return Err(warnings);
    }
    if job.training.images.is_some() {
        warnings.push(Issue::error(
            "not_available_yet",
            InputId::ImagesPerSample.key(),
            "Plans are searched for text alone; images of a batch are not divided among micro-batches yet.",
        ));
        return Err(warnings);
    }
    let (_, timed) = super::network::machine(&job);
    if !timed {
        warnings.push(
            Issue::error(
                "missing",
                InputId::PeakTflops.key(),
                format!(
                    "The rate of {} is not in the table, and plans are ranked by time.",
                    job.card.gpu.name
                ),
            )
            .with_hint("Type the card's dense 16-bit rate."),
        );
        return Err(warnings);
    }
    let asked_tokens = asked_tokens(&own);
    let (tokens, tokens_from) = options::tokens(&options, &own, asked_tokens);
    let rows = job.training.objective.sequences_per_row();
    let of_row = job.training.sequence_length.saturating_mul(rows).max(1);
    let sequences = (tokens.saturating_add(of_row / 2) / of_row).max(1);
    let per_node = job
        .nodes
        .as_ref()
        .map_or(job.mesh.gpus, |nodes| nodes.gpus_per_node);
    let num_nodes = job.nodes.as_ref().map_or(1, |nodes| nodes.num_nodes);
    let network = job.model.network.clone();
    let ways = ways::ways(&options, &network, &base, num_nodes);
    let shapes = ways
        .iter()
        .map(|way| ways::shape(way, &options, &network, (job.mesh.gpus, sequences)))
        .collect();
    let mut heads = Vec::new();
    let mut experts = Vec::new();
    for layer in &network.kinds {
        match &layer.mixer {
            Mixer::Attention(attention) => heads.extend([attention.heads, attention.kv_heads]),
            Mixer::Latent(latent) => heads.push(latent.heads),
            _ => {}
        }
        experts.extend(layer.moe().map(|moe| moe.experts));
    }
    let usable = Interval::new(
        job.card.usable.low,
        job.card.usable.expected,
        job.card.usable.high,
    );
    let (enabled, from) = options.sequence_parallel;
    let space = Space {
        gpus: job.mesh.gpus,
        most_tensor: options.tensor.unwrap_or(per_node),
        sequences,
        sequence: job.training.sequence_length,
        layers: network.depth(),
        heads,
        experts,
        sequence_parallel: enabled && job.training.sequence_length >= from,
        schedule: schedule(&base),
        limit: usable.expected.scaled(options.utilization),
        shapes,
    };
    Ok(Prepared {
        options,
        request: own,
        base,
        job,
        ways,
        space,
        usable,
        per_node,
        tokens_from,
    })
}

/// Tokens of a step of the question as it stands.
fn asked_tokens(request: &Request) -> u64 {
    let Ok(job) = job(&part(request, Task::Training), Strictness::default()) else {
        return 0;
    };
    let training = &job.training;
    training
        .tokens()
        .saturating_mul(training.accumulation_steps)
        .saturating_mul(training.data_parallel)
}

/// More GPUs than a node of the card has are on several nodes: those of the first node shape with this card, else as many
/// cards as its node has.
pub(super) fn with_nodes(request: &Request) -> Request {
    let stated = [InputId::NodeShape, InputId::NumNodes, InputId::GpusPerNode];
    if stated.iter().any(|id| request.has(*id)) {
        return request.clone();
    }
    let given = Given::read(request, &mut Vec::new());
    let gpus = given.integer(InputId::NumGpus).unwrap_or(1);
    let name = given
        .text(InputId::Gpu)
        .unwrap_or_else(|| super::resolve::DEFAULT_GPU.to_owned());
    let Some(gpu) = find(&name).filter(|_| !request.has(InputId::GpuMemoryGb) || request.has(InputId::Gpu))
    else {
        return request.clone();
    };
    let (each, shape) = usual_machine(gpu);
    if gpus <= each || !gpus.is_multiple_of(each) {
        return request.clone();
    }
    match shape {
        Some(shape) => request.clone().with(InputId::NodeShape, shape.id.clone()),
        None => request.clone().with(InputId::GpusPerNode, json!(each)),
    }
}

/// The schedule, where another than 1F1B is asked for, and the asked size of interleaved groups.
fn schedule(request: &Request) -> (Option<Schedule>, Option<u64>) {
    let given = Given::read(request, &mut Vec::new());
    let asked = match given.choice(InputId::PipelineSchedule) {
        Some("gpipe") => Some(Schedule::GPipe),
        Some("zero_bubble") => Some(Schedule::ZeroBubble),
        Some("zero_bubble_v") => Some(Schedule::ZeroBubbleV),
        Some("dualpipe") => Some(Schedule::DualPipe),
        Some("dualpipe_v") => Some(Schedule::DualPipeV),
        _ => None,
    };
    (asked, given.typed_integer(InputId::MicrobatchGroup))
}

const fn order(prepared: &Prepared) -> Order {
    Order {
        prefer_pipeline: prepared.options.prefer_pipeline,
        by_memory: prepared.options.by_memory,
        per_node: prepared.per_node,
    }
}

fn asked(prepared: &Prepared) -> Asked<'_> {
    Asked {
        base: &prepared.base,
        ways: &prepared.ways,
        space: &prepared.space,
    }
}

/// What was found so far.
struct Heard {
    ranking: Ranking,
    counts: Counts,
}

impl Heard {
    fn new(prepared: &Prepared) -> Self {
        Self {
            ranking: Ranking::new(order(prepared)),
            counts: Counts::default(),
        }
    }

    /// Adds what a branch gave, and tells how far it is; whether the search goes on.
    fn add(&mut self, prepared: &Prepared, (found, more): (Ranking, &Counts), hear: Hear<'_>) -> bool {
        self.ranking.merge(found);
        self.counts.add(more);
        let best = self.ranking.best(1);
        hear(&PlanProgress {
            settled: self.counts.all(),
            combinations: prepared.space.size(),
            fitting: self.counts.fitting,
            best: best.first().map(|found| answer::point(prepared, found)),
            serving: None,
        })
    }
}

/// Searches the whole space.
fn search(prepared: &Prepared, hear: Hear<'_>) -> (Ranking, Counts) {
    let mut heard = Heard::new(prepared);
    let all = branches(&prepared.space);
    each(&asked(prepared), order(prepared), &all, &mut |found, more| {
        heard.add(prepared, (found, more), hear)
    });
    (heard.ranking, heard.counts)
}

/// As [`planned_with`], with a pause between the pieces of the search: for a thread that has something else to do.
pub async fn planned_slowly(
    request: &Request,
    strictness: Strictness,
    hear: Hear<'_>,
    pause: Pause<'_>,
) -> Result<Planned, Vec<Issue>> {
    if request.serves() {
        let found = serving::plan_slowly(request, strictness, hear, pause).await?;
        return Ok(Planned::Serving(Box::new(found)));
    }
    let prepared = prepare(request, strictness)?;
    if !prepared.options.auto {
        return Ok(Planned::Training(Box::new(answer::asked(&prepared)?)));
    }
    let mut heard = Heard::new(&prepared);
    let asked = asked(&prepared);
    let mut search = Search::new(asked.space, PlanJudge::new(&asked), order(&prepared));
    for branch in branches(&prepared.space) {
        search.branch(branch);
        let (found, more) = search.take();
        if !heard.add(&prepared, (found, &more), hear) {
            break;
        }
        pause().await;
    }
    let found = answer::answer(&prepared, &heard.ranking, &heard.counts)?;
    Ok(Planned::Training(Box::new(found)))
}

/// Searches branches, each heard when it is done, until the listener wants no more.
fn each(asked: &Asked<'_>, order: Order, all: &[Branch], listen: &mut dyn FnMut(Ranking, &Counts) -> bool) {
    spread(
        all,
        || Search::new(asked.space, PlanJudge::new(asked), order),
        |search, branch| {
            search.branch(*branch);
            search.take()
        },
        &mut |(ranking, counts)| listen(ranking, &counts),
    );
}

/// Without a limit: what needs the least.
fn smallest(prepared: &Prepared) -> Option<crate::planner::Found> {
    let space = Space {
        limit: Bytes::MAX,
        ..prepared.space.clone()
    };
    let asked = Asked {
        base: &prepared.base,
        ways: &prepared.ways,
        space: &space,
    };
    let mut ranking = Ranking::new(Order::default());
    each(&asked, Order::default(), &branches(&space), &mut |found, _| {
        ranking.merge(found);
        true
    });
    ranking.front().last().copied()
}
