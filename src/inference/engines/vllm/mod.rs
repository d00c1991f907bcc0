//! vLLM as an engine of the page: a question becomes a start on paper (`inference::vllm`), the start an estimate with the
//! cache of the asked sequences, and the largest questions that it would take.

mod ledger;

use std::sync::Arc;

use super::super::capacity::{Capacity, LONGEST, SIZES, largest, least};
use super::super::estimate::{Estimate, KvPool, Part, PartId};
use super::super::job::{CacheType, InferenceJob};
use super::super::vllm::cache::per_token;
use super::super::vllm::format::{Mxfp4Kernel, WeightFormat as Kernel};
use super::super::vllm::share::Tenant;
use super::super::vllm::start::{budget, failure, outside};
use super::super::vllm::tensors::{Weights, weight_bounds};
use super::super::vllm::{
    Adapters, Budget, CacheFormat, Device, EntryPoint, Failure, Job, Mesh, Release, SamplerKernel, Settings,
    Speculation, Start, all_weights, start_with,
};
use super::super::weights::WeightFormat;
use crate::memory::Interval;
use crate::memory::meters::Fit;
use crate::model::{Mixer, Network};
use crate::units::Bytes;

/// What only this engine reads; `None` is the release's default.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The release.
    pub release: &'static Release,
    /// Engine V1, or V0.
    pub v1: bool,
    /// Whether V1 has the newer model runner.
    pub newer_runner: bool,
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
    /// `num_speculative_tokens`, of the model's own next-token layers where there is no drafter.
    pub drafts: u64,
    /// A drafter that is a model of its own.
    pub drafter: Option<Arc<Network>>,
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
    let mut job = Job::new(
        &asked.network,
        options.release,
        device,
        longest_of(asked, options),
    );
    job.v1 = options.v1;
    job.newer_runner = options.newer_runner;
    job.entry = options.entry;
    job.mesh = Mesh {
        tensor: asked.tensor,
        pipeline: asked.pipeline,
        data: options.data,
        context: options.context,
        expert: options.expert,
        attention: None,
    };
    job.dtype = asked.compute;
    job.weights = kernel(asked.weights.format, card.capability, card.nvidia);
    job.left_out = &asked.weights.left_out;
    job.cache = match asked.cache {
        // Sparse latent attention has a layout of its own (vllm 0.14.1 `model_executor/models/config.py`
        // DeepseekV32ForCausalLM; 0.33.0 `layers/attention/mla_attention.py`).
        CacheType::Fp8 if options.v1 && is_sparse(&asked.network) => CacheFormat::Fp8Latent,
        CacheType::Fp8 => CacheFormat::Fp8,
        CacheType::Grouped(bits) => CacheFormat::PerHead(bits),
        CacheType::Fp4 => CacheFormat::Fp4,
        CacheType::Compute => CacheFormat::Auto,
    };
    job.state_bytes = options.state_bytes;
    job.aligned_states = options.prefix_caching && asked.network.has_states();
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
        layers: u64::from(options.drafts > 0 && options.drafter.is_none()),
        ..Speculation::default()
    };
    if let Some(network) = &options.drafter {
        let (weights, bytes_per_token) = drafter(network, &job);
        job.speculation.weights = weights;
        job.speculation.bytes_per_token = bytes_per_token;
        job.speculation.own_layers = network.depth();
    }
    job.encoder_tokens = (!asked.network.towers.is_empty()).then_some(0);
    job
}

/// Whether an indexer chooses the tokens that latent attention looks at.
fn is_sparse(network: &Network) -> bool {
    network
        .kinds
        .iter()
        .any(|layer| matches!(&layer.mixer, Mixer::Latent(latent) if latent.indexer.is_some()))
}

/// A drafter that is a model of its own: weights on a rank, and cache bytes per token. It is divided among as many ranks as
/// the model, shares neither embedding nor head with it, and its layers get blocks of the same pool (vllm 0.33.0
/// `v1/spec_decode/draft_model.py`, `config/speculative.py` draft_tensor_parallel_size).
fn drafter(network: &Network, target: &Job<'_>) -> (Bytes, u64) {
    let mut job = Job::new(
        network,
        target.release,
        target.device.clone(),
        target.max_model_len,
    );
    job.v1 = target.v1;
    job.mesh.tensor = target.mesh.tensor;
    job.dtype = target.dtype;
    job.cache = match target.cache {
        CacheFormat::Fp8 | CacheFormat::Fp8Latent => CacheFormat::Fp8,
        other => other,
    };
    let weights = all_weights(&job).iter().map(|stage| stage.allocated).sum();
    (weights, per_token(&job))
}

