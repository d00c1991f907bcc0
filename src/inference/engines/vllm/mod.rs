//! vLLM as an engine of the page: a question becomes a start on paper (`inference::vllm`), the start an estimate with the
//! cache of the asked sequences, and the largest questions that it would take.

mod ledger;

use super::super::capacity::Capacity;
use super::super::estimate::{Estimate, KvPool, Part, PartId};
use super::super::job::{CacheType, InferenceJob};
use super::super::vllm::format::{Mxfp4Kernel, WeightFormat as Kernel};
use super::super::vllm::share::Tenant;
use super::super::vllm::start::outside;
use super::super::vllm::tensors::Weights;
use super::super::vllm::{
    Adapters, CacheFormat, Device, EntryPoint, Failure, Job, Mesh, Release, SamplerKernel, Settings,
    Speculation, Start, all_weights, start_with,
};
use super::super::weights::WeightFormat;
use super::Engine;
use crate::memory::Interval;
use crate::memory::meters::Fit;
use crate::units::Bytes;

/// What only this engine reads; `None` is the release's default.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The release.
    pub release: &'static Release,
    /// Engine V1, or V0.
    pub v1: bool,
    /// Server or library.
    pub entry: EntryPoint,
    /// `data_parallel_size`.
    pub data: u64,
    /// `decode_context_parallel_size`.
    pub context: u64,
    /// `enable_expert_parallel`.
    pub expert: bool,
    /// `gpu_memory_utilization`.
    pub utilization: Option<f64>,
    /// `kv_cache_memory_bytes`.
    pub cache_memory: Option<Bytes>,
    /// `max_model_len`, where it is longer than the asked sequences.
    pub max_model_len: Option<u64>,
    /// `max_num_batched_tokens`.
    pub batched_tokens: Option<u64>,
    /// `max_num_seqs`.
    pub sequences: Option<u64>,
    /// `block_size`.
    pub block_size: Option<u64>,
    /// `enable_chunked_prefill`.
    pub chunked_prefill: Option<bool>,
    /// `enable_prefix_caching`.
    pub prefix_caching: bool,
    /// `enforce_eager`.
    pub eager: bool,
    /// The sampler kernel.
    pub sampler: Option<SamplerKernel>,
    /// LoRA slots.
    pub adapters: Option<Adapters>,
    /// `num_speculative_tokens` of the model's own next-token layers.
    pub drafts: u64,
    /// Bytes of an element of a recurrent state.
    pub state_bytes: u64,
}

/// The start that a question asks for.
fn job<'a>(asked: &'a InferenceJob, options: &'a Options) -> Job<'a> {
    let card = &asked.device;
    let device = Device {
        total: card.total,
        in_use: card.total.expected.saturating_sub(card.usable),
        name: card.name.to_lowercase(),
        capability: card.nvidia.then_some(card.capability),
        amd: !card.nvidia,
        unified: card.unified,
    };
    let length = options.max_model_len.unwrap_or(0).max(asked.length());
    let mut job = Job::new(&asked.network, options.release, device, length);
    job.v1 = options.v1;
    job.entry = options.entry;
    job.mesh = Mesh {
        tensor: asked.tensor,
        pipeline: asked.pipeline,
        data: options.data,
        context: options.context,
        expert: options.expert,
    };
    job.dtype = asked.compute;
    job.weights = kernel(asked.weights.format, card.capability, card.nvidia);
    job.left_out = &asked.weights.left_out;
    job.cache = match asked.cache {
        CacheType::Fp8 => CacheFormat::Fp8,
        CacheType::Compute | CacheType::Grouped(_) => CacheFormat::Auto,
    };
    job.state_bytes = options.state_bytes;
    job.utilization = options.utilization;
    job.cache_memory = options.cache_memory;
    job.batched_tokens = options.batched_tokens;
    job.sequences = options.sequences;
    job.block_size = options.block_size;
    job.chunked_prefill = options.chunked_prefill;
    job.eager = options.eager;
    job.sampler = options.sampler;
    job.adapters = options.adapters;
    job.speculation = Speculation {
        tokens: options.drafts,
        layers: u64::from(options.drafts > 0),
        ..Speculation::default()
    };
    job.encoder_tokens = (!asked.network.towers.is_empty()).then_some(0);
    job
}

