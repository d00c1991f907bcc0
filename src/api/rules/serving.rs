//! Rules for serving: bytes of a weight times their number, two for keys and values, and a fifth on top.

use super::super::inference::question;
use super::super::job::Strictness;
use super::{RuleOfThumb, about, billions};
use crate::api::calculate_inference;
use crate::cite::{Citation, Evidence};
use crate::inference::InferenceJob;
use crate::inference::job::CacheType;
use crate::model::{Mixer, Network, Span};
use crate::request::{InferenceAnswer, Request, ServerId};
use crate::units::Bytes;
use crate::warn::Issue;

const WEIGHTS: Citation = Citation::new(
    Evidence::Published,
    "EleutherAI, Transformer Math 101 (2023), inference: bytes of the type times parameters, and 1.2 times that in all",
);
const CACHE: Citation = Citation::new(
    Evidence::Published,
    "Pope et al., Efficiently Scaling Transformer Inference, arXiv 2211.05102, section 2.1; Ainslie et al., GQA, arXiv 2305.13245",
);

/// The rules of thumb for an inference question; or every issue by field.
pub fn rules_of_thumb_served(request: &Request) -> Result<Vec<RuleOfThumb>, Vec<Issue>> {
    let asked = question(request, Strictness::default())?;
    let answer = calculate_inference(request)?;
    let job = &asked.job;
    let mut rules = Vec::new();
    // A file of llama.cpp has a type for each tensor: the rule has no number for it.
    if asked.engine != ServerId::LlamaCpp {
        let weights = weights(job, &answer);
        let all = fifth_on_top(&answer, weights.bytes);
        rules.extend([weights, all]);
    }
    rules.extend(cache(job, &answer));
    Ok(rules)
}

fn weights(job: &InferenceJob, answer: &InferenceAnswer) -> RuleOfThumb {
    let count = job.network.total_parameters().get();
    let bits = job.weights.format.bits(job.compute);
    let ranks = job.tensor.saturating_mul(job.pipeline).max(1);
    let misses = if ranks > 1 {
        format!(
            "It counts the whole model; here {ranks} GPUs share it, and what does not divide is on each of them."
        )
    } else if bits < job.compute.bits() {
        "It stores every parameter in that many bits: embeddings, head and norms stay in 16, and scales come on top.".to_string()
    } else {
        "Nothing but the rounding of the allocator, and what the engine derives from the weights at load."
            .to_string()
    };
    RuleOfThumb {
        id: "weights",
        name: "Bytes of the type × parameters".to_string(),
        formula: "bits/8·Ψ",
        substituted: format!("{bits} / 8 × {}", billions(count)),
        bytes: about(count as f64 * bits as f64 / 8.0),
        compared_with: "weights on one GPU",
        ours_bytes: Some(answer.breakdown.model_params_bytes),
        misses,
        citation: WEIGHTS,
    }
}

fn fifth_on_top(answer: &InferenceAnswer, weights: Bytes) -> RuleOfThumb {
    let cache = answer.breakdown.kv_cache_bytes.to_gib();
    let rest = answer.breakdown.overhead_bytes.to_gib() + answer.breakdown.activations_bytes.to_gib();
    RuleOfThumb {
        id: "fifth_on_top",
        name: "Weights and a fifth".to_string(),
        formula: "1.2·weights",
        substituted: format!("1.2 × {:.2} GiB", weights.to_gib()),
        bytes: weights.scaled(1.2),
        compared_with: "all that one GPU needs",
        ours_bytes: Some(answer.need.expected_bytes),
        misses: format!(
            "It knows neither context nor engine: here keys and values take {cache:.2} GiB, and temporaries, graphs and what lies outside torch {rest:.2} GiB, whatever the weights are."
        ),
        citation: WEIGHTS,
    }
}

/// What kinds of layers the network mixes positions with.
#[derive(Default)]
struct Kinds {
    /// Layers with a cache that grows with the whole sequence.
    full: u64,
    /// Layers that keep a window or a chunk.
    limited: u64,
    /// Layers with a latent in place of heads.
    latent: u64,
    /// Layers with a state of fixed size.
    state: u64,
}

