//! What a combination needs and how long its step takes. Each way of training goes once through the door (for each
//! tensor-parallel size, where torch divides the network); what plans change after that is set in the job itself, and
//! `tests/planner.rs` compares the result with what the door says to the plan as a question.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::job::{Job, Strictness, job};
use super::super::measure::measure;
use super::super::network::{machine, workload_of};
use super::super::part::part;
use super::ways::{Again, DECIDED, Set, Way};
use crate::memory::{Interval, meters};
use crate::model::Network;
use crate::network::{Case, Kinds, Mesh, Rates, step_of};
use crate::planner::{Branch, Judge, Plan, Rule, Space};
use crate::request::{EngineId, InputId, Request, Task, Verdict};
use crate::training::{
    Engine, Megatron, Objective, Prepared, Recomputation, Recompute, Save, TrainingJob, communicators,
};
use crate::units::{Bytes, Seconds};
use crate::warn::Issue;

/// Micro-batches of the question with which a way goes through the door: many, so that what depends on there being several is
/// as in a plan.
const SEVERAL: u64 = 1024;

/// A way that went through the door.
struct Skeleton {
    job: Job,
    kinds: Kinds,
    rates: Rates,
}

/// Why a way is refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Which rule that is.
    pub rule: Rule,
    /// The first error, where the door refused it.
    pub issue: Option<Issue>,
}

/// What a judge asks about.
pub struct Asked<'a> {
    /// The question, without what plans decide.
    pub base: &'a Request,
    /// The ways.
    pub ways: &'a [Way],
    /// The space.
    pub space: &'a Space,
}

/// The judge of one thread.
pub struct PlanJudge<'a> {
    asked: &'a Asked<'a>,
    skeletons: HashMap<(usize, u64, bool), Result<Skeleton, Refusal>>,
    networks: Vec<Arc<Network>>,
    prepared: Prepared,
}

/// The question without what plans decide.
pub fn base(request: &Request) -> Request {
    let mut base = request.clone();
    for id in DECIDED {
        base.clear(*id);
    }
    base
}

/// The question of a way.
pub fn asked(base: &Request, way: &Way, more: &Set) -> Request {
    let mut asked = base.clone().with(InputId::EngineType, way.engine.key());
    for (id, value) in way.set.iter().chain(more) {
        asked.set(*id, value.clone());
    }
    part(&asked, Task::Training)
}

impl<'a> PlanJudge<'a> {
    /// Nothing is known yet.
    pub fn new(asked: &'a Asked<'a>) -> Self {
        Self {
            asked,
            skeletons: HashMap::new(),
            networks: Vec::new(),
            prepared: Prepared::new(),
        }
    }

    /// Why a way cannot be taken at all, where it cannot.
    pub fn refusal(&mut self, shape: usize) -> Option<Refusal> {
        self.skeleton((shape, 1, false)).err()
    }

    fn place(&self, shape: usize, tensor: u64, sequence: bool) -> (usize, u64, bool) {
        match self.asked.ways.get(shape).map(|way| way.engine) {
            // What Megatron divides is set in the job.
            Some(EngineId::MegatronLm) | None => (shape, 1, false),
            Some(_) => (shape, tensor, sequence),
        }
    }

    fn skeleton(&mut self, place: (usize, u64, bool)) -> Result<(), Refusal> {
        if let Some(known) = self.skeletons.get(&place) {
            return known.as_ref().map(|_| ()).map_err(Clone::clone);
        }
        let made = self.make(place);
        let result = made.as_ref().map(|_| ()).map_err(Clone::clone);
        self.skeletons.insert(place, made);
        result
    }

