//! One function per family (`model_type`), in one table. A new family is a function and a line here.

mod deepseek;
mod gemma;
mod generic;
mod gpt2;
mod hybrid;
mod llama;
mod moe;
mod qwen;

use crate::model::Network;
use crate::model::import::config::Config;

pub use generic::{CUSTOM, generic, warn_assumptions};

/// Builds the network of a family from its configuration. Mistakes are recorded in the configuration, and stand-ins used.
pub type Build = fn(&Config) -> Network;

/// The families by `model_type` of the text stack.
const TABLE: &[(&str, Build)] = &[
    (CUSTOM, generic),
    ("code_llama", llama::llama),
    ("dbrx", moe::dbrx),
    ("deepseek", deepseek::deepseek),
    ("deepseek_v2", deepseek::deepseek_v2),
    ("deepseek_v3", deepseek::deepseek_v3),
    ("deepseek_v32", deepseek::deepseek_v32),
    ("ernie4_5_moe", moe::ernie_moe),
    ("gemma", gemma::gemma),
    ("gemma2", gemma::gemma2),
    ("gemma3_text", gemma::gemma3),
    ("glm4_moe", moe::glm4_moe),
    ("glm4_moe_lite", deepseek::glm4_moe_lite),
    ("glm_moe_dsa", deepseek::glm_moe_dsa),
    ("gpt2", gpt2::gpt2),
    ("gpt_oss", moe::gpt_oss),
    ("grok-1", moe::grok),
    ("hunyuan_v1_moe", moe::hunyuan),
    ("kimi_k2", deepseek::deepseek_v3),
    ("llama", llama::llama),
    ("longcat_flash", deepseek::longcat),
    ("minimax_m2", moe::minimax_m2),
    ("mistral", llama::mistral),
    ("mixtral", moe::mixtral),
    ("olmoe", moe::olmoe),
    ("phimoe", moe::phimoe),
    ("qwen2", qwen::qwen2),
    ("qwen2_moe", moe::qwen2_moe),
    ("qwen3", qwen::qwen3),
    ("qwen3_moe", moe::qwen3_moe),
];

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
    TABLE.iter().chain(hybrid::TABLE)
}
