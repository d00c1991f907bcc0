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

/// Ranks in a row whose partitions reach into the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// What each reaches into.
    pub partition: Partition,
}

/// The partitions of all ranks in their order, cut out of the module's parameters one after the other. As many as tensors begin or
/// end, however many ranks there are: all whose partition lies inside one tensor reach into the same.
#[derive(Debug)]
struct Reaches {
    size: u64,
    ranks: u64,
    /// Elements of the tensors so far.
    start: u64,
    found: Vec<Reach>,
}

impl Reaches {
    /// The next tensor, after so many layers.
    fn tensor(&mut self, elements: u64, layers: usize) {
        let (size, start) = (self.size, self.start);
        let end = start.saturating_add(elements);
        self.start = end;
        let (Some(first), Some(last)) = (start.checked_div(size), end.saturating_sub(1).checked_div(size))
        else {
            return;
        };
        let last = last.min(self.ranks.saturating_sub(1));
        if elements == 0 || first > last {
            return;
        }
        let mut touch = |first: u64, last: u64, piece: u64| {
            let partition = Partition {
                whole: elements,
                piece,
                layers,
            };
            match self.found.last_mut() {
                Some(open) if open.last == first => open.partition.add(partition),
                _ => self.found.push(Reach {
                    first,
                    last,
                    partition,
                }),
            }
        };
        let end_of = |rank: u64| rank.saturating_add(1).saturating_mul(size).min(end);
        touch(first, first, end_of(first).saturating_sub(start));
        if last > first + 1 {
            touch(first + 1, last - 1, size);
        }
        if last > first {
            touch(last, last, end_of(last).saturating_sub(last.saturating_mul(size)));
        }
    }

    /// All of them, with the ranks to which nothing was left.
    fn all(mut self) -> Vec<Reach> {
        let next = self.found.last().map_or(0, |reach| reach.last + 1);
        if next < self.ranks {
            self.found.push(Reach {
                first: next,
                last: self.ranks - 1,
                partition: Partition::default(),
            });
        }
        self.found
    }
}

impl Partition {
    /// Reaches into a further tensor.
    fn add(&mut self, further: Self) {
        self.whole = self.whole.saturating_add(further.whole);
        self.piece = self.piece.max(further.piece);
        self.layers = further.layers;
    }
}

/// The partitions of all ranks, by the order of the module's parameters; neighbours that reach into the same are one.
pub fn partitions(plan: &Plan<'_>, (size, ranks): (u64, u64)) -> Vec<Reach> {
    let mut reaches = Reaches {
        size,
        ranks,
        start: 0,
        found: Vec::new(),
    };
    let mut tensor = |elements: u64, layers: usize| reaches.tensor(elements, layers);
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
    reaches.all()
}

/// When the gradients of the partitions of some ranks come, and which they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The ranks, and what their partitions reach into.
    pub reach: Reach,
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
        .map(|reach| Arrival {
            reach,
            at: at(reach.partition),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Each rank by itself, tensor by tensor.
    fn by_rank(tensors: &[u64], (size, ranks): (u64, u64)) -> Vec<Partition> {
        let of = |rank: u64| {
            let (from, to) = (rank * size, (rank + 1) * size);
            let mut found = Partition::default();
            let mut start = 0;
            for (layers, elements) in tensors.iter().enumerate() {
                let end = start + elements;
                let piece = end.min(to).saturating_sub(start.max(from));
                if piece > 0 {
                    found.add(Partition {
                        whole: *elements,
                        piece,
                        layers,
                    });
                }
                start = end;
            }
            found
        };
        (0..ranks).map(of).collect()
    }

    #[test]
    fn neighbours_that_reach_into_the_same_are_what_each_rank_reaches_into() {
        let tensors = [64, 1, 1, 0, 17, 8, 8, 40, 3];
        for ranks in 1..=200 {
            let size = size(tensors.iter().sum(), ranks);
            let mut reaches = Reaches {
                size,
                ranks,
                start: 0,
                found: Vec::new(),
            };
            for (layers, elements) in tensors.iter().enumerate() {
                reaches.tensor(*elements, layers);
            }
            let found = reaches.all();
            let each: Vec<Partition> = found
                .iter()
                .flat_map(|reach| (reach.first..=reach.last).map(|_| reach.partition))
                .collect();
            assert_eq!(each, by_rank(&tensors, (size, ranks)), "{ranks} ranks");
            assert!(
                found.len() <= 3 * tensors.len(),
                "{} for {ranks} ranks",
                found.len()
            );
        }
    }
}
