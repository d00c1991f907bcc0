//! What a start of vLLM depends on: model, release, GPU, how the weights are stored and divided, and the engine's arguments.
//! An argument that is `None` was not given: the release's default for this GPU and entry point applies.

use super::format::{Matrix, WeightFormat};
use super::release::{EntryPoint, Release, SamplerKernel};
use crate::hardware::Gpu;
use crate::memory::Interval;
use crate::model::Network;
use crate::units::{Bytes, Count, DType};

/// How ranks divide the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// `tensor_parallel_size`.
    pub tensor: u64,
    /// `pipeline_parallel_size`.
    pub pipeline: u64,
    /// `data_parallel_size`: whole engines, which share experts where `expert` is set.
    pub data: u64,
    /// `decode_context_parallel_size`: the cache's tokens are divided among so many ranks of a tensor group.
    pub context: u64,
    /// `enable_expert_parallel`: whole experts instead of slices of every expert.
    pub expert: bool,
    /// Ranks among which attention and embedding are divided, where they are fewer than `tensor` (SGLang's DP attention).
    pub attention: Option<u64>,
}

impl Mesh {
    /// Ranks among which a mixer is divided.
    pub fn attention_ranks(&self) -> u64 {
        self.attention.unwrap_or(self.tensor).max(1)
    }

    /// Ranks among which the width of each routed expert is divided.
    pub fn expert_ranks(&self) -> u64 {
        if self.expert {
            1
        } else {
            self.tensor.max(1).saturating_mul(self.data.max(1))
        }
    }
}

impl Default for Mesh {
    fn default() -> Self {
        Self {
            tensor: 1,
            pipeline: 1,
            data: 1,
            context: 1,
            expert: false,
            attention: None,
        }
    }
}

/// The GPU as the engine sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Total memory as torch reports it.
    pub total: Interval,
    /// What other programs hold.
    pub in_use: Bytes,
    /// Its name in lower case, which decides about defaults.
    pub name: String,
    /// Compute capability times ten on NVIDIA.
    pub capability: Option<u16>,
    /// Whether it is an AMD card.
    pub amd: bool,
    /// Whether the host shares its memory.
    pub unified: bool,
}

impl Device {
    /// A card of the table with the total that a program gets of it.
    pub fn of(gpu: &Gpu, total: Interval, in_use: Bytes) -> Self {
        Self {
            total,
            in_use,
            name: gpu.name.to_lowercase(),
            capability: gpu.capability_times_ten(),
            amd: gpu.vendor == "AMD",
            unified: gpu.unified,
        }
    }
}

/// Element type of keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheFormat {
    /// That of the model.
    #[default]
    Auto,
    /// One byte, with one scale per tensor.
    Fp8,
    /// The layout `fp8_ds_mla` of sparse latent attention.
    Fp8Latent,
    /// Integers of so many bits with an fp32 scale per token and head, of keys and of values.
    PerHead(u64),
    /// Two 4-bit floats in a byte, and one byte of scale per 16.
    Fp4,
}

/// Slots for LoRA adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adapters {
    /// `max_loras`.
    pub slots: u64,
    /// `max_lora_rank`.
    pub rank: u64,
}

impl Adapters {
    /// The two stacks beside a fused matrix of so many parts (vllm `lora/layers`): rank x inputs per part, outputs x rank.
    pub fn sizes(&self, matrix: Matrix, parts: u64, element: DType) -> [u64; 2] {
        let of = |features: u64| {
            let elements = self.slots.saturating_mul(self.rank).saturating_mul(features);
            element.bytes_of(Count::new(elements)).get()
        };
        [of(matrix.columns.saturating_mul(parts)), of(matrix.rows)]
    }
}

/// Speculative decoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Speculation {
    /// `num_speculative_tokens`.
    pub tokens: u64,
    /// Attention layers that the drafter adds to the cache: those of the model's own next-token layers.
    pub layers: u64,
    /// Weights of a drafter that is a model of its own, on this rank.
    pub weights: Bytes,
    /// Bytes per token and rank of the cache of such a drafter.
    pub bytes_per_token: u64,
    /// Layers of such a drafter, which keep the same.
    pub own_layers: u64,
}

/// A start of the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Job<'a> {
    /// The model.
    pub network: &'a Network,
    /// The release.
    pub release: &'a Release,
    /// Engine V1 (and the runner after it) or V0.
    pub v1: bool,
    /// Whether V1 has the newer model runner.
    pub newer_runner: bool,
    /// Server or library.
    pub entry: EntryPoint,
    /// The GPU.
    pub device: Device,
    /// The division.
    pub mesh: Mesh,
    /// Element type of activations and of tensors that are not quantised.
    pub dtype: DType,
    /// Storage of the linear layers.
    pub weights: WeightFormat,
    /// Parts of names that the checkpoint leaves out of that format.
    pub left_out: &'a [String],
    /// Storage of the cache.
    pub cache: CacheFormat,
    /// Bytes of an element of a recurrent state.
    pub state_bytes: u64,
    /// Whether a state at a block's border is kept beside the current one, for prefixes (`mamba_cache_mode` align).
    pub aligned_states: bool,
    /// `gpu_memory_utilization`.
    pub utilization: Option<f64>,
    /// `kv_cache_memory_bytes`.
    pub cache_memory: Option<Bytes>,
    /// `max_model_len`.
    pub max_model_len: u64,
    /// Positions of the rotary table where they differ from what the network states.
    pub positions: Option<u64>,
    /// `max_num_batched_tokens`.
    pub batched_tokens: Option<u64>,
    /// `max_num_seqs`.
    pub sequences: Option<u64>,
    /// `block_size`.
    pub block_size: Option<u64>,
    /// `enable_chunked_prefill`.
    pub chunked_prefill: Option<bool>,
    /// `enforce_eager`.
    pub eager: bool,
    /// The sampler kernel.
    pub sampler: Option<SamplerKernel>,
    /// LoRA slots.
    pub adapters: Option<Adapters>,
    /// Drafts.
    pub speculation: Speculation,
    /// Tokens of the encoder's budget; `None` for a model that is served without towers.
    pub encoder_tokens: Option<u64>,
}