fn kinds(network: &Network) -> Kinds {
    let mut found = Kinds::default();
    for layer in network.layers() {
        match &layer.mixer {
            Mixer::Attention(attention) if attention.span == Span::Full => found.full += 1,
            Mixer::Attention(_) => found.limited += 1,
            Mixer::Latent(_) => found.latent += 1,
            Mixer::None => {}
            _ => found.state += 1,
        }
    }
    found
}

/// Key-value heads and their width, as the rule takes them from the configuration.
fn heads(network: &Network) -> Option<(u64, u64)> {
    network.layers().find_map(|layer| match &layer.mixer {
        Mixer::Attention(attention) => Some((attention.kv_heads, attention.head_dim)),
        Mixer::Latent(latent) => Some((latent.heads, latent.value_dim)),
        _ => None,
    })
}

fn cache(job: &InferenceJob, answer: &InferenceAnswer) -> Option<RuleOfThumb> {
    let network = &job.network;
    let (heads, width) = heads(network)?;
    let bits = match job.cache {
        CacheType::Compute => job.compute.bits(),
        CacheType::Fp8 => 8,
        CacheType::Fp4 => 4,
        CacheType::Grouped(bits) => bits,
    };
    let (depth, tokens, sequences) = (network.depth(), job.length(), job.sequences);
    let product = 2.0 * depth as f64 * heads as f64 * width as f64 * tokens as f64 * sequences as f64;
    let kinds = kinds(network);
    let ranks = job.tensor.saturating_mul(job.pipeline).max(1);
    let misses = if kinds.latent > 0 {
        format!(
            "{} of {depth} layers cache one latent for all heads, not keys and values of each.",
            kinds.latent
        )
    } else if kinds.limited > 0 {
        format!(
            "{} of {depth} layers look at a window only: what they cache stops growing there.",
            kinds.limited
        )
    } else if kinds.state > 0 {
        format!(
            "{} of {depth} layers keep a state of fixed size and no keys and values.",
            kinds.state
        )
    } else if ranks > 1 {
        format!(
            "It counts the whole cache; here {ranks} GPUs share its heads or layers, and heads that do not divide are on several."
        )
    } else {
        "Nothing but whole blocks, and the last token, which is never cached.".to_string()
    };
    Some(RuleOfThumb {
        id: "kv_cache",
        name: "Keys and values of every layer".to_string(),
        formula: "2·layers·heads·width·bytes·tokens·sequences",
        substituted: format!(
            "2 × {depth} × {heads} × {width} × {} × {tokens} × {sequences}",
            bits as f64 / 8.0
        ),
        bytes: about(product * bits as f64 / 8.0),
        compared_with: "keys, values and states of these sequences on one GPU",
        ours_bytes: Some(answer.breakdown.kv_cache_bytes),
        misses,
        citation: CACHE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::InputId;

    fn rule(model: &str, tokens: u64, id: &str) -> Option<RuleOfThumb> {
        let question = Request::new()
            .with(InputId::ModelId, model)
            .with(InputId::Gpu, "h100-sxm-80gb")
            .with(InputId::ServerType, "vllm")
            .with(InputId::NewTokens, 256)
            .with(InputId::TotalTokens, tokens);
        let rules = rules_of_thumb_served(&question).ok()?;
        rules.into_iter().find(|rule| rule.id == id)
    }

    #[test]
    fn a_plain_model_is_what_the_rule_says_and_a_window_is_not() {
        // 2·32·8·128·2 bytes for a token of Llama 3.1 8B: 1 GiB for 8192 of them.
        let plain = rule("llama-3.1-8b", 8192, "kv_cache");
        assert_eq!(plain.as_ref().map(|rule| rule.bytes), Some(Bytes::from_gib(1.0)));
        let ours = plain.and_then(|rule| rule.ours_bytes).unwrap_or_default();
        assert!((0.99..1.01).contains(&ours.to_gib()), "{}", ours.to_gib());
        let window = rule("gemma-3-27b", 131_072, "kv_cache").filter(|rule| rule.misses.contains("window"));
        assert!(window.is_some_and(|rule| rule.ours_bytes < Some(rule.bytes)));
    }

    #[test]
    fn weights_in_sixteen_bits_are_two_bytes_each() {
        let weights = rule("llama-3.1-8b", 8192, "weights");
        assert_eq!(
            weights.map(|rule| rule.bytes),
            Some(Bytes::new(2 * 8_030_261_248))
        );
    }
}
