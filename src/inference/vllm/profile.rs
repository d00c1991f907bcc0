//! The activation peak that the engine's dummy pass measures: the sampler over the logits of all sequences, or one layer's
//! working set for all tokens of a pass, whichever is larger, with the encoder's cache of a multimodal model
//! (vllm `v1/worker/gpu_model_runner.py` profile_run, _dummy_sampler_run; `v1/sample/ops/topk_topp_sampler.py`).

use super::job::{Job, Settings};
use super::release::SamplerKernel;
use super::tensors::padded_vocabulary;
use crate::memory::Interval;
use crate::model::{FeedForward, Layer};
use crate::units::Bytes;

/// Sort: fp32 copy 4, sorted values 4, int64 indices 8, workspace of the sort about 20 bytes per logit. The sum 36.25 was
/// fitted over 23 published peaks of text models; a 16-bit model keeps its logits beside it.
const SORT: f64 = 36.25;
/// FlashInfer: fp32 logits 4, probabilities and noise 8, and about 0.25 (vllm-005, vllm-006 against vllm-004).
const FLASHINFER: f64 = 12.25;
/// Triton: fp32 logits 4 and filtered copies 8 (read in `topk_topp_triton.py`, few data).
const TRITON: f64 = 12.0;
/// Rows that Triton's kernel buffers: one per multiprocessor, of which large GPUs have 80 to 160.
const MULTIPROCESSORS: u64 = 132;
/// Tokens that the fused experts work on at a time (`VLLM_FUSED_MOE_CHUNK_SIZE`).
const EXPERT_CHUNK: u64 = 32_768;

/// The peak with its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Logits and sampler; zero on stages without a head.
    pub sampler: Bytes,
    /// One layer.
    pub forward: Bytes,
    /// The encoder's cache.
    pub encoder: Bytes,
    /// What the runner keeps for every sequence from its start on.
    pub kept: Bytes,
    /// The peak, with its bounds.
    pub peak: Interval,
}

/// The profile of a stage.
pub fn profile(job: &Job<'_>, settings: &Settings, last: bool) -> Profile {
    let sampler = if last { sampler(job, settings) } else { Bytes::ZERO };
    let forward = job
        .network
        .kinds
        .iter()
        .map(|layer| layer_bytes(layer, job, settings.batched_tokens))
        .max()
        .unwrap_or_default();
    let encoder = job
        .encoder_tokens
        .map_or(0, |tokens| tokens.max(settings.batched_tokens));
    let encoder = Bytes::new(
        encoder
            .saturating_mul(job.network.hidden_size)
            .saturating_mul(job.element()),
    );
    let kept = if last { kept(job, settings) } else { Bytes::ZERO };
    let expected = sampler.max(forward) + encoder + kept;
    let narrow = settings.sampler == SamplerKernel::Sort && encoder == Bytes::ZERO && sampler >= forward;
    let (low, high) = if narrow { (0.975, 1.025) } else { (0.85, 1.2) };
    // Small peaks are off by up to 0.03 GiB (vllm-058, vllm-088, vllm-102, vllm-106).
    let least = Bytes::from_gib(0.03);
    Profile {
        sampler,
        forward,
        encoder,
        kept,
        peak: Interval::new(
            expected.scaled(low).min(expected.saturating_sub(least)),
            expected,
            expected.scaled(high).max(expected + least),
        ),
    }
}

/// The newer runner counts sampled tokens for penalties: four bytes for each sequence and row of the vocabulary, and a bit for each
/// row that stands in the prompt (vllm 0.33.0 `v1/worker/gpu/sample/penalties.py` PenaltiesState).
fn kept(job: &Job<'_>, settings: &Settings) -> Bytes {
    if !(job.v1 && job.newer_runner) {
        return Bytes::ZERO;
    }
    let vocabulary = job.network.vocabulary;
    let words = vocabulary.saturating_add(vocabulary.div_ceil(32));
    Bytes::new(settings.sequences.saturating_mul(words).saturating_mul(4))
}

/// Every rank holds the logits of the whole vocabulary, so tensor parallelism does not shrink them.
fn sampler(job: &Job<'_>, settings: &Settings) -> Bytes {
    let vocabulary = padded_vocabulary(job.network.vocabulary);
    let logits = settings.sequences.saturating_mul(vocabulary);
    let original = if job.element() < 4 {
        job.element() as f64
    } else {
        0.0
    };
    let per_logit = original
        + match settings.sampler {
            SamplerKernel::Sort => SORT,
            SamplerKernel::FlashInfer => FLASHINFER,
            SamplerKernel::Triton => TRITON,
        };
    let buffer = match settings.sampler {
        SamplerKernel::Triton => MULTIPROCESSORS.saturating_mul(vocabulary).saturating_mul(4),
        _ => 0,
    };
    let hidden = settings
        .batched_tokens
        .saturating_mul(job.network.hidden_size)
        .saturating_mul(job.element());
    Bytes::new(logits).scaled(per_logit) + Bytes::new(buffer) + Bytes::new(hidden)
}

/// Gate and up side by side with their product, and three times the residual width.
fn layer_bytes(layer: &Layer, job: &Job<'_>, tokens: u64) -> Bytes {
    let ranks = job.mesh.tensor.max(1);
    let hidden = job.network.hidden_size;
    // Ranks of all copies share each expert and see the tokens of all copies (vllm 0.33.0 `layers/fused_moe/config.py`); with
    // whole experts every rank has room for all tokens at the whole width.
    let experts = (
        job.mesh.expert_ranks(),
        tokens.saturating_mul(job.mesh.data.max(1)),
    );
    let inner = inner(&layer.feed_forward, ranks, hidden, tokens, experts);
    let per_token = Bytes::new(hidden.saturating_mul(3)) * tokens;
    (per_token + Bytes::new(inner)) * job.element()
}

/// Elements of the inner activations for so many tokens; `experts`: ranks and tokens of the routed experts.
fn inner(part: &FeedForward, ranks: u64, hidden: u64, tokens: u64, experts: (u64, u64)) -> u64 {
    match part {
        FeedForward::None => 0,
        FeedForward::Dense(dense) => {
            let parts = if dense.gated { 3 } else { 2 };
            dense
                .width
                .div_ceil(ranks)
                .saturating_mul(parts)
                .saturating_mul(tokens)
        }
        FeedForward::Moe(moe) => {
            let width = moe.width.div_ceil(experts.0.max(1));
            let up = if moe.gated { width.saturating_mul(2) } else { width };
            let routed = moe
                .top_k
                .saturating_mul(up.max(hidden).saturating_add(width))
                .saturating_mul(experts.1.min(EXPERT_CHUNK));
            let shared = moe.shared.as_ref().map_or(0, |shared| shared.width);
            let dense = moe.dense.as_ref().map_or(0, |dense| dense.width);
            let beside = shared.max(dense).div_ceil(ranks).saturating_mul(3);
            routed.max(beside.saturating_mul(tokens))
        }
        FeedForward::Several(parts) => parts
            .iter()
            .map(|part| inner(part, ranks, hidden, tokens, experts))
            .max()
            .unwrap_or(0),
    }
}
