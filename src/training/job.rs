//! A validated training job: everything that decides the memory of one step, with defaults resolved.

use super::between::{Evaluation, Save};
use super::composed::Composed;
use super::engines::megatron::Megatron;
use super::images::Images;
use super::objective::{Objective, Preference};
use std::sync::Arc;

use crate::model::Network;
use crate::parallel::{Division, Way};
use crate::units::DType;

/// Types of weights, gradients, optimizer states and arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Weights, gradients, states and arithmetic all in one type (fp32, bf16 or fp16).
    Pure(DType),
    /// fp32 weights, gradients and states; arithmetic in the given 16-bit type under torch autocast.
    Autocast(DType),
    /// 16-bit weights, gradients and arithmetic; fp32 master weights and states (DeepSpeed).
    Master(DType),
    /// Shards in `stored`, gathered and computed in the given 16-bit type, gradients reduced in `reduce` (FSDP mixed precision).
    ShardedMixed {
        /// Type of shards, final gradients and states: fp32, or that of the arithmetic.
        stored: DType,
        /// Type of gathered weights and of the arithmetic.
        compute: DType,
        /// Type of the gradient reduction.
        reduce: DType,
    },
}

impl Precision {
    /// The type of the weights at rest.
    pub const fn stored(self) -> DType {
        match self {
            Self::Pure(dtype) | Self::Master(dtype) => dtype,
            Self::ShardedMixed { stored, .. } => stored,
            Self::Autocast(_) => DType::Fp32,
        }
    }

    /// The type of the arithmetic.
    pub const fn compute(self) -> DType {
        match self {
            Self::Pure(dtype)
            | Self::Master(dtype)
            | Self::Autocast(dtype)
            | Self::ShardedMixed { compute: dtype, .. } => dtype,
        }
    }
}

/// Which optimizer, with the type of its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimizer {
    /// Adam or AdamW: two states in the type of the parameter.
    AdamW,
    /// Stochastic gradient descent, with or without a momentum state.
    Sgd {
        /// Whether there is a momentum state.
        momentum: bool,
    },
    /// Adafactor without momentum: a row and a column per matrix, a full state per vector.
    Adafactor,
    /// Transformers' own Adafactor: the same states in fp32, whatever the type of the weights.
    AdafactorFp32,
    /// Muon for the matrices of the layers, with a momentum state; fused AdamW for all other tensors.
    Muon,
    /// GaLore: AdamW whose states are projected to a rank for the matrices of the layers.
    GaLore {
        /// The rank.
        rank: u64,
    },
    /// Schedule-free AdamW: a second moment, and the sequence that is averaged.
    ScheduleFree,
    /// AdamW of torchao: two quantised states in blocks, expanded inside the step's compiled kernel.
    TorchAo {
        /// Bits per element: 8 (also its fp8 states) or 4.
        bits: u64,
        /// Whether states have a table of their values beside their scales (all but fp8).
        tabled: bool,
    },
    /// An optimizer of bitsandbytes: states of its own type, block-wise in 8 bits or in fp32.
    BitsAndBytes {
        /// States per parameter.
        states: u64,
        /// Block-wise in 8 bits; in fp32 otherwise.
        eight_bit: bool,
        /// Large states live in managed memory, which the driver moves to the host when it is short.
        paged: bool,
    },
}

/// How torch runs the optimizer's step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptimizerImplementation {
    /// One fused kernel, no temporaries.
    Fused,
    /// Lists of tensors at once, with a temporary as large as a state.
    Foreach,
    /// One parameter after another.
    Loop,
}

/// What is recomputed in backward instead of being saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recomputation {
    /// Nothing.
    None,
    /// The attention core: scores, probabilities and their dropout. Nothing with fused attention, which keeps none of them.
    AttentionCore,
    /// Every layer from its input.
    Full,
    /// Every so manieth layer from its input, the others not at all.
    EveryNth(u64),
    /// Op level: attention outputs and every second matrix product are kept, the rest is recomputed.
    Operations,
    /// Of a traced graph: attention outputs, all matrix products and what collectives made are kept where backward reads
    /// them (torchtitan experiments/graph_trainer/memory_policy.py, `default`).
    Products,
    /// Every layer from its input, but for some products (the same file, `full` with `full_recompute_save_ops`).
    Chosen(Chosen),
}

