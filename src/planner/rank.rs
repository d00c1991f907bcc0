//! The best of what was found, and the Pareto front of time against memory. Only what can still be among them is kept.

use std::cmp::Ordering;

use super::space::Plan;
use crate::units::{Bytes, Seconds};

/// What is kept beside the front.
const KEPT: usize = 1000;
/// When the rest is thrown away.
const FULL: usize = 32_768;
/// Times that are called equal where pipelines across nodes are preferred, as a share.
const EQUAL: f64 = 0.01;

/// A combination that fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Which.
    pub plan: Plan,
    /// What it needs per GPU.
    pub need: Bytes,
    /// Its step.
    pub time: Seconds,
}

/// What counts as better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Of plans that are as fast as the fastest to a hundredth, those with the longer pipeline across nodes come first.
    pub prefer_pipeline: bool,
    /// The least memory comes first, and not the shortest step.
    pub by_memory: bool,
    /// GPUs of a node.
    pub per_node: u64,
}

impl Order {
    /// The better first: faster, then smaller (or the other way round), then in the order of the space.
    pub fn compare(self, left: &Found, right: &Found) -> Ordering {
        let time = left.time.get().total_cmp(&right.time.get());
        let need = left.need.cmp(&right.need);
        let first = if self.by_memory {
            need.then(time)
        } else {
            time.then(need)
        };
        first.then_with(|| place(&left.plan).cmp(&place(&right.plan)))
    }

    /// Sorts, and among the equally fast prefers the longer pipelines where that is wanted.
    fn sort(self, found: &mut [Found]) {
        found.sort_by(|left, right| self.compare(left, right));
        if self.by_memory {
            return;
        }
        let fastest = found.first().map_or(0.0, |first| first.time.get());
        let band = found.partition_point(|one| one.time.get() <= fastest * (1.0 + EQUAL));
        if let Some(equal) = found.get_mut(..band).filter(|_| self.prefer_pipeline) {
            equal.sort_by_key(|one| std::cmp::Reverse(self.across(&one.plan)));
        }
    }

    /// Pipeline ranks, where they are on more than one node.
    const fn across(self, plan: &Plan) -> u64 {
        let stage = plan.tensor.saturating_mul(plan.context).saturating_mul(plan.data);
        if stage.saturating_mul(plan.pipeline) > self.per_node {
            plan.pipeline
        } else {
            1
        }
    }
}

/// A place in the space, for an order of equals.
fn place(plan: &Plan) -> [u64; 14] {
    let Plan {
        shape,
        tensor,
        context,
        pipeline,
        schedule,
        split,
        expert,
        expert_tensor,
        data,
        distributed,
        sequence,
        micro_batch,
        micro_batches: _,
        recompute,
    } = *plan;
    [
        shape as u64,
        tensor,
        context,
        pipeline,
        schedule.chunks(),
        u64::from(split.embedding) + 2 * u64::from(split.loss),
        split.first.unwrap_or(0),
        split.last.unwrap_or(0),
        expert,
        expert_tensor,
        data,
        u64::from(distributed) + 2 * u64::from(sequence),
        micro_batch,
        recompute as u64,
    ]
}

/// What was found so far.
#[derive(Clone, Debug)]
pub struct Ranking {
    order: Order,
    found: Vec<Found>,
}

impl Ranking {
    /// Nothing.
    pub const fn new(order: Order) -> Self {
        Self {
            order,
            found: Vec::new(),
        }
    }

    /// What counts as better.
    pub const fn order(&self) -> Order {
        self.order
    }

    /// A combination that fits.
    pub fn add(&mut self, found: Found) {
        self.found.push(found);
        if self.found.len() >= FULL {
            self.shrink();
        }
    }

    /// With what was found elsewhere.
    pub fn merge(&mut self, other: Self) {
        for found in other.found {
            self.add(found);
        }
    }

    /// The best, in order.
    pub fn best(&self, count: usize) -> Vec<Found> {
        let mut all = self.found.clone();
        self.order.sort(&mut all);
        all.truncate(count);
        all
    }

    /// Those than which none is both as fast and as small: the fastest first.
    pub fn front(&self) -> Vec<Found> {
        front(&self.found)
    }

    fn shrink(&mut self) {
        let front = self.front();
        let order = self.order;
        self.found.sort_by(|left, right| order.compare(left, right));
        let later = self.found.split_off(KEPT.min(self.found.len()));
        // The fastest with each length of the pipeline may come first where those are preferred.
        let mut seen: Vec<u64> = self.found.iter().map(|one| one.plan.pipeline).collect();
        let mut kept = front;
        for one in later {
            if !seen.contains(&one.plan.pipeline) {
                seen.push(one.plan.pipeline);
                kept.push(one);
            }
        }
        kept.retain(|one| !self.found.contains(one));
        kept.dedup();
        self.found.extend(kept);
    }
}

fn front(found: &[Found]) -> Vec<Found> {
    let plain = Order::default();
    let mut all: Vec<&Found> = found.iter().collect();
    all.sort_by(|left, right| plain.compare(left, right));
    let mut least = Bytes::MAX;
    let mut front = Vec::new();
    for one in all {
        if one.need < least {
            least = one.need;
            front.push(*one);
        }
    }
    front
}