impl<'a> Job<'a> {
    /// A start with nothing given but model, release, GPU and length.
    pub fn new(network: &'a Network, release: &'a Release, device: Device, max_model_len: u64) -> Self {
        Self {
            network,
            release,
            v1: release.v1,
            newer_runner: release.newer_runner,
            entry: EntryPoint::Server,
            device,
            mesh: Mesh::default(),
            dtype: DType::Bf16,
            weights: WeightFormat::Native,
            left_out: &[],
            cache: CacheFormat::Auto,
            state_bytes: 2,
            aligned_states: false,
            utilization: None,
            cache_memory: None,
            max_model_len,
            positions: None,
            batched_tokens: None,
            sequences: None,
            block_size: None,
            chunked_prefill: None,
            eager: false,
            sampler: None,
            adapters: None,
            speculation: Speculation::default(),
            encoder_tokens: None,
        }
    }

    /// Rows of the rotary tables: four times the positions where images and videos have rows and columns
    /// (vllm `model_executor/layers/rotary_embedding/mrope.py` cache_max_position_num).
    pub fn rotary_positions(&self) -> u64 {
        let kind = self.network.model_type.as_str();
        let in_space = kind.starts_with("qwen3_5") || kind.contains("_vl");
        self.positions
            .or(self.network.max_positions)
            .unwrap_or(self.max_model_len)
            .max(1)
            .saturating_mul(if in_space { 4 } else { 1 })
    }

    /// Attention layers of next-token prediction that are loaded.
    pub fn draft_layers(&self) -> u64 {
        self.speculation.layers
    }

    /// Bytes of an element of activations.
    pub fn element(&self) -> u64 {
        (self.dtype.bits() / 8).max(1)
    }
}

/// The arguments after defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Share of the total that the engine may use.
    pub utilization: f64,
    /// Tokens of one pass.
    pub batched_tokens: u64,
    /// Sequences of one step.
    pub sequences: u64,
    /// Tokens of a block before hybrids raise it.
    pub block_size: u64,
    /// The sampler kernel.
    pub sampler: SamplerKernel,
    /// Whether a prompt may be divided among passes.
    pub chunked: bool,
}

impl Settings {
    /// The release's defaults for what was not given (vllm `engine/arg_utils.py`; V0 `config.py`).
    pub fn of(job: &Job<'_>) -> Self {
        let release = job.release;
        let length = job.max_model_len;
        let multimodal = job.encoder_tokens.is_some();
        let tier = release.tiers.iter().find(|tier| {
            job.device.total.expected.to_gib() >= tier.from_gib
                && !tier
                    .excludes
                    .iter()
                    .any(|part| job.device.name.contains(part.as_str()))
        });
        let chunked = match (job.chunked_prefill, job.v1) {
            (Some(chunked), _) => chunked,
            (None, true) => true,
            // Only on CUDA (vllm 0.9.2 `engine/arg_utils.py` _set_default_args_v0; vllm-166 peaks with whole prompts).
            (None, false) => length > 32_768 && !multimodal && !job.device.amd,
        };
        let usual = match (job.v1, tier) {
            (true, Some(tier)) => match job.entry {
                EntryPoint::Server => tier.server,
                EntryPoint::Library => tier.library,
            },
            (true, None) => 8192,
            (false, _) if chunked => release.chunk_tokens,
            (false, _) => length.max(2048),
        };
        let batched_tokens = match job.batched_tokens {
            Some(tokens) => tokens,
            None if chunked => usual,
            None => usual.max(length),
        };
        let default_sequences = match (job.v1, tier) {
            (true, Some(tier)) => tier.sequences,
            _ => 256,
        };
        let latent = job
            .network
            .kinds
            .iter()
            .any(|layer| matches!(layer.mixer, crate::model::Mixer::Latent(_)));
        Self {
            utilization: job.utilization.unwrap_or(release.utilization),
            batched_tokens: batched_tokens.max(1),
            sequences: job
                .sequences
                .unwrap_or(default_sequences)
                .min(batched_tokens)
                .max(1),
            block_size: job
                .block_size
                .unwrap_or(match latent && job.v1 && release.hybrid_manager {
                    true => 64,
                    false => 16,
                }),
            sampler: job.sampler.unwrap_or(if job.v1 {
                release.sampler
            } else {
                SamplerKernel::Sort
            }),
            chunked,
        }
    }
}