    fn make(&mut self, (shape, tensor, sequence): (usize, u64, bool)) -> Result<Skeleton, Refusal> {
        let refused = |rule, issue| Refusal { rule, issue };
        let way = self
            .asked
            .ways
            .get(shape)
            .ok_or_else(|| refused(Rule::Refused, None))?;
        let mut more: Set = vec![
            (InputId::GradientAccumulationSteps, json!(SEVERAL)),
            // A schedule can want a pipeline, which this question has not.
            (InputId::PipelineSchedule, Value::Null),
            (InputId::MicrobatchGroup, Value::Null),
        ];
        if tensor > 1 {
            more.push((InputId::TensorParallelSize, json!(tensor)));
            more.push((InputId::SequenceParallel, json!(sequence)));
        }
        let request = asked(self.asked.base, way, &more);
        let mut job = job(&request, Strictness::default()).map_err(|issues| {
            let first = issues.into_iter().find(Issue::is_error);
            let divides = first.as_ref().is_some_and(|issue| issue.code == "not_divisible");
            refused(if divides { Rule::Tensor } else { Rule::Refused }, first)
        })?;
        if way.offloads {
            let outcome = measure(&job, 1).map_err(|issue| refused(Rule::Refused, Some(issue)))?;
            let host = outcome.host.and_then(|host| host.verdict);
            if host == Some(Verdict::DoesNotFit) {
                return Err(refused(Rule::Host, None));
            }
        }
        job.training.network = self.shared(&job.training.network);
        let work = workload_of(
            &job.training,
            &job.model.network,
            mesh(&job, None),
            job.speed.overlap,
        );
        let (machine, _) = machine(&job);
        Ok(Skeleton {
            kinds: Kinds::of(&work),
            rates: machine.rates(Case::Expected),
            job,
        })
    }

    /// An equal network that is known already, so that what is evaluated of one is found for the other.
    fn shared(&mut self, network: &Arc<Network>) -> Arc<Network> {
        if let Some(known) = self.networks.iter().find(|known| **known == *network) {
            return known.clone();
        }
        self.networks.push(network.clone());
        network.clone()
    }

    /// What a plan trains.
    fn training(&self, plan: &Plan) -> Option<(&Skeleton, TrainingJob)> {
        let place = self.place(plan.shape, plan.tensor, plan.sequence);
        let skeleton = self.skeletons.get(&place)?.as_ref().ok()?;
        let again = self.again(plan)?;
        let job = &skeleton.job;
        let rows = job.training.objective.sequences_per_row();
        let mut training = TrainingJob {
            micro_batch: plan.micro_batch.saturating_mul(rows),
            accumulation_steps: plan.micro_batches,
            ..job.training.clone()
        };
        match (&mut training.engine, again) {
            (Engine::Megatron(settings), again) => {
                *settings = Megatron {
                    tensor: plan.tensor,
                    sequence: plan.sequence,
                    pipeline: plan.pipeline,
                    context: plan.context,
                    expert: plan.expert,
                    expert_tensor: plan.expert_tensor,
                    schedule: plan.schedule,
                    split: plan.split,
                    distributed_optimizer: plan.distributed,
                    recompute: recompute(again, self.asked.space.layers, plan),
                    deferred: settings.deferred.min(plan.micro_batches.saturating_sub(1)),
                    ..*settings
                };
                training.data_parallel = plan.data;
            }
            (_, Again::Torch(recomputation)) => training.recomputation = recomputation,
            (_, Again::Stages(_) | Again::Quarters(_)) => {}
        }
        Some((skeleton, training))
    }

    fn again(&self, plan: &Plan) -> Option<Again> {
        let way = self.asked.ways.get(plan.shape)?;
        way.again.get(plan.recompute).copied()
    }
}

/// The mesh as the network sees it.
fn mesh(job: &Job, plan: Option<&Plan>) -> Mesh {
    let staged = |plan: &Plan| Mesh {
        data: plan.data,
        tensor: plan.tensor,
        context: plan.context,
        pipeline: plan.pipeline,
        expert: plan.expert,
        expert_tensor: plan.expert_tensor,
    };
    match (plan, &job.training.engine) {
        (Some(plan), Engine::Megatron(_)) => staged(plan),
        _ => Mesh {
            data: job.mesh.data,
            tensor: job.mesh.tensor,
            context: job.mesh.context,
            pipeline: job.mesh.pipeline,
            expert: job.mesh.expert,
            expert_tensor: 1,
        },
    }
}

