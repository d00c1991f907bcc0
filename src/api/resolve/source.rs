//! The one place where the door meets the import and the catalogue of models.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::observe::observe;

use crate::model::Network;
use crate::model::catalogue::{self, Entry};
use crate::model::import::{SharedImport, network_from_config};
use crate::request::{Input, InputId, ModelSource};
use crate::units::DType;
use crate::warn::Issue;

/// `model_type` of what a person describes by hand.
const CUSTOM: &str = "custom";

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
    pub config: Arc<Value>,
    /// The configuration before anything was typed over it.
    before: Arc<Value>,
    /// What was imported from the configuration before anything was typed over it, where that has a network.
    original: Option<Arc<SharedImport>>,
    /// Whether a width was solved from the parameter count.
    pub solved: bool,
}

impl Source {
    /// A source without a name.
    pub fn new(kind: ModelSource, config: Value) -> Self {
        let config = Arc::new(config);
        let original = match kind {
            ModelSource::Fields => None,
            _ => SharedImport::of(config.clone()).ok().map(Arc::new),
        };
        Self::with(kind, config, original)
    }

    fn with(kind: ModelSource, config: Arc<Value>, original: Option<Arc<SharedImport>>) -> Self {
        Self {
            kind,
            id: None,
            name: None,
            before: config.clone(),
            config,
            original,
            solved: false,
        }
    }

    /// The value of an input before anything was typed over it.
    pub fn original(&self, id: InputId) -> Option<Value> {
        let observed = self
            .original
            .as_ref()
            .and_then(|imported| observe(&imported.network, id));
        observed.or_else(|| read(&self.before, id))
    }
}

/// Keys of config.json that hold an input, the usual one first.
fn keys(id: InputId) -> &'static [&'static str] {
    match id {
        InputId::NumLayers => &["num_hidden_layers", "n_layer", "num_layers", "n_layers"],
        InputId::HiddenSize => &["hidden_size", "n_embd", "d_model", "model_dim"],
        InputId::IntermediateSize => &[
            "intermediate_size",
            "n_inner",
            "ffn_hidden_size",
            "ffn_dim",
            "intermediate_size_mlp",
        ],
        InputId::MlpGated => &["mlp_gated"],
        InputId::HiddenAct => &["hidden_act", "hidden_activation", "activation_function"],
        InputId::VocabSize => &["vocab_size", "padded_vocab_size"],
        InputId::TieWordEmbeddings => &["tie_word_embeddings"],
        InputId::Norm => &["norm"],
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
        InputId::ExpertIntermediateSize => &[
            "moe_intermediate_size",
            "intermediate_size",
            "expert_ffn_hidden_size",
            "moe_ffn_hidden_size",
        ],
        InputId::NumSharedExperts => &["n_shared_experts", "num_shared_experts"],
        InputId::SharedExpertIntermediateSize => {
            &["shared_expert_intermediate_size", "shared_intermediate_size"]
        }
        InputId::FirstKDenseReplace => &[
            "first_k_dense_replace",
            "num_dense_layers",
            "moe_layer_start_index",
        ],
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
        id: Some(entry.id.clone()),
        name: Some(entry.short_name().to_string()),
        ..match entry.shared() {
            Some(shared) => Source::with(kind, shared.config.clone(), Some(shared)),
            None => Source::new(kind, entry.config.clone()),
        }
    }
}

