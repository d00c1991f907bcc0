//! Which ranks hold the same, and which holds the most.
//!
//! FSDP2 cuts each tensor along its first axis, so the last ranks hold less of a length that does not divide, or nothing: storage
//! is padded to equal parts, the optimizer's states are not (PyTorch 2.15: distributed/fsdp/_fully_shard/_fsdp_param.py,
//! `_init_sharded_param`). FSDP1 pads each flat parameter and DeepSpeed's stage 3 each tensor to equal parts. DeepSpeed's
//! stages 1 and 2 divide the flat weights evenly, but a rank keeps whole gradients of all tensors that its part reaches into,
//! from the reduction on that brings the first of them (`engines::partition`). DTensors are cut like FSDP2's.

use std::sync::Arc;

use super::composed;
use super::engines::megatron::{self, Stage};
use super::engines::{Arrival, arrivals};
use super::evaluate::setting;
use super::plan::{Plan, Scope};
use super::sheet::Sheet;
use super::states::{first_axis, steps};
use super::{Engine, TrainingJob, evaluate};
use crate::memory::Ledger;
use crate::model::{FeedForward, Network};
use crate::units::{Bytes, sort_by_key};

/// Classes of DeepSpeed's ranks that are told apart at most, so that an answer (api/answer.rs) stays readable; neighbours are put
/// together. No rank's bytes depend on it.
const CLASSES: usize = 8;

/// Among which ranks a class is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RankAxis {
    /// Those that share states, or copy them.
    Data,
    /// Those that divide each matrix.
    Tensor,
}

/// Ranks that hold the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankClass {
    /// Among which.
    pub axis: RankAxis,
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// One of them holds the most.
    pub fullest: Vec<u64>,
}

impl RankClass {
    fn new(axis: RankAxis, (first, last): (u64, u64)) -> Self {
        Self {
            axis,
            first,
            last,
            fullest: vec![first],
        }
    }

    /// What the fullest of them holds, as a ledger.
    pub fn ledger(&self, job: &TrainingJob) -> Option<Ledger> {
        let ledgers = self
            .fullest
            .iter()
            .map(|rank| evaluate(&job.on_rank(self.axis, *rank)));
        ledgers.max_by_key(peak)
    }
}

fn peak(ledger: &Ledger) -> Bytes {
    ledger.peak().map_or(Bytes::ZERO, |(_, bytes)| bytes)
}

impl TrainingJob {
    /// The same job as another rank runs it.
    #[must_use]
    pub fn on_rank(&self, axis: RankAxis, rank: u64) -> Self {
        let mut job = self.clone();
        match (axis, job.tensor.as_mut()) {
            (RankAxis::Data, _) | (RankAxis::Tensor, None) => job.rank = rank,
            (RankAxis::Tensor, Some(tensor)) => {
                tensor.division.rank = rank;
                job.network = Arc::new(tensor.division.local(&self.whole));
            }
        }
        job
    }
}

/// The classes of ranks: of those that share the states, and of tensor-parallel ones where they differ or are the only ones.
pub fn rank_classes(job: &TrainingJob) -> Vec<RankClass> {
    let mut classes = data_classes(job);
    let Some(tensor) = job.tensor else {
        return classes;
    };
    let divided = of_starts(
        RankAxis::Tensor,
        steps(divided_lengths(&job.whole), tensor.division.ranks),
        tensor.division.ranks,
    );
    if job.data_parallel <= 1 {
        return divided;
    }
    if divided.len() > 1 {
        classes.extend(divided);
    }
    classes
}

fn data_classes(job: &TrainingJob) -> Vec<RankClass> {
    let (axis, ranks) = (RankAxis::Data, job.data_parallel.max(1));
    match job.engine {
        Engine::Fsdp2 {
            replicas, offload, ..
        } => {
            let ranks = (ranks / replicas.max(1)).max(1);
            // With the states on the host the GPU holds padded buffers alone; adapters are cut by their own rows.
            let alike = offload.away() || job.adapter.is_some();
            let network = &job.network;
            let layers = network.kinds.iter().flat_map(|layer| &layer.tensors);
            let tensors = layers
                .chain(&network.input_tensors)
                .chain(&network.output_tensors);
            let lengths = tensors.filter(|_| !alike).map(first_axis);
            of_starts(axis, steps(lengths, ranks), ranks)
        }
        Engine::DeepSpeed(zero)
            if matches!(zero.stage, 1 | 2) && !zero.optimizer.away() && !job.has_stages() =>
        {
            let mut classes: Vec<RankClass> = Vec::new();
            let mut bands: Vec<Vec<Arrival>> = Vec::new();
            for arrival in of_all_ranks(job) {
                match bands.last_mut() {
                    Some(band) if band.last().is_some_and(|other| other.at == arrival.at) => {
                        band.push(arrival);
                    }
                    _ => bands.push(vec![arrival]),
                }
            }
            let together = bands.len().div_ceil(CLASSES).max(1);
            for bands in bands.chunks(together) {
                let band: Vec<Arrival> = bands.iter().flatten().copied().collect();
                if let (Some(first), Some(last)) = (band.first(), band.last()) {
                    classes.push(RankClass {
                        fullest: fullest(&band),
                        ..RankClass::new(axis, (first.reach.first, last.reach.last))
                    });
                }
            }
            classes
        }
        _ => vec![RankClass::new(axis, (0, ranks - 1))],
    }
}

/// When the gradients of the ranks arrive, and how many there are.
fn of_all_ranks(job: &TrainingJob) -> Vec<Arrival> {
    let plan = Plan::new(job, setting(job), Scope::Engine, &mut Sheet::default());
    arrivals(&plan)
}