/// The way of recomputing of a plan: quarters are those of the longest chunk, rounded up.
pub fn recompute(again: Again, layers: u64, plan: &Plan) -> Recompute {
    match again {
        Again::Stages(recompute) => recompute,
        Again::Quarters(quarters) => {
            let chunk = longest(layers, plan);
            Recompute::Block(chunk.saturating_mul(quarters).div_ceil(4))
        }
        Again::Torch(_) => Recompute::None,
    }
}

/// Layers of the longest chunk.
fn longest(layers: u64, plan: &Plan) -> u64 {
    let all = crate::parallel::stages(layers, plan.split, plan.schedule, plan.pipeline).unwrap_or_default();
    all.iter()
        .map(|range| range.end.saturating_sub(range.start))
        .max()
        .unwrap_or(layers)
}

/// Which of Megatron's communication runs beside arithmetic in a plan: all that its settings allow, and what was asked for of
/// tensor parallelism.
pub const fn overlaps(plan: &Plan, asked: bool) -> (bool, bool, bool) {
    (true, plan.distributed, asked && plan.sequence)
}

/// What lies outside the allocator, and the need with it.
fn with_outside(peak: Bytes, training: &TrainingJob) -> Bytes {
    let groups = communicators(training);
    let mut beyond = meters::context();
    if groups > 0 {
        beyond = beyond + meters::communicator().times(groups);
    }
    meters::need(Interval::exact(peak), beyond).expected
}

impl Judge for PlanJudge<'_> {
    fn admits(&mut self, branch: Branch, sequence: bool) -> Result<(), Rule> {
        let place = self.place(branch.shape, branch.tensor, sequence);
        self.skeleton(place).map_err(|refusal| refusal.rule)
    }

    fn recomputes(&mut self, plan: &Plan) -> Result<(), Rule> {
        let Some(Again::Quarters(quarters)) = self.again(plan) else {
            return Ok(());
        };
        // With less than four layers some quarters are the same, and all of them are what Uniform(1) is.
        let chunk = longest(self.asked.space.layers, plan);
        let of = |quarters: u64| chunk.saturating_mul(quarters).div_ceil(4);
        if of(quarters) == of(quarters - 1) || of(quarters) >= chunk {
            Err(Rule::Same)
        } else {
            Ok(())
        }
    }

    fn least(&mut self, plan: &Plan) -> Option<Bytes> {
        let (_, training) = self.training(plan)?;
        let rest = self.prepared.rest(&training)?;
        Some(with_outside(rest, &training))
    }

    fn need(&mut self, plan: &Plan) -> Bytes {
        let Some((skeleton, training)) = self.training(plan) else {
            return Bytes::MAX;
        };
        let between = training.evaluation.is_some()
            || training.save != Save::None
            || training.objective != Objective::NextToken;
        if between {
            let micro_batch = training.micro_batch;
            let job = Job {
                training,
                ..skeleton.job.clone()
            };
            return measure(&job, micro_batch).map_or(Bytes::MAX, |outcome| outcome.need.expected);
        }
        let peak = self.prepared.fullest(&training);
        with_outside(peak, &training)
    }

    fn time(&mut self, plan: &Plan) -> Seconds {
        let Some((skeleton, training)) = self.training(plan) else {
            return Seconds::ZERO;
        };
        let job = &skeleton.job;
        let work = workload_of(
            &training,
            &job.model.network,
            mesh(job, Some(plan)),
            overlaps(plan, job.speed.overlap.2),
        );
        step_of(&work, &skeleton.kinds, &skeleton.rates).total()
    }
}

