//! The temporaries of the pass over the prompt: attention, feed-forward and head of one layer, each at its fullest moment.
//!
//! Counted from the classes of transformers 5.23.0 (`models/*/modeling_*.py`, `integrations/sdpa_attention.py`,
//! `integrations/moe.py`), of bitsandbytes 0.50.2 (`backends/default/ops.py`, `backends/cuda/ops.py`), and confirmed by the
//! allocations of the traces: w bytes per element, T positions, h hidden, f feed-forward, q and kv widths of queries and
//! keys, a heads, k experts per token.

use super::super::super::job::InferenceJob;
use super::super::super::weights::{Quantisation, WeightFormat};
use super::shape::{Heads, Kind, LT_WORKSPACE, Pass, WORKSPACE, dense, has_rms, heads, latent, mixture};
use super::{Attention, CacheKind, Experts, Options};
use crate::model::{Dense, Layer, Moe};
use crate::units::DType;

/// Bytes of the attention of a layer at its fullest moment. `masked`: the fused kernel gets a mask.
pub fn attention(job: &InferenceJob, options: &Options, layer: &Layer, pass: Pass, masked: bool) -> u64 {
    let Some(heads) = heads(layer, pass.ranks) else {
        return linear_time(pass);
    };
    let repeated = if heads.grouped {
        heads.q.saturating_mul(2)
    } else {
        0
    };
    let keys = pass
        .rows
        .saturating_mul(pass.context)
        .saturating_mul(pass.w)
        .saturating_mul(repeated);
    let scores = pass.pairs().saturating_mul(heads.heads);
    // A static layer with a window works on the whole prompt's keys and values beside the cache (StaticSlidingWindowLayer).
    let beside =
        if options.cache == CacheKind::Static && heads.window.is_some_and(|window| window < pass.context) {
            pass.each(heads.kv.saturating_mul(2))
        } else {
            0
        };
    let bytes = match options.attention {
        Attention::Eager => {
            let fused = if heads.fused { pass.h.saturating_mul(3) } else { 0 };
            scores
                .saturating_mul(eager(job))
                .saturating_add(keys)
                .saturating_add(pass.each(sum(&[(1, heads.q), (3, pass.h), (1, fused)])))
        }
        Attention::Math => scores
            .saturating_mul(pass.w.saturating_mul(5))
            .saturating_add(keys)
            .saturating_add(pass.each(sum(&[(1, heads.q), (3, pass.h)]))),
        Attention::Sdpa if masked => {
            // The output of one projection for all three lives as long as its views.
            let fused = if heads.fused {
                sum(&[(1, heads.q), (2, heads.kv)])
            } else {
                0
            };
            pass.pairs()
                .saturating_mul(pass.w)
                .saturating_add(keys)
                .saturating_add(pass.each(sum(&[(2, heads.q), (3, pass.h), (1, fused)])))
        }
        Attention::Sdpa | Attention::Flash => projections(layer, heads, pass),
    };
    bytes.saturating_add(beside)
}

/// The sum of factors times widths.
fn sum(terms: &[(u64, u64)]) -> u64 {
    terms.iter().fold(0_u64, |sum, (factor, width)| {
        sum.saturating_add(factor.saturating_mul(*width))
    })
}

/// Projections and their rotated copies beside the residual and the normed input.
fn projections(layer: &Layer, heads: Heads, pass: Pass) -> u64 {
    if latent(layer).is_some() {
        return pass.each(sum(&[(2, pass.h), (3, heads.q), (3, heads.kv)]));
    }
    pass.each(sum(&[(2, pass.h), (2, heads.q), (4, heads.kv)]))
}

/// A mixer without scores: its inputs and outputs. Not traced.
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

/// The softmax of eager attention, which the layer holds as its second result until it is through; with sinks one more
/// column.
fn kept_scores(options: &Options, layer: &Layer, pass: Pass) -> u64 {
    let Some(heads) = heads(layer, pass.ranks).filter(|_| options.attention == Attention::Eager) else {
        return 0;
    };
    let sink = super::shape::attention(layer).is_some_and(|attention| attention.sinks);
    let columns = pass.context.saturating_add(u64::from(sink));
    pass.each(heads.heads.saturating_mul(columns))
}

/// Bytes of the feed-forward of a layer at its fullest moment.
pub fn feed_forward(
    job: &InferenceJob,
    options: &Options,
    format: &Quantisation,
    kind: &Kind<'_>,
    pass: Pass,
) -> u64 {
    let layer = kind.layer;
    let own = match (mixture(layer), dense(layer)) {
        (Some(moe), _) => experts(job, options, moe, pass),
        (None, Some(dense)) => plain(format, kind.biased, dense, pass),
        (None, None) => 0,
    };
    own.saturating_add(kept_scores(options, layer, pass))
}