/// Those of which one holds the most: no other has more gradients that come as early, or a tighter norm.
fn fullest(ranks: &[Arrival]) -> Vec<u64> {
    let norm = |arrival: &Arrival| {
        let partition = arrival.reach.partition;
        partition.whole.saturating_add(partition.piece.saturating_mul(4))
    };
    let mut sorted: Vec<&Arrival> = ranks.iter().collect();
    sort_by_key(&mut sorted, |arrival| {
        std::cmp::Reverse((arrival.at, arrival.reach.partition.whole))
    });
    let (mut most, mut found) = (None, Vec::new());
    for arrival in sorted {
        let whole = arrival.reach.partition.whole;
        if most.is_none_or(|most| whole > most) {
            most = Some(whole);
            found.push(arrival.reach.first);
        }
    }
    let tightest = ranks.iter().max_by_key(|arrival| norm(arrival));
    found.extend(tightest.map(|arrival| arrival.reach.last));
    found.sort_unstable();
    found.dedup();
    found
}

/// Ranks of which one holds the most, where it is not the first.
pub fn fullest_ranks(job: &TrainingJob) -> Vec<u64> {
    match job.engine {
        Engine::DeepSpeed(zero) if matches!(zero.stage, 1 | 2) && !zero.optimizer.away() => {
            fullest(&of_all_ranks(job))
        }
        _ => Vec::new(),
    }
}

/// What the rank that holds the most holds, with its number.
pub fn evaluate_fullest(job: &TrainingJob) -> (u64, Ledger) {
    let ranks = if job.has_stages() {
        Vec::new()
    } else {
        fullest_ranks(job)
    };
    let of = |rank: u64| (rank, evaluate(&job.on_rank(RankAxis::Data, rank)));
    let found = ranks.into_iter().map(of).max_by_key(|(_, ledger)| peak(ledger));
    found.unwrap_or_else(|| of(0))
}

fn of_starts(axis: RankAxis, later: Vec<u64>, ranks: u64) -> Vec<RankClass> {
    let ends = later.iter().copied().chain([ranks]);
    std::iter::once(0)
        .chain(later.iter().copied())
        .zip(ends)
        .map(|(first, end)| RankClass::new(axis, (first, end.saturating_sub(1))))
        .collect()
}

/// Lengths that tensor parallelism may divide unevenly: vocabulary and widths. Heads divide evenly or are refused.
fn divided_lengths(network: &Network) -> Vec<u64> {
    let mut lengths = vec![network.vocabulary];
    let mut parts: Vec<&FeedForward> = network.kinds.iter().map(|layer| &layer.feed_forward).collect();
    while let Some(part) = parts.pop() {
        match part {
            FeedForward::None => {}
            FeedForward::Dense(dense) => lengths.push(dense.width),
            FeedForward::Moe(moe) => {
                lengths.push(moe.width);
                lengths.extend(moe.shared.as_ref().map(|shared| shared.width));
                lengths.extend(moe.dense.as_ref().map(|dense| dense.width));
            }
            FeedForward::Several(more) => parts.extend(more),
        }
    }
    lengths
}

/// Why ranks hold what they hold.
pub fn rank_reason(job: &TrainingJob) -> &'static str {
    if let Some(tensor) = job.tensor {
        return if job.data_parallel > 1 {
            "Norms, routers and what else the plan leaves whole is on every tensor-parallel rank; lengths that do not divide leave less to the last ranks, of the vocabulary and of each shard's rows."
        } else if tensor.division.ranks > 1 {
            "Norms, routers and what else the plan leaves whole is on every rank; a vocabulary or width that does not divide leaves less to the last ranks."
        } else {
            "One GPU holds everything."
        };
    }
    if job.has_stages() {
        return "Data-parallel ranks of one pipeline stage hold the same but for rows that do not divide; the stages are listed by themselves.";
    }
    match job.engine {
        Engine::Megatron(_) => {
            "Data-parallel ranks of one pipeline stage hold the same; the stages are listed by themselves."
        }
        _ if job.data_parallel <= 1 => "One GPU holds everything.",
        Engine::Single | Engine::Ddp { .. } => {
            "Every rank holds all weights, gradients and states, so all hold the same."
        }
        Engine::Fsdp1 { .. } => {
            "Each flat parameter is padded to equal parts, so all ranks hold the same but for the rounding of single tensors."
        }
        Engine::Fsdp2 { offload, .. } if offload.away() => {
            "Shards are on the host and what is gathered is padded to equal parts, so all ranks hold the same."
        }
        Engine::Fsdp2 { .. } => {
            "Each tensor is cut along its first axis: where that does not divide, the last ranks hold less of it, or nothing."
        }
        Engine::DeepSpeed(zero) => match zero.stage {
            0 => "Without ZeRO every rank holds all weights, gradients and states, so all hold the same.",
            1 | 2 if zero.optimizer.away() => {
                "The flat weights are divided evenly and gradients go to the host, so all ranks hold the same."
            }
            1 | 2 => {
                "The flat weights are divided evenly, but a rank keeps whole gradients of every tensor that its part reaches into, from their reduction on: those of the last tensors come first."
            }
            _ => "Each tensor is padded to equal parts, so all ranks hold the same.",
        },
    }
}

/// Every pipeline rank of a job, where its engine has a pipeline.
pub fn pipeline_stages(job: &TrainingJob) -> Vec<Stage> {
    match &job.engine {
        Engine::Megatron(settings) => megatron::stages(job, settings),
        _ => composed::all(job),
    }
}
