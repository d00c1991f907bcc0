//! A training job as the network sees it: how it is divided, what is sent in which type, what runs beside what.

use std::sync::Arc;

use super::super::job::Job;
use crate::model::Network;
use crate::network::{DataSharding, Kernels, Mesh, Overlap, Recompute, TensorStyle, Workload};
use crate::parallel::{Schedule, stages};
use crate::training::{
    AttentionKernel, Compile, Engine, FusedKernels, HostMemory, LossKind, Objective, Optimizer, Precision,
    Recomputation, Recompute as MegatronRecompute, TrainingJob, VocabularyLoss, trained_parameters,
};
use crate::units::DType;

/// DDP's buckets (torch nn/parallel/distributed.py, `bucket_cap_mb` 25).
const DDP_BUCKET: f64 = 25.0 * 1_048_576.0;
/// Megatron's buckets: 40 million parameters, more with many ranks (core/distributed/distributed_data_parallel_config.py).
const MEGATRON_BUCKET: f64 = 40e6;

/// Megatron's overlap of gradients, weights and tensor-parallel collectives.
pub type Overlaps = (bool, bool, bool);

/// The workload of a job.
pub fn workload(job: &Job) -> Workload {
    let mesh = Mesh {
        data: job.mesh.data,
        tensor: job.mesh.tensor,
        context: job.mesh.context,
        pipeline: job.mesh.pipeline,
        expert: job.mesh.expert,
        expert_tensor: match job.training.engine {
            Engine::Megatron(settings) => settings.expert_tensor,
            _ => 1,
        },
    };
    workload_of(&job.training, &job.model.network, mesh, job.speed.overlap)
}

/// The workload of what is trained, on a mesh.
pub fn workload_of(
    training: &TrainingJob,
    network: &Arc<Network>,
    mesh: Mesh,
    overlaps: Overlaps,
) -> Workload {
    let network = network.clone();
    let (schedule, split, sequence_parallel) = match training.engine {
        Engine::Megatron(settings) => (settings.schedule, settings.split, settings.sequence),
        _ => (
            Schedule::OneForwardOneBackward,
            Default::default(),
            training.tensor.is_some_and(|tensor| tensor.sequence),
        ),
    };
    let depth = network.depth();
    let all =
        stages(depth, split, schedule, mesh.pipeline).unwrap_or_else(|_| std::iter::once(0..depth).collect());
    let compute = training.precision.compute().bits() as f64 / 8.0;
    let trained = training
        .adapter
        .map(|_| trained_parameters(training).get() as f64);
    Workload {
        tokens: training.tokens() as f64,
        sequence: training.sequence_length as f64,
        micro_batches: training.accumulation_steps.max(1),
        mesh,
        sequence_parallel,
        tensor_style: match training.engine {
            Engine::Megatron(_) => TensorStyle::Megatron,
            _ => TensorStyle::DTensor,
        },
        schedule,
        stages: all,
        sharding: sharding(training, mesh, overlaps),
        overlap: overlap(training, overlaps, schedule),
        recompute: recompute(training, depth),
        kernels: kernels(training),
        activation_bytes: compute,
        weight_bytes: compute,
        gradient_bytes: gradient_bytes(training),
        trained,
        update_bytes: update_bytes(training),
        staged_bytes: staged_bytes(training),
        offloaded: offloaded(training),
        // The reference model's pass; preferences of adapters switch them off for it.
        extra_forward: match training.objective {
            Objective::Preference(preference) if preference.reference => 1.0,
            Objective::NextToken | Objective::Preference(_) | Objective::Reward => 0.0,
        },
        network,
    }
}

