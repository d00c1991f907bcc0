//! What one step of a training job computes and how it is divided: plain data that `api` fills from a job. What it costs is in
//! the other files.

use std::ops::Range;
use std::sync::Arc;

use crate::model::Network;
use crate::parallel::Schedule;

/// Sizes of the mesh, innermost first: tensor, context, data, pipeline (NVIDIA/Megatron-LM core/parallel_state.py, order
/// `tp-cp-ep-dp-pp`). Experts are dealt out over tensor, context and data ranks together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// Data-parallel ranks.
    pub data: u64,
    /// Tensor-parallel ranks.
    pub tensor: u64,
    /// Context-parallel ranks.
    pub context: u64,
    /// Pipeline ranks.
    pub pipeline: u64,
    /// Expert-parallel ranks.
    pub expert: u64,
    /// Ranks that share each expert's matrices.
    pub expert_tensor: u64,
}

impl Mesh {
    /// GPUs of the job.
    pub const fn gpus(self) -> u64 {
        self.data
            .saturating_mul(self.tensor)
            .saturating_mul(self.context)
            .saturating_mul(self.pipeline)
    }

    /// Ranks that hold the same experts: those of a stage less those among which experts are divided.
    pub fn expert_data(self) -> u64 {
        let stage = self.gpus() / self.pipeline.max(1);
        (stage / self.expert.saturating_mul(self.expert_tensor).max(1)).max(1)
    }
}

/// How states are divided among the data-parallel ranks, and what that makes them send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DataSharding {
    /// All states on every rank; gradients all-reduced in buckets of so many bytes.
    Replicated {
        /// Bytes of a bucket.
        bucket: f64,
    },
    /// Weights divided and gathered layer by layer (FSDP, ZeRO-3).
    Sharded {
        /// Whether backward gathers again.
        regathered: bool,
        /// Groups that hold the same shards; their gradients are all-reduced after the reduce-scatter.
        replicas: u64,
        /// Ranks among which backward gathers, where it is fewer than all (`reshard_after_forward` of a size, hpZ).
        within: Option<u64>,
        /// Whether gathers run ahead of their use.
        prefetched: bool,
        /// Whether gradients are reduced after every micro-batch.
        each: bool,
    },
    /// Gradients reduced to their owners, updated weights gathered after the step (ZeRO-1 and 2, Megatron's distributed
    /// optimizer).
    Optimizer {
        /// Whether gradients are reduced after every micro-batch (ZeRO-2).
        each: bool,
        /// Bytes of a bucket.
        bucket: f64,
    },
}

/// Whose tensor parallelism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorStyle {
    /// Megatron's layers: what a column-parallel layer sends in backward runs beside the gradient of its weights.
    Megatron,
    /// DTensor: collectives in the stream of the arithmetic.
    DTensor,
}

/// Which communication runs beside arithmetic, beyond what always does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Gradients are reduced while backward runs.
    pub gradients: bool,
    /// Updated weights are gathered while the next forward runs.
    pub weights: bool,
    /// Tensor-parallel collectives are cut up beside their products.
    pub tensor: bool,
    /// Pipeline messages run beside arithmetic.
    pub pipeline: bool,
}

/// What is computed again in backward.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Recompute {
    /// The share of the layers that are computed from their input again.
    pub layers: f64,
    /// Whether the attention core alone is, in the other layers.
    pub attention: bool,
    /// The share of a layer's matrix products that other kinds of recomputation run again.
    pub products: f64,
}

/// How operations are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernels {
    /// Attention without stored scores, which computes them again in backward and skips masked blocks.
    pub flash: bool,
    /// Norms and rotary embeddings as one kernel each.
    pub fused: bool,
    /// The activation of a feed-forward as one kernel.
    pub fused_activation: bool,
    /// The loss without copies of the logits.
    pub fused_loss: bool,
}

/// One step of a training job.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// The network.
    pub network: Arc<Network>,
    /// Tokens of a micro-batch on one data-parallel rank, over all its context-parallel ranks.
    pub tokens: f64,
    /// Tokens of a sequence.
    pub sequence: f64,
    /// Micro-batches of a rank per step.
    pub micro_batches: u64,
    /// The mesh.
    pub mesh: Mesh,
    /// Whether the parts between the matrices are divided along the sequence.
    pub sequence_parallel: bool,
    /// Whose tensor parallelism.
    pub tensor_style: TensorStyle,
    /// The order of passes.
    pub schedule: Schedule,
    /// Layers of each stage, in the order of the model.
    pub stages: Vec<Range<u64>>,
    /// How states are divided.
    pub sharding: DataSharding,
    /// What runs beside arithmetic.
    pub overlap: Overlap,
    /// What is computed again.
    pub recompute: Recompute,
    /// How operations are computed.
    pub kernels: Kernels,
    /// Bytes of an element of activations.
    pub activation_bytes: f64,
    /// Bytes of a gathered weight.
    pub weight_bytes: f64,
    /// Bytes of a reduced gradient.
    pub gradient_bytes: f64,
    /// Parameters that train; all where it is `None`.
    pub trained: Option<f64>,
    /// Bytes that the optimizer's step reads and writes per parameter that a rank updates.
    pub update_bytes: f64,
    /// Bytes read and written per parameter of a rank where divided weights are gathered and gradients reduced: of one gather,
    /// of one reduction.
    pub staged_bytes: (f64, f64),
    /// Bytes per parameter that a step moves between GPU and host, and bytes that the host's step reads and writes, where
    /// states are there.
    pub offloaded: Option<(f64, f64)>,
    /// Sequences of a row that are only evaluated, as a share of those that train (a reference model).
    pub extra_forward: f64,
}

impl Workload {
    /// Kinds of the layers that a pipeline rank computes.
    pub fn kinds_of_rank(&self, rank: u64) -> impl Iterator<Item = usize> + '_ {
        let ranks = self.mesh.pipeline.max(1);
        let stages = (0..self.schedule.chunks()).filter_map(move |chunk| {
            let at = usize::try_from(self.schedule.stage(ranks, rank, chunk)).ok()?;
            self.stages.get(at).cloned()
        });
        stages.flatten().filter_map(|layer| {
            let layer = usize::try_from(layer).ok()?;
            self.network.order.get(layer).copied()
        })
    }

    /// Whether a pipeline rank computes the first stage, and whether the last.
    pub fn ends_of_rank(&self, rank: u64) -> (bool, bool) {
        let ranks = self.mesh.pipeline.max(1);
        let last = (self.stages.len() as u64).saturating_sub(1);
        let has = |wanted: u64| {
            (0..self.schedule.chunks()).any(|chunk| self.schedule.stage(ranks, rank, chunk) == wanted)
        };
        (has(0), has(last))
    }

    /// Tokens of a step over all ranks.
    pub fn tokens_per_step(&self) -> f64 {
        self.tokens * self.micro_batches as f64 * self.mesh.data as f64
    }
}
