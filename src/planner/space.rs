//! The values of every dimension, and a combination of them. A space has shapes: ways of training that have the same dimensions
//! (an engine with its way of sharding, of rounding and of offloading). Its raw size is the sum over the shapes of the product
//! of their lists.

use super::rules::Rule;
use crate::parallel::{Schedule, Split};
use crate::units::Bytes;

/// How layers are dealt out to pipeline stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deal {
    /// Evenly.
    Even,
    /// The embedding counts as a layer.
    Embedding,
    /// The loss counts as a layer.
    Loss,
    /// Both count as one.
    Both,
    /// The first rank has fewer layers, as many as are missing.
    FirstShort,
    /// The last rank has fewer layers.
    LastShort,
    /// Both ends have fewer, the last as many as or one more than the first.
    EndsShort,
}

impl Deal {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Even,
        Self::Embedding,
        Self::Loss,
        Self::Both,
        Self::FirstShort,
        Self::LastShort,
        Self::EndsShort,
    ];

    /// The layers of the ends for so many layers on so many ranks with so many chunks each, or why it is none.
    pub fn split(self, layers: u64, ranks: u64, chunks: u64) -> Result<Split, Rule> {
        let even = Split::default();
        if self == Self::Even {
            return Ok(even);
        }
        if ranks < 2 {
            return Err(Rule::Same);
        }
        if matches!(self, Self::Embedding | Self::Loss | Self::Both) {
            return Ok(Split {
                embedding: self != Self::Loss,
                loss: self != Self::Embedding,
                ..even
            });
        }
        // As many layers as there are chunks are taken from an end at once, so that its chunks stay equal.
        let chunks = chunks.max(1);
        let each = layers
            .div_ceil(ranks.saturating_mul(chunks))
            .saturating_mul(chunks);
        let missing = each.saturating_mul(ranks).saturating_sub(layers);
        if missing == 0 {
            return Err(Rule::Same);
        }
        if !missing.is_multiple_of(chunks) {
            return Err(Rule::Stages);
        }
        let pieces = missing / chunks;
        let (first, last) = match self {
            Self::FirstShort => (pieces, 0),
            Self::LastShort => (0, pieces),
            _ => (pieces / 2, pieces.div_ceil(2)),
        };
        // One layer less is what counting embedding or loss as a layer does.
        let counted = chunks == 1 && first <= 1 && last <= 1;
        if counted || self == Self::EndsShort && first == 0 {
            return Err(Rule::Same);
        }
        let left = |short: u64| -> Result<Option<u64>, Rule> {
            let left = each.saturating_sub(short.saturating_mul(chunks));
            match (short, left) {
                (0, _) => Ok(None),
                (_, 0) => Err(Rule::Stages),
                (_, left) => Ok(Some(left)),
            }
        };
        Ok(Split {
            first: left(first)?,
            last: left(last)?,
            ..even
        })
    }
}

/// A way of training: its dimensions beside the shared ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Whether it has pipeline, context and expert parallelism (Megatron); the others divide data alone, and matrices where
    /// the engine can.
    pub staged: bool,
    /// Tensor-parallel sizes.
    pub tensor: Vec<u64>,
    /// Context-parallel sizes.
    pub context: Vec<u64>,
    /// Pipeline ranks.
    pub pipeline: Vec<u64>,
    /// Chunks of layers per pipeline rank.
    pub chunks: Vec<u64>,
    /// How layers are dealt out.
    pub deals: Vec<Deal>,
    /// Expert-parallel sizes.
    pub expert: Vec<u64>,
    /// Whether experts' matrices are divided like the others.
    pub expert_tensor: Vec<bool>,
    /// Whether states are divided among the data-parallel ranks, where that is a dimension.
    pub distributed: Vec<bool>,
    /// Whether the stream between the matrices is divided along the sequence.
    pub sequence: Vec<bool>,
    /// Sequences per micro-batch.
    pub micro_batch: Vec<u64>,
    /// How many ways of recomputing there are.
    pub recompute: usize,
}

impl Shape {
    /// Combinations below a mesh: deals, chunks and the rest.
    pub fn below_mesh(&self) -> u64 {
        product(&[self.deals.len(), self.chunks.len()]).saturating_mul(self.below_stages())
    }

    /// Combinations below the stages.
    pub fn below_stages(&self) -> u64 {
        product(&[self.distributed.len(), self.sequence.len()]).saturating_mul(self.below_states())
    }

    /// Combinations below the states.
    pub fn below_states(&self) -> u64 {
        product(&[self.micro_batch.len(), self.recompute])
    }

    /// Ways of dealing out experts.
    pub fn experts_below(&self) -> u64 {
        product(&[self.expert.len(), self.expert_tensor.len()])
    }