/// The longest context of a start.
fn longest_of(asked: &InferenceJob, options: &Options) -> u64 {
    options.max_model_len.unwrap_or(0).max(asked.length())
}

/// What a checkpoint's format is after loading (vllm 0.11.0 `model_executor/layers/quantization`).
pub(super) fn kernel(format: WeightFormat, capability: u16, nvidia: bool) -> Kernel {
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
fn asked_blocks(asked: &InferenceJob, options: &Options, budget: &Budget) -> u64 {
    let layout = &budget.layout;
    let each = layout.blocks_per_sequence(asked.length());
    let all = each.saturating_mul(asked.sequences);
    if !options.prefix_caching || asked.sequences < 2 || asked.shared_prefix == 0 {
        return all;
    }
    let whole = asked.shared_prefix.min(asked.length()) / layout.block_size.max(1);
    let shared = whole.min(each.saturating_sub(1));
    all.saturating_sub(shared.saturating_mul(asked.sequences.saturating_sub(1)))
}

/// The verdict on the asked sequences.
fn verdict(failure: Option<Failure>, budget: &Budget, blocks: u64, sequences: u64) -> Fit {
    if failure.is_some() {
        let hopeful = failure != Some(Failure::NotFree) && holds(budget, 2, blocks);
        return if hopeful { Fit::Tight } else { Fit::DoesNotFit };
    }
    if sequences > budget.settings.sequences || !holds(budget, 2, blocks) {
        Fit::DoesNotFit
    } else if holds(budget, 0, blocks) {
        Fit::Fits
    } else {
        Fit::Tight
    }
}

/// The line or reason when a start or the asked sequences do not run.
fn reason(found: &Start, fit: Fit, blocks: u64, sequences: u64) -> Option<String> {
    if found.failure.is_some() {
        return found.log.last().cloned();
    }
    if fit != Fit::DoesNotFit {
        return None;
    }
    Some(if sequences > found.settings.sequences {
        format!(
            "max_num_seqs is {}: of {sequences} sequences the rest waits.",
            found.settings.sequences
        )
    } else {
        format!(
            "The pool has {} blocks, the sequences need {blocks}: some of them wait or are preempted.",
            found.pool.blocks
        )
    })
}

/// Whether the low (0), expected (1) or high (2) pool has so many blocks.
fn holds(budget: &Budget, bound: usize, blocks: u64) -> bool {
    let bytes = budget.cache.get(bound).copied().unwrap_or(0);
    u64::try_from(bytes).unwrap_or(0) / budget.layout.block_bytes.max(1) >= blocks
}

/// What the fullest GPU holds.
pub fn evaluate(asked: &InferenceJob, options: &Options) -> Estimate {
    let job = job(asked, options);
    let loaded = all_weights(&job);
    let found = start_with(&job, &loaded);
    estimate(asked, options, &job, &found, loaded)
}

fn estimate(
    asked: &InferenceJob,
    options: &Options,
    job: &Job<'_>,
    found: &Start,
    loaded: Vec<Weights>,
) -> Estimate {
    let blocks = asked_blocks(asked, options, found);
    let cache = Bytes::new(found.layout.block_bytes) * blocks;
    let state = Bytes::new(found.layout.state_per_sequence) * asked.sequences;
    let parts = vec![
        Part::new(
            PartId::Weights,
            found.weights,
            "vllm model_executor/layers/linear.py, fused_moe, vocab_parallel_embedding.py; PyTorch CUDACachingAllocator.cpp",
        ),
        Part::new(
            PartId::KvCache,
            Interval::exact(cache),
            "vllm v1/kv_cache_interface.py, v1/core/kv_cache_utils.py; V0 worker/cache_engine.py",
        ),
        Part::new(
            PartId::State,
            Interval::exact(state),
            "vllm model_executor/layers/mamba/mamba_utils.py",
        ),
        Part::new(
            PartId::Activations,
            found.profile.peak,
            "vllm v1/worker/gpu_model_runner.py profile_run, v1/sample/ops/topk_topp_sampler.py",
        ),
        Part::new(
            PartId::NonTorch,
            found.non_torch,
            "published profiles of vLLM (tests/measured/vllm.jsonl)",
        ),
        Part::new(
            PartId::Graphs,
            found.graphs,
            "published captures of vLLM (tests/measured/vllm.jsonl)",
        ),
        Part::new(
            PartId::Context,
            outside(job),
            "bare contexts and full pools on A100 and H100",
        ),
    ];
    let need = Part::sum(&parts);
    let fit = verdict(found.failure, found, blocks, asked.sequences);
    let failure = reason(found, fit, blocks, asked.sequences);
    let ledger = ledger::ledger(asked, found, blocks, state);
    let torch = Part::sum(parts.get(..4).unwrap_or_default());
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
        loaded,
        unvalidated: unvalidated(job),
    }
}

