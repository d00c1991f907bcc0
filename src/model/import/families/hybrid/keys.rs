//! A reader for families of many keys over [`Config`]: defaults of the class, lists per layer, automatic values. It ties
//! the usual keys to the architecture fields that a person can change, so that a family names each key once.

use serde_json::Value;

use super::sheet::times;
use crate::model::import::config::Config;
use crate::model::import::field::Field;

/// The largest width or number that makes sense for a key that is no field of its own.
const LARGEST: u64 = 16_777_216;

/// The field that a key holds in the text stack of these families.
fn field_of(key: &str) -> Option<Field> {
    Some(match key {
        "num_hidden_layers" => Field::NumLayers,
        "hidden_size" => Field::HiddenSize,
        "num_attention_heads" => Field::NumAttentionHeads,
        "num_key_value_heads" => Field::NumKeyValueHeads,
        "head_dim" | "attention_head_dim" => Field::HeadDim,
        "intermediate_size" | "intermediate_size_mlp" | "dense_intermediate_size" => Field::IntermediateSize,
        "vocab_size" => Field::VocabSize,
        "tie_word_embeddings" | "tie_embedding" => Field::TieWordEmbeddings,
        "num_experts" | "num_local_experts" | "n_routed_experts" => Field::NumExperts,
        "num_experts_per_tok" | "num_experts_per_token" | "top_k_experts" => Field::TopK,
        "moe_intermediate_size" => Field::ExpertIntermediateSize,
        "shared_expert_intermediate_size"
        | "moe_shared_expert_intermediate_size"
        | "shared_intermediate_size"
        | "share_expert_dim" => Field::SharedExpertIntermediateSize,
        "n_shared_experts" | "num_shared_experts" => Field::NumSharedExperts,
        "first_k_dense_replace" | "num_dense_layers" => Field::FirstKDenseReplace,
        "sliding_window" => Field::SlidingWindow,
        "kv_lora_rank" => Field::KvLoraRank,
        "q_lora_rank" => Field::QLoraRank,
        "qk_rope_head_dim" => Field::QkRopeHeadDim,
        "qk_nope_head_dim" => Field::QkNopeHeadDim,
        "v_head_dim" => Field::VHeadDim,
        "attention_bias" => Field::AttentionBias,
        "num_nextn_predict_layers" | "mtp_num_hidden_layers" => Field::NumNextnPredictLayers,
        _ => return None,
    })
}

/// Names with one entry per layer.
#[derive(Clone, Debug)]
pub struct Types(Vec<String>);

impl Types {
    /// The entry of a layer; empty beyond the end.
    pub fn at(&self, index: u64) -> &str {
        let entry = usize::try_from(index).ok().and_then(|index| self.0.get(index));
        entry.map_or("", String::as_str)
    }
}

/// One object of a configuration.
#[derive(Clone)]
pub struct Keys<'a> {
    config: Config<'a>,
    /// Whether its keys are architecture fields (a tower's are not).
    fields: bool,
}

impl<'a> Keys<'a> {
    /// Over the text stack.
    pub fn new(config: &Config<'a>) -> Self {
        Self {
            config: config.clone(),
            fields: true,
        }
    }

    /// The whole file.
    pub fn outer(&self) -> Self {
        self.config.outer().ignore(&["dtype", "torch_dtype"]);
        Self {
            config: self.config.outer(),
            fields: true,
        }
    }

    /// Whether the text stack is a section of the file.
    pub fn is_nested(&self) -> bool {
        self.config.is_nested()
    }

    /// The section under a key, where there is one.
    pub fn section(&self, key: &'a str) -> Option<Self> {
        self.config.get(&[key])?;
        let section = self.config.section(key);
        section.ignore(&["attention_dropout", "dtype", "torch_dtype"]);
        (!section.is_empty()).then_some(Self {
            config: section,
            fields: false,
        })
    }

    /// Records an error at a key.
    pub fn error(&self, key: &str, what: &str) {
        self.config.error("out_of_range", key, what);
    }