fn plain(format: &Quantisation, biased: bool, dense: &Dense, pass: Pass) -> u64 {
    let (h, p) = (pass.h, pass.ranks);
    let full = dense.width;
    let f = full / p;
    let outputs = if dense.gated && dense.fused_gate_up {
        f.saturating_mul(2)
    } else {
        f
    };
    if format.format == WeightFormat::Int8Channel {
        return int8(dense, outputs, f, pass);
    }
    let widened = widened(format, outputs.min(f.saturating_mul(2)), f, pass);
    let workspace = if biased { LT_WORKSPACE } else { WORKSPACE };
    let product = |terms: &[(u64, u64)]| pass.each(sum(terms));
    let beside = |terms: &[(u64, u64)]| {
        pass.each(sum(terms))
            .saturating_add(workspace)
            .saturating_add(widened)
    };
    match (dense.gated, dense.fused_gate_up) {
        (true, true) if p > 1 => product(&[(4, full), (2, f), (4, h)]),
        (true, true) => product(&[(4, f), (4, h)]).max(beside(&[(3, f), (5, h)])),
        (true, false) => product(&[(3, f), (4, h)]).max(beside(&[(2, f), (4, h)])),
        // An activation of several operations in Python (GPT-2's).
        (false, _) if dense.activation == "gelu_new" => product(&[(4, f), (6, h)]),
        (false, _) => product(&[(2, f), (4, h)]).max(beside(&[(1, f), (5, h)])),
    }
}

/// The matrix that a 4-bit product expands, with its expanded scales where they are quantised themselves. Up to four rows
/// have a kernel that needs neither (`gemv_4bit`).
pub fn widened(format: &Quantisation, outputs: u64, f: u64, pass: Pass) -> u64 {
    let WeightFormat::BitsAndBytes4 { double } = format.format else {
        return 0;
    };
    if pass.all() <= 4 {
        return 0;
    }
    let matrix = f.min(outputs).saturating_mul(pass.h);
    // The scales in fp32, once from their codes and once with the offset.
    let scales = if double {
        (matrix / 64).saturating_mul(8)
    } else {
        0
    };
    pass.w.saturating_mul(matrix).saturating_add(scales)
}

/// LLM.int8: the int32 product, its fp16 form, the cast where the compute type is another, beside the first of two products
/// where they are separate, the quantised input, and four hidden widths.
fn int8(dense: &Dense, outputs: u64, f: u64, pass: Pass) -> u64 {
    let cast = if pass.fp16 { 0 } else { pass.w };
    let first = if dense.gated && !dense.fused_gate_up {
        pass.w.saturating_mul(f)
    } else {
        0
    };
    let each = sum(&[
        (4 + 2 + cast, outputs),
        (1, first),
        (pass.w.saturating_mul(4), pass.h),
        (1, pass.h),
    ]);
    pass.all().saturating_mul(each)
}

/// Experts with grouped products: each token's copies for its experts.
fn experts(job: &InferenceJob, options: &Options, moe: &Moe, pass: Pass) -> u64 {
    let (h, k, w) = (pass.h, moe.top_k, pass.w);
    let f = moe.width / pass.ranks;
    let t = pass.all();
    if options.experts == Experts::Batched {
        return gathered(moe, pass, t);
    }
    let rows = |inner: u64| sum(&[(k, inner), (4, h)]);
    if job.network.model_type == "gpt_oss" {
        return pass.each(rows(sum(&[(9, f), (1, h)])));
    }
    let inner = pass.each(rows(sum(&[(4, f), (1, h)])));
    let outer = if moe.router_fp32 {
        t.saturating_mul(sum(&[((2 * w + 8).saturating_mul(k), h), (4 * w, h)]))
    } else {
        pass.each(rows(h.saturating_mul(4)))
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

/// Bytes of the head: the last position of each row, or all of them. Masks and rotary tables are gone by then.
pub fn head(job: &InferenceJob, options: &Options, pass: Pass) -> u64 {
    let hidden = pass.each(pass.h);
    let positions = if options.all_logits { pass.all() } else { pass.rows };
    let logits = positions
        .saturating_mul(job.network.vocabulary)
        .saturating_mul(pass.w);
    let product = logits.saturating_add(WORKSPACE);
    let later = if pass.ranks > 1 {
        // Gathered from the shares and put together.
        logits.saturating_mul(2).saturating_add(logits / pass.ranks)
    } else if job.network.head.softcap {
        logits.saturating_mul(2)
    } else {
        0
    };
    product.max(later).saturating_add(hidden)
}
