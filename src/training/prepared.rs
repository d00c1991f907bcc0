//! Peaks of many jobs: what two jobs have in common is evaluated once. The peak is that of [`super::evaluate`], to the byte.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::mem::discriminant;
use std::sync::Arc;

use super::engines::megatron::Quick;
use super::plan::fresh_gradients;
use super::profile::Profile;
use super::ranks::{RankAxis, fullest_ranks};
use super::tape::WeightGradients;
use super::{
    AttentionKernel, Engine, FusedKernels, HostMemory, LossKind, Objective, Optimizer,
    OptimizerImplementation, Recomputation, Save, TrainingJob, evaluate,
};
use crate::memory::InstantId;
use crate::model::Network;
use crate::units::Bytes;

/// Profiles that are kept before all are forgotten: some 10 MB for a network of 126 layers, as benches/answer.rs builds them.
const KEPT: usize = 4096;

/// What was evaluated, to be used for the next job. Jobs share it where they share their network (the same allocation).
#[derive(Default)]
pub struct Prepared {
    engines: Memo,
    passes: Memo,
    stages: Option<Quick>,
    fullest: Vec<(Arc<Network>, Key, Vec<u64>)>,
    /// Stands for the network in what is compared.
    nothing: Arc<Network>,
}

impl Prepared {
    /// Nothing is evaluated yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The peak of the rank that holds the most.
    pub fn fullest(&mut self, job: &TrainingJob) -> Bytes {
        if !matches!(job.engine, Engine::DeepSpeed(_)) {
            return self.peak(job);
        }
        let key = engine_key(job, self.nothing.clone());
        let known = self
            .fullest
            .iter()
            .position(|(network, other, _)| Arc::ptr_eq(network, &job.network) && *other == key);
        let place = known.unwrap_or_else(|| {
            self.fullest.push((job.network.clone(), key, fullest_ranks(job)));
            self.fullest.len() - 1
        });
        let ranks = self
            .fullest
            .get(place)
            .map_or_else(Vec::new, |(_, _, ranks)| ranks.clone());
        let most = ranks
            .into_iter()
            .map(|rank| self.peak(&job.on_rank(RankAxis::Data, rank)))
            .max();
        most.unwrap_or_else(|| self.peak(&job.on_rank(RankAxis::Data, 0)))
    }

    /// What is held between two steps by the pipeline rank that holds the most, which no micro-batch and no recomputation
    /// lowers; nothing where engines have no pipeline.
    pub fn rest(&mut self, job: &TrainingJob) -> Option<Bytes> {
        match &job.engine {
            Engine::Megatron(settings) if Quick::covers(job, settings) => {
                Some(self.stages(job).rest(job, settings))
            }
            Engine::Megatron(_) => Some(evaluate(job).allocated_at(InstantId::Rest)),
            _ => None,
        }
    }

    fn stages(&mut self, job: &TrainingJob) -> &mut Quick {
        let known = self.stages.take().filter(|quick| quick.is_of(&job.network));
        self.stages
            .insert(known.unwrap_or_else(|| Quick::new(&job.network)))
    }

    /// The peak of `max_memory_allocated` over a step.
    pub fn peak(&mut self, job: &TrainingJob) -> Bytes {
        if let Engine::Megatron(settings) = &job.engine {
            if Quick::covers(job, settings) {
                return self.stages(job).peak(job, settings);
            }
            return evaluate(job).peak().map_or(Bytes::ZERO, |(_, bytes)| bytes);
        }
        // What happens between steps is rare in a search and not kept.
        if job.has_stages() || job.evaluation.is_some() || job.save != Save::None {
            return evaluate(job).peak().map_or(Bytes::ZERO, |(_, bytes)| bytes);
        }
        let network = self.nothing.clone();
        let engine = self
            .engines
            .profile(job, engine_key(job, network.clone()), || Profile::of_engine(job));
        let passes = self
            .passes
            .profile(job, passes_key(job, network), || Profile::of_passes(job));
        match (engine, passes) {
            (Some(engine), Some(passes)) => engine.peak(passes),
            _ => Bytes::ZERO,
        }
    }
}