/// Products that full recomputation leaves as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Logits of the routers.
    pub router: bool,
    /// What attention's last product makes.
    pub attention_output: bool,
    /// Compressed keys and values of latent attention.
    pub latent: bool,
}

/// What torch.compile compiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compile {
    /// Each layer.
    Model,
    /// The loss as well, with segments that expand.
    ModelAndLoss,
}

/// How sequences become a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Every row is full.
    Packed,
    /// Rows are padded to the longest of their batch; the sequence length is that of the longest batch.
    Padded,
    /// Rows are laid one behind the other: one of the full length, the others of this mean one.
    PaddingFree {
        /// Mean length.
        mean: u64,
    },
}

/// How attention is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttentionKernel {
    /// Torch's scaled dot product attention where it chooses its flash kernel; a window is a dense mask to it.
    Flash,
    /// The `flash-attn` package, whose kernels know windows and soft-capping (Dao-AILab/flash-attention 2.6,
    /// flash_attn_interface.py; transformers modeling_flash_attention_utils.py makes no mask for unpadded batches).
    Package,
    /// Scaled dot product attention with a dense mask (padded batches).
    Masked,
    /// Plain matrix products with the probabilities in memory.
    Eager,
}

/// How logits and loss are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossKind {
    /// Cross entropy over all logits with an fp32 copy, as transformers 5 does.
    Plain,
    /// The hidden states are split into so many chunks, each with its own logits, backward inside the loop.
    Chunked {
        /// Number of chunks.
        chunks: u64,
        /// Whether a chunk has its backward at once or is computed again; all keep their log-probabilities otherwise.
        recomputed: bool,
    },
    /// Linear layer and cross entropy fused in one kernel (Liger).
    FusedLinear,
    /// Cross entropy kernel that writes the gradient over the logits in place.
    FusedInPlace,
}

/// Where states that the GPU does not hold are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offload {
    /// On the GPU.
    None,
    /// In the memory of the machine.
    Cpu,
    /// On its disk, through buffers in its memory.
    Nvme,
}

impl Offload {
    /// Whether the GPU does not hold them.
    pub const fn away(self) -> bool {
        !matches!(self, Self::None)
    }
}

/// Settings of DeepSpeed's ZeRO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zero {
    /// 0 to 3.
    pub stage: u8,
    /// Elements reduced at once.
    pub reduce_bucket: u64,
    /// Whether the reduction overlaps backward, with a second bucket.
    pub overlap: bool,
    /// Whether gradients are copied into the bucket as they come; they stay where they are until the reduction otherwise.
    pub contiguous: bool,
    /// Gathered elements that stage 3 allows at once.
    pub max_live: u64,
    /// Whether stage 3 gathers ahead of the use (`stage3_prefetch_bucket_size` above zero).
    pub prefetch: bool,
    /// Elements of the largest module that stage 3 gathers at once, where they are stated.
    pub largest_module: Option<u64>,
    /// Tensors up to this many elements are never divided in stage 3.
    pub persistence_threshold: u64,
    /// Ranks that share a second copy of the weights (`zero_hpz_partition_size`); 1 without one.
    pub secondary: u64,
    /// Where master weights, moments and the step are.
    pub optimizer: Offload,
    /// Share of the optimizer's sub-groups that is offloaded, in millionths.
    pub offloaded_millionths: u64,
    /// Where the weight partitions are (stage 3).
    pub weights: Offload,
    /// Whether each process builds the whole model in host memory first.
    pub built_whole: bool,
}

impl Zero {
    /// Whether gradients are reduced while backward runs, and not when it is over.
    pub const fn reduces_in_backward(&self, job: &TrainingJob) -> bool {
        self.stage == 2 || (self.stage == 1 && self.overlap && job.accumulation_steps == 1)
    }
}

