//! What a step of a job sends: for each kind of parallelism the collectives, their payloads, how often, over which ranks, and
//! beside which arithmetic. All of the busiest pipeline rank.

mod data;
pub(super) mod model;

use super::collective::Collective;
use super::kinds::Kinds;
use super::topology::{Cluster, Group};
use super::workload::Workload;

/// What something is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Gradients of replicated or divided states.
    Gradients,
    /// Gradients between groups that hold the same shards.
    ReplicaGradients,
    /// Weights for forward.
    WeightsForward,
    /// Weights for backward.
    WeightsBackward,
    /// Weights after the optimizer's step.
    WeightsUpdated,
    /// Gradients of experts.
    ExpertGradients,
    /// Weights of experts after the step.
    ExpertWeights,
    /// Gradients of a tied embedding at both ends of a pipeline.
    TiedEmbedding,
    /// Activations between tensor-parallel ranks, in forward.
    TensorForward,
    /// The same in backward, where nothing runs beside it.
    TensorBackward,
    /// The same in backward, beside products for gradients.
    TensorBackwardHidden,
    /// Activations from stage to stage, and their gradients back.
    Pipeline,
    /// Tokens to their experts and back.
    Experts,
    /// Keys and values around the context-parallel ranks.
    Context,
}

impl Purpose {
    /// The key in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Gradients => "gradients",
            Self::ReplicaGradients => "replica_gradients",
            Self::WeightsForward => "weights_forward",
            Self::WeightsBackward => "weights_backward",
            Self::WeightsUpdated => "weights_updated",
            Self::ExpertGradients => "expert_gradients",
            Self::ExpertWeights => "expert_weights",
            Self::TiedEmbedding => "tied_embedding",
            Self::TensorForward => "tensor_forward",
            Self::TensorBackward => "tensor_backward",
            Self::TensorBackwardHidden => "tensor_backward_hidden",
            Self::Pipeline => "pipeline",
            Self::Experts => "experts",
            Self::Context => "context",
        }
    }

    /// For a person.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Gradients => "gradients",
            Self::ReplicaGradients => "gradients between replicas",
            Self::WeightsForward => "weights for forward",
            Self::WeightsBackward => "weights for backward",
            Self::WeightsUpdated => "updated weights",
            Self::ExpertGradients => "gradients of experts",
            Self::ExpertWeights => "updated weights of experts",
            Self::TiedEmbedding => "gradients of the tied embedding",
            Self::TensorForward => "tensor parallel, forward",
            Self::TensorBackward => "tensor parallel, backward",
            Self::TensorBackwardHidden => "tensor parallel, beside gradients of weights",
            Self::Pipeline => "pipeline",
            Self::Experts => "tokens to experts and back",
            Self::Context => "keys and values, context parallel",
        }
    }

    /// Where pattern and count come from.
    pub const fn source(self) -> &'static str {
        match self {
            Self::Gradients | Self::WeightsUpdated => {
                "ZeRO, arXiv 1910.02054 section 7; torch nn/parallel/distributed.py; Megatron-LM core/distributed/param_and_grad_buffer.py"
            }
            Self::ReplicaGradients => {
                "torch distributed/fsdp/_fully_shard/_fsdp_collectives.py, foreach_reduce"
            }
            Self::WeightsForward | Self::WeightsBackward => {
                "ZeRO, arXiv 1910.02054 section 7.2.2; torch distributed/fsdp/_fully_shard/_fsdp_param_group.py; ZeRO++, arXiv 2306.10209"
            }
            Self::ExpertGradients | Self::ExpertWeights => {
                "Megatron-LM core/parallel_state.py, expert data-parallel groups"
            }
            Self::TiedEmbedding => "Megatron-LM core/distributed/finalize_model_grads.py",
            Self::TensorForward | Self::TensorBackward | Self::TensorBackwardHidden => {
                "arXiv 1909.08053 section 3; arXiv 2205.05198 section 4.2; Megatron-LM core/tensor_parallel/layers.py"
            }
            Self::Pipeline => {
                "arXiv 2104.04473 section 3.2; Megatron-LM core/pipeline_parallel/p2p_communication.py"
            }
            Self::Experts => "Megatron-LM core/transformer/moe/token_dispatcher.py",
            Self::Context => {
                "Ring Attention, arXiv 2310.01889; TransformerEngine attention/dot_product_attention/context_parallel.py"
            }
        }
    }

    /// Whether it is traffic of tensor parallelism.
    pub const fn is_tensor(self) -> bool {
        matches!(
            self,
            Self::TensorForward | Self::TensorBackward | Self::TensorBackwardHidden
        )
    }
}

