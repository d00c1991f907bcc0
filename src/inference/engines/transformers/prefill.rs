//! The temporaries of the pass over the prompt: attention, feed-forward and head of one layer, each at its fullest moment.
//!
//! Counted from the classes of transformers 5.23.0 (`models/*/modeling_*.py`, `integrations/sdpa_attention.py`,
//! `integrations/moe.py`, `integrations/bitsandbytes.py`): w bytes per element, T positions, h hidden, f feed-forward,
//! q and kv widths of queries and keys, a heads, k experts per token.

use super::super::super::job::InferenceJob;
use super::super::super::weights::{Quantisation, WeightFormat};
use super::shape::{Heads, Pass, WORKSPACE, dense, has_rms, heads, latent, mixture};
use super::{Attention, Options};
use crate::model::{Dense, Layer, Moe, Network};
use crate::units::DType;

/// Bytes of the attention of a layer at its fullest moment. `masked`: the fused kernel gets a mask.
pub fn attention(job: &InferenceJob, options: &Options, layer: &Layer, pass: Pass, masked: bool) -> u64 {
    let Some(heads) = heads(layer, pass.ranks) else {
        return linear_time(pass);
    };
    let repeated = if heads.grouped { 2 * heads.q } else { 0 };
    let keys = pass
        .rows
        .saturating_mul(pass.context)
        .saturating_mul(pass.w)
        .saturating_mul(repeated);
    let scores = pass.pairs().saturating_mul(heads.heads);
    match options.attention {
        Attention::Eager => {
            let fused = if heads.fused { 3 * pass.h } else { 0 };
            scores
                .saturating_mul(eager(job))
                .saturating_add(keys)
                .saturating_add(pass.each(heads.q + 3 * pass.h + fused))
        }
        Attention::Math => scores
            .saturating_mul(5 * pass.w)
            .saturating_add(keys)
            .saturating_add(pass.each(heads.q + 3 * pass.h)),
        Attention::Sdpa if masked => pass
            .pairs()
            .saturating_mul(pass.w)
            .saturating_add(keys)
            .saturating_add(pass.each(2 * heads.q + 3 * pass.h)),
        Attention::Sdpa | Attention::Flash => projections(layer, heads, pass),
    }
}

/// Projections and their rotated copies beside the residual and the normed input.
fn projections(layer: &Layer, heads: Heads, pass: Pass) -> u64 {
    if latent(layer).is_some() {
        return pass.each(2 * pass.h + 3 * (heads.q + heads.kv));
    }
    pass.each(2 * pass.h + 2 * (heads.q + 2 * heads.kv))
}

/// A mixer without scores: its inputs and outputs.
const fn linear_time(pass: Pass) -> u64 {
    pass.each(pass.h.saturating_mul(8))
}

/// Bytes per score of the eager path: scores, their copy with the mask, fp32 softmax, its cast.
fn eager(job: &InferenceJob) -> u64 {
    let w = job.compute.bits() / 8;
    match job.network.model_type.as_str() {
        "gpt2" => 2 * w,
        "falcon" => 4 * w,
        "gpt_oss" => 3 * w,
        _ if job.compute == DType::Bf16 => 10,
        _ => 8,
    }
}

/// Bytes of the norm, where it is computed in fp32 by several operations: input, fp32 copy, its square or product.
pub fn norm(layer: &Layer, pass: Pass) -> u64 {
    if !has_rms(layer) {
        return 0;
    }
    let each = if pass.w == 4 { 20 } else { 14 };
    pass.all().saturating_mul(pass.h).saturating_mul(each)
}

/// Bytes of the feed-forward of a layer at its fullest moment.
pub fn feed_forward(
    job: &InferenceJob,
    options: &Options,
    format: &Quantisation,
    layer: &Layer,
    pass: Pass,
) -> u64 {
    if let Some(moe) = mixture(layer) {
        return experts(job, options, moe, pass, layer);
    }
    dense(layer).map_or(0, |dense| plain(&job.network, format, dense, pass))
}

