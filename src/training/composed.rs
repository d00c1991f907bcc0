//! FSDP2 over a mesh of torch's other parallelisms, as pytorch/torchtitan composes them, and DeepSpeed's pipeline: context ranks divide each sequence,
//! pipeline ranks the layers, expert ranks the routed experts. A pipeline rank is a job of its own over its layers; the answer is
//! that of the rank that holds the most.
//!
//! Read in torch 2.15 (distributed/pipelining/stage.py and schedules.py): `backward_maybe_with_nosync` reduces gradients when the
//! last micro-batch is over, so that they accumulate whole and in the type of the reduction, and gathered weights are kept
//! until then; in torchtitan (distributed/pipeline_parallel.py, models/llama3/parallelize.py) and its revision 9dec370. A
//! schedule whose forward passes all precede its first backward reduces a chunk's gradients before the chunk below begins.

use std::sync::Arc;

use super::block::Setting;
use super::engines::megatron::Stage;
use super::head::Ending;
use super::plan::Plan;
use super::sheet::{Held, Sheet};
use super::{TrainingJob, evaluate_fullest, pipelined};
use crate::memory::Ledger;
use crate::model::{Network, Role, Tensor};
use crate::parallel::{Schedule, Split, stages};
use crate::units::Bytes;

/// Sizes of the mesh beside data and tensor parallelism.
#[derive(Clone, Debug, PartialEq)]
pub struct Composed {
    /// Ranks that share a sequence, whose tokens are divided before; shards of FSDP are divided among them as well.
    pub context: u64,
    /// Ranks among which routed experts are dealt out; they are some of those that share the other weights.
    pub expert: u64,
    /// The pipeline, where there is one.
    pub pipeline: Option<Pipeline>,
    /// What one pipeline rank runs; `None` for the job as a whole.
    pub rank: Option<Arc<PipelineRank>>,
}

impl Default for Composed {
    fn default() -> Self {
        Self {
            context: 1,
            expert: 1,
            pipeline: None,
            rank: None,
        }
    }
}

/// A pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Ranks.
    pub ranks: u64,
    /// In which order a rank runs its passes.
    pub schedule: Schedule,
    /// Which layers a stage has.
    pub split: Split,
}

/// What one pipeline rank runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineRank {
    /// Its chunks, in the order of the model.
    pub chunks: Vec<Chunk>,
    /// Whether all its forward passes precede its first backward pass.
    pub drained: bool,
    /// Whether all backward passes of a chunk precede the first one of the chunk below it, so that its gradients are reduced
    /// before those of the next one are there: interleaved chunks with one turn each.
    pub apart: bool,
}

/// A chunk of layers on a pipeline rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its first layer among those of the rank.
    pub begin: usize,
    /// The one after its last.
    pub end: usize,
    /// Micro-batches in flight when the most are.
    pub in_flight: u64,
    /// Whether the embedding precedes it.
    pub first: bool,
    /// Whether head and loss follow.
    pub last: bool,
}

impl PipelineRank {
    /// The chunk of a layer; the last one for the end of the layers.
    pub fn chunk(&self, layer: usize) -> usize {
        let found = self.chunks.iter().position(|chunk| layer < chunk.end);
        found.unwrap_or(self.chunks.len().saturating_sub(1))
    }

    /// Whether the embedding is on this rank.
    pub fn has_embedding(&self) -> bool {
        self.chunks.iter().any(|chunk| chunk.first)
    }

    /// Whether head and loss are on this rank.
    pub fn has_loss(&self) -> bool {
        self.chunks.iter().any(|chunk| chunk.last)
    }
}

impl TrainingJob {
    /// What the pipeline rank runs, where this is one's job.
    pub fn pipeline_rank(&self) -> Option<&PipelineRank> {
        self.composed.rank.as_deref()
    }

    /// Whether the job has pipeline ranks and is none of theirs.
    pub const fn has_stages(&self) -> bool {
        self.composed.pipeline.is_some() && self.composed.rank.is_none()
    }
}

/// The job of each pipeline rank.
fn rank_jobs(job: &TrainingJob, pipeline: Pipeline) -> Vec<(Vec<(u64, u64)>, TrainingJob)> {
    let Pipeline {
        ranks,
        schedule,
        split,
    } = pipeline;
    let all = stages(job.network.depth(), split, schedule, ranks).unwrap_or_default();
    let batches = job.accumulation_steps;
    (0..ranks)
        .map(|rank| {
            let counts = schedule.in_flight(ranks, rank, batches);
            let mut places: Vec<(u64, u64)> = (0..schedule.chunks())
                .map(|chunk| {
                    let at = usize::try_from(chunk).unwrap_or(usize::MAX);
                    let alive = counts.chunks.get(at).copied().unwrap_or(0);
                    let delayed = if chunk == 0 { counts.delayed } else { 0 };
                    (schedule.stage(ranks, rank, chunk), alive.saturating_add(delayed))
                })
                .collect();
            places.sort_unstable();
            let mut order = Vec::new();
            let mut layers = Vec::new();
            let mut chunks = Vec::new();
            for (place, in_flight) in places {
                let at = usize::try_from(place).unwrap_or(usize::MAX);
                let range = all.get(at).cloned().unwrap_or(0..0);
                let begin = order.len();
                order.extend(range.clone().filter_map(|layer| {
                    let layer = usize::try_from(layer).ok()?;
                    job.network.order.get(layer).copied()
                }));
                if range.end > range.start {
                    layers.push((range.start + 1, range.end));
                }
                chunks.push(Chunk {
                    begin,
                    end: order.len(),
                    in_flight,
                    first: place == 0,
                    last: place + 1 == all.len() as u64,
                });
            }
            let most: u64 = chunks.iter().map(|chunk| chunk.in_flight).sum();
            let here = PipelineRank {
                apart: match schedule {
                    Schedule::Interleaved { group, .. } => batches <= group,
                    _ => false,
                },
                drained: most >= batches.saturating_mul(chunks.len() as u64),
                chunks,
            };
            let network = Arc::new(part(&job.network, order, &here));
            let own = TrainingJob {
                whole: network.clone(),
                network,
                composed: Composed {
                    rank: Some(Arc::new(here)),
                    ..job.composed.clone()
                },
                ..job.clone()
            };
            (layers, own)
        })
        .collect()
}

