//! Peaks of many jobs: what two jobs have in common is evaluated once. The peak is that of [`super::evaluate`], to the byte.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::mem::discriminant;
use std::sync::Arc;

use super::plan::fresh_gradients;
use super::profile::Profile;
use super::tape::WeightGradients;
use super::{
    AttentionKernel, Engine, FusedKernels, HostMemory, LossKind, Optimizer, OptimizerImplementation,
    Recomputation, Save, TrainingJob, evaluate,
};
use crate::model::Network;
use crate::units::Bytes;

/// Profiles that are kept before all are forgotten: some 10 MB for a network of 126 layers, as benches/answer.rs builds them.
const KEPT: usize = 4096;

/// What was evaluated, to be used for the next job. Jobs share it where they share their network (the same allocation).
#[derive(Default)]
pub struct Prepared {
    engines: Memo,
    passes: Memo,
    /// Stands for the network in what is compared.
    nothing: Arc<Network>,
}

impl Prepared {
    /// Nothing is evaluated yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The peak of `max_memory_allocated` over a step.
    pub fn peak(&mut self, job: &TrainingJob) -> Bytes {
        // What happens between steps is rare in a search and not kept; Megatron's ledger is cheap.
        let own = matches!(job.engine, Engine::Megatron(_));
        if own || job.evaluation.is_some() || job.save != Save::None {
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
            Recomputation::Operations if !matches!(job.engine, Engine::DeepSpeed(_)) => Recomputation::None,
            other => other,
        },
        ..job.clone()
    };
    Key { job, fresh: None }
}

/// What decides over what the passes hold: all of a job but its states, and how many ranks share them.
fn passes_key(job: &TrainingJob, network: Arc<Network>) -> Key {
    let fresh = Some(fresh_gradients(job));
    let job = TrainingJob {
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