/// The configuration that typed fields start from: a Llama-type decoder.
pub fn base_config() -> Value {
    json!({"model_type": CUSTOM, "vocab_size": 32_000})
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

/// The text stack of a configuration.
fn stack(config: &mut Value) -> Option<&mut Map<String, Value>> {
    match section(config) {
        Some(key) => config.get_mut(key),
        None => Some(config),
    }
    .and_then(Value::as_object_mut)
}

/// Puts the value of an input into a configuration, under the key that the family uses.
///
/// Families name things differently and some names mean different things, so the keys are tried: the one after which the
/// network has the value is the right one.
pub fn edit(config: &mut Arc<Value>, id: InputId, value: &Value) -> Result<(), Issue> {
    edit_value(Arc::make_mut(config), id, value)
}

fn edit_value(config: &mut Value, id: InputId, value: &Value) -> Result<(), Issue> {
    if id == InputId::MoeEnabled {
        switch_experts(config, value.as_bool() == Some(true));
        return Ok(());
    }
    // What a person describes has the usual keys, each with one meaning; a family may say the width of its experts under
    // the key that means the dense width elsewhere.
    let described = stack_of(config).and_then(|stack| stack.get("model_type")) == Some(&json!(CUSTOM));
    let present = |key: &&&str| !described && stack_of(config).is_some_and(|stack| stack.contains_key(**key));
    let known: Vec<&str> = keys(id).iter().filter(present).chain(keys(id)).copied().collect();
    let Some(usual) = known.first() else {
        return Err(Issue::error(
            "not_available_yet",
            id.key(),
            format!("{} cannot be changed by itself yet.", id.input().label),
        )
        .with_hint("Choose a model or paste a config.json of a family that has it."));
    };
    let depth = (id == InputId::NumLayers)
        .then(|| network_from_config(config).ok())
        .flatten()
        .map(|imported| Value::from(imported.network.depth()));
    let with = |key: &str| {
        let mut changed = config.clone();
        if let Some(stack) = stack(&mut changed) {
            let before = stack.insert(key.to_string(), value.clone());
            if id == InputId::NumLayers {
                resize_lists(stack, depth.as_ref().or(before.as_ref()), value);
            }
        }
        changed
    };
    let mut refused = false;
    for key in &known {
        let changed = with(key);
        match network_from_config(&changed) {
            Err(_) => refused = true,
            Ok(imported) => match observe(&imported.network, id) {
                Some(observed) if observed != *value => {}
                None if is_observable(id) => {}
                _ => {
                    *config = changed;
                    return Ok(());
                }
            },
        }
    }
    if refused {
        // What the import refuses, it explains.
        *config = with(usual);
        return Ok(());
    }
    Err(Issue::warning(
        "not_used",
        id.key(),
        format!(
            "{} cannot be changed in this family of models; its own value holds.",
            id.input().label
        ),
    ))
}

/// Lists with one entry per layer follow the number of layers: their pattern goes on from its start.
fn resize_lists(stack: &mut Map<String, Value>, before: Option<&Value>, layers: &Value) {
    let length = |value: &Value| value.as_u64().and_then(|layers| usize::try_from(layers).ok());
    if let (Some(before), Some(layers)) = (before.and_then(length), length(layers)) {
        resize(stack, before, layers);
    }
}

fn resize(stack: &mut Map<String, Value>, before: usize, layers: usize) {
    for (key, value) in stack.iter_mut() {
        match value {
            // Some lists count the next-token layers as well.
            Value::Array(list) if (before..=before + 2).contains(&list.len()) => {
                *list = list.iter().take(before).cycle().take(layers).cloned().collect();
            }
            Value::String(pattern) if key.ends_with("pattern") && pattern.chars().count() == before => {
                *pattern = pattern.chars().cycle().take(layers).collect();
            }
            Value::Object(section) => resize(section, before, layers),
            _ => {}
        }
    }
}

/// Whether a network shows the field, where it has it.
fn is_observable(id: InputId) -> bool {
    !matches!(
        id,
        InputId::AttentionBias
            | InputId::LayerTypes
            | InputId::NumSharedExperts
            | InputId::MoeLayerFreq
            | InputId::NumNextnPredictLayers
    )
}

fn stack_of(config: &Value) -> Option<&Map<String, Value>> {
    section(config)
        .and_then(|key| config.get(key))
        .unwrap_or(config)
        .as_object()
}

/// A family is dense or sparse for good; the generic decoder is either.
fn switch_experts(config: &mut Value, on: bool) {
    if let Some(file) = config.as_object_mut() {
        file.insert("model_type".to_string(), Value::from(CUSTOM));
    }
    let Some(stack) = stack(config) else { return };
    stack.insert("model_type".to_string(), Value::from(CUSTOM));
    for (id, default) in [(InputId::NumExperts, 8), (InputId::TopK, 2)] {
        match keys(id).first() {
            Some(key) if on => {
                stack.insert((*key).to_string(), Value::from(default));
            }
            _ => stack.retain(|key, _| !keys(id).contains(&key.as_str())),
        }
    }
}

/// What a configuration says about the published weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Released {
    /// Their element type.
    pub dtype: Option<DType>,
    /// The method by which they are quantised.
    pub method: Option<String>,
    /// The whole `quantization_config`.
    pub quantisation: Option<Value>,
}

/// The network of a source, with warnings and what is said about its weights. Issues on keys that an input holds are issues
/// of that input, where the fields are typed.
pub fn network(source: &Source) -> Result<(Arc<Network>, Vec<Issue>, Released), Vec<Issue>> {
    let known = source
        .original
        .as_ref()
        .filter(|_| Arc::ptr_eq(&source.config, &source.before));
    let imported = match known {
        Some(imported) => imported.clone(),
        None => match SharedImport::of(source.config.clone()) {
            Ok(imported) => Arc::new(imported),
            Err(issues) => return Err(renamed(source, issues)),
        },
    };
    let released = Released {
        dtype: imported.torch_dtype,
        method: imported.weight_format.clone(),
        quantisation: quantisation(&source.config).cloned(),
    };
    Ok((
        imported.network.clone(),
        renamed(source, imported.warnings.clone()),
        released,
    ))
}

/// The `quantization_config` of a file, or of its text stack.
fn quantisation(config: &Value) -> Option<&Value> {
    let own = |config: &Value| config.get("quantization_config").is_some_and(Value::is_object);
    if own(config) {
        return config.get("quantization_config");
    }
    let text = config.get("text_config")?;
    if own(text) {
        text.get("quantization_config")
    } else {
        None
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
