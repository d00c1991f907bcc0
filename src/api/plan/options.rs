//! What a search may try: the inputs of section `hybrid`, read, with what follows from the rest of the question.

use super::super::given::Given;
use super::super::read::{Typed, read};
use crate::request::{EngineId, InputId, Request, Section};
use crate::warn::Issue;

/// Tokens of a step where neither they nor a batch are typed: what Llama 3 405B began with (arXiv 2407.21783 section 3.4.1).
const USUAL_BATCH: u64 = 4_194_304;

/// The options of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Whether anything is searched; the asked plan is the only one otherwise.
    pub auto: bool,
    /// Share of the usable memory that the expected need may be.
    pub utilization: f64,
    /// Tokens per step, where they are typed.
    pub batch: Option<u64>,
    /// Engines of training.
    pub engines: Vec<EngineId>,
    /// Whether plans may round otherwise than asked.
    pub any_precision: bool,
    /// Whether plans may offload.
    pub offload: bool,
    /// Largest sizes.
    pub tensor: Option<u64>,
    /// Pipeline ranks.
    pub pipeline: Option<u64>,
    /// Context-parallel ranks.
    pub context: Option<u64>,
    /// Chunks per pipeline rank.
    pub chunks: Option<u64>,
    /// Sequences of a micro-batch.
    pub micro_batch: Option<u64>,
    /// Whether sequence parallelism may be used, and from which length on.
    pub sequence_parallel: (bool, u64),
    /// Whether longer pipelines across nodes are preferred among equals.
    pub prefer_pipeline: bool,
    /// Whether the least memory comes first, and not the shortest step.
    pub by_memory: bool,
    /// How many plans are told.
    pub count: usize,
}

impl Options {
    /// Reads them; issues by field.
    pub fn read(request: &Request, issues: &mut Vec<Issue>) -> Self {
        let given = Given::read(request, &mut Vec::new());
        for (id, value) in request.given() {
            if id.input().section == Section::Hybrid
                && let Err(issue) = read(id.input(), value)
            {
                issues.push(issue);
            }
        }
        let size = |id| given.typed_integer(id);
        let on = |id| given.toggle(id).unwrap_or(true);
        let engines = engines(&given, issues);
        Self {
            auto: on(InputId::AutoOptimize),
            utilization: given.number(InputId::TargetUtilization).unwrap_or(0.85),
            batch: size(InputId::GlobalBatchTokens),
            engines,
            any_precision: given.choice(InputId::PlanPrecisions) == Some("any"),
            offload: on(InputId::PlanOffload),
            tensor: size(InputId::MaxTensorParallel),
            pipeline: size(InputId::MaxPipelineParallel),
            context: size(InputId::MaxContextParallel),
            chunks: size(InputId::MaxPipelineChunks),
            micro_batch: size(InputId::MaxMicroBatch),
            sequence_parallel: (
                on(InputId::EnableSequenceParallel),
                given.integer(InputId::SequenceParallelThreshold).unwrap_or(4096),
            ),
            prefer_pipeline: given.toggle(InputId::PreferPipeline).unwrap_or(false),
            by_memory: given.choice(InputId::PlanRank) == Some("capacity"),
            count: usize::try_from(given.integer(InputId::PlanCount).unwrap_or(10)).unwrap_or(10),
        }
    }
}

/// The engines that are named; all that are built where none is.
fn engines(given: &Given, issues: &mut Vec<Issue>) -> Vec<EngineId> {
    let built: Vec<EngineId> = EngineId::ALL
        .iter()
        .copied()
        .filter(|engine| *engine != EngineId::MegatronDeepspeed)
        .collect();
    let Some(Typed::List(words)) = given.get(InputId::PlanEngines) else {
        return built;
    };
    let mut named = Vec::new();
    for word in words {
        let found = EngineId::from_key(&word.trim().to_ascii_lowercase().replace('-', "_"));
        match found.filter(|engine| built.contains(engine)) {
            Some(engine) => named.push(engine),
            None => issues.push(
                Issue::error(
                    "unknown_value",
                    InputId::PlanEngines.key(),
                    format!("{word} is no engine that can be planned with."),
                )
                .with_value(word.as_str())
                .with_allowed(built.iter().map(|engine| engine.key())),
            ),
        }
    }
    named
}

/// Tokens per step: typed, else what the question's batch comes to where a part of it is typed, else the usual.
pub fn tokens(options: &Options, request: &Request, asked: u64) -> (u64, &'static str) {
    let typed = [
        InputId::BatchSize,
        InputId::GradientAccumulationSteps,
        InputId::NumMicroBatches,
    ];
    match options.batch {
        Some(tokens) => (tokens, "typed"),
        None if typed.iter().any(|id| request.has(*id)) => (asked, "what the question's batch comes to"),
        None => (USUAL_BATCH, "no batch is typed"),
    }
}
