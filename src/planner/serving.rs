//! The walk through ways of serving: engine, tensor and pipeline parallelism, engines that share experts, format of weights and
//! cache, and requests at once. Weights decide a format for all caches; requests at once end where the cache is full or a token
//! takes too long, since both only grow with them.

use std::cmp::Ordering;

use super::rules::{Counts, Rule};
use crate::units::Bytes;

/// An engine with its dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct ServingWay {
    /// Tensor-parallel sizes.
    pub tensor: Vec<u64>,
    /// Pipeline ranks.
    pub pipeline: Vec<u64>,
    /// Engines that share experts, or copies of attention.
    pub data: Vec<u64>,
    /// Whether ranks hold whole experts.
    pub experts: Vec<bool>,
    /// How many formats of weights there are.
    pub formats: usize,
    /// How many types of the cache.
    pub caches: usize,
    /// Whether copies of attention are among the tensor-parallel ranks, not beside them.
    pub data_within: bool,
}

/// The space of one question.
#[derive(Clone, Debug, PartialEq)]
pub struct ServingSpace {
    /// GPUs.
    pub gpus: u64,
    /// The most ranks that exchange something in every layer.
    pub most_ranks: u64,
    /// Layers.
    pub layers: u64,
    /// Requests at once of a copy; as many as fit are tried besides.
    pub sequences: Vec<u64>,
    /// Bytes that a plan may need, where that is limited beyond what the engine leaves.
    pub limit: Option<Bytes>,
    /// Milliseconds to the first token and per token at most.
    pub slowest: (Option<f64>, Option<f64>),
    /// The engines.
    pub ways: Vec<ServingWay>,
}

impl ServingSpace {
    /// Combinations of requests at once.
    fn loads(&self) -> u64 {
        self.sequences.len() as u64 + 1
    }

    /// All combinations.
    pub fn size(&self) -> u64 {
        self.ways.iter().fold(0, |sum, way| {
            let lists = [way.tensor.len(), way.pipeline.len()];
            let all = lists
                .iter()
                .fold(self.below_mesh(way), |all, len| all.saturating_mul(*len as u64));
            sum.saturating_add(all)
        })
    }

    /// Combinations below a tensor-parallel size and a pipeline.
    fn below_mesh(&self, way: &ServingWay) -> u64 {
        let lists = [way.data.len(), way.experts.len()];
        lists.iter().fold(self.below_experts(way), |all, len| {
            all.saturating_mul(*len as u64)
        })
    }

    fn below_experts(&self, way: &ServingWay) -> u64 {
        (way.formats as u64).saturating_mul(self.below_format(way))
    }

    fn below_format(&self, way: &ServingWay) -> u64 {
        (way.caches as u64).saturating_mul(self.loads())
    }
}

/// A combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Which engine of the space.
    pub way: usize,
    /// Tensor-parallel ranks.
    pub tensor: u64,
    /// Pipeline ranks.
    pub pipeline: u64,
    /// Engines that share experts, or copies of attention.
    pub data: u64,
    /// Whether ranks hold whole experts.
    pub experts: bool,
    /// Which format of the weights.
    pub format: usize,
    /// Which type of the cache.
    pub cache: usize,
    /// Requests at once of a copy.
    pub sequences: u64,
}

impl Deployment {
    /// Copies on so many GPUs.
    pub fn copies(&self, gpus: u64) -> u64 {
        gpus / self.tensor.saturating_mul(self.pipeline).max(1)
    }

    /// A place in the space, for an order of equals.
    fn place(&self) -> [u64; 8] {
        [
            self.way as u64,
            self.tensor,
            self.pipeline,
            self.data,
            u64::from(self.experts),
            self.format as u64,
            self.cache as u64,
            self.sequences,
        ]
    }
}

/// A part of the space that is searched at once: an engine with a tensor-parallel size and a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServingBranch {
    /// Which engine.
    pub way: usize,
    /// Tensor-parallel ranks.
    pub tensor: u64,
    /// Pipeline ranks.
    pub pipeline: u64,
}

