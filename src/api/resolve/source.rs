//! The one place where the door meets the import and the catalogue of models.

use serde_json::{Value, json};

use crate::model::Network;
use crate::model::catalogue::{self, Entry};
use crate::model::import::network_from_config;
use crate::request::{Input, InputId, ModelSource};
use crate::warn::Issue;

/// A configuration and where it comes from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Which kind of source.
    pub kind: ModelSource,
    /// Id in the catalogue.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// The configuration, with typed fields put in.
    pub config: Value,
    /// Whether a width was solved from the parameter count.
    pub solved: bool,
}

impl Source {
    /// A source without a name.
    pub fn new(kind: ModelSource, config: Value) -> Self {
        Self {
            kind,
            id: None,
            name: None,
            config,
            solved: false,
        }
    }
}

/// Keys of config.json that hold an input, the usual one first.
fn keys(id: InputId) -> &'static [&'static str] {
    match id {
        InputId::NumLayers => &["num_hidden_layers", "n_layer", "num_layers", "n_layers"],
        InputId::HiddenSize => &["hidden_size", "n_embd", "d_model", "model_dim"],
        InputId::IntermediateSize => &["intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim"],
        InputId::MlpGated => &["mlp_gated"],
        InputId::HiddenAct => &["hidden_act", "hidden_activation", "activation_function"],
        InputId::VocabSize => &["vocab_size", "padded_vocab_size"],
        InputId::TieWordEmbeddings => &["tie_word_embeddings"],
        InputId::MaxSeqLen => &["max_position_embeddings", "n_positions", "seq_length"],
        InputId::NumAttentionHeads => &["num_attention_heads", "n_head"],
        InputId::NumKeyValueHeads => &["num_key_value_heads"],
        InputId::HeadDim => &["head_dim"],
        InputId::AttentionBias => &["attention_bias"],
        InputId::SlidingWindow => &["sliding_window"],
        InputId::LayerTypes => &["layer_types"],
        InputId::QLoraRank => &["q_lora_rank"],
        InputId::KvLoraRank => &["kv_lora_rank"],
        InputId::QkNopeHeadDim => &["qk_nope_head_dim"],
        InputId::QkRopeHeadDim => &["qk_rope_head_dim"],
        InputId::VHeadDim => &["v_head_dim"],
        InputId::NumExperts => &[
            "num_experts",
            "n_routed_experts",
            "num_local_experts",
            "moe_num_experts",
        ],
        InputId::TopK => &["num_experts_per_tok", "moe_k", "num_experts_per_token"],
        InputId::ExpertIntermediateSize => &["moe_intermediate_size"],
        InputId::NumSharedExperts => &["n_shared_experts", "num_shared_experts"],
        InputId::SharedExpertIntermediateSize => &["shared_expert_intermediate_size"],
        InputId::FirstKDenseReplace => &["first_k_dense_replace"],
        InputId::MoeLayerFreq => &["moe_layer_freq", "decoder_sparse_step"],
        InputId::NumNextnPredictLayers => &["num_nextn_predict_layers"],
        _ => &[],
    }
}
/// The catalogue's model of this id, hub name or alias.
pub fn find(name: &str) -> Option<Source> {
    catalogue::find(name).map(|entry| of_entry(ModelSource::Catalogue, entry))
}

/// Ids that resemble the text.
pub fn suggestions(name: &str) -> Vec<String> {
    let mut found: Vec<String> = catalogue::search(name)
        .into_iter()
        .take(5)
        .map(|entry| entry.id.clone())
        .collect();
    if found.is_empty() {
        let ids = catalogue::all().iter().map(|entry| entry.id.as_str());
        found.extend(super::super::nearest::nearest(name, ids).map(ToString::to_string));
    }
    found
}

/// The catalogue's typical model nearest to a parameter count.
pub fn nearest(count: u64) -> Option<Source> {
    catalogue::nearest(count).map(|entry| of_entry(ModelSource::ParameterCount, entry))
}

fn of_entry(kind: ModelSource, entry: &Entry) -> Source {
    Source {
        kind,
        id: Some(entry.id.clone()),
        name: Some(entry.short_name().to_string()),
        config: entry.config.clone(),
        solved: false,
    }
}

/// The configuration that typed fields start from: a Llama-type decoder.
pub fn base_config() -> Value {
    json!({"model_type": "custom", "vocab_size": 32_000})
}

/// The key under which the text stack stands, where it is a section of its own.
fn section(config: &Value) -> Option<&'static str> {
    ["text_config", "llm_config", "language_config"]
        .into_iter()
        .find(|key| config.get(key).is_some_and(Value::is_object))
}

/// The value of an input in a configuration.
pub fn read(config: &Value, id: InputId) -> Option<Value> {
    let stack = section(config).and_then(|key| config.get(key)).unwrap_or(config);
    if id == InputId::MoeEnabled {
        return Some(Value::from(read(config, InputId::NumExperts).is_some()));
    }
    keys(id)
        .iter()
        .find_map(|key| stack.get(*key).filter(|value| !value.is_null()))
        .cloned()
}

/// Puts the value of an input into a configuration, under the key that the family uses.
pub fn edit(config: &mut Value, id: InputId, value: &Value) -> Result<(), Issue> {
    let stack = match section(config) {
        Some(key) => config.get_mut(key),
        None => Some(&mut *config),
    };
    let Some(stack) = stack.and_then(Value::as_object_mut) else {
        return Ok(());
    };
    if id == InputId::MoeEnabled {
        for (id, default) in [(InputId::NumExperts, 8), (InputId::TopK, 2)] {
            match (value.as_bool(), keys(id).first()) {
                (Some(true), Some(key)) => {
                    stack.insert((*key).to_string(), Value::from(default));
                }
                _ => stack.retain(|key, _| !keys(id).contains(&key.as_str())),
            }
        }
        // A family is dense or sparse for good; the generic decoder is either.
        stack.insert("model_type".to_string(), Value::from("custom"));
        if let Some(file) = config.as_object_mut() {
            file.insert("model_type".to_string(), Value::from("custom"));
        }
        return Ok(());
    }
    let key = keys(id)
        .iter()
        .find(|key| stack.contains_key(**key))
        .or(keys(id).first());
    let Some(key) = key else {
        return Err(Issue::error(
            "not_available_yet",
            id.key(),
            format!("{} cannot be changed by itself yet.", id.input().label),
        )
        .with_hint("Choose a model or paste a config.json of a family that has it."));
    };
    stack.insert((*key).to_string(), value.clone());
    Ok(())
}

/// The network of a source, with warnings. Issues on keys that an input holds are issues of that input, where the fields
/// are typed.
pub fn network(source: &Source) -> Result<(Network, Vec<Issue>), Vec<Issue>> {
    match network_from_config(&source.config) {
        Ok(imported) => Ok((imported.network, renamed(source, imported.warnings))),
        Err(issues) => Err(renamed(source, issues)),
    }
}

fn renamed(source: &Source, mut issues: Vec<Issue>) -> Vec<Issue> {
    if source.kind == ModelSource::HfConfig {
        return issues;
    }
    for issue in &mut issues {
        let Some(key) = issue.path.strip_prefix("model.hf_config.") else {
            continue;
        };
        let name = key.rsplit('.').next().unwrap_or(key);
        let input = Input::by_key(&format!("model.{name}")).or_else(|| {
            InputId::ALL
                .iter()
                .find(|id| keys(**id).contains(&name))
                .map(|id| id.input())
        });
        if let Some(input) = input {
            issue.path = input.key.to_string();
            if issue.code == "unknown_field" {
                issue.code = "not_used";
            }
        }
    }
    issues
}
