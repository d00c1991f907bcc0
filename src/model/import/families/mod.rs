//! One function per family (`model_type`), in one table. A new family is a function and a line here.

mod generic;
mod gpt2;
mod hybrid;
mod llama;
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
    ("gpt2", gpt2::gpt2),
    ("llama", llama::llama),
    ("mistral", llama::mistral),
    ("qwen2", qwen::qwen2),
    ("qwen3", qwen::qwen3),
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
