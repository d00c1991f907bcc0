//! Ranks that hold the same: a shard of FSDP2 is cut along the first axis of each tensor, so the last ranks hold less of a
//! length that does not divide, or nothing. Storage is padded to equal parts, the optimizer's states are not.
//!
//! Read in PyTorch 2.15: distributed/fsdp/_fully_shard/_fsdp_param.py (`_init_sharded_param`: `padded_sharded_size`, and
//! `sharded_size` of the parameter that the optimizer sees). FSDP1's flat parameters and DeepSpeed's flat buffers are
//! padded as they are, so their ranks hold the same but for single elements.

use super::engines::megatron::{self, Stage};
use super::states::steps;
use super::{Engine, TrainingJob};

/// Ranks that hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankClass {
    /// The first of them, among the ranks that share the states.
    pub first: u64,
    /// The last of them.
    pub last: u64,
}

/// The classes of ranks among those that share the states, the fullest first.
pub fn rank_classes(job: &TrainingJob) -> Vec<RankClass> {
    let Engine::Fsdp2 {
        replicas, offload, ..
    } = job.engine
    else {
        let last = job.data_parallel.saturating_sub(1);
        return vec![RankClass { first: 0, last }];
    };
    let ranks = (job.data_parallel / replicas.max(1)).max(1);
    let network = &job.network;
    let tensors = network
        .kinds
        .iter()
        .flat_map(|layer| &layer.tensors)
        .chain(&network.input_tensors)
        .chain(&network.output_tensors);
    // With the states on the host the GPU holds padded buffers alone; adapters are cut by their own rows.
    let alike = offload.away() || job.adapter.is_some();
    let starts: Vec<u64> = std::iter::once(0)
        .chain(if alike { Vec::new() } else { steps(tensors, ranks) })
        .collect();
    let ends = starts.iter().skip(1).copied().chain([ranks]);
    starts
        .iter()
        .zip(ends)
        .map(|(first, end)| RankClass {
            first: *first,
            last: end.saturating_sub(1),
        })
        .collect()
}

/// Every pipeline rank of a job, where its engine has a pipeline.
pub fn pipeline_stages(job: &TrainingJob) -> Vec<Stage> {
    match &job.engine {
        Engine::Megatron(settings) => megatron::stages(job, settings),
        _ => Vec::new(),
    }
}
