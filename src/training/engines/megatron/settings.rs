//! Settings of Megatron-LM: the sizes of its mesh, its schedule, what it recomputes. Plain data of a job; what they do to memory
//! is told by the other files here.

use crate::parallel::{Schedule, Split};

/// Settings of Megatron-LM, with the defaults of its arguments (NVIDIA/Megatron-LM megatron/training/arguments.py).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Megatron {
    /// Tensor-parallel ranks.
    pub tensor: u64,
    /// Whether the parts between the matrices are divided along the sequence.
    pub sequence: bool,
    /// Pipeline ranks.
    pub pipeline: u64,
    /// Context-parallel ranks.
    pub context: u64,
    /// Expert-parallel ranks.
    pub expert: u64,
    /// Ranks that share each expert's matrices.
    pub expert_tensor: u64,
    /// The order of forward and backward passes.
    pub schedule: Schedule,
    /// How layers are dealt out to stages.
    pub split: Split,
    /// Whether master weights and moments are divided among the data-parallel ranks.
    pub distributed_optimizer: bool,
    /// What is recomputed.
    pub recompute: Recompute,
    /// How the loss is computed.
    pub loss: VocabularyLoss,
    /// Whether unfused attention has a fused softmax; it keeps probabilities in fp32 without.
    pub fused_softmax: bool,
    /// Micro-batches whose head gradient waits on the last stage until the pipeline drains.
    pub deferred: u64,
    /// Whether gradients of weights are added into the main gradients by the product itself.
    pub fused_accumulation: bool,
    /// Whether cuBLAS runs with the workspaces of deterministic mode.
    pub deterministic: bool,
    /// Whether experts run as one grouped product.
    pub grouped_experts: bool,
    /// How tokens come to the experts of other ranks.
    pub dispatcher: Dispatcher,
    /// Rows of the vocabulary per tensor-parallel rank are padded to a multiple of this.
    pub vocabulary_multiple: u64,
    /// Most rows of an expert as a multiple of its even share, in thousandths, where there is a capacity.
    pub capacity_thousandths: Option<u64>,
    /// Whether experts are padded to their capacity.
    pub padded: bool,
    /// How many times its even share of the routed rows a rank gets, in thousandths.
    pub imbalance_thousandths: u64,
    /// Layers that predict further tokens, on the last stage (`--mtp-num-layers`).
    pub further: u64,
    /// FP8 or FP4 products of linear layers.
    pub narrow: Option<Narrow>,
    /// What Megatron-FSDP divides among the data-parallel ranks.
    pub sharding: Sharding,
    /// Share of master weights and moments that is on the host, in millionths (`--optimizer-offload-fraction`).
    pub offloaded_millionths: u64,
    /// Bytes of each moment (`--exp-avg-dtype`).
    pub moment_bytes: u64,
    /// Muon: whether tensors are dealt out whole to the data-parallel ranks, embedding and all (`dist_muon`, and Muon with
    /// `--no-use-layer-wise-param-layout`); matrices are laid out in equal shards otherwise.
    pub dealt_out: bool,
    /// Whether collectives of tensor parallelism overlap with the products around them (`--tp-comm-overlap`), which needs
    /// buffers of their own.
    pub comm_overlap: bool,
    /// Whose wrapper of the optimizer it is.
    pub wrapper: Wrapper,
    /// The pipeline rank; `None` for the one that holds the most.
    pub stage: Option<u64>,
}

/// How tokens come to the experts of other ranks (`--moe-token-dispatcher-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dispatcher {
    /// Every rank gathers all tokens, and takes those of its experts (`allgather`).
    Gathered,
    /// Each row is sent to the rank of its expert (`alltoall`).
    Exchanged,
    /// Each token is sent once to every rank that has one of its experts, by DeepEP (`flex`).
    Flex,
}

/// Whose wrapper holds master weights and gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrapper {
    /// Megatron's own.
    Megatron,
    /// DeepSpeed's, under its pipeline engine.
    DeepSpeed {
        /// ZeRO stage: 0 or 1 with a pipeline.
        stage: u8,
    },
}

/// What Megatron-FSDP divides (`--data-parallel-sharding-strategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sharding {
    /// It is not used.
    None,
    /// Master weights and moments (`optim`).
    Optimizer,
    /// Main gradients as well (`optim_grads`).
    Gradients,
    /// Weights as well (`optim_grads_params`).
    Weights,
}

/// How products of linear layers are narrowed (`--fp8-recipe`, `--fp4-recipe`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Narrow {
    /// The recipe.
    pub recipe: Recipe,
    /// Whether the weights themselves are stored like that (`--fp8-param-gather`), beside no 16-bit ones.
    pub primary: bool,
}