/// The parts of a space, in an order that tells something about every engine early.
pub fn serving_branches(space: &ServingSpace) -> Vec<ServingBranch> {
    let mut all = Vec::new();
    for (way, own) in space.ways.iter().enumerate() {
        for tensor in &own.tensor {
            for pipeline in &own.pipeline {
                all.push(ServingBranch {
                    way,
                    tensor: *tensor,
                    pipeline: *pipeline,
                });
            }
        }
    }
    all.sort_by_key(|branch| (branch.pipeline, std::cmp::Reverse(branch.tensor), branch.way));
    all
}

/// What a combination comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// What a GPU needs.
    pub need: Bytes,
    /// New tokens per second and GPU; nothing where no speed is known.
    pub rate: f64,
    /// Milliseconds to the first token and per token.
    pub delays: (f64, f64),
}

/// What is asked about combinations.
pub trait ServingJudge {
    /// Whether an engine opens weights of a format on a mesh; else why not. Requests and cache do not matter.
    fn opens(&mut self, plan: &Deployment) -> Result<(), Rule>;
    /// The most requests at once of a copy; else why the type of the cache cannot be taken.
    fn most(&mut self, plan: &Deployment) -> Result<u64, Rule>;
    /// What so many requests come to; they fit.
    fn load(&mut self, plan: &Deployment) -> Load;
    /// By how much what was refused for its memory last was too large.
    fn shortfall(&self) -> Bytes;
}

/// A combination that fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Served {
    /// Which.
    pub plan: Deployment,
    /// What it comes to.
    pub load: Load,
}

/// What counts as better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServingOrder {
    /// The most requests at once come first, and not the most tokens.
    pub by_capacity: bool,
    /// GPUs.
    pub gpus: u64,
}

impl ServingOrder {
    /// Requests at once of all copies.
    pub fn at_once(self, served: &Served) -> u64 {
        let plan = &served.plan;
        plan.sequences.saturating_mul(plan.copies(self.gpus))
    }

    /// The better first.
    pub fn compare(self, left: &Served, right: &Served) -> Ordering {
        let rate = right.load.rate.total_cmp(&left.load.rate);
        let room = self.at_once(right).cmp(&self.at_once(left));
        let first = if self.by_capacity {
            room.then(rate)
        } else {
            rate.then(left.load.delays.1.total_cmp(&right.load.delays.1))
        };
        first
            .then_with(|| left.load.need.cmp(&right.load.need))
            .then_with(|| left.plan.place().cmp(&right.plan.place()))
    }
}

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct ServingFound {
    /// Everything that fits.
    pub served: Vec<Served>,
    /// What was left out.
    pub counts: Counts,
    /// What was refused for its memory by the least, and by how much.
    pub nearest: Option<(Deployment, Bytes)>,
}

impl ServingFound {
    /// With what was found elsewhere.
    pub fn merge(&mut self, other: Self) {
        self.served.extend(other.served);
        self.counts.add(&other.counts);
        if let Some((plan, short)) = other.nearest {
            self.near(plan, short);
        }
    }

    fn near(&mut self, plan: Deployment, short: Bytes) {
        let place = |plan: &Deployment, short: Bytes| (short, plan.place());
        if self
            .nearest
            .is_none_or(|(known, least)| place(&plan, short) < place(&known, least))
        {
            self.nearest = Some((plan, short));
        }
    }

    /// The best, in order.
    pub fn best(&self, order: ServingOrder, count: usize) -> Vec<Served> {
        let mut all = self.served.clone();
        all.sort_by(|left, right| order.compare(left, right));
        all.truncate(count);
        all
    }

    /// Those than which none makes both more tokens per GPU and each of them sooner: the most tokens first.
    pub fn front(&self) -> Vec<Served> {
        let mut least = f64::INFINITY;
        let mut front = Vec::new();
        for one in self.best(ServingOrder::default(), usize::MAX) {
            if one.load.rate > 0.0 && one.load.delays.1 < least {
                least = one.load.delays.1;
                front.push(one);
            }
        }
        front
    }
}

/// A search under way.
pub struct ServingSearch<'a, J> {
    space: &'a ServingSpace,
    judge: J,
    found: ServingFound,
}

