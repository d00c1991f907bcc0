//! How many groups of ranks a job has a communicator for: what each holds is told by `memory::meters`.

use super::{Engine, Megatron, TrainingJob};

/// Communicators with more than one rank: that of the data-parallel group, with replicas that among them, those of tensor,
/// context, expert and pipeline parallelism.
pub fn communicators(job: &TrainingJob) -> u64 {
    let replicas = match job.engine {
        Engine::Fsdp1 { replicas, .. } | Engine::Fsdp2 { replicas, .. } => replicas,
        Engine::Megatron(settings) => return megatron_groups(job, &settings),
        Engine::Single | Engine::Ddp { .. } | Engine::DeepSpeed(_) => 1,
    };
    let composed = &job.composed;
    let others = [
        composed.context > 1,
        composed.expert > 1,
        composed.pipeline.is_some(),
    ];
    let others: u64 = others.into_iter().map(u64::from).sum();
    u64::from(job.data_parallel > replicas)
        + u64::from(replicas > 1)
        + u64::from(job.tensor.is_some())
        + others
}

/// Megatron's groups with more than one rank (NVIDIA/Megatron-LM core/parallel_state.py), each with a communicator of its own.
fn megatron_groups(job: &TrainingJob, settings: &Megatron) -> u64 {
    let sizes = [
        job.data_parallel,
        settings.tensor,
        settings.pipeline,
        settings.context,
        settings.expert,
        // Embeddings at both ends are kept equal in a group of their own.
        if job.network.head.tied {
            settings.pipeline
        } else {
            1
        },
    ];
    sizes.iter().map(|size| u64::from(*size > 1)).sum()
}