    /// All combinations of a mesh.
    pub fn meshes(&self) -> u64 {
        product(&[
            self.tensor.len(),
            self.context.len(),
            self.pipeline.len(),
            self.expert.len(),
            self.expert_tensor.len(),
        ])
    }

    /// All combinations.
    pub fn size(&self) -> u64 {
        self.meshes().saturating_mul(self.below_mesh())
    }
}

fn product(factors: &[usize]) -> u64 {
    factors
        .iter()
        .fold(1, |all, factor| all.saturating_mul(*factor as u64))
}

/// The space of one question.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    /// GPUs.
    pub gpus: u64,
    /// The largest tensor-parallel size.
    pub most_tensor: u64,
    /// Sequences of the global batch.
    pub sequences: u64,
    /// Tokens of a sequence.
    pub sequence: u64,
    /// Layers.
    pub layers: u64,
    /// Numbers of heads that tensor parallelism must divide under Megatron.
    pub heads: Vec<u64>,
    /// Numbers of experts of the layers that have some.
    pub experts: Vec<u64>,
    /// Whether sequence parallelism may be proposed.
    pub sequence_parallel: bool,
    /// The schedule without chunks, where another one than 1F1B was asked for, and the size of the groups in which
    /// interleaved micro-batches take turns, where it was asked for.
    pub schedule: (Option<Schedule>, Option<u64>),
    /// Bytes that a plan may need.
    pub limit: Bytes,
    /// The ways of training.
    pub shapes: Vec<Shape>,
}

impl Space {
    /// All combinations.
    pub fn size(&self) -> u64 {
        self.shapes
            .iter()
            .fold(0, |sum, shape| sum.saturating_add(shape.size()))
    }
}

/// A combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which shape of the space.
    pub shape: usize,
    /// Tensor-parallel ranks.
    pub tensor: u64,
    /// Context-parallel ranks.
    pub context: u64,
    /// Pipeline ranks.
    pub pipeline: u64,
    /// The schedule.
    pub schedule: Schedule,
    /// How layers are dealt out.
    pub split: Split,
    /// Expert-parallel ranks.
    pub expert: u64,
    /// Ranks that share each expert's matrices.
    pub expert_tensor: u64,
    /// Data-parallel ranks.
    pub data: u64,
    /// Whether states are divided among them.
    pub distributed: bool,
    /// Whether the stream between the matrices is divided along the sequence.
    pub sequence: bool,
    /// Sequences per micro-batch and data-parallel rank.
    pub micro_batch: u64,
    /// Micro-batches per step.
    pub micro_batches: u64,
    /// Which way of recomputing of its shape.
    pub recompute: usize,
}

/// A part of the space that is searched at once: a shape and a tensor-parallel and context-parallel size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Which shape.
    pub shape: usize,
    /// Tensor-parallel ranks.
    pub tensor: u64,
    /// Context-parallel ranks.
    pub context: u64,
}

/// The divisors of a number up to a limit, in order.
pub fn divisors(number: u64, most: u64) -> Vec<u64> {
    let number = number.max(1);
    let mut small = Vec::new();
    let mut large = Vec::new();
    let mut one = 1_u64;
    while one.saturating_mul(one) <= number {
        if number.is_multiple_of(one) {
            small.push(one);
            if one != number / one {
                large.push(number / one);
            }
        }
        one += 1;
    }
    small.extend(large.into_iter().rev());
    small.retain(|divisor| *divisor <= most);
    small
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::stages;

    #[test]
    fn divisors_come_in_order() {
        assert_eq!(divisors(12, 6), [1, 2, 3, 4, 6]);
        assert_eq!(divisors(1, 9), [1]);
        assert_eq!(divisors(0, 9), [1]);
        assert_eq!(divisors(49, 49), [1, 7, 49]);
    }

    #[test]
    fn short_ends_make_up_for_what_does_not_divide() {
        let plain = Schedule::OneForwardOneBackward;
        for (deal, layers, ranks) in [
            (Deal::FirstShort, 61, 16),
            (Deal::LastShort, 61, 16),
            (Deal::EndsShort, 61, 16),
            (Deal::EndsShort, 76, 16),
            (Deal::Both, 126, 16),
        ] {
            let split = deal.split(layers, ranks, 1).expect("a split");
            let dealt = stages(layers, split, plain, ranks).expect("stages");
            assert_eq!(dealt.last().map(|range| range.end), Some(layers), "{deal:?}");
            assert!(dealt.iter().all(|range| range.end > range.start), "{deal:?}");
        }
        assert_eq!(Deal::LastShort.split(64, 16, 1), Err(Rule::Same));
        assert_eq!(
            Deal::EndsShort.split(126, 16, 1),
            Err(Rule::Same),
            "as if both ends counted"
        );
        assert_eq!(
            Deal::LastShort.split(33, 16, 1),
            Err(Rule::Stages),
            "the last would have nothing"
        );
    }
}