/// The network of a pipeline rank.
fn part(network: &Network, order: Vec<usize>, rank: &PipelineRank) -> Network {
    let mut own = network.clone();
    own.order = order;
    if !rank.has_embedding() {
        own.input_tensors.clear();
    }
    if !rank.has_loss() {
        own.output_tensors.clear();
        own.final_norm = None;
    }
    // A tied weight is on the stages of both ends (DeepSpeed runtime/pipe/module.py, `TiedLayerSpec`).
    if network.head.tied && !(rank.has_embedding() && rank.has_loss()) {
        own.head.tied = false;
        if rank.has_loss() {
            let shared = network.input_tensors.iter();
            let embedding = shared.filter(|tensor| tensor.role == Role::Embedding);
            own.output_tensors.extend(embedding.map(|tensor| Tensor {
                role: Role::Head,
                ..tensor.clone()
            }));
        }
    }
    own
}

/// What the other files of training call. Where the module is in parts, it lies in one of them.
#[derive(Clone, Copy)]
struct Calls {
    fullest: fn(&TrainingJob, Pipeline) -> Ledger,
    all: fn(&TrainingJob, Pipeline) -> Vec<Stage>,
    ending: fn(&Setting) -> Ending,
    waiting: fn(&Plan<'_>, &PipelineRank, &mut Sheet) -> Vec<Held>,
    received: fn(&Plan<'_>, &PipelineRank, &mut Sheet) -> Held,
}

const CALLS: Calls = Calls {
    fullest: fullest_of,
    all: all_of,
    ending: pipelined::ending,
    waiting: pipelined::waiting,
    received: pipelined::received,
};

brought!(calls: Calls = CALLS);

/// The ledger of the pipeline rank that holds the most.
pub fn fullest(job: &TrainingJob, pipeline: Pipeline) -> Ledger {
    calls().map_or_else(Ledger::default, |calls| (calls.fullest)(job, pipeline))
}

/// Every pipeline rank with its ledger.
pub fn all(job: &TrainingJob) -> Vec<Stage> {
    match (calls(), job.composed.pipeline) {
        (Some(calls), Some(pipeline)) => (calls.all)(job, pipeline),
        _ => Vec::new(),
    }
}

/// The end of a stage that has no loss; nothing for a job whose network ends with one.
pub fn ending(job: &TrainingJob, setting: &Setting) -> Option<Ending> {
    let rank = job.pipeline_rank().filter(|rank| !rank.has_loss());
    rank.and(calls()).map(|calls| (calls.ending)(setting))
}

/// For each chunk of a pipeline rank what its other micro-batches hold, and what is held of hidden states on their way.
pub fn beside(plan: &Plan<'_>, sheet: &mut Sheet) -> (Vec<Held>, Held) {
    match (calls(), plan.job.pipeline_rank()) {
        (Some(calls), Some(rank)) => (
            (calls.waiting)(plan, rank, sheet),
            (calls.received)(plan, rank, sheet),
        ),
        _ => (Vec::new(), Held::new()),
    }
}

fn fullest_of(job: &TrainingJob, pipeline: Pipeline) -> Ledger {
    let ledgers = rank_jobs(job, pipeline)
        .into_iter()
        .map(|(_, job)| evaluate_fullest(&job).1);
    let peak = |ledger: &Ledger| ledger.peak().map_or(Bytes::ZERO, |(_, bytes)| bytes);
    let mut most: Option<Ledger> = None;
    for ledger in ledgers {
        if most.as_ref().is_none_or(|most| peak(&ledger) > peak(most)) {
            most = Some(ledger);
        }
    }
    most.unwrap_or_default()
}

fn all_of(job: &TrainingJob, pipeline: Pipeline) -> Vec<Stage> {
    let jobs = rank_jobs(job, pipeline);
    (0..)
        .zip(jobs)
        .map(|(rank, (layers, job))| Stage {
            rank,
            layers,
            in_flight: job
                .pipeline_rank()
                .map(|rank| rank.chunks.iter().map(|chunk| chunk.in_flight).collect())
                .unwrap_or_default(),
            parameters: job.network.total_parameters().get(),
            ledger: evaluate_fullest(&job).1,
        })
        .collect()
}
