//! One function per family (`model_type`), in one table. A new family is a function and a line here.

mod bloom;
mod deepseek;
mod gemma;
mod generic;
mod gpt2;
mod hybrid;
mod layer_norm;
mod llama;
mod llama_like;
mod megatron;
mod moe;
mod moe_more;
mod qwen;
mod two_matrices;

use crate::model::Network;
use crate::model::import::config::Config;

pub use generic::{CUSTOM, generic, warn_assumptions};

/// Builds the network of a family from its configuration. Mistakes are recorded in the configuration, and stand-ins used.
pub type Build = fn(&Config) -> Network;

/// Families by `model_type` of the text stack: those of plain decoders, which are always at hand.
const COMMON: &[(&str, Build)] = &[
    (CUSTOM, generic),
    ("code_llama", llama::llama),
    ("llama", llama::llama),
    ("mistral", llama::mistral),
    ("qwen2", qwen::qwen2),
    ("qwen3", qwen::qwen3),
];

/// Further families by `model_type` of the text stack. With those of `hybrid` they may lie in a part of the page's module.
const FURTHER: &[(&str, Build)] = &[
    ("baichuan", llama_like::baichuan),
    ("bloom", bloom::bloom),
    ("chatglm", llama_like::chatglm),
    ("apertus", two_matrices::apertus),
    ("arcee", two_matrices::arcee),
    ("cohere", layer_norm::cohere),
    ("cohere2", layer_norm::cohere2),
    ("dbrx", moe_more::dbrx),
    ("deepseek", deepseek::deepseek),
    ("deepseek_v2", deepseek::deepseek_v2),
    ("deepseek_v3", deepseek::deepseek_v3),
    ("deepseek_v32", deepseek::deepseek_v32),
    ("ernie4_5", llama_like::ernie),
    ("ernie4_5_moe", moe_more::ernie_moe),
    ("exaone4", llama_like::exaone4),
    ("falcon", bloom::falcon),
    ("flex_olmo", moe::flex_olmo),
    ("gemma", gemma::gemma),
    ("gemma2", gemma::gemma2),
    ("gemma3_text", gemma::gemma3),
    ("glm", llama_like::glm),
    ("glm4", llama_like::glm4),
    ("glm4_moe", moe::glm4_moe),
    ("glm4_moe_lite", deepseek::glm4_moe_lite),
    ("glm_moe_dsa", deepseek::glm_moe_dsa),
    ("gpt2", gpt2::gpt2),
    ("gpt_bigcode", layer_norm::gpt_bigcode),
    ("gpt_neox", layer_norm::gpt_neox),
    ("gpt_oss", moe_more::gpt_oss),
    ("gptj", layer_norm::gptj),
    ("granite", llama_like::granite),
    ("grok-1", moe_more::grok),
    ("hunyuan_v1_moe", moe_more::hunyuan),
    ("internlm2", llama_like::internlm2),
    ("internlm3", llama_like::internlm3),
    ("jais2", two_matrices::jais2),
    ("kimi_k2", deepseek::deepseek_v3),
    ("longcat_flash", deepseek::longcat),
    ("megatron_bert", megatron::bert),
    ("megatron_gpt", megatron::megatron),
    ("megatron_t5", megatron::t5),
    ("mimo", llama_like::mimo),
    ("minimax_m2", moe_more::minimax_m2),
    ("mixtral", moe::mixtral),
    ("mpt", bloom::mpt),
    ("nemotron", layer_norm::nemotron),
    ("olmo", layer_norm::olmo),
    ("olmo2", llama_like::olmo2),
    ("olmo3", llama_like::olmo3),
    ("olmoe", moe::olmoe),
    ("opt", bloom::opt),
    ("persimmon", two_matrices::persimmon),
    ("phi", layer_norm::phi),
    ("phi3", llama_like::phi3),
    ("phimoe", moe_more::phimoe),
    ("qwen", llama_like::qwen1),
    ("qwen2_moe", moe::qwen2_moe),
    ("qwen3_moe", moe::qwen3_moe),
    ("seed_oss", llama_like::seed_oss),
    ("smollm3", llama_like::smollm3),
    ("stablelm", layer_norm::stablelm),
    ("starcoder2", layer_norm::starcoder2),
    ("vaultgemma", gemma::vaultgemma),
];