fn plain(network: &Network, format: &Quantisation, dense: &Dense, pass: Pass) -> u64 {
    let (h, p) = (pass.h, pass.ranks);
    let full = dense.width;
    let f = full / p;
    let t = pass.all();
    if format.format == WeightFormat::Int8Channel && dense.gated {
        // The int32 product stands beside the activations; outputs come as fp16 and are cast.
        let cast = if pass.w == 2 { pass.w } else { 0 };
        let each = (4 + 2 * pass.w + cast) * f + 4 * pass.w * h + h;
        return t.saturating_mul(each);
    }
    let widened = match format.format {
        WeightFormat::BitsAndBytes4 { .. } if t > 4 => pass.w.saturating_mul(f).saturating_mul(h),
        _ => 0,
    };
    let product = |factor: u64| pass.each(factor);
    let with_workspace = |factor: u64| {
        pass.each(factor)
            .saturating_add(WORKSPACE)
            .saturating_add(widened)
    };
    match (dense.gated, dense.fused_gate_up) {
        (true, true) if p > 1 => product(4 * full + 2 * f + 4 * h),
        (true, true) => product(4 * f + 4 * h).max(with_workspace(3 * f + 5 * h)),
        (true, false) => product(3 * f + 4 * h).max(with_workspace(2 * f + 4 * h)),
        // GPT-2's activation is several operations in Python.
        (false, _) if network.model_type == "gpt2" => product(4 * f + 6 * h),
        (false, _) => product(2 * f + 4 * h).max(with_workspace(f + 5 * h)),
    }
}

/// Experts with grouped products: each token's copies for its experts.
fn experts(job: &InferenceJob, options: &Options, moe: &Moe, pass: Pass, layer: &Layer) -> u64 {
    let (h, k, w) = (pass.h, moe.top_k, pass.w);
    let f = moe.width / pass.ranks;
    let t = pass.all();
    if options.experts == super::Experts::Batched {
        return gathered(moe, pass, t);
    }
    let inner = if job.network.model_type == "gpt_oss" {
        let heads = heads(layer, pass.ranks).map_or(0, |heads| heads.heads);
        let scores = heads.saturating_mul(pass.context.saturating_add(1));
        return t
            .saturating_mul(w)
            .saturating_mul(k * (9 * f + h) + 4 * h)
            .saturating_add(t.saturating_mul(w).saturating_mul(scores));
    } else {
        pass.each(k * (4 * f + h) + 4 * h)
    };
    let outer = if moe.router_fp32 {
        t.saturating_mul((2 * w + 8) * k * h + 4 * w * h)
    } else {
        pass.each(4 * k * h + 4 * h)
    };
    inner.max(outer)
}

/// The batched way copies the weights of each token's experts.
pub fn gathered(moe: &Moe, pass: Pass, tokens: u64) -> u64 {
    let matrices = if moe.gated { 3 } else { 2 };
    tokens
        .saturating_mul(moe.top_k)
        .saturating_mul(matrices)
        .saturating_mul(moe.width / pass.ranks)
        .saturating_mul(moe.model_width)
        .saturating_mul(pass.w)
}

/// Bytes of the head: the last position of each row, or all of them.
pub fn head(job: &InferenceJob, options: &Options, pass: Pass) -> u64 {
    let vocabulary = job.network.vocabulary;
    let hidden = pass.each(pass.h);
    let positions = if options.all_logits { pass.all() } else { pass.rows };
    let logits = positions.saturating_mul(vocabulary).saturating_mul(pass.w);
    let logits = if pass.ranks > 1 && options.all_logits {
        logits.saturating_mul(2).saturating_add(logits / pass.ranks)
    } else if job.network.head.softcap {
        logits.saturating_mul(2)
    } else {
        logits
    };
    logits.saturating_add(hidden).saturating_add(WORKSPACE)
}