/// What a checkpoint's format is after loading (vllm 0.11.0 `model_executor/layers/quantization`).
fn kernel(format: WeightFormat, capability: u16, nvidia: bool) -> Kernel {
    let average = |bits: u64, constants: u64, group: u64| Kernel::Average {
        millibits: bits
            .saturating_mul(1000)
            .saturating_add(constants.saturating_mul(1000) / group.max(1)),
    };
    match format {
        WeightFormat::Plain => Kernel::Native,
        WeightFormat::Fp8Tensor { .. } => Kernel::Fp8Tensor,
        WeightFormat::Fp8Channel => Kernel::Fp8Channel,
        WeightFormat::Fp8Block => Kernel::Fp8Block,
        WeightFormat::Int8Channel | WeightFormat::TorchaoInt8 => Kernel::Int8Channel,
        WeightFormat::Gptq { bits: 4, group } => Kernel::Int4 { group, zeros: false },
        WeightFormat::Gptq { bits: 8, group } => Kernel::Int8Group { group },
        WeightFormat::Gptq { bits, group } => average(bits, bits.saturating_add(16), group),
        WeightFormat::Awq { group } => Kernel::Int4 { group, zeros: true },
        WeightFormat::Compressed { group, asymmetric } => Kernel::Int4 {
            group,
            zeros: asymmetric,
        },
        WeightFormat::BitsAndBytes4 { double } => Kernel::Nf4 { double },
        WeightFormat::Hqq { bits, group } => average(bits, 32, group),
        WeightFormat::TorchaoInt4 { group } => average(4, 32, group),
        WeightFormat::Mxfp4 => Kernel::Mxfp4(match capability {
            _ if !nvidia => Mxfp4Kernel::Rocm,
            90..=99 => Mxfp4Kernel::Triton,
            100..=109 => Mxfp4Kernel::TrtLlm,
            _ => Mxfp4Kernel::Marlin,
        }),
        WeightFormat::Mxfp8 => average(8, 8, 32),
        WeightFormat::Nvfp4 { .. } => Kernel::Nvfp4,
    }
}

/// Blocks that the asked sequences hold: the full blocks of a shared prefix once, where prefixes are cached.
fn asked_blocks(asked: &InferenceJob, options: &Options, found: &Start) -> u64 {
    let layout = &found.layout;
    let each = layout.blocks_per_sequence(asked.length());
    let all = each.saturating_mul(asked.sequences);
    if !options.prefix_caching || asked.sequences < 2 || asked.shared_prefix == 0 {
        return all;
    }
    let whole = asked.shared_prefix.min(asked.length()) / layout.block_size.max(1);
    let shared = whole.min(each.saturating_sub(1));
    all.saturating_sub(shared.saturating_mul(asked.sequences.saturating_sub(1)))
}

/// The verdict on the asked sequences, and the line or reason when they do not run.
fn verdict(found: &Start, blocks: u64, sequences: u64) -> (Fit, Option<String>) {
    if found.failure.is_some() {
        let hopeful = found.failure != Some(Failure::NotFree) && holds(found, 2, blocks);
        let fit = if hopeful { Fit::Tight } else { Fit::DoesNotFit };
        return (fit, found.log.last().cloned());
    }
    if sequences > found.settings.sequences {
        let why = format!(
            "max_num_seqs is {}: of {sequences} sequences the rest waits.",
            found.settings.sequences
        );
        return (Fit::DoesNotFit, Some(why));
    }
    if holds(found, 0, blocks) {
        (Fit::Fits, None)
    } else if holds(found, 2, blocks) {
        (Fit::Tight, None)
    } else {
        let why = format!(
            "The pool has {} blocks, the sequences need {blocks}: some of them wait or are preempted.",
            found.pool.blocks
        );
        (Fit::DoesNotFit, Some(why))
    }
}

/// Whether the low (0), expected (1) or high (2) pool has so many blocks.
fn holds(found: &Start, bound: usize, blocks: u64) -> bool {
    let bytes = found.cache.get(bound).copied().unwrap_or(0);
    u64::try_from(bytes).unwrap_or(0) / found.layout.block_bytes.max(1) >= blocks
}

/// What the fullest GPU holds.
pub fn evaluate(asked: &InferenceJob, options: &Options) -> Estimate {
    let job = job(asked, options);
    estimate(asked, options, &job, &start_with(&job, &all_weights(&job)))
}

fn estimate(asked: &InferenceJob, options: &Options, job: &Job<'_>, found: &Start) -> Estimate {
    let blocks = asked_blocks(asked, options, found);
    let cache = Bytes::new(found.layout.block_bytes) * blocks;
    let state = Bytes::new(found.layout.state_per_sequence) * asked.sequences;
    let part = |id: PartId, bytes: Interval, source: &'static str| Part { id, bytes, source };
    let parts = vec![
        part(
            PartId::Weights,
            found.weights,
            "vllm model_executor/layers/linear.py, fused_moe, vocab_parallel_embedding.py; PyTorch CUDACachingAllocator.cpp",
        ),
        part(
            PartId::KvCache,
            Interval::exact(cache),
            "vllm v1/kv_cache_interface.py, v1/core/kv_cache_utils.py; V0 worker/cache_engine.py",
        ),
        part(
            PartId::State,
            Interval::exact(state),
            "vllm model_executor/layers/mamba/mamba_utils.py",
        ),
        part(
            PartId::Activations,
            found.profile.peak,
            "vllm v1/worker/gpu_model_runner.py profile_run, v1/sample/ops/topk_topp_sampler.py",
        ),
        part(
            PartId::NonTorch,
            found.non_torch,
            "published profiles of vLLM (tests/measured/vllm.jsonl)",
        ),
        part(
            PartId::Graphs,
            found.graphs,
            "published captures of vLLM (tests/measured/vllm.jsonl)",
        ),
        part(
            PartId::Context,
            outside(job),
            "bare contexts and full pools on A100 and H100",
        ),
    ];
    let sum = |parts: &[Part]| {
        parts
            .iter()
            .fold(Interval::default(), |sum, part| sum + part.bytes)
    };
    let need = sum(&parts);
    let (fit, failure) = verdict(found, blocks, asked.sequences);
    let ledger = ledger::ledger(asked, found, blocks, state);
    let torch = sum(parts.get(..4).unwrap_or_default());
    let pool =
        |bound: usize| Bytes::new(u64::try_from(found.cache.get(bound).copied().unwrap_or(0)).unwrap_or(0));
    let pool_bytes = Interval::new(pool(0), pool(1), pool(2));
    let beside = match job.release.graphs_in_budget && job.v1 {
        true => outside(job),
        false => outside(job) + found.graphs,
    };
    let whole = match found.failure {
        None => Interval::exact(found.requested) + beside,
        Some(_) => need,
    };
    Estimate {
        devices: Vec::new(),
        ledger,
        parts,
        allocated: torch,
        reserved: Interval::new(torch.low, torch.expected, torch.high.max(found.requested)),
        device: whole,
        need,
        budget: found.requested,
        pool: Some(KvPool {
            bytes: pool_bytes,
            tokens: found.pool.tokens,
            max_concurrency: found.pool.concurrency,
        }),
        fit,
        failure,
        start_up: found.log.clone(),
        unvalidated: unvalidated(job),
    }
}