/// A recipe of Transformer Engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recipe {
    /// One scale per tensor: delayed, from a history of largest values, or of the tensor at hand.
    Tensor,
    /// FP8 with an fp32 scale per 128 values, or per square of 128 of a weight.
    Block,
    /// FP8 with a scale of one byte per 32 values.
    Mxfp8,
    /// FP4 with a scale of one byte per 16 values.
    Nvfp4,
}

impl Recipe {
    /// What a weight takes, in 32nds of a byte, stored along its rows and along its columns. Before Blackwell only products
    /// of row-major FP8 operands exist, so a weight is stored once for forward and once, transposed, for backward; with one
    /// scale per tensor Blackwell needs it once (NVIDIA/TransformerEngine pytorch/module/base.py, `set_usage` of the weight
    /// quantizer; pytorch/tensor/float8_tensor.py, mxfp8_tensor.py, nvfp4_tensor.py).
    pub const fn weight_32nds(self, compute_capability: u16) -> u64 {
        match self {
            Self::Tensor if compute_capability >= 100 => 32,
            Self::Tensor | Self::Block => 64,
            Self::Mxfp8 => 66,
            Self::Nvfp4 => 36,
        }
    }

    /// Bits of a saved value.
    pub const fn bits(self) -> u64 {
        match self {
            Self::Nvfp4 => 4,
            _ => 8,
        }
    }

    /// Bytes of a scale of saved values, and how many values share it.
    pub const fn scale(self) -> Option<(u64, u64)> {
        match self {
            Self::Tensor => None,
            Self::Block => Some((4, 128)),
            Self::Mxfp8 => Some((1, 32)),
            Self::Nvfp4 => Some((1, 16)),
        }
    }
}

/// What is recomputed in backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recompute {
    /// Nothing.
    None,
    /// Groups of so many layers from their first input (`--recompute-method uniform`).
    Uniform(u64),
    /// The first so many layers of a chunk, each from its input (`--recompute-method block`).
    Block(u64),
    /// Some modules of every layer.
    Modules(Modules),
}

/// Modules that are recomputed (`--recompute-modules`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Modules {
    /// `core_attn`: scores and probabilities of unfused attention.
    pub core_attention: bool,
    /// `layernorm`: outputs of the norms before attention and feed-forward.
    pub norms: bool,
    /// `mlp`: dense feed-forwards.
    pub feed_forward: bool,
    /// `moe`: routed and shared experts with their router.
    pub experts: bool,
    /// `moe_act`: what activations of the experts make.
    pub expert_activation: bool,
    /// `shared_experts`.
    pub shared_experts: bool,
    /// `mla_up_proj`: what latent attention projects up.
    pub up_projection: bool,
}

/// How the loss over the divided vocabulary is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VocabularyLoss {
    /// Operation by operation, exponentials in place of the fp32 copy.
    Unfused,
    /// `--cross-entropy-loss-fusion` with the native implementation.
    Native,
}

impl VocabularyLoss {
    /// Bytes per logit while the loss is computed: bf16 logits and their fp32 copy, of which the native fusion holds two
    /// (core/tensor_parallel/cross_entropy.py, core/fusions/fused_cross_entropy.py; published pairs of
    /// tests/measured/training.jsonl differ by 4).
    pub const fn fp32_copies(self) -> u64 {
        match self {
            Self::Unfused => 1,
            Self::Native => 2,
        }
    }
}

impl Megatron {
    /// Rows of embedding and head after padding (megatron/training/utils.py, `make_vocab_size_divisible_by`).
    pub const fn padded(&self, vocabulary: u64) -> u64 {
        let multiple = self.vocabulary_multiple.saturating_mul(self.tensor);
        let multiple = if multiple == 0 { 1 } else { multiple };
        vocabulary.div_ceil(multiple).saturating_mul(multiple)
    }

    /// How many times its even share of the routed rows a rank holds, in thousandths: what routing gives it, no more than the
    /// capacity, or just that where experts are padded (core/transformer/moe/moe_utils.py, `get_capacity`).
    pub fn load(&self) -> u64 {
        match self.capacity_thousandths {
            Some(capacity) if self.padded => capacity,
            Some(capacity) => self.imbalance_thousandths.min(capacity),
            None => self.imbalance_thousandths,
        }
    }

    /// Ranks among which routed experts are divided, by experts and within them.
    pub const fn expert_group(&self) -> u64 {
        self.expert.saturating_mul(self.expert_tensor)
    }

    /// Ranks among which the parts between the matrices are divided along the sequence.
    pub const fn sequence_ranks(&self) -> u64 {
        if self.sequence { self.tensor } else { 1 }
    }
}