/// The engine that shards the state.
#[allow(clippy::large_enum_variant, reason = "a job has one, and is copied")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One GPU, no communication.
    Single,
    /// PyTorch DistributedDataParallel.
    Ddp {
        /// `gradient_as_bucket_view`.
        bucket_view: bool,
        /// `static_graph`.
        static_graph: bool,
    },
    /// DeepSpeed ZeRO.
    DeepSpeed(Zero),
    /// Megatron-LM.
    Megatron(Megatron),
    /// PyTorch `FullyShardedDataParallel` over every layer and the root: flat parameters.
    Fsdp1 {
        /// Whether a layer's gathered weights are freed after its forward (FULL_SHARD; not with SHARD_GRAD_OP).
        reshard_after_forward: bool,
        /// Groups of ranks that hold the same shards.
        replicas: u64,
        /// Whether shards, gradients and states are on the host.
        offload: HostMemory,
        /// Whether backward gathers the layer below before a layer's gradients are computed (BACKWARD_PRE).
        prefetch: bool,
        /// Whether forward gathers the next layer while one runs (`forward_prefetch`).
        forward_prefetch: bool,
        /// Whether the host waits until at most two gathered layers are ahead (`limit_all_gathers`).
        limited: bool,
        /// Whether the original parameters are there as views (`use_orig_params`).
        original: bool,
    },
    /// PyTorch `fully_shard` over every layer and the root.
    Fsdp2 {
        /// Whether a layer's gathered weights are freed after its forward.
        reshard_after_forward: bool,
        /// Groups of ranks that hold the same shards.
        replicas: u64,
        /// Whether shards, gradients and states are on the host.
        offload: HostMemory,
        /// Ranks among which a layer's weights stay divided after its forward, where it is fewer than all.
        resharded_to: Option<u64>,
    },
}

/// Whether something is in host memory, and in which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostMemory {
    /// On the GPU.
    None,
    /// Page-locked.
    Pinned,
    /// Ordinary.
    Pageable,
}

impl HostMemory {
    /// Whether the GPU does not hold it.
    pub const fn away(self) -> bool {
        !matches!(self, Self::None)
    }
}

impl Engine {
    /// Where the states of FSDP are.
    pub const fn states(self) -> HostMemory {
        match self {
            Self::Fsdp1 { offload, .. } | Self::Fsdp2 { offload, .. } => offload,
            Self::Single | Self::Ddp { .. } | Self::DeepSpeed(_) | Self::Megatron(_) => HostMemory::None,
        }
    }
}

/// A linear layer's place in a block, which adapters target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projection {
    /// Queries.
    Query,
    /// Keys, or keys and values together, compressed or not.
    Key,
    /// Values.
    Value,
    /// Queries, keys and values of one projection.
    QueryKeyValue,
    /// After attention, or after another mixer.
    Output,
    /// Gate of a feed-forward.
    Gate,
    /// Up projection of a feed-forward, or gate and up in one.
    Up,
    /// Down projection of a feed-forward.
    Down,
    /// Another linear layer of a block.
    Other,
    /// The head, which adapters leave alone.
    Head,
}

/// Which linear layers have adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Queries and values.
    QueryValue,
    /// Queries, keys, values and the output projection.
    Attention,
    /// The feed-forward's.
    FeedForward,
    /// All linear layers of the blocks.
    AllLinear,
}

impl Targets {
    /// Whether a projection has an adapter.
    pub const fn has(self, projection: Projection) -> bool {
        use Projection::{Down, Gate, Head, Key, Output, Query, QueryKeyValue, Up, Value};
        match self {
            Self::QueryValue => matches!(projection, Query | Value | QueryKeyValue),
            Self::Attention => matches!(projection, Query | Key | Value | QueryKeyValue | Output),
            Self::FeedForward => matches!(projection, Gate | Up | Down),
            Self::AllLinear => !matches!(projection, Head),
        }
    }
}

