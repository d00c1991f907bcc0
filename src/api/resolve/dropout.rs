//! The dropout probability of a request, at every place where the model's class has one.

use serde_json::Value;

use super::super::given::Given;
use super::Report;
use crate::model::Network;
use crate::model::import::network_from_config;
use crate::request::InputId;

/// The keys under which configurations hold a dropout probability (transformers 5.23, models/*/configuration_*.py). Each
/// family reads those that its class has.
const KEYS: [&str; 9] = [
    "attention_dropout",
    "attn_pdrop",
    "dropout",
    "emb_pdrop",
    "embd_pdrop",
    "embedding_dropout",
    "hidden_dropout",
    "resid_pdrop",
    "residual_dropout",
];

/// Sections of a configuration that hold such keys: that of the language model, and those of attention (MPT, DBRX).
const SECTIONS: [&str; 5] = [
    "text_config",
    "llm_config",
    "language_config",
    "attn_config",
    "ffn_config",
];

/// The network with the given probability; `None` where none is given.
pub fn dropout(given: &Given, config: &Value, report: &mut Report) -> Option<Network> {
    given.get(InputId::Dropout)?;
    let probability = given.number(InputId::Dropout)?;
    let mut changed = config.clone();
    write(&mut changed, probability);
    let network = network_from_config(&changed).ok()?.network;
    let outside =
        network.embedding_dropout > 0.0 || network.layers().any(|layer| layer.residual_dropout > 0.0);
    let eager = given.choice(InputId::Attention) == Some("eager");
    if probability > 0.0 && !outside && !eager {
        report.warn(
            "not_used",
            InputId::Dropout,
            "This model's class has dropout on attention probabilities only, and fused attention keeps a seed instead of a mask.",
        );
    }
    Some(network)
}

fn write(config: &mut Value, probability: f64) {
    let Some(fields) = config.as_object_mut() else {
        return;
    };
    for section in SECTIONS {
        if let Some(section) = fields.get_mut(section) {
            write(section, probability);
        }
    }
    for key in KEYS {
        fields.insert(key.to_string(), Value::from(probability));
    }
}