    /// Records a warning at a key.
    pub fn warn(&self, key: &str, what: &str) {
        self.config.warn("assumed", key, what);
    }

    /// Accepts keys that change nothing here.
    pub fn known(&self, keys: &[&str]) {
        self.config.ignore(keys);
    }

    /// Whether a key is there with the value `null`.
    pub fn is_null(&self, key: &'a str) -> bool {
        self.config.has(key) && self.config.get(&[key]).is_none()
    }

    /// Whether a key is there with a value.
    pub fn has(&self, key: &'a str) -> bool {
        self.config.get(&[key]).is_some()
    }

    fn field(&self, keys: &[&'a str]) -> Option<Field> {
        let field = keys.iter().find_map(|key| field_of(key));
        field.filter(|_| self.fields)
    }

    fn read(&self, keys: &[&'a str], least: u64) -> Option<u64> {
        let field = self.field(keys);
        if let Some(field) = field {
            self.config.owns(field, keys);
        }
        let most = field.map_or(LARGEST, |field| *field.range().end());
        self.config.whole(keys, least..=most)
    }

    /// A number of at least one without which there is no model.
    pub fn count(&self, key: &'a str) -> u64 {
        let found = self.read(&[key], 1);
        if found.is_none() && !self.has(key) {
            self.config.error("missing", key, "is required");
        }
        found.unwrap_or(1)
    }

    /// A number of at least one, or the default of the class.
    pub fn count_or(&self, key: &'a str, default: u64) -> u64 {
        self.count_of(&[key], default)
    }

    /// The same under any of these keys.
    pub fn count_of(&self, keys: &[&'a str], default: u64) -> u64 {
        if let Some(value) = self.read(keys, 1) {
            return value;
        }
        let basic = matches!(
            self.field(keys),
            Some(Field::HiddenSize | Field::NumAttentionHeads | Field::VocabSize | Field::NumLayers)
        );
        if basic && self.config.get(keys).is_none() {
            let key = keys.first().copied().unwrap_or_default();
            let what = format!("is not stated: assumed {default}, the default of the family");
            self.config.warn("assumed_default", key, &what);
        }
        default
    }

    /// A number that may be zero, or the default.
    pub fn natural(&self, key: &'a str, default: u64) -> u64 {
        self.read(&[key], 0).unwrap_or(default)
    }

    /// The same under any of these keys.
    pub fn natural_of(&self, keys: &[&'a str], default: u64) -> u64 {
        self.read(keys, 0).unwrap_or(default)
    }

    /// A number of layers that may be zero, or the default.
    pub fn small(&self, key: &'a str, default: u64) -> u64 {
        if self.fields
            && let Some(field) = field_of(key)
        {
            self.config.owns(field, &[key]);
        }
        self.config.whole(&[key], 0..=10_000).unwrap_or(default)
    }

    /// The width of a dense feed-forward under a key of another meaning.
    pub fn dense_width(&self, key: &'a str, default: u64) -> u64 {
        self.config
            .field(Field::IntermediateSize, &[key])
            .unwrap_or(default)
    }

    /// The width of the experts where `intermediate_size` says it.
    pub fn expert_width(&self, default: u64) -> u64 {
        let keys = ["intermediate_size"];
        self.config
            .field(Field::ExpertIntermediateSize, &keys)
            .unwrap_or(default)
    }

    /// A number of at least one, where there is one.
    pub fn maybe(&self, key: &'a str) -> Option<u64> {
        self.read(&[key], 1)
    }

    /// The number of layers.
    pub fn layers(&self, default: u64) -> u64 {
        self.count_or("num_hidden_layers", default)
    }

    /// KV heads: `null` means as many as query heads, an absent key the default of the class.
    pub fn kv_heads(&self, heads: u64, default: Option<u64>) -> u64 {
        let key = "num_key_value_heads";
        if self.is_null(key) {
            return heads;
        }
        let found = self.read(&[key], 1);
        let kv_heads = found.unwrap_or_else(|| default.unwrap_or(heads));
        if !heads.is_multiple_of(kv_heads) {
            self.error(
                key,
                &format!("is {kv_heads}: it must divide the {heads} query heads"),
            );
            return heads;
        }
        kv_heads
    }

    /// The width of a head: stated, or hidden size by heads.
    pub fn head_dim(&self, hidden: u64, heads: u64) -> u64 {
        match self.read(&["head_dim"], 1) {
            Some(stated) => stated,
            None => self.divided(hidden, heads),
        }
    }

    /// Hidden size by heads.
    pub fn divided(&self, hidden: u64, heads: u64) -> u64 {
        if !hidden.is_multiple_of(heads) {
            let what =
                format!("is {heads}: it must divide the hidden size {hidden}, since no head width is stated");
            self.error("num_attention_heads", &what);
        }
        (hidden / heads.max(1)).max(1)
    }

    /// Yes or no.
    pub fn flag(&self, key: &'a str, default: bool) -> bool {
        self.flag_of(&[key], default)
    }

    /// Yes or no under any of these keys.
    pub fn flag_of(&self, keys: &[&'a str], default: bool) -> bool {
        match self.field(keys) {
            Some(field) => self.config.flag_field(field, keys, default),
            None => self.config.flag(keys, default),
        }
    }

    /// For classes that keep a head of their own whatever the file says.
    pub fn never_tied(&self) -> bool {
        if self.flag("tie_word_embeddings", false) {
            let what =
                "is true, but the class of this family does not tie: head and embedding are two matrices";
            self.warn("tie_word_embeddings", what);
        }
        false
    }

    /// A dropout probability, zero when absent.
    pub fn share(&self, key: &'a str) -> f64 {
        self.config.dropout(&[key], 0.0)
    }

    /// A word, where there is one.
    pub fn word(&self, key: &'a str) -> Option<String> {
        self.config.get(&[key])?;
        let word = self.config.word(&[key], "");
        (!word.is_empty()).then_some(word)
    }

    /// The name of the stack.
    pub fn model_type(&self) -> String {
        self.word("model_type").unwrap_or_default()
    }

    /// The activation.
    pub fn activation(&self, default: &str) -> String {
        self.config.word(&["hidden_act", "hidden_activation"], default)
    }

    /// A stated multiple of a width, rounded down.
    pub fn ratio_of(&self, key: &'a str, width: u64, default: f64) -> u64 {
        multiple_of(self.config.real(&[key], 1024.0, default), width).max(1)
    }

    /// The value under a key as it stands.
    pub fn value(&self, key: &'a str) -> Option<&'a Value> {
        self.config.get(&[key]).map(|(_, value)| value)
    }

    /// Whether a key holds a list.
    pub fn is_list(&self, key: &'a str) -> bool {
        self.config.get(&[key]).is_some_and(|(_, value)| value.is_array())
    }

    /// Whether a soft cap is in force: `null` switches it off, an absent key leaves the default of the class.
    pub fn capped(&self, key: &'a str, default: bool) -> bool {
        if self.config.has(key) {
            self.has(key)
        } else {
            default
        }
    }

    /// A list, where there is one.
    pub fn list(&self, key: &'a str) -> Option<&'a [Value]> {
        self.config.list(key)
    }

    /// A list of words.
    pub fn words(&self, key: &'a str) -> Option<Vec<String>> {
        let list = self.list(key)?;
        let words: Option<Vec<String>> = list.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        if words.is_none() {
            self.config.error("wrong_type", key, "must be a list of words");
        }
        words
    }

    /// A list of whole numbers.
    pub fn naturals(&self, key: &'a str) -> Option<Vec<u64>> {
        let list = self.list(key)?;
        let numbers: Option<Vec<u64>> = list.iter().map(Value::as_u64).collect();
        if numbers.is_none() {
            self.config
                .error("wrong_type", key, "must be a list of whole numbers");
        }
        numbers
    }

    /// Names with one entry per layer out of those allowed; a longer list is cut to the layers.
    pub fn layer_types(&self, keys: &[&'a str], depth: u64, allowed: &[&str]) -> Option<Types> {
        let (key, words) = keys.iter().find_map(|key| Some((*key, self.words(key)?)))?;
        let number = words.len() as u64;
        if number < depth {
            self.error(key, &format!("has {number} entries for {depth} layers"));
        } else if number > depth {
            self.warn(
                key,
                &format!("has {number} entries for {depth} layers: the first {depth} are used"),
            );
        }
        if let Some(other) = words.iter().find(|word| !allowed.contains(&word.as_str())) {
            let what = format!("has the entry {other:?}; known are {}", allowed.join(", "));
            self.error(key, &what);
        }
        Some(Types(words))
    }

    /// Zeros and ones with one entry per layer.
    pub fn switches(&self, key: &'a str, depth: u64) -> Option<Vec<bool>> {
        let numbers = self.naturals(key)?;
        let number = numbers.len() as u64;
        if number < depth {
            self.error(key, &format!("has {number} entries for {depth} layers"));
            return None;
        }
        Some(numbers.iter().map(|entry| *entry != 0).collect())
    }

    /// Checks a depth that a list gives.
    pub fn depth_of_list(&self, key: &str, number: usize) {
        let most = *Field::NumLayers.range().end();
        if number == 0 || number as u64 > most {
            self.error(
                key,
                &format!("has {number} layers; between 1 and {most} make a model"),
            );
        }
    }

    /// The longest context.
    pub fn positions(&self) -> Option<u64> {
        let keys = [
            "max_position_embeddings",
            "model_max_length",
            "max_seq_len",
            "seq_length",
        ];
        self.config.field(Field::MaxSeqLen, &keys)
    }

    /// A number, or the default where the file says `auto` or nothing.
    pub fn automatic(&self, key: &'a str, default: u64) -> u64 {
        match self.config.get(&[key]) {
            None => default.max(1),
            Some((_, Value::String(word))) if word == "auto" => default.max(1),
            Some(_) => self.read(&[key], 1).unwrap_or(1),
        }
    }

    /// The rank of a step projection: `auto` is a sixteenth of the hidden size, rounded up.
    pub fn rank(&self, key: &'a str, hidden: u64) -> u64 {
        self.automatic(key, hidden.div_ceil(16))
    }

    /// Checks that two numbers multiply to a third.
    pub fn product(&self, key: &str, one: u64, other: u64, product: u64) {
        if times(&[one, other]) != product {
            self.error(
                key,
                &format!("times the head width ({one} x {other}) must be the inner width {product}"),
            );
        }
    }

    /// Experts per token.
    pub fn top_k(&self, default: u64, experts: u64) -> u64 {
        let keys = ["num_experts_per_tok", "num_experts_per_token", "top_k_experts"];
        let stated = self.read(&keys, 1);
        let top_k = stated.unwrap_or(default);
        if experts > 0 && top_k > experts {
            if stated.is_some() {
                let key = keys.into_iter().find(|key| self.has(key)).unwrap_or_default();
                self.error(key, &format!("is {top_k}, but there are {experts} experts"));
            }
            return experts;
        }
        top_k
    }

    /// Rotated elements of a head of this width.
    pub fn rotary_dim(&self, head_dim: u64, default: f64) -> u64 {
        let nested = self.config.get(&["rope_parameters"]).and_then(|(_, value)| {
            let flat = value.get("partial_rotary_factor");
            let layered = || value.get("full_attention")?.get("partial_rotary_factor");
            flat.or_else(layered)?.as_f64()
        });
        let share = self
            .config
            .real(&["partial_rotary_factor"], 1.0, nested.unwrap_or(default));
        share_of(share, head_dim)
    }
}

/// A multiple of a width, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a small multiple of a small width"
)]
fn multiple_of(ratio: f64, width: u64) -> u64 {
    (ratio.clamp(0.0, 1024.0) * width as f64) as u64
}

/// A share of a width, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share between 0 and 1 of a small width"
)]
fn share_of(share: f64, width: u64) -> u64 {
    (share.clamp(0.0, 1.0) * width as f64) as u64
}
