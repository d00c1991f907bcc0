//! Reading of a mixture of experts: counts, widths, shared experts, and which layers are sparse.

use crate::model::import::config::Config;
use crate::model::import::decoder::{Dims, EXPERTS, TOP_K, activation};
use crate::model::import::feed_forward::Experts;
use crate::model::import::field::Field;

/// Keys of the number of shared experts.
pub const SHARED: &[&str] = &[
    "n_shared_experts",
    "num_shared_experts",
    "num_shared_expert",
    "moe_num_shared_experts",
];
/// Keys of the width of an expert of its own.
pub const EXPERT_WIDTH: &[&str] = &["moe_intermediate_size", "expert_ffn_hidden_size"];

/// What the class of a family assumes where its configuration is silent.
#[derive(Clone, Copy, Debug)]
pub struct SparseDefaults {
    /// Routed experts.
    pub experts: u64,
    /// Experts per token.
    pub top_k: u64,
    /// Width of one.
    pub width: u64,
}

/// Experts whose width stands under `width_keys`.
pub fn experts<'a>(c: &Config<'a>, dims: &Dims, width_keys: &[&'a str], defaults: SparseDefaults) -> Experts {
    c.owns(Field::MoeEnabled, &[]);
    let count = c.or_default(Field::NumExperts, EXPERTS, defaults.experts);
    let width = c.or_default(Field::ExpertIntermediateSize, width_keys, defaults.width);
    Experts::new(
        count,
        top_k(c, count, defaults.top_k),
        width,
        dims.hidden,
        activation(c, "silu"),
    )
}

/// Experts per token, at most as many as there are.
pub fn top_k(c: &Config, experts: u64, default: u64) -> u64 {
    let top_k = match c.get(TOP_K) {
        // Hunyuan writes one number per layer.
        Some((key, serde_json::Value::Array(_))) => {
            c.owns(Field::TopK, &[key]);
            let list = c.wholes_per_layer(key, 1, Field::TopK.range());
            list.and_then(|list| list.into_iter().max()).unwrap_or(default)
        }
        _ => c.or_default(Field::TopK, TOP_K, default),
    };
    if top_k > experts {
        let key = c.get(TOP_K).map_or("num_experts_per_tok", |found| found.0);
        c.error(
            "top_k_exceeds_experts",
            key,
            &format!("is {top_k}, but there are only {experts} experts"),
        );
    }
    top_k
}

/// The number of shared experts.
pub fn shared_count(c: &Config, default: u64) -> u64 {
    if c.get(SHARED).is_none() {
        c.owns(Field::NumSharedExperts, SHARED);
        let absent = !SHARED.iter().any(|key| c.has(key));
        return if absent { default } else { 0 };
    }
    c.field(Field::NumSharedExperts, SHARED).unwrap_or(default)
}

/// Which layers are sparse by `first_k_dense_replace` and `moe_layer_freq`, by `mlp_layer_types` where that is given.
pub fn sparse_layers(c: &Config, layers: u64, first_dense: u64) -> Vec<bool> {
    let frequency = match c.get(&["moe_layer_freq"]) {
        Some((_, serde_json::Value::Array(_))) => {
            if let Some(list) = c.wholes_per_layer("moe_layer_freq", layers, 0..=1) {
                c.ignore(&["first_k_dense_replace"]);
                return list.into_iter().map(|flag| flag > 0).collect();
            }
            1
        }
        _ => c.field(Field::MoeLayerFreq, &["moe_layer_freq"]).unwrap_or(1),
    };
    let first = c
        .field(Field::FirstKDenseReplace, &["first_k_dense_replace"])
        .unwrap_or(first_dense);
    if let Some(types) = c.words_per_layer("mlp_layer_types", layers) {
        return types.iter().map(|kind| kind == "sparse").collect();
    }
    (0..layers)
        .map(|depth| depth >= first && depth.is_multiple_of(frequency))
        .collect()
}

/// The entry of a list at this depth.
pub fn at(list: &[bool], depth: u64) -> bool {
    usize::try_from(depth)
        .ok()
        .and_then(|depth| list.get(depth).copied())
        .unwrap_or_default()
}