/// The names of all further families, which are known before their functions are at hand.
#[cfg(any(feature = "parts", test))]
const FURTHER_NAMES: &[&str] = &[
    "baichuan",
    "bloom",
    "chatglm",
    "apertus",
    "arcee",
    "cohere",
    "cohere2",
    "dbrx",
    "deepseek",
    "deepseek_v2",
    "deepseek_v3",
    "deepseek_v32",
    "ernie4_5",
    "ernie4_5_moe",
    "exaone4",
    "falcon",
    "flex_olmo",
    "gemma",
    "gemma2",
    "gemma3_text",
    "glm",
    "glm4",
    "glm4_moe",
    "glm4_moe_lite",
    "glm_moe_dsa",
    "gpt2",
    "gpt_bigcode",
    "gpt_neox",
    "gpt_oss",
    "gptj",
    "granite",
    "grok-1",
    "hunyuan_v1_moe",
    "internlm2",
    "internlm3",
    "jais2",
    "kimi_k2",
    "longcat_flash",
    "megatron_bert",
    "megatron_gpt",
    "megatron_t5",
    "mimo",
    "minimax_m2",
    "mixtral",
    "mpt",
    "nemotron",
    "olmo",
    "olmo2",
    "olmo3",
    "olmoe",
    "opt",
    "persimmon",
    "phi",
    "phi3",
    "phimoe",
    "qwen",
    "qwen2_moe",
    "qwen3_moe",
    "seed_oss",
    "smollm3",
    "stablelm",
    "starcoder2",
    "vaultgemma",
    "deepseek_v4",
    "falcon_h1",
    "falcon_mamba",
    "gemma3",
    "gemma3n",
    "gemma3n_text",
    "gemma4",
    "gemma4_text",
    "granitemoehybrid",
    "jamba",
    "kimi_k25",
    "kimi_k3",
    "kimi_linear",
    "lfm2",
    "lfm2_moe",
    "llama4",
    "llama4_text",
    "mamba",
    "mimo_v2_flash",
    "minimax",
    "minimax_m1",
    "minimax_m3_vl",
    "minimax_m3_vl_text",
    "minimax_text_01",
    "ministral3",
    "mistral3",
    "nemotron-nas",
    "nemotron_h",
    "qwen3_5",
    "qwen3_5_moe",
    "qwen3_5_moe_text",
    "qwen3_5_text",
    "qwen3_next",
    "qwen3_vl",
    "qwen3_vl_moe",
    "qwen3_vl_moe_text",
    "qwen3_vl_text",
    "step3p5",
    "step3p7",
];

/// The tables of the further families, once they were brought.
#[cfg(feature = "parts")]
static BROUGHT: std::sync::OnceLock<[&[(&str, Build)]; 2]> = std::sync::OnceLock::new();

/// Brings the further families; before, a configuration of theirs waits ([`waits`]). Where the module is one file they are at
/// hand from the start.
pub fn bring() {
    #[cfg(feature = "parts")]
    BROUGHT.get_or_init(|| [FURTHER, hybrid::TABLE]);
}

/// Whether a family is known whose function is not at hand.
#[cfg(feature = "parts")]
pub fn waits(model_type: &str) -> bool {
    !at_hand() && FURTHER_NAMES.contains(&model_type)
}

/// Whether a family is known whose function is not at hand.
#[cfg(not(feature = "parts"))]
pub const fn waits(_: &str) -> bool {
    false
}

/// Whether all families are at hand.
pub fn at_hand() -> bool {
    #[cfg(feature = "parts")]
    return BROUGHT.get().is_some();
    #[cfg(not(feature = "parts"))]
    true
}

fn further() -> impl Iterator<Item = &'static (&'static str, Build)> {
    #[cfg(feature = "parts")]
    let tables = BROUGHT.get().copied().unwrap_or_default();
    #[cfg(not(feature = "parts"))]
    let tables = [FURTHER, hybrid::TABLE];
    tables.into_iter().flatten()
}

/// The function of a `model_type`.
pub fn find(model_type: &str) -> Option<Build> {
    all()
        .find(|(name, _)| *name == model_type)
        .map(|(_, build)| *build)
}

/// Every `model_type` that is known.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|(name, _)| *name)
}

fn all() -> impl Iterator<Item = &'static (&'static str, Build)> {
    COMMON.iter().chain(further())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_further_families_are_those_of_their_tables() {
        let tables: Vec<&str> = [FURTHER, hybrid::TABLE]
            .into_iter()
            .flatten()
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(tables, FURTHER_NAMES);
        bring();
        assert!(at_hand() && !waits("jamba"));
    }
}
