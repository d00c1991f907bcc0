//! The walk through a space: dimension by dimension, so that a rule leaves out whole branches, and what branches share is
//! calculated once. Memory is bounded from below by what is held between two steps, before any micro-batch or recomputation is
//! tried; where need grows with the micro-batch, the first that is too large ends the row.

use super::rank::{Found, Order, Ranking};
use super::rules::{Counts, Rule};
use super::space::{Branch, Plan, Shape, Space};
use crate::parallel::{Schedule, stages};
use crate::units::{Bytes, Seconds};

/// What a combination needs, and how long its step takes.
pub trait Judge {
    /// Whether a shape can be divided like this at all; else the rule that refuses it.
    fn admits(&mut self, branch: Branch, sequence: bool) -> Result<(), Rule>;
    /// Whether a way of recomputing differs from the others here; else the rule.
    fn recomputes(&mut self, plan: &Plan) -> Result<(), Rule>;
    /// A lower bound of the need, whatever the micro-batch and what is recomputed; nothing where none is known.
    fn least(&mut self, plan: &Plan) -> Option<Bytes>;
    /// What it needs.
    fn need(&mut self, plan: &Plan) -> Bytes;
    /// The expected time of its step.
    fn time(&mut self, plan: &Plan) -> Seconds;
}

/// A search under way.
pub struct Search<'a, J> {
    space: &'a Space,
    judge: J,
    ranking: Ranking,
    counts: Counts,
}

/// The parts into which a space falls, in an order that tells something about every shape early.
pub fn branches(space: &Space) -> Vec<Branch> {
    let mut all = Vec::new();
    for (number, shape) in space.shapes.iter().enumerate() {
        for tensor in &shape.tensor {
            for context in &shape.context {
                all.push(Branch {
                    shape: number,
                    tensor: *tensor,
                    context: *context,
                });
            }
        }
    }
    all.sort_by_key(|branch| (branch.context, branch.tensor, branch.shape));
    all
}

impl<'a, J: Judge> Search<'a, J> {
    /// Nothing is searched yet.
    pub fn new(space: &'a Space, judge: J, order: Order) -> Self {
        Self {
            space,
            judge,
            ranking: Ranking::new(order),
            counts: Counts::default(),
        }
    }

    /// What was found since this was asked last.
    pub fn take(&mut self) -> (Ranking, Counts) {
        let order = self.ranking.order();
        (
            std::mem::replace(&mut self.ranking, Ranking::new(order)),
            std::mem::take(&mut self.counts),
        )
    }

    /// Searches a branch.
    pub fn branch(&mut self, branch: Branch) {
        let space = self.space;
        let Some(shape) = space.shapes.get(branch.shape) else {
            return;
        };
        let inner = shape.experts_below().saturating_mul(shape.below_mesh());
        let Branch { tensor, context, .. } = branch;
        let out = if let Err(rule) = self.divides(shape, branch) {
            Some(rule)
        } else if !space.gpus.is_multiple_of(tensor.saturating_mul(context).max(1)) {
            Some(Rule::Mesh)
        } else {
            None
        };
        if let Some(rule) = out {
            let all = inner.saturating_mul(shape.pipeline.len() as u64);
            return self.counts.leave_out(rule, all);
        }
        for pipeline in &shape.pipeline {
            let model = tensor.saturating_mul(context).saturating_mul(*pipeline).max(1);
            if !space.gpus.is_multiple_of(model) {
                self.counts.leave_out(Rule::Mesh, inner);
                continue;
            }
            if *pipeline > space.layers {
                self.counts.leave_out(Rule::Stages, inner);
                continue;
            }
            let data = space.gpus / model;
            for expert in &shape.expert {
                for together in &shape.expert_tensor {
                    let expert_tensor = if *together { tensor } else { 1 };
                    match self.experts(shape, branch, data, (*expert, *together)) {
                        Err(rule) => self.counts.leave_out(rule, shape.below_mesh()),
                        Ok(()) => self.stages(
                            shape,
                            &Plan {
                                shape: branch.shape,
                                tensor,
                                context,
                                pipeline: *pipeline,
                                schedule: Schedule::OneForwardOneBackward,
                                split: Default::default(),
                                expert: *expert,
                                expert_tensor,
                                data,
                                distributed: true,
                                sequence: false,
                                micro_batch: 1,
                                micro_batches: 1,
                                recompute: 0,
                            },
                        ),
                    }
                }
            }
        }
    }

    /// What tensor and context parallelism must divide.
    fn divides(&self, shape: &Shape, branch: Branch) -> Result<(), Rule> {
        let space = self.space;
        let whole = |heads: &u64| heads.is_multiple_of(branch.tensor);
        if branch.tensor > space.most_tensor || shape.staged && !space.heads.iter().all(whole) {
            return Err(Rule::Tensor);
        }
        let halves = branch.context.saturating_mul(2);
        if branch.context > 1 && !space.sequence.is_multiple_of(halves) {
            return Err(Rule::Sequence);
        }
        Ok(())
    }

    fn experts(
        &self,
        shape: &Shape,
        branch: Branch,
        data: u64,
        (expert, together): (u64, bool),
    ) -> Result<(), Rule> {
        let space = self.space;
        if !shape.staged {
            return Ok(());
        }
        if together && branch.tensor == 1 && shape.expert_tensor.len() > 1 {
            return Err(Rule::Same);
        }
        if space.experts.is_empty() {
            return Ok(());
        }
        let ranks = data.saturating_mul(branch.tensor).saturating_mul(branch.context);
        let within = expert.saturating_mul(if together { branch.tensor } else { 1 });
        let dealt = space.experts.iter().all(|experts| experts.is_multiple_of(expert));
        if dealt && ranks.is_multiple_of(within.max(1)) {
            Ok(())
        } else {
            Err(Rule::Experts)
        }
    }

