//! What one rank's partition of DeepSpeed's stages 1 and 2 reaches into: whole gradients of the tensors that it touches get one
//! buffer, at the first reduction that brings one of them. So ranks differ: the last one's gradients come first and stay longest,
//! and a rank inside a large embedding keeps all of that embedding's gradient.
//!
//! Read in DeepSpeed 0.19.8, runtime/zero/stage_1_and_2.py: `get_partition_info` (which tensors), `copy_grads_in_partition` (the
//! buffer), `get_grad_norm_direct` (the norm of each piece in fp64).

use super::reduction::reductions;
use crate::training::Engine;
use crate::training::plan::Plan;

/// What a partition reaches into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// Elements of all tensors that it touches, whole.
    pub whole: u64,
    /// Elements of the largest piece of one tensor that belongs to it.
    pub piece: u64,
    /// How many layers, from the first on, lie at or below the last tensor that it touches: none where it ends before the
    /// layers.
    pub layers: usize,
}

/// Elements of one partition: the weights over the ranks, rounded up to two (`nccl_start_alignment_factor`).
pub fn size(weights: u64, ranks: u64) -> u64 {
    let ranks = ranks.max(1);
    weights.div_ceil(ranks.saturating_mul(2)).saturating_mul(2)
}

/// The partitions of all ranks, by the order of the module's parameters.
pub fn partitions(plan: &Plan<'_>, (size, ranks): (u64, u64)) -> Vec<Partition> {
    let mut found = vec![Partition::default(); usize::try_from(ranks).unwrap_or(0)];
    if size == 0 {
        return found;
    }
    let mut start = 0_u64;
    let mut tensor = |elements: u64, layers: usize| {
        let end = start.saturating_add(elements);
        let mut rank = start / size;
        while elements > 0 && rank < ranks && rank.saturating_mul(size) < end {
            let from = rank.saturating_mul(size).max(start);
            let to = (rank + 1).saturating_mul(size).min(end);
            if let Some(partition) = usize::try_from(rank).ok().and_then(|rank| found.get_mut(rank)) {
                partition.whole = partition.whole.saturating_add(elements);
                partition.piece = partition.piece.max(to.saturating_sub(from));
                partition.layers = layers;
            }
            rank += 1;
        }
        start = end;
    };
    // The weight that embedding and head share is the first of the module.
    let shared = usize::from(plan.network.head.tied && plan.job.adapter.is_none());
    let (input, output) = (
        plan.input.trained.local_sizes(),
        plan.output.trained.local_sizes(),
    );
    // A vision tower comes before the text.
    for (kind, count) in plan.tower.parts() {
        for _ in 0..count {
            for elements in kind.part.trained.local_sizes() {
                tensor(*elements, 0);
            }
        }
    }
    for elements in output.iter().take(shared).chain(input) {
        tensor(*elements, 0);
    }
    for (layer, kind) in plan.order.iter().enumerate() {
        let part = plan.layers.get(*kind).map(|layer| &layer.part.trained);
        for elements in part.into_iter().flat_map(|part| part.local_sizes()) {
            tensor(*elements, layer + 1);
        }
    }
    for elements in output.iter().skip(shared) {
        tensor(*elements, plan.order.len());
    }
    found
}

/// When the gradients of a rank's partition come, and which they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// What the partition reaches into.
    pub partition: Partition,
    /// The layer whose backward reduces the first of them; the last reduction of the pass does where there is none.
    pub at: Option<usize>,
}

/// The arrivals of all ranks, in stages 1 and 2.
pub fn arrivals(plan: &Plan<'_>) -> Vec<Arrival> {
    let Engine::DeepSpeed(zero) = plan.job.engine else {
        return Vec::new();
    };
    let ranks = plan.job.data_parallel.max(1);
    let layers = if zero.reduces_in_backward(plan.job) {
        reductions(plan, zero.reduce_bucket).layers
    } else {
        Vec::new()
    };
    let at = |partition: Partition| first_reduction(&layers, Option::is_some, partition);
    partitions(plan, (size(weights(plan), ranks), ranks))
        .into_iter()
        .map(|partition| Arrival {
            partition,
            at: at(partition),
        })
        .collect()
}

/// Elements of all that trains.
pub fn weights(plan: &Plan<'_>) -> u64 {
    let layers = plan.layers.iter().enumerate();
    let within: u64 = layers
        .map(|(kind, layer)| layer.part.trained.elements * plan.layers_of(kind))
        .sum();
    let tower: u64 = plan
        .tower
        .parts()
        .map(|(kind, count)| kind.part.trained.elements * count)
        .sum();
    within + tower + plan.input.trained.elements + plan.output.trained.elements
}

/// The layer whose backward reduces the first gradients of a partition: the last one up to those that it reaches into whose
/// backward reduces anything.
pub fn first_reduction<T>(layers: &[T], reduces: impl Fn(&T) -> bool, partition: Partition) -> Option<usize> {
    let reached = layers.iter().take(partition.layers);
    reached
        .enumerate()
        .rfind(|(_, layer)| reduces(layer))
        .map(|(layer, _)| layer)
}