/// The inputs that make a plan of a way.
pub fn set(plan: &Plan, way: &Way, space: &Space) -> Set {
    let mut set: Set = way.set.clone();
    set.insert(0, (InputId::EngineType, json!(way.engine.key())));
    set.extend([
        (InputId::BatchSize, json!(plan.micro_batch)),
        (InputId::GradientAccumulationSteps, json!(plan.micro_batches)),
    ]);
    let Some(again) = way.again.get(plan.recompute) else {
        return set;
    };
    if plan.tensor > 1 {
        set.extend([
            (InputId::TensorParallelSize, json!(plan.tensor)),
            (InputId::SequenceParallel, json!(plan.sequence)),
        ]);
    }
    if way.engine != EngineId::MegatronLm {
        if let Again::Torch(recomputation) = again {
            set.extend(torch(*recomputation));
        }
        return set;
    }
    let sizes = [
        (InputId::PipelineParallelSize, plan.pipeline),
        (InputId::ContextParallelSize, plan.context),
        (InputId::ExpertParallelSize, plan.expert),
    ];
    let above = sizes.into_iter().filter(|(_, size)| *size > 1);
    set.extend(above.map(|(id, size)| (id, json!(size))));
    if !space.experts.is_empty() && plan.expert_tensor != plan.tensor {
        set.push((InputId::ExpertTensorParallelSize, json!(plan.expert_tensor)));
    }
    if let crate::parallel::Schedule::Interleaved { chunks, .. } = plan.schedule {
        set.push((InputId::VirtualPipelineSize, json!(chunks)));
    }
    let split = plan.split;
    let counts = [
        (InputId::CountEmbedding, split.embedding),
        (InputId::CountLoss, split.loss),
    ];
    set.extend(
        counts
            .into_iter()
            .filter(|(_, on)| *on)
            .map(|(id, on)| (id, json!(on))),
    );
    let ends = [
        (InputId::FirstStageLayers, split.first),
        (InputId::LastStageLayers, split.last),
    ];
    set.extend(
        ends.into_iter()
            .filter_map(|(id, layers)| Some((id, json!(layers?)))),
    );
    set.extend([
        (InputId::UseDistributedOptimizer, json!(plan.distributed)),
        (InputId::OverlapGradReduce, json!(true)),
        (InputId::OverlapParamGather, json!(plan.distributed)),
    ]);
    set.extend(stages(recompute(*again, space.layers, plan)));
    set
}

fn torch(recomputation: Recomputation) -> Set {
    let word = |word: &str| vec![(InputId::ActivationCheckpointing, json!(word))];
    match recomputation {
        Recomputation::None => word("none"),
        Recomputation::AttentionCore => word("selective"),
        Recomputation::Full => word("full"),
        Recomputation::Operations => word("operations"),
        Recomputation::Products => word("products"),
        // No plan proposes it.
        Recomputation::Chosen(_) => word("full"),
        Recomputation::EveryNth(each) => {
            let mut set = word("every_n");
            set.push((InputId::CheckpointEvery, json!(each)));
            set
        }
    }
}

fn stages(recompute: Recompute) -> Set {
    let again = InputId::ActivationCheckpointing;
    match recompute {
        Recompute::None => vec![(again, json!("none"))],
        Recompute::Uniform(layers) => vec![
            (again, json!("full")),
            (InputId::RecomputeMethod, json!("uniform")),
            (InputId::RecomputeLayers, json!(layers)),
        ],
        Recompute::Block(layers) => vec![
            (again, json!("full")),
            (InputId::RecomputeMethod, json!("block")),
            (InputId::RecomputeLayers, json!(layers)),
        ],
        Recompute::Modules(modules) => {
            let names = [
                (modules.core_attention, "core_attn"),
                (modules.norms, "layernorm"),
                (modules.feed_forward, "mlp"),
                (modules.experts, "moe"),
                (modules.expert_activation, "moe_act"),
                (modules.shared_experts, "shared_experts"),
                (modules.up_projection, "mla_up_proj"),
            ];
            let names: Vec<Value> = names
                .into_iter()
                .filter(|(on, _)| *on)
                .map(|(_, name)| json!(name))
                .collect();
            vec![
                (again, json!("selective")),
                (InputId::RecomputeModules, Value::Array(names)),
            ]
        }
    }
}
