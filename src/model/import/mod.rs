//! Import of Hugging Face `config.json`: from its keys to a [`Network`] with the exact tensors of the family's class.
//!
//! One function per family lives in `families/`; the other files here are their building blocks. What an engine makes of
//! the tensors is decided elsewhere.

pub mod config;
pub mod decoder;
mod edit;
mod families;
pub mod feed_forward;
pub mod field;
mod known;
pub mod latent;
mod observe;
mod pattern;
pub mod softmax;
pub mod sparse;
pub mod weights;

use std::sync::Arc;

use serde_json::Value;

use self::config::Config;
use super::Network;
use crate::units::DType;
use crate::warn::Issue;

pub use edit::{Edited, base_config, edit, read_fields};
pub use families::{at_hand, bring};
pub use field::Field;
pub use observe::observe;

/// Most parameters that are believed.
const LIMIT: u64 = 1_000_000_000_000_000;

/// A network with what else its configuration says.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The network.
    pub network: Network,
    /// What the reader must know: unknown keys, assumed values.
    pub warnings: Vec<Issue>,
    /// The element type of the released weights.
    pub torch_dtype: Option<DType>,
    /// Whether the family is not known and the network is a guess.
    pub generic: bool,
    /// The format of the released weights where it is a quantised one: `fp8`, `mxfp4`, `awq`, `gptq` ...
    pub weight_format: Option<String>,
}

/// A configuration with what was imported from it, to be passed around without copying either.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedImport {
    /// The configuration.
    pub config: Arc<Value>,
    /// Its network.
    pub network: Arc<Network>,
    /// What the reader must know.
    pub warnings: Vec<Issue>,
    /// The element type of the released weights.
    pub torch_dtype: Option<DType>,
    /// The format of the released weights where it is a quantised one.
    pub weight_format: Option<String>,
}

impl SharedImport {
    /// The import of a configuration, or everything that is wrong with it.
    pub fn of(config: Arc<Value>) -> Result<Self, Vec<Issue>> {
        let imported = network_from_config(&config)?;
        Ok(Self {
            config,
            network: Arc::new(imported.network),
            warnings: imported.warnings,
            torch_dtype: imported.torch_dtype,
            weight_format: imported.weight_format,
        })
    }
}

/// Builds the network that a `config.json` describes, or lists everything that is wrong with it.
pub fn network_from_config(config: &Value) -> Result<Imported, Vec<Issue>> {
    let Value::Object(file) = config else {
        return Err(vec![Issue::error(
            "wrong_type",
            "model.hf_config",
            "A config.json is an object: paste the whole file, from { to }.",
        )]);
    };
    let c = Config::new(file);
    if waits(config) {
        return Err(vec![Issue::error(
            "loading",
            "model",
            "What is known about this family of models is being loaded.",
        )]);
    }
    let model_type = family(&c);
    let build = families::find(&model_type);
    if build.is_none() {
        families::warn_assumptions(&c, &model_type);
    }
    let network = build.unwrap_or(families::generic)(&c);
    let (torch_dtype, weight_format) = formats(&c);
    let findings = c.finish();
    let mut issues = findings.issues;
    if !issues.iter().any(Issue::is_error) && network.total_parameters().get() > LIMIT {
        issues.push(Issue::error(
            "too_large",
            "model.hf_config",
            "This configuration has more than 1000T (1e15) parameters.",
        ));
    }
    if issues.iter().any(Issue::is_error) {
        issues.retain(Issue::is_error);
        return Err(issues);
    }
    Ok(Imported {
        network,
        warnings: issues,
        torch_dtype,
        generic: build.is_none(),
        weight_format,
    })
}

/// Whether a configuration is of a family that is known, and not at hand yet.
pub fn waits(config: &Value) -> bool {
    let Value::Object(file) = config else {
        return false;
    };
    let c = Config::new(file);
    let (whole, text) = (c.outer().word(&["model_type"], ""), c.word(&["model_type"], ""));
    families::waits(&whole) || families::waits(&text)
}

/// Every `model_type` that is known.
pub fn families() -> impl Iterator<Item = &'static str> {
    families::names()
}

/// The `model_type` to build by: that of the whole file where it is known (a model with towers), else of the text stack.
fn family(c: &Config) -> String {
    let outer = c.outer().word(&["model_type"], "");
    if families::find(&outer).is_some() {
        return outer;
    }
    let inner = c.word(&["model_type"], "");
    if inner.is_empty() { outer } else { inner }
}

fn formats(c: &Config) -> (Option<DType>, Option<String>) {
    const KEYS: &[&str] = &["torch_dtype", "dtype"];
    let outer = c.outer();
    let place = if c.get(KEYS).is_some() { c } else { &outer };
    let name = place.word(KEYS, "");
    let dtype = match name.trim_start_matches("torch.") {
        "bfloat16" | "bf16" => Some(DType::Bf16),
        "float16" | "fp16" | "half" => Some(DType::Fp16),
        "float32" | "fp32" | "float" => Some(DType::Fp32),
        text if text.starts_with("float8") => Some(DType::Fp8),
        "" => None,
        _ => {
            let key = if place.has("torch_dtype") {
                "torch_dtype"
            } else {
                "dtype"
            };
            place.warn(
                "unknown_value",
                key,
                "is not an element type known here: left aside",
            );
            None
        }
    };
    let place = if c.has("quantization_config") { c } else { &outer };
    let format = place.get(&["quantization_config"]).map(|(_, quantisation)| {
        quantisation
            .get("quant_method")
            .and_then(Value::as_str)
            .unwrap_or("quantised")
            .to_string()
    });
    (dtype, format)
}