/// How the frozen weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseFormat {
    /// In the type of the arithmetic.
    Plain,
    /// bitsandbytes NF4 in blocks of 64, with or without quantised scales.
    Nf4 {
        /// Scales in 8 bits, in blocks of 256 (`bnb_4bit_use_double_quant`).
        double: bool,
    },
    /// bitsandbytes LLM.int8: a byte per weight and one fp32 scale per output.
    Int8,
    /// GPTQ.
    Gptq {
        /// Bits per weight: 4 or 8.
        bits: u8,
        /// Weights that share a scale; nought where all of an output do.
        group: u64,
    },
    /// AWQ int4.
    Awq {
        /// Weights that share a scale; nought where all of an output do.
        group: u64,
    },
}

impl BaseFormat {
    /// Bits of a stored weight.
    pub const fn bits(self) -> u64 {
        match self {
            Self::Plain => 16,
            Self::Nf4 { .. } | Self::Awq { .. } => 4,
            Self::Int8 => 8,
            Self::Gptq { bits, .. } => bits as u64,
        }
    }

    /// Whether linear layers are stored in few bits.
    pub const fn is_quantised(self) -> bool {
        !matches!(self, Self::Plain)
    }
}

/// Low-rank adapters beside frozen weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adapter {
    /// Rank.
    pub rank: u64,
    /// Which linear layers have one.
    pub targets: Targets,
    /// Dropout before the adapter.
    pub dropout: f64,
    /// Type of its weights, gradients and states.
    pub dtype: DType,
    /// How the frozen weights are stored.
    pub base: BaseFormat,
    /// Whether what is not quantised was cast to fp32.
    pub widened: Widened,
    /// Whether directions and lengths are trained apart (DoRA).
    pub decomposed: bool,
    /// Whether experts are stored like the other matrices: not by bitsandbytes from transformers 5 on, where they are no
    /// linear modules.
    pub quantised_experts: bool,
    /// Whether a quantised layer and its adapter are one operation (unsloth's fast_lora.py, in fms-acceleration). FSDP1 then
    /// leaves the adapters out, see [`TrainingJob::adapters_outside`].
    pub fused: bool,
    /// Whole modules that train beside the adapters, as copies of the frozen ones (`modules_to_save`).
    pub modules: Modules,
}

/// What is cast to fp32 before adapters are added to a quantised base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Widened {
    /// Nothing.
    Nothing,
    /// All that is not quantised (`prepare_model_for_kbit_training`).
    Everything,
    /// The norms alone: TRL casts embedding, head and adapters back to bf16 (`peft_module_casting_to_bf16`).
    Norms,
}

/// Modules outside the blocks that train as whole copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modules {
    /// The embedding.
    pub embedding: bool,
    /// The head.
    pub head: bool,
}

/// Kernels that replace several operations of the reference classes by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FusedKernels {
    /// None: operations as the classes write them.
    None,
    /// RMSNorm and rotary position embedding.
    NormRotary,
    /// RMSNorm, rotary position embedding and the gated activation (Liger).
    NormRotaryActivation,
}

/// Tensor parallelism by DTensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorParallel {
    /// The plan, the ranks, and which of them.
    pub division: Division,
    /// Whether the residual stream and its norms are divided along the sequence.
    pub sequence: bool,
    /// Whether the loss is computed on each rank's part of the vocabulary.
    pub loss: bool,
}