/// Options without a published start behind them.
fn unvalidated(job: &Job<'_>) -> bool {
    job.adapters.is_some()
        || job.mesh.context > 1
        || job.mesh.data > 1
        || job.encoder_tokens.is_some()
        || job.speculation.weights > Bytes::ZERO
        || matches!(
            job.cache,
            CacheFormat::Fp8Latent | CacheFormat::PerHead(_) | CacheFormat::Fp4
        )
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

/// Capacity both ways without starting anew for every trial: neither sequences nor lengths change the weights, and lengths
/// change the budget only through the settings. `loaded`: the weights of the question.
pub fn capacity(
    asked: &InferenceJob,
    options: &Options,
    loaded: &[Weights],
    limit: Option<u64>,
    shardable: impl Fn(u64) -> bool,
) -> Capacity {
    let base = job(asked, options);
    let known = budget(&base, loaded);
    let reason = failure(&base, &known);
    let mut trial = asked.clone();
    let sequences = largest(known.settings.sequences, |count| {
        trial.sequences = count;
        let blocks = asked_blocks(&trial, options, &known);
        verdict(reason, &known, blocks, count) != Fit::DoesNotFit
    });
    trial.sequences = asked.sequences;
    let longest = limit.unwrap_or(LONGEST).max(2);
    let mut other = known.clone();
    let mut start = base.clone();
    let length = match largest(longest.saturating_sub(1), |length| {
        (trial.prompt, trial.new_tokens) = asked.lengths_within(length.saturating_add(1));
        start.max_model_len = longest_of(&trial, options);
        if asked.network.max_positions.is_none() {
            // The rotary tables are as long as the longest context.
            other = budget(&start, &all_weights(&start));
        } else if Settings::of(&start) != other.settings {
            other = budget(&start, loaded);
        }
        let blocks = asked_blocks(&trial, options, &other);
        verdict(failure(&start, &other), &other, blocks, trial.sequences) != Fit::DoesNotFit
    }) {
        0 => 0,
        most => most.saturating_add(1),
    };
    let held: Bytes = loaded.iter().map(|stage| stage.raw).sum();
    let total = asked.device.total.high;
    let gpus = SIZES
        .into_iter()
        .filter(|size| shardable(*size) && least(held, asked.tensor, *size) <= total)
        .find(|size| {
            let mut divided = asked.clone();
            divided.tensor = *size;
            divided.pipeline = 1;
            if asked.pipeline == 1 && *size == asked.tensor {
                let blocks = asked_blocks(asked, options, &known);
                return verdict(reason, &known, blocks, asked.sequences) != Fit::DoesNotFit;
            }
            let base = job(&divided, options);
            let runs = |loaded: &[Weights]| {
                let found = budget(&base, loaded);
                let blocks = asked_blocks(&divided, options, &found);
                verdict(failure(&base, &found), &found, blocks, divided.sequences) != Fit::DoesNotFit
            };
            // More weights never leave more room, so bounds of them decide most sizes; on ROCm another counter is read.
            if asked.device.nvidia {
                let [least, most] = weight_bounds(&base);
                let decided = (runs(&least), runs(&most));
                if decided.0 == decided.1 {
                    return decided.0;
                }
            }
            runs(&all_weights(&base))
        });
    Capacity {
        sequences,
        length,
        gpus,
    }
}
