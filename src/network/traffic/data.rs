//! Traffic of data parallelism: gradients and weights, by how states are divided.

use super::super::collective::Collective;
use super::super::kinds::Kinds;
use super::super::topology::Cluster;
use super::super::workload::{DataSharding, Workload};
use super::{Held, Purpose, Transfer, Window};

/// Adds what data-parallel ranks send each other.
pub fn data(
    (work, kinds): (&Workload, &Kinds),
    held: Held,
    cluster: &Cluster,
    transfers: &mut Vec<Transfer>,
) {
    let mesh = work.mesh;
    let trained = kinds.trained(work);
    let replicated = held.dense;
    // Context-parallel ranks see parts of the same sequences: gradients are summed over them too.
    let ranks = mesh.data.saturating_mul(mesh.context);
    let group = cluster.group(ranks, mesh.tensor);
    let experts = cluster.group(mesh.expert_data(), mesh.expert.saturating_mul(mesh.expert_tensor));
    let micro_batches = work.micro_batches.max(1) as f64;
    let after = if work.overlap.gradients {
        Window::LastBackward
    } else {
        Window::Nothing
    };
    let buckets = |bytes: f64, bucket: f64| {
        if bucket > 0.0 {
            (bytes / bucket).ceil().max(1.0)
        } else {
            1.0
        }
    };
    let mut add = |purpose, collective, group, bytes: f64, calls: f64, times: f64, each, window| {
        transfers.push(Transfer {
            purpose,
            collective,
            group,
            payload: bytes / calls,
            calls: calls * times,
            each_micro_batch: each,
            window,
        });
    };
    match work.sharding {
        DataSharding::Replicated { bucket } => {
            for (purpose, group, elements) in [
                (Purpose::Gradients, group, replicated),
                (Purpose::ExpertGradients, experts, held.routed),
            ] {
                let bytes = elements * trained * work.gradient_bytes;
                let calls = buckets(bytes, bucket);
                add(
                    purpose,
                    Collective::AllReduce,
                    group,
                    bytes,
                    calls,
                    1.0,
                    false,
                    after,
                );
            }
        }
        DataSharding::Optimizer { each, bucket } => {
            for (gradients, weights, group, elements) in [
                (Purpose::Gradients, Purpose::WeightsUpdated, group, replicated),
                (
                    Purpose::ExpertGradients,
                    Purpose::ExpertWeights,
                    experts,
                    held.routed,
                ),
            ] {
                let bytes = elements * trained * work.gradient_bytes;
                let calls = buckets(bytes, bucket);
                let (times, window) = match (each, work.overlap.gradients) {
                    (true, true) => (micro_batches, Window::Backward),
                    (true, false) => (micro_batches, Window::Nothing),
                    (false, _) => (1.0, after),
                };
                add(
                    gradients,
                    Collective::ReduceScatter,
                    group,
                    bytes,
                    calls,
                    times,
                    each,
                    window,
                );
                let bytes = elements * trained * work.weight_bytes;
                let window = if work.overlap.weights {
                    Window::NextForward
                } else {
                    Window::Nothing
                };
                let calls = buckets(bytes, bucket);
                add(
                    weights,
                    Collective::AllGather,
                    group,
                    bytes,
                    calls,
                    1.0,
                    false,
                    window,
                );
            }
        }
        DataSharding::Sharded {
            regathered,
            replicas,
            within,
            prefetched,
            each,
        } => {
            let replicas = replicas.max(1);
            let shards = cluster.group(ranks / replicas, mesh.tensor);
            let units = held.layers + 1.0;
            let bytes = held.all() * work.weight_bytes;
            let beside = |window| if prefetched { window } else { Window::Nothing };
            let gather = Collective::AllGather;
            // Under a pipeline what forward leaves gathered stays so until the last micro-batch (torch 2.15,
            // distributed/pipelining/stage.py, backward_maybe_with_nosync).
            let kept = mesh.pipeline > 1 && !regathered;
            add(
                Purpose::WeightsForward,
                gather,
                shards,
                bytes,
                units,
                if kept { 1.0 } else { micro_batches },
                true,
                beside(Window::Forward),
            );
            if regathered {
                let group = within.map_or(shards, |ranks| cluster.group(ranks, mesh.tensor));
                let window = beside(Window::Backward);
                add(
                    Purpose::WeightsBackward,
                    gather,
                    group,
                    bytes,
                    units,
                    micro_batches,
                    true,
                    window,
                );
            }
            let bytes = held.all() * trained * work.gradient_bytes;
            let (times, window) = if each {
                (micro_batches, Window::Backward)
            } else {
                (1.0, Window::LastBackward)
            };
            add(
                Purpose::Gradients,
                Collective::ReduceScatter,
                shards,
                bytes,
                units,
                times,
                each,
                window,
            );
            let across = cluster.group(replicas, mesh.tensor.saturating_mul(ranks / replicas));
            let part = bytes / (ranks / replicas).max(1) as f64;
            let reduce = Collective::AllReduce;
            add(
                Purpose::ReplicaGradients,
                reduce,
                across,
                part,
                units,
                times,
                each,
                window,
            );
        }
    }
    if mesh.pipeline > 1 && work.network.head.tied {
        let ends = kinds.embedding / mesh.tensor.max(1) as f64;
        let both = cluster.group(2, mesh.gpus() / 2);
        let bytes = ends * work.gradient_bytes * trained;
        let reduce = Collective::AllReduce;
        add(
            Purpose::TiedEmbedding,
            reduce,
            both,
            bytes,
            1.0,
            1.0,
            false,
            Window::Nothing,
        );
    }
}