/// Everything that decides the memory of one training step.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingJob {
    /// The network, as one rank computes it.
    pub network: Arc<Network>,
    /// The network before tensor parallelism divided it: the same one without.
    pub whole: Arc<Network>,
    /// Sequences per rank and micro-batch.
    pub micro_batch: u64,
    /// Tokens per sequence.
    pub sequence_length: u64,
    /// Micro-batches per optimizer step.
    pub accumulation_steps: u64,
    /// Types.
    pub precision: Precision,
    /// Optimizer.
    pub optimizer: Optimizer,
    /// How its step runs.
    pub implementation: OptimizerImplementation,
    /// Whether gradients are clipped by their global norm.
    pub gradient_clipping: bool,
    /// What is recomputed.
    pub recomputation: Recomputation,
    /// Where what is saved for backward waits.
    pub saved: HostMemory,
    /// How attention is computed.
    pub attention: AttentionKernel,
    /// How the loss is computed.
    pub loss: LossKind,
    /// Which kernels replace operations of the reference classes.
    pub kernels: FusedKernels,
    /// Major and minor version of transformers, e.g. (5, 23): decides how the loss copies the logits.
    pub transformers_version: (u16, u16),
    /// Whether the logits stay referenced during backward.
    pub keep_outputs: bool,
    /// The engine.
    pub engine: Engine,
    /// Ranks over which states are sharded (FSDP) or replicated (DDP).
    pub data_parallel: u64,
    /// Which of the ranks that share states, from zero. The first holds the most but in DeepSpeed's stages 1 and 2.
    pub rank: u64,
    /// Major and minor version of torch, e.g. (2, 15).
    pub torch_version: (u16, u16),
    /// How sequences become a batch.
    pub layout: Layout,
    /// What is compiled; `None` where operations run one by one.
    pub compile: Option<Compile>,
    /// Whether each weight is updated inside backward as soon as its gradient is there, which is freed at once.
    pub optimizer_in_backward: bool,
    /// Type of a moving average of the weights, where there is one.
    pub moving_average: Option<DType>,
    /// Whether gradients are reduced after every micro-batch (FSDP); they stay whole until the last one otherwise.
    pub sync_each_micro_batch: bool,
    /// Adapters; `None` where all weights train.
    pub adapter: Option<Adapter>,
    /// Tensor parallelism; `None` where no matrix is divided.
    pub tensor: Option<TensorParallel>,
    /// Context, pipeline and expert parallelism under FSDP2.
    pub composed: Composed,
    /// What is trained for.
    pub objective: Objective,
    /// Whether recomputed layers run a backward pass of their own (`use_reentrant`).
    pub reentrant: bool,
    /// The images of a micro-batch; `None` where there is text alone.
    pub images: Option<Images>,
    /// What is evaluated between steps.
    pub evaluation: Option<Evaluation>,
    /// How checkpoints are saved between steps.
    pub save: Save,
    /// Compute capability of the GPU times ten (90 for Hopper): decides the size of cuBLAS workspaces.
    pub compute_capability: u16,
}

impl TrainingJob {
    /// Whether a second copy of the weights computes the reference's log-probabilities.
    pub const fn reference_weights(&self) -> bool {
        self.has_reference() && self.adapter.is_none()
    }

    /// Whether a reference passes the answers.
    pub const fn has_reference(&self) -> bool {
        matches!(
            self.objective,
            Objective::Preference(Preference { reference: true, .. })
        )
    }

    /// Whether FSDP2 cuts a rank's rows out of an embedding's gradient, which tensor parallelism leaves whole.
    pub fn cuts_embedding(&self) -> bool {
        let divided = |tensor: TensorParallel| tensor.division.plan.embedding == Way::Divided;
        matches!(self.engine, Engine::Fsdp2 { .. })
            && self.tensor.is_some_and(divided)
            && !self.network.head.tied
    }

    /// Whether the adapters lie outside FSDP's flat parameters, whole on every rank and in the type of the arithmetic: where
    /// they are fused with quantised layers (fms-acceleration, fms_acceleration_foak/utils.py,
    /// `lora_adapters_switch_ddp_from_fsdp`: ignored modules whose gradients a hook reduces).
    pub fn adapters_outside(&self) -> bool {
        matches!(self.engine, Engine::Fsdp1 { .. }) && self.adapter.is_some_and(|adapter| adapter.fused)
    }

    /// Tokens per micro-batch on one rank.
    pub fn tokens(&self) -> u64 {
        match self.layout {
            Layout::Packed | Layout::Padded => self.micro_batch.saturating_mul(self.sequence_length),
            Layout::PaddingFree { mean } => {
                let others = self.micro_batch.saturating_sub(1);
                self.sequence_length.saturating_add(others.saturating_mul(mean))
            }
        }
    }
}
