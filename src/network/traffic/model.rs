//! Traffic of the divided model: tensor, context, expert and pipeline parallelism, in activations per micro-batch.

use super::super::collective::Collective;
use super::super::kinds::Kinds;
use super::super::topology::Cluster;
use super::super::workload::{TensorStyle, Workload};
use super::{Held, Purpose, Transfer, Window};
use crate::model::{FeedForward, Layer, Mixer};

/// Blocks of a layer whose last matrix is divided by rows, so that its output is summed: the mixer and every dense or shared
/// feed-forward. Routed experts have traffic of their own.
pub fn blocks(layer: &Layer) -> f64 {
    fn parts(part: &FeedForward) -> f64 {
        match part {
            FeedForward::None => 0.0,
            FeedForward::Dense(_) => 1.0,
            FeedForward::Moe(moe) => {
                f64::from(u8::from(moe.shared.is_some())) + f64::from(u8::from(moe.dense.is_some()))
            }
            FeedForward::Several(all) => all.iter().map(parts).sum(),
        }
    }
    let mixer = f64::from(u8::from(!matches!(layer.mixer, Mixer::None)));
    mixer + parts(&layer.feed_forward)
}

/// Activations between tensor-parallel ranks: an all-reduce per block and pass, or an all-gather and a reduce-scatter where the
/// parts between the matrices are divided along the sequence. Megatron gathers a block's input once more in backward; that
/// and the sum of its gradient run beside the products for the gradients of the weights.
pub fn tensor(work: &Workload, held: Held, cluster: &Cluster, transfers: &mut Vec<Transfer>) {
    let mesh = work.mesh;
    if mesh.tensor < 2 {
        return;
    }
    let group = cluster.group(mesh.tensor, 1);
    let payload =
        work.tokens / mesh.context.max(1) as f64 * work.network.hidden_size as f64 * work.activation_bytes;
    let micro_batches = work.micro_batches.max(1) as f64;
    // Without a pipeline the embedding's output is summed and the head's input gathered on the same rank.
    let blocks = held.blocks + if mesh.pipeline == 1 { 1.0 } else { 0.0 };
    let forwards = 1.0 + work.recompute.layers + work.extra_forward;
    let beside = |window| {
        if work.overlap.tensor {
            Window::Products
        } else {
            window
        }
    };
    let megatron = work.tensor_style == TensorStyle::Megatron;
    let hidden = if megatron {
        Window::WeightGradients
    } else {
        Window::Nothing
    };
    let mut add = |purpose, collective, calls: f64, window| {
        transfers.push(Transfer {
            purpose,
            collective,
            group,
            payload,
            calls: calls * blocks * micro_batches,
            each_micro_batch: true,
            window: beside(window),
        });
    };
    if !work.sequence_parallel {
        add(
            Purpose::TensorForward,
            Collective::AllReduce,
            forwards,
            Window::Nothing,
        );
        let purpose = if megatron {
            Purpose::TensorBackwardHidden
        } else {
            Purpose::TensorBackward
        };
        add(purpose, Collective::AllReduce, 1.0, hidden);
        return;
    }
    add(
        Purpose::TensorForward,
        Collective::AllGather,
        forwards,
        Window::Nothing,
    );
    add(
        Purpose::TensorForward,
        Collective::ReduceScatter,
        forwards,
        Window::Nothing,
    );
    add(
        Purpose::TensorBackward,
        Collective::AllGather,
        1.0,
        Window::Nothing,
    );
    if megatron {
        add(Purpose::TensorBackwardHidden, Collective::AllGather, 1.0, hidden);
        add(
            Purpose::TensorBackwardHidden,
            Collective::ReduceScatter,
            1.0,
            hidden,
        );
    } else {
        add(
            Purpose::TensorBackward,
            Collective::ReduceScatter,
            1.0,
            Window::Nothing,
        );
    }
}

/// Elements of keys and values per token.
pub fn keys_and_values(mixer: &Mixer) -> f64 {
    match mixer {
        Mixer::Attention(attention) => {
            attention.kv_heads as f64 * (attention.head_dim + attention.value_dim) as f64
        }
        Mixer::Latent(latent) => {
            latent.heads as f64 * (latent.nope_dim + latent.rope_dim + latent.value_dim) as f64
        }
        Mixer::Several(parts) => parts.iter().map(keys_and_values).sum(),
        _ => 0.0,
    }
}

/// Keys and values go around the ring once in forward; in backward they go around again with their gradients.
pub fn context((work, kinds): (&Workload, &Kinds), cluster: &Cluster, transfers: &mut Vec<Transfer>) {
    let mesh = work.mesh;
    if mesh.context < 2 {
        return;
    }
    let width = kinds.keys_and_values;
    let mine = work.network.depth().max(1) as f64 / mesh.pipeline.max(1) as f64;
    let tokens = work.tokens / mesh.context as f64;
    let passes = 3.0 + work.recompute.layers;
    let micro_batches = work.micro_batches.max(1) as f64;
    transfers.push(Transfer {
        purpose: Purpose::Context,
        collective: Collective::PointToPoint,
        group: cluster.group(mesh.context, mesh.tensor),
        payload: tokens * width / mesh.tensor.max(1) as f64 * work.activation_bytes,
        calls: (mesh.context as f64 - 1.0) * passes * mine * micro_batches,
        each_micro_batch: true,
        window: Window::Attention,
    });
}

/// Every token goes to its experts and comes back, in forward and in backward.
pub fn experts(
    (work, kinds): (&Workload, &Kinds),
    held: Held,
    cluster: &Cluster,
    transfers: &mut Vec<Transfer>,
) {
    let mesh = work.mesh;
    let Some(routed) = kinds.routed.filter(|_| mesh.expert > 1) else {
        return;
    };
    let tokens = work.tokens / mesh.context.saturating_mul(mesh.tensor).max(1) as f64;
    let passes = 4.0 + 2.0 * work.recompute.layers;
    transfers.push(Transfer {
        purpose: Purpose::Experts,
        collective: Collective::AllToAll,
        group: cluster.group(mesh.expert, mesh.expert_tensor),
        payload: tokens * routed * work.activation_bytes,
        calls: passes * held.routed_layers * work.micro_batches.max(1) as f64,
        each_micro_batch: true,
        window: Window::Nothing,
    });
}

/// Activations go from stage to stage, their gradients back; with several chunks per rank once per chunk.
pub fn pipeline(work: &Workload, cluster: &Cluster, transfers: &mut Vec<Transfer>) {
    let mesh = work.mesh;
    if mesh.pipeline < 2 {
        return;
    }
    let divided = if work.sequence_parallel { mesh.tensor } else { 1 };
    let tokens = work.tokens / mesh.context.saturating_mul(divided).max(1) as f64;
    transfers.push(Transfer {
        purpose: Purpose::Pipeline,
        collective: Collective::PointToPoint,
        group: cluster.group(mesh.pipeline, mesh.gpus() / mesh.pipeline),
        payload: tokens * work.network.hidden_size as f64 * work.activation_bytes,
        calls: 2.0 * work.schedule.chunks().max(1) as f64 * work.micro_batches.max(1) as f64,
        each_micro_batch: true,
        window: if work.overlap.pipeline {
            Window::Steady
        } else {
            Window::Nothing
        },
    });
}