    fn stages(&mut self, shape: &Shape, mesh: &Plan) {
        for deal in &shape.deals {
            for chunks in &shape.chunks {
                match self.dealt(mesh, *deal, *chunks) {
                    Err(rule) => self.counts.leave_out(rule, shape.below_stages()),
                    Ok((schedule, split)) => self.states(
                        shape,
                        &Plan {
                            schedule,
                            split,
                            ..*mesh
                        },
                    ),
                }
            }
        }
    }

    fn dealt(
        &self,
        mesh: &Plan,
        deal: super::Deal,
        chunks: u64,
    ) -> Result<(Schedule, crate::parallel::Split), Rule> {
        let (asked, group) = self.space.schedule;
        if chunks > 1 && mesh.pipeline == 1 {
            return Err(Rule::Same);
        }
        let schedule = match asked {
            Some(_) if chunks > 1 => return Err(Rule::Refused),
            Some(schedule) => schedule,
            None if chunks > 1 => Schedule::Interleaved {
                chunks,
                group: group.unwrap_or(mesh.pipeline),
            },
            None => Schedule::OneForwardOneBackward,
        };
        // Schedules in which a rank holds a stage of either direction have chunks, but one set of layers.
        let each = schedule.stages(mesh.pipeline) / mesh.pipeline.max(1);
        let split = deal.split(self.space.layers, mesh.pipeline, each.max(1))?;
        if mesh.pipeline > 1 || schedule.chunks() > 1 {
            let all = stages(self.space.layers, split, schedule, mesh.pipeline);
            let Ok(all) = all else {
                return Err(Rule::Stages);
            };
            if all.iter().any(|range| range.end <= range.start) {
                return Err(Rule::Stages);
            }
        }
        Ok((schedule, split))
    }

    fn states(&mut self, shape: &Shape, staged: &Plan) {
        let space = self.space;
        let each = shape.sequence.len() as u64 * shape.below_states();
        for distributed in &shape.distributed {
            let ranks = staged.data.saturating_mul(staged.context);
            if shape.staged && *distributed && ranks == 1 && shape.distributed.len() > 1 {
                self.counts.leave_out(Rule::Same, each);
                continue;
            }
            for sequence in &shape.sequence {
                let plan = Plan {
                    distributed: *distributed,
                    sequence: *sequence,
                    ..*staged
                };
                let out = self.sequences(shape, &plan).err().or_else(|| {
                    let least = self.judge.least(&plan);
                    least
                        .is_some_and(|least| least > space.limit)
                        .then_some(Rule::States)
                });
                match out {
                    Some(rule) => self.counts.leave_out(rule, shape.below_states()),
                    None => self.batches(shape, &plan),
                }
            }
        }
    }

    fn sequences(&mut self, shape: &Shape, plan: &Plan) -> Result<(), Rule> {
        let space = self.space;
        let branch = Branch {
            shape: plan.shape,
            tensor: plan.tensor,
            context: plan.context,
        };
        if plan.sequence {
            if plan.tensor == 1 {
                return Err(Rule::Same);
            }
            if !space.sequence_parallel {
                return Err(Rule::Refused);
            }
            let own = space.sequence / plan.context.max(1);
            if !own.is_multiple_of(plan.tensor) {
                return Err(Rule::Sequence);
            }
        } else if shape.staged && !space.experts.is_empty() && plan.tensor > 1 {
            return Err(Rule::Refused);
        }
        self.judge.admits(branch, plan.sequence)
    }

    fn batches(&mut self, shape: &Shape, staged: &Plan) {
        let space = self.space;
        for recompute in 0..shape.recompute {
            let mut above = false;
            for micro_batch in &shape.micro_batch {
                let each = staged.data.saturating_mul(*micro_batch).max(1);
                let plan = Plan {
                    micro_batch: *micro_batch,
                    micro_batches: space.sequences / each,
                    recompute,
                    ..*staged
                };
                // Alone in its step a micro-batch needs no gradients that outlive it: that is another row.
                let larger = above && plan.micro_batches > 1;
                let out = if !space.sequences.is_multiple_of(each) {
                    Err(Rule::Batch)
                } else {
                    runs(&plan).and_then(|()| self.judge.recomputes(&plan))
                };
                match out {
                    Err(rule) => self.counts.leave_out(rule, 1),
                    Ok(()) if larger => self.counts.leave_out(Rule::Larger, 1),
                    Ok(()) => {
                        let fits = self.judged(plan);
                        above |= !fits && !shape.staged && plan.micro_batches > 1;
                    }
                }
            }
        }
    }

    /// Calculates a combination; whether it fits.
    fn judged(&mut self, plan: Plan) -> bool {
        self.counts.calculated += 1;
        let need = self.judge.need(&plan);
        if need > self.space.limit {
            self.counts.leave_out(Rule::Memory, 1);
            return false;
        }
        self.counts.fitting += 1;
        let time = self.judge.time(&plan);
        self.ranking.add(Found { plan, need, time });
        true
    }
}

/// Whether the schedule runs with so many micro-batches (Megatron-LM core/pipeline_parallel/schedules.py).
fn runs(plan: &Plan) -> Result<(), Rule> {
    let (ranks, batches) = (plan.pipeline, plan.micro_batches);
    let uneven = match plan.schedule {
        Schedule::Interleaved { group, .. } => {
            group < ranks || !batches.is_multiple_of(ranks.max(1)) && group == ranks
        }
        Schedule::DualPipe => !ranks.is_multiple_of(2) || !batches.is_multiple_of(2),
        _ => false,
    };
    if uneven || batches < plan.schedule.fewest(ranks) {
        Err(Rule::Schedule)
    } else {
        Ok(())
    }
}
