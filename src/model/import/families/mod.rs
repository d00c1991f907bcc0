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

/// The families by `model_type` of the text stack.
const TABLE: &[(&str, Build)] = &[
    (CUSTOM, generic),
    ("baichuan", llama_like::baichuan),
    ("bloom", bloom::bloom),
    ("chatglm", llama_like::chatglm),
    ("apertus", two_matrices::apertus),
    ("arcee", two_matrices::arcee),
    ("code_llama", llama::llama),
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
    ("llama", llama::llama),
    ("longcat_flash", deepseek::longcat),
    ("megatron_bert", megatron::bert),
    ("megatron_gpt", megatron::megatron),
    ("megatron_t5", megatron::t5),
    ("mimo", llama_like::mimo),
    ("minimax_m2", moe_more::minimax_m2),
    ("mistral", llama::mistral),
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
    ("qwen2", qwen::qwen2),
    ("qwen2_moe", moe::qwen2_moe),
    ("qwen3", qwen::qwen3),
    ("qwen3_moe", moe::qwen3_moe),
    ("seed_oss", llama_like::seed_oss),
    ("smollm3", llama_like::smollm3),
    ("stablelm", layer_norm::stablelm),
    ("starcoder2", layer_norm::starcoder2),
    ("vaultgemma", gemma::vaultgemma),
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
