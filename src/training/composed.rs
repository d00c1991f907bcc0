//! FSDP2 over a mesh of torch's other parallelisms, as pytorch/torchtitan composes them: context ranks divide each sequence,
//! pipeline ranks the layers, expert ranks the routed experts. A pipeline rank is a job of its own over its layers; the answer is
//! that of the rank that holds the most.
//!
//! Read in torch 2.15 (distributed/pipelining/stage.py and schedules.py): `backward_maybe_with_nosync` reduces gradients when the
//! last micro-batch is over, so that they accumulate whole and in the type of the reduction, and gathered weights are kept
//! until then; in torchtitan (distributed/pipeline_parallel.py, models/llama3/parallelize.py) and its revision 9dec370. A
//! schedule whose forward passes all precede its first backward reduces a chunk's gradients before the chunk below begins.

use std::sync::Arc;

use super::engines::megatron::Stage;
use super::{TrainingJob, evaluate};
use crate::memory::Ledger;
use crate::model::Network;
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
    own
}

/// The ledger of the pipeline rank that holds the most.
pub fn fullest(job: &TrainingJob, pipeline: Pipeline) -> Ledger {
    let ledgers = rank_jobs(job, pipeline)
        .into_iter()
        .map(|(_, job)| evaluate(&job));
    let peak = |ledger: &Ledger| ledger.peak().map_or(Bytes::ZERO, |(_, bytes)| bytes);
    let mut most: Option<Ledger> = None;
    for ledger in ledgers {
        if most.as_ref().is_none_or(|most| peak(&ledger) > peak(most)) {
            most = Some(ledger);
        }
    }
    most.unwrap_or_default()
}

/// Every pipeline rank with its ledger.
pub fn all(job: &TrainingJob) -> Vec<Stage> {
    let Some(pipeline) = job.composed.pipeline else {
        return Vec::new();
    };
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
            ledger: evaluate(&job),
        })
        .collect()
}