fn sharding(training: &TrainingJob, mesh: Mesh, overlaps: Overlaps) -> DataSharding {
    let each = training.sync_each_micro_batch;
    match training.engine {
        Engine::Single | Engine::Ddp { .. } => DataSharding::Replicated { bucket: DDP_BUCKET },
        Engine::DeepSpeed(zero) => {
            let bucket = zero.reduce_bucket as f64 * gradient_bytes(training);
            match zero.stage {
                0 => DataSharding::Replicated { bucket },
                // Stage 1 reduces when all micro-batches are there (runtime/zero/stage_1_and_2.py).
                1 => DataSharding::Optimizer { each: false, bucket },
                2 => DataSharding::Optimizer { each: true, bucket },
                _ => DataSharding::Sharded {
                    regathered: true,
                    replicas: 1,
                    within: (zero.secondary > 1).then_some(zero.secondary),
                    prefetched: zero.prefetch,
                    each: true,
                },
            }
        }
        Engine::Megatron(settings) => {
            // Without overlap there is one bucket per group (param_and_grad_buffer.py).
            let ranks = mesh.data.saturating_mul(mesh.context) as f64;
            let elements = MEGATRON_BUCKET.max(1e6 * ranks);
            let bucket = if overlaps.0 { elements * 4.0 } else { 0.0 };
            if settings.distributed_optimizer {
                DataSharding::Optimizer { each: false, bucket }
            } else {
                DataSharding::Replicated { bucket }
            }
        }
        Engine::Fsdp1 {
            reshard_after_forward,
            replicas,
            prefetch,
            ..
        } => DataSharding::Sharded {
            regathered: reshard_after_forward,
            replicas,
            within: None,
            prefetched: prefetch,
            each,
        },
        Engine::Fsdp2 {
            reshard_after_forward,
            replicas,
            resharded_to,
            ..
        } => DataSharding::Sharded {
            regathered: reshard_after_forward,
            replicas,
            within: resharded_to,
            prefetched: true,
            // A pipeline reduces with the backward of the last micro-batch alone.
            each: each && mesh.pipeline == 1,
        },
    }
}

fn overlap(training: &TrainingJob, overlaps: Overlaps, schedule: Schedule) -> Overlap {
    let (gradients, weights, tensor) = match training.engine {
        Engine::Megatron(_) => overlaps,
        Engine::DeepSpeed(zero) => (zero.overlap || zero.stage == 0, false, false),
        Engine::Single | Engine::Ddp { .. } | Engine::Fsdp1 { .. } | Engine::Fsdp2 { .. } => {
            (true, false, false)
        }
    };
    Overlap {
        gradients,
        weights,
        tensor,
        // Interleaved schedules send beside arithmetic by default (`overlap_p2p_comm`), those that run both directions too.
        pipeline: matches!(
            schedule,
            Schedule::Interleaved { .. } | Schedule::DualPipe | Schedule::DualPipeV
        ),
    }
}

fn recompute(training: &TrainingJob, depth: u64) -> Recompute {
    let none = Recompute::default();
    if let Engine::Megatron(settings) = training.engine {
        return match settings.recompute {
            MegatronRecompute::None => none,
            MegatronRecompute::Uniform(_) => Recompute { layers: 1.0, ..none },
            MegatronRecompute::Block(layers) => {
                let chunks = settings.schedule.stages(settings.pipeline).max(1);
                let all = layers.saturating_mul(chunks) as f64;
                Recompute {
                    layers: (all / depth.max(1) as f64).min(1.0),
                    ..none
                }
            }
            MegatronRecompute::Modules(modules) => Recompute {
                attention: modules.core_attention,
                products: feed_forward_share(training, modules.feed_forward, modules.experts),
                ..none
            },
        };
    }
    match training.recomputation {
        Recomputation::None => none,
        Recomputation::AttentionCore => Recompute {
            attention: training.attention == AttentionKernel::Eager,
            ..none
        },
        Recomputation::Full => Recompute { layers: 1.0, ..none },
        Recomputation::EveryNth(each) => Recompute {
            layers: 1.0 / each.max(1) as f64,
            ..none
        },
        Recomputation::Products => none,
        Recomputation::Chosen(_) => Recompute { layers: 1.0, ..none },
        // Every second product is kept.
        Recomputation::Operations => Recompute {
            products: 0.5,
            ..none
        },
    }
}

/// The share of a layer's matrices that feed-forwards or experts have.
fn feed_forward_share(training: &TrainingJob, dense: bool, experts: bool) -> f64 {
    use crate::model::Role::{FeedForward, RoutedExpert, SharedExpert};
    let network = &training.network;
    let of = |accept: &dyn Fn(crate::model::Role) -> bool| -> f64 {
        let kinds = network.kinds.iter().enumerate();
        kinds
            .map(|(kind, layer)| {
                let own = layer
                    .tensors
                    .iter()
                    .filter(|tensor| tensor.is_linear_weight() && accept(tensor.role));
                let elements: f64 = own.map(|tensor| tensor.elements().get() as f64).sum();
                elements * network.layers_of(kind) as f64
            })
            .sum()
    };
    let again = of(&|role| {
        (dense && role == FeedForward) || (experts && matches!(role, RoutedExpert | SharedExpert))
    });
    again / of(&|_| true).max(1.0)
}

