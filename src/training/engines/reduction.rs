//! When DeepSpeed's stages 1 and 2 reduce their bucket during backward, and how full it is then.
//!
//! Read in DeepSpeed 0.19.8, runtime/zero/stage_1_and_2.py: `reduce_independent_p_g_buckets_and_remove_grads` reduces what
//! is in the bucket when the next gradient does not fit any more; `allreduce_bucket` flattens a copy of it first. A gradient
//! larger than the bucket waits outside until the next one comes, and is copied whole.

use crate::model::Tensor;
use crate::training::plan::Plan;

/// A reduction of the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reduction {
    /// Elements that are copied and reduced.
    pub elements: u64,
    /// Whether it is one gradient that the bucket does not hold.
    pub oversized: bool,
}

/// The reductions of a backward pass.
#[derive(Clone, Debug, Default)]
pub struct Reductions {
    /// The largest during the backward of each layer.
    pub layers: Vec<Option<Reduction>>,
    /// That before the gradients of the embedding come in.
    pub embedding: Option<Reduction>,
    /// The last one.
    pub end: Option<Reduction>,
}

struct Bucket {
    size: u64,
    filled: u64,
}

impl Bucket {
    /// So many gradients of this size come; the largest reduction that they cause.
    fn add(&mut self, each: u64, copies: u64) -> Option<Reduction> {
        if each == 0 || copies == 0 {
            return None;
        }
        let room = self.size.saturating_sub(self.filled) / each;
        if copies <= room || (self.filled == 0 && copies == 1) {
            self.filled = self.filled.saturating_add(each.saturating_mul(copies));
            return None;
        }
        let (size, taken) = (self.size, if self.filled == 0 { room.max(1) } else { room });
        self.filled = self.filled.saturating_add(each.saturating_mul(taken));
        let first = self.reduce();
        let (rest, whole) = (copies - taken, (size / each).max(1));
        self.filled = each.saturating_mul((rest.saturating_sub(1)) % whole + u64::from(rest > 0));
        let later = whole.saturating_mul(each);
        Some(if rest > whole && later > first.elements {
            Reduction {
                elements: later,
                oversized: later > size,
            }
        } else {
            first
        })
    }

    fn reduce(&mut self) -> Reduction {
        let elements = std::mem::take(&mut self.filled);
        Reduction {
            elements,
            oversized: elements > self.size,
        }
    }

    /// The gradients of some tensors, the last first; the largest reduction among them.
    fn all<'a>(&mut self, tensors: impl DoubleEndedIterator<Item = &'a Tensor>) -> Option<Reduction> {
        let mut largest: Option<Reduction> = None;
        for tensor in tensors.rev() {
            let copies = tensor.copies.max(1);
            if let Some(found) = self.add(tensor.elements().get() / copies, copies)
                && largest.is_none_or(|earlier| found.elements > earlier.elements)
            {
                largest = Some(found);
            }
        }
        largest
    }
}

/// The reductions with a bucket of this size. Beside adapters, whose gradients are few, there is only the last one.
pub fn reductions(plan: &Plan<'_>, size: u64) -> Reductions {
    let mut bucket = Bucket { size, filled: 0 };
    let network = plan.network;
    let mut layers = vec![None; plan.order.len()];
    if plan.job.adapter.is_some() {
        let trained = plan
            .layers
            .iter()
            .enumerate()
            .map(|(kind, layer)| layer.part.trained.elements * plan.layers_of(kind));
        bucket.filled = trained.sum::<u64>().min(size);
        return Reductions {
            layers,
            embedding: None,
            end: (bucket.filled > 0).then(|| bucket.reduce()),
        };
    }
    // The head's own gradients leave the first bucket behind; the loss binds there if anything does.
    bucket.all(network.output_tensors.iter());
    for (slot, kind) in layers.iter_mut().zip(&network.order).rev() {
        let tensors = network.kinds.get(*kind).map(|layer| layer.tensors.as_slice());
        *slot = bucket.all(tensors.unwrap_or_default().iter());
    }
    let embedding = bucket.all(network.input_tensors.iter());
    Reductions {
        layers,
        embedding,
        end: (bucket.filled > 0).then(|| bucket.reduce()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bucket: &mut Bucket, each: u64, copies: u64) -> Option<(u64, bool)> {
        let reduction = bucket.add(each, copies);
        reduction.map(|reduction| (reduction.elements, reduction.oversized))
    }

    #[test]
    fn a_bucket_is_reduced_when_the_next_gradient_does_not_fit() {
        let mut bucket = Bucket { size: 100, filled: 0 };
        assert_eq!(found(&mut bucket, 60, 1), None);
        assert_eq!(found(&mut bucket, 40, 1), None);
        assert_eq!(found(&mut bucket, 10, 1), Some((100, false)));
        assert_eq!(bucket.filled, 10);
        // 9 more fill it to 100, then 10 fill it again, and one is left.
        assert_eq!(found(&mut bucket, 10, 20), Some((100, false)));
        assert_eq!(bucket.filled, 10);
    }

    #[test]
    fn a_gradient_larger_than_the_bucket_waits_for_the_next_one() {
        let mut bucket = Bucket { size: 100, filled: 0 };
        assert_eq!(found(&mut bucket, 250, 1), None);
        assert_eq!(found(&mut bucket, 1, 1), Some((250, true)));
        assert_eq!(bucket.filled, 1);
    }
}