/// Options without a published start behind them.
fn unvalidated(job: &Job<'_>) -> bool {
    job.adapters.is_some()
        || job.mesh.context > 1
        || job.mesh.data > 1
        || job.encoder_tokens.is_some()
        || matches!(job.weights, Kernel::Average { .. } | Kernel::Nvfp4)
}

/// What an engine with this question needs of its GPU beside other engines: the cache of the asked sequences where neither
/// share nor cache is fixed.
pub fn tenant(asked: &InferenceJob, options: &Options) -> Tenant {
    let mut job = job(asked, options);
    // Who holds what is counted where the GPU is divided.
    job.device.in_use = Bytes::ZERO;
    let found = start_with(&job, &all_weights(&job));
    let blocks = asked_blocks(asked, options, &found);
    let wanted = Bytes::new(found.layout.block_bytes) * blocks
        + Bytes::new(found.layout.state_per_sequence) * asked.sequences;
    let inside = options.release.graphs_in_budget && options.v1;
    let none = Interval::default();
    let (within, beside) = if inside {
        (found.graphs, none)
    } else {
        (none, found.graphs)
    };
    let fixed = found.weights + found.profile.peak + found.non_torch + within;
    let budget = match (options.utilization, options.cache_memory) {
        (Some(_), None) => Interval::exact(found.requested),
        (_, cache) => fixed + Interval::exact(cache.unwrap_or(wanted)),
    };
    Tenant {
        budget,
        outside: (outside(&job) + beside).expected,
    }
}

/// Arguments that a start takes from the first card, given outright: every worker of a node has them.
#[must_use]
pub fn settled(asked: &InferenceJob, options: &Options) -> Options {
    let settings = Settings::of(&job(asked, options));
    Options {
        batched_tokens: Some(settings.batched_tokens),
        sequences: Some(settings.sequences),
        ..options.clone()
    }
}

/// Capacity both ways without starting anew for every trial: weights depend on neither sequences nor lengths.
pub fn capacity(
    asked: &InferenceJob,
    options: &Options,
    limit: Option<u64>,
    shardable: impl Fn(u64) -> bool,
) -> Capacity {
    let base = job(asked, options);
    let loaded = all_weights(&base);
    let runs = |one: &InferenceJob, loaded: &[Weights]| {
        let job = job(one, options);
        let found = start_with(&job, loaded);
        verdict(&found, asked_blocks(one, options, &found), one.sequences).0 != Fit::DoesNotFit
    };
    let most = Settings::of(&base).sequences;
    let sequences =
        super::super::capacity::largest(most, |count| runs(&asked.with_sequences(count), &loaded));
    let longest = limit.unwrap_or(1 << 30).max(2);
    let length = match super::super::capacity::largest(longest.saturating_sub(1), |length| {
        runs(&asked.with_length(length.saturating_add(1)), &loaded)
    }) {
        0 => 0,
        most => most.saturating_add(1),
    };
    // No tensor shrinks by more than the number of ranks grows, so most sizes need no start.
    let total = asked.device.total.high;
    let held = loaded
        .iter()
        .map(|stage| stage.raw.get())
        .fold(0, u64::saturating_add);
    let least = |size: u64| held.saturating_mul(asked.tensor.min(size)) / size.max(1);
    let gpus = [1, 2, 4, 8, 16, 32, 64]
        .into_iter()
        .filter(|size| shardable(*size) && Bytes::new(least(*size)) <= total)
        .find(|size| {
            let mut divided = asked.clone();
            divided.tensor = *size;
            divided.pipeline = 1;
            divided.engine = Engine::Vllm(options.clone());
            let loaded = all_weights(&job(&divided, options));
            runs(&divided, &loaded)
        });
    Capacity {
        sequences,
        length,
        gpus,
    }
}