/// Beside which arithmetic a transfer can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// None: everything waits.
    Nothing,
    /// Forward of all micro-batches.
    Forward,
    /// Backward of all micro-batches.
    Backward,
    /// Backward of the last micro-batch.
    LastBackward,
    /// Forward of the first micro-batch of the next step.
    NextForward,
    /// Products for gradients of column-parallel weights, half of a layer's.
    WeightGradients,
    /// All products.
    Products,
    /// Attention.
    Attention,
    /// The steady part of a pipeline.
    Steady,
}

impl Window {
    /// The key in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::LastBackward => "last_backward",
            Self::NextForward => "next_forward",
            Self::WeightGradients => "weight_gradients",
            Self::Products => "products",
            Self::Attention => "attention",
            Self::Steady => "steady_pipeline",
        }
    }

    /// For a person.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::LastBackward => "backward of the last micro-batch",
            Self::NextForward => "forward of the next step",
            Self::WeightGradients => "gradients of weights",
            Self::Products => "matrix products",
            Self::Attention => "attention",
            Self::Steady => "the steady pipeline",
        }
    }
}

/// Something that is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transfer {
    /// For what.
    pub purpose: Purpose,
    /// How.
    pub collective: Collective,
    /// Between which ranks.
    pub group: Group,
    /// Bytes of one call's buffer.
    pub payload: f64,
    /// Calls per step.
    pub calls: f64,
    /// Whether its calls come with every micro-batch.
    pub each_micro_batch: bool,
    /// Beside which arithmetic.
    pub window: Window,
}

impl Transfer {
    /// Bytes that a GPU sends per step.
    pub fn sent(&self) -> f64 {
        self.collective.sent(self.payload, self.group) * self.calls
    }

    /// Bytes that all GPUs of a job send per step.
    pub fn on_wires(&self, gpus: u64) -> f64 {
        self.collective.on_wires(self.payload, self.group) * self.calls * self.groups(gpus)
    }

    /// Bytes that go from node to node per step, in all.
    pub fn between_nodes(&self, gpus: u64) -> f64 {
        self.collective.between_nodes(self.payload, self.group) * self.calls * self.groups(gpus)
    }

    fn groups(&self, gpus: u64) -> f64 {
        gpus as f64 / self.group.ranks.max(1) as f64
    }
}

/// Parameters that a pipeline rank holds before they are divided among data-parallel ranks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Held {
    /// All but routed experts.
    pub dense: f64,
    /// Routed experts.
    pub routed: f64,
    /// Layers.
    pub layers: f64,
    /// Blocks after which tensor-parallel ranks talk.
    pub blocks: f64,
    /// Layers with routed experts.
    pub routed_layers: f64,
}

impl Held {
    /// Of one rank of the pipeline.
    pub fn of(work: &Workload, kinds: &Kinds, rank: u64) -> Self {
        let mesh = work.mesh;
        let mut held = Self::default();
        let (mut dense, mut routed) = (0.0, 0.0);
        for kind in work.kinds_of_rank(rank).filter_map(|kind| kinds.each.get(kind)) {
            routed += kind.routed;
            dense += kind.dense;
            held.layers += 1.0;
            held.blocks += kind.blocks;
            held.routed_layers += kind.experts;
        }
        let [input, output] = kinds.ends;
        let (first, last) = work.ends_of_rank(rank);
        if first {
            dense += input;
        }
        if last {
            dense += output;
            if work.network.head.tied && !first {
                dense += input;
            }
        }
        held.dense = dense / mesh.tensor.max(1) as f64;
        held.routed = routed / mesh.expert.saturating_mul(mesh.expert_tensor).max(1) as f64;
        held
    }

    /// The rank that holds the most.
    pub fn most(work: &Workload, kinds: &Kinds) -> Self {
        (0..work.mesh.pipeline.max(1))
            .map(|rank| Self::of(work, kinds, rank))
            .max_by(|left, right| (left.dense + left.routed).total_cmp(&(right.dense + right.routed)))
            .unwrap_or_default()
    }

    /// All of them.
    pub const fn all(self) -> f64 {
        self.dense + self.routed
    }
}

/// Everything that a step sends.
pub fn traffic(work: &Workload, cluster: &Cluster) -> Vec<Transfer> {
    let kinds = Kinds::of(work);
    sent(work, &kinds, Held::most(work, &kinds), cluster)
}

/// As [`traffic`], with what does not depend on how the work is divided.
pub(super) fn sent(work: &Workload, kinds: &Kinds, held: Held, cluster: &Cluster) -> Vec<Transfer> {
    let mut transfers = Vec::new();
    data::data((work, kinds), held, cluster, &mut transfers);
    model::tensor(work, held, cluster, &mut transfers);
    model::context((work, kinds), cluster, &mut transfers);
    model::experts((work, kinds), held, cluster, &mut transfers);
    model::pipeline(work, cluster, &mut transfers);
    transfers.retain(|transfer| transfer.group.ranks > 1 && transfer.payload > 0.0 && transfer.calls > 0.0);
    transfers
}