impl<'a, J: ServingJudge> ServingSearch<'a, J> {
    /// Nothing is searched yet.
    pub fn new(space: &'a ServingSpace, judge: J) -> Self {
        Self {
            space,
            judge,
            found: ServingFound::default(),
        }
    }

    /// What was found since this was asked last.
    pub fn take(&mut self) -> ServingFound {
        std::mem::take(&mut self.found)
    }

    /// Searches a branch.
    pub fn branch(&mut self, branch: ServingBranch) {
        let space = self.space;
        let Some(way) = space.ways.get(branch.way) else {
            return;
        };
        for data in &way.data {
            for experts in &way.experts {
                let plan = Deployment {
                    way: branch.way,
                    tensor: branch.tensor,
                    pipeline: branch.pipeline,
                    data: *data,
                    experts: *experts,
                    format: 0,
                    cache: 0,
                    sequences: 1,
                };
                match meshes(space, way, &plan) {
                    Err(rule) => self.found.counts.leave_out(rule, space.below_experts(way)),
                    Ok(()) => {
                        (0..way.formats).for_each(|format| self.format(way, Deployment { format, ..plan }))
                    }
                }
            }
        }
    }

    fn format(&mut self, way: &ServingWay, plan: Deployment) {
        if let Err(rule) = self.judge.opens(&plan) {
            if rule == Rule::States {
                self.found.near(plan, self.judge.shortfall());
            }
            let all = self.space.below_format(way);
            return self.found.counts.leave_out(rule, all);
        }
        for cache in 0..way.caches {
            let plan = Deployment { cache, ..plan };
            match self.judge.most(&plan) {
                Err(rule) => self.found.counts.leave_out(rule, self.space.loads()),
                Ok(0) => {
                    self.found.near(plan, self.judge.shortfall());
                    self.found.counts.leave_out(Rule::Memory, self.space.loads());
                }
                Ok(most) => self.loads(plan, most),
            }
        }
    }

    fn loads(&mut self, plan: Deployment, most: u64) {
        let space = self.space;
        let mut ended = None;
        let most_too = (!space.sequences.contains(&most)).then_some(most);
        if most_too.is_none() {
            self.found.counts.leave_out(Rule::Same, 1);
        }
        for sequences in space.sequences.iter().copied().chain(most_too) {
            let rule = ended.or((sequences > most).then_some(Rule::Larger));
            if let Some(rule) = rule {
                self.found.counts.leave_out(rule, 1);
                continue;
            }
            let plan = Deployment { sequences, ..plan };
            self.found.counts.calculated += 1;
            let load = self.judge.load(&plan);
            let above = |value: f64, most: Option<f64>| most.is_some_and(|most| value > most);
            if space.limit.is_some_and(|limit| load.need > limit) {
                let short = load.need.saturating_sub(space.limit.unwrap_or_default());
                self.found.near(plan, short);
                self.found.counts.leave_out(Rule::Memory, 1);
                ended = Some(Rule::Larger);
            } else if above(load.delays.0, space.slowest.0) || above(load.delays.1, space.slowest.1) {
                self.found.counts.leave_out(Rule::Slow, 1);
                ended = Some(Rule::Slow);
            } else {
                self.found.counts.fitting += 1;
                self.found.served.push(Served { plan, load });
            }
        }
    }
}

/// Whether a mesh can be made of the GPUs.
fn meshes(space: &ServingSpace, way: &ServingWay, plan: &Deployment) -> Result<(), Rule> {
    let copy = plan.tensor.saturating_mul(plan.pipeline);
    let all = if way.data_within {
        copy
    } else {
        copy.saturating_mul(plan.data)
    };
    if !space.gpus.is_multiple_of(all.max(1)) {
        return Err(Rule::Mesh);
    }
    if plan.pipeline > space.layers {
        return Err(Rule::Stages);
    }
    let ranks = all / plan.pipeline.max(1);
    if ranks > space.most_ranks {
        return Err(Rule::Tensor);
    }
    if way.data_within && !plan.tensor.is_multiple_of(plan.data.max(1)) {
        return Err(Rule::Mesh);
    }
    if plan.experts && ranks == 1 {
        return Err(Rule::Same);
    }
    Ok(())
}