fn kernels(training: &TrainingJob) -> Kernels {
    let megatron = matches!(training.engine, Engine::Megatron(_));
    let compiled = training.compile.is_some() || megatron;
    Kernels {
        flash: training.attention != AttentionKernel::Eager,
        fused: compiled || training.kernels != FusedKernels::None,
        fused_activation: compiled || training.kernels == FusedKernels::NormRotaryActivation,
        fused_loss: match training.engine {
            Engine::Megatron(settings) => settings.loss == VocabularyLoss::Native,
            _ => {
                matches!(training.loss, LossKind::FusedLinear | LossKind::FusedInPlace)
                    || training.compile == Some(Compile::ModelAndLoss)
            }
        },
    }
}

/// The type in which gradients are reduced: Megatron accumulates 16-bit training in fp32 (arguments.py,
/// `accumulate_allreduce_grads_in_fp32`), DeepSpeed reduces in the type of its weights, FSDP in the one that is set.
fn gradient_bytes(training: &TrainingJob) -> f64 {
    let bits = match (training.engine, training.precision) {
        (Engine::Megatron(_), _) => DType::Fp32.bits(),
        (_, Precision::ShardedMixed { reduce, .. }) => reduce.bits(),
        (_, precision) => match training.adapter {
            Some(adapter) => adapter.dtype.bits(),
            None => precision.stored().bits(),
        },
    };
    bits as f64 / 8.0
}

/// Bytes read and written per updated parameter: states and weights both ways, gradients once for the step and once for
/// their norm.
fn update_bytes(training: &TrainingJob) -> f64 {
    let stored = training.precision.stored().bits() as f64 / 8.0;
    let wide = match training.precision {
        Precision::Pure(dtype) | Precision::ShardedMixed { stored: dtype, .. } => dtype.bits() as f64 / 8.0,
        _ => 4.0,
    };
    let states = match training.optimizer {
        Optimizer::AdamW | Optimizer::ScheduleFree => 2.0 * wide,
        Optimizer::Sgd { momentum } => f64::from(u8::from(momentum)) * wide,
        // Rows and columns are small; the update itself is a pass over the matrix.
        Optimizer::Adafactor | Optimizer::AdafactorFp32 => wide,
        Optimizer::Muon | Optimizer::GaLore { .. } => wide,
        Optimizer::TorchAo { bits, .. } => 2.0 * bits as f64 / 8.0,
        Optimizer::BitsAndBytes {
            states, eight_bit, ..
        } => states as f64 * if eight_bit { 1.0 } else { 4.0 },
    };
    let master = if matches!(training.precision, Precision::Master(_)) {
        8.0
    } else {
        0.0
    };
    let gradients = gradient_bytes(training) * if training.gradient_clipping { 2.0 } else { 1.0 };
    2.0 * states + 2.0 * stored + master + gradients
}

/// Bytes that FSDP reads and writes per parameter around a gather and around a reduction.
///
/// FSDP2 copies what was gathered out of one buffer, and gradients into the buffer of the reduction in its type (torch
/// distributed/fsdp/_fully_shard/_fsdp_collectives.py, `foreach_all_gather_copy_out` and `foreach_reduce_scatter_copy_in`). FSDP1
/// gathers into the flat parameter itself, casts the whole gradient where the types differ, and divides it before it is reduced
/// (torch distributed/fsdp/_runtime_utils.py, `_post_backward_hook` and `_reduce_grad`).
fn staged_bytes(training: &TrainingJob) -> (f64, f64) {
    let weight = training.precision.compute().bits() as f64 / 8.0;
    let gradient = gradient_bytes(training);
    match training.engine {
        Engine::Fsdp2 { .. } => (2.0 * weight, weight + gradient),
        Engine::Fsdp1 { .. } => {
            let cast = if gradient > weight { weight + gradient } else { 0.0 };
            (0.0, cast + 2.0 * gradient)
        }
        _ => (0.0, 0.0),
    }
}

/// Bytes per parameter over the host's bus, and bytes of the host's own step: 16-bit gradients down and weights up, and 28
/// bytes of fp32 states, weights and gradients read and written (DeepSpeed csrc/adam/cpu_adam.cpp).
fn offloaded(training: &TrainingJob) -> Option<(f64, f64)> {
    match training.engine {
        Engine::DeepSpeed(zero) if zero.optimizer.away() => {
            let share = zero.offloaded_millionths as f64 / 1e6;
            let weights = if zero.weights.away() {
                2.0 * 2.0 * training.accumulation_steps as f64
            } else {
                0.0
            };
            Some((4.0 * share + weights, 28.0 * share))
        }
        _ if training.engine.states() != HostMemory::None => {
            // fp32 shards go up for every gather, gradients come down.
            Some((4.0 + 2.0 * 4.0 * training.accumulation_steps as f64, 28.0))
        }
        _ => None,
    }
}