/// What decides over what the engine holds: all of a job but its batch and the kernels of its passes.
fn engine_key(job: &TrainingJob, network: Arc<Network>) -> Key {
    let job = TrainingJob {
        whole: network.clone(),
        network,
        micro_batch: 1,
        sequence_length: 1,
        attention: AttentionKernel::Flash,
        loss: match job.loss {
            // It decides how a tied gradient is added.
            LossKind::Chunked { .. } => job.loss,
            _ => LossKind::Plain,
        },
        kernels: FusedKernels::None,
        keep_outputs: false,
        saved: HostMemory::None,
        recomputation: match job.recomputation {
            // They have the same kinds of layers.
            Recomputation::AttentionCore => Recomputation::None,
            Recomputation::Operations | Recomputation::Products | Recomputation::Chosen(_)
                if !matches!(job.engine, Engine::DeepSpeed(_)) =>
            {
                Recomputation::None
            }
            other => other,
        },
        ..job.clone()
    };
    Key { job, fresh: None }
}

/// What decides over what the passes hold: all of a job but its states, how many ranks share them, and, where all weights train
/// for the next token, the engine: fresh gradients are told beside, and FSDP2 cuts an embedding that tensor parallelism divides.
fn passes_key(job: &TrainingJob, network: Arc<Network>) -> Key {
    let fresh = Some(fresh_gradients(job));
    let alike = job.adapter.is_none() && job.objective == Objective::NextToken && job.tensor.is_none();
    let job = TrainingJob {
        engine: if alike { Engine::Single } else { job.engine },
        whole: network.clone(),
        network,
        accumulation_steps: 1,
        optimizer: Optimizer::AdamW,
        implementation: OptimizerImplementation::Fused,
        gradient_clipping: false,
        data_parallel: 1,
        rank: 0,
        moving_average: None,
        ..job.clone()
    };
    Key { job, fresh }
}

/// What two jobs must share.
#[derive(PartialEq)]
struct Key {
    job: TrainingJob,
    fresh: Option<WeightGradients>,
}

/// Profiles by what decides over them.
#[derive(Default)]
struct Memo {
    hasher: RandomState,
    kept: usize,
    profiles: HashMap<u64, Vec<Kept>>,
}

type Kept = (Arc<Network>, Key, Profile);

impl Memo {
    fn profile(
        &mut self,
        job: &TrainingJob,
        key: Key,
        evaluate: impl FnOnce() -> Profile,
    ) -> Option<&Profile> {
        let bucket = self.bucket(job, &key);
        let same = |(network, other, _): &Kept| Arc::ptr_eq(network, &job.network) && *other == key;
        let found = self
            .profiles
            .get(&bucket)
            .and_then(|all| all.iter().position(same));
        if found.is_none() {
            if self.kept >= KEPT {
                self.profiles.clear();
                self.kept = 0;
            }
            self.kept += 1;
        }
        let all = self.profiles.entry(bucket).or_default();
        if let Some(place) = found {
            all.swap(0, place);
        } else {
            all.insert(0, (job.network.clone(), key, evaluate()));
        }
        all.first().map(|(.., profile)| profile)
    }

    /// Where a key is looked for: some of what decides, so that few keys share a place.
    fn bucket(&self, job: &TrainingJob, key: &Key) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        Arc::as_ptr(&job.network).hash(&mut hasher);
        let job = &key.job;
        (
            job.micro_batch,
            job.sequence_length,
            job.data_parallel,
            job.accumulation_steps,
        )
            .hash(&mut hasher);
        (
            discriminant(&job.engine),
            discriminant(&job.optimizer),
            discriminant(&job.loss),
        )
            .hash(&mut hasher);
        (discriminant(&job.recomputation), discriminant(&job.precision)).hash(&mut hasher);
        hasher.finish()
    }
}
