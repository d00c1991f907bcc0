//! Changing one architecture field of a configuration, under whatever key its family uses, and reading the fields that
//! hold. The keys come from the import itself: what a family reads for a field is where the field is written.

use serde_json::{Map, Value, json};

use super::config::{Config, Findings};
use super::decoder;
use super::families::{self, CUSTOM};
use super::field::Field;
use super::observe::observe;
use super::pattern::resize;
use crate::model::Network;
use crate::warn::Issue;

/// A configuration after a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Edited {
    /// The configuration.
    pub config: Value,
    /// What else was changed to keep it consistent.
    pub warnings: Vec<Issue>,
}

/// The configuration that hand-typed models start from: Llama's layer, without any size but the vocabulary.
pub fn base_config() -> Value {
    json!({"model_type": "llama", "vocab_size": 32_000})
}

/// What a configuration builds, whatever is wrong with it, and where its family keeps the fields.
fn survey(file: &Map<String, Value>) -> (Network, Findings) {
    let c = Config::new(file);
    let model_type = super::family(&c);
    let build = families::find(&model_type).unwrap_or(families::generic);
    (build(&c), c.finish())
}

/// The fields of a configuration with the values that hold after the defaults of its family (switches are 0 or 1).
pub fn read_fields(config: &Value) -> Vec<(Field, u64)> {
    let Value::Object(file) = config else {
        return Vec::new();
    };
    let (network, findings) = survey(file);
    Field::ALL
        .iter()
        .filter_map(|field| {
            let stated = || number(at_present(config, &findings, *field, None)?.1);
            Some((*field, observe(&network, *field).or_else(stated)?))
        })
        .collect()
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Bool(flag) => Some(u64::from(*flag)),
        Value::Array(list) => list.iter().filter_map(Value::as_u64).max(),
        other => other.as_u64(),
    }
}

/// The key of a field that the configuration has, with its value: the one that holds `shown` before any other.
fn at_present<'c>(
    config: &'c Value,
    findings: &Findings,
    field: Field,
    shown: Option<u64>,
) -> Option<(String, &'c Value)> {
    let groups = findings.fields.iter().filter(|(known, _)| *known == field);
    let present: Vec<(String, &Value)> = groups
        .flat_map(|(_, paths)| paths)
        .filter_map(|path| Some((path.clone(), at(config, path)?)))
        .collect();
    let holds = |found: &&(String, &Value)| shown.is_some() && number(found.1) == shown;
    present.iter().find(holds).or(present.first()).cloned()
}

/// The value under a dotted path.
fn at<'c>(config: &'c Value, path: &str) -> Option<&'c Value> {
    path.split('.').try_fold(config, |place, key| place.get(key))
}

/// The key that the hand-typed family uses.
const fn custom_key(field: Field) -> &'static str {
    match field {
        Field::NumLayers => "num_hidden_layers",
        Field::MaxSeqLen => "max_position_embeddings",
        Field::TopK => "num_experts_per_tok",
        Field::ExpertIntermediateSize => "moe_intermediate_size",
        Field::NumSharedExperts => "n_shared_experts",
        other => other.id(),
    }
}

/// Whether the family can become a hand-typed one without changing its network.
fn is_plain(model_type: &str) -> bool {
    matches!(model_type, "llama" | CUSTOM)
}

fn model_type(config: &Value) -> &str {
    let text = config.get("text_config").unwrap_or(config);
    text.get("model_type")
        .or_else(|| config.get("model_type"))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The configuration with this value of the field (0 or 1 for a switch; a window or a query rank of 0 means none).
pub fn edit(config: &Value, field: Field, value: u64) -> Result<Edited, Issue> {
    let path = format!("model.{}", field.id());
    let Value::Object(file) = config else {
        return Err(Issue::error(
            "wrong_type",
            path,
            "There is no configuration to change.",
        ));
    };
    if !field.range().contains(&value) {
        let range = field.range();
        let what = format!(
            "{} must be between {} and {}.",
            field.id(),
            range.start(),
            range.end()
        );
        return Err(Issue::error("out_of_range", path, what).with_value(value));
    }
    if field == Field::MoeEnabled {
        return switch_experts(config, value > 0);
    }
    let (before, findings) = survey(file);
    let mut edited = Edited {
        config: config.clone(),
        warnings: Vec::new(),
    };
    let family = model_type(config);
    let refuse = || {
        let what = format!("{} has no meaning in the family {family}.", field.id());
        Err(Issue::error("not_applicable", path.clone(), what).with_value(value))
    };
    let shown = observe(&before, field);
    let known = |field: Field| {
        findings
            .fields
            .iter()
            .find(|(known, paths)| *known == field && !paths.is_empty())
    };
    // Where the width of the experts stands under the key of the dense one, there is no dense one.
    let read_as = match field {
        Field::ExpertIntermediateSize if known(field).is_none() && shown.is_some() => Field::IntermediateSize,
        _ => field,
    };
    let dense = observe(&before, Field::IntermediateSize);
    if field == Field::IntermediateSize && dense.is_none() && family != CUSTOM {
        return refuse();
    }
    let usual = known(read_as).and_then(|(_, paths)| paths.first()).cloned();
    let found = at_present(config, &findings, read_as, shown).map(|found| found.0);
    let place = match found.or(usual) {
        Some(place) => place,
        None if is_plain(family) => {
            set(&mut edited.config, "model_type", Value::from(CUSTOM));
            custom_key(field).to_string()
        }
        None => return refuse(),
    };
    if field == Field::NumLayers {
        resize_lists(&mut edited, before.depth(), value, &path);
    }
    let new = match (at(config, &place), value) {
        (Some(Value::Array(_)), _) if field == Field::NumLayers => None,
        (Some(Value::Array(list)), _) => Some(list.iter().map(|_| Value::from(value)).collect()),
        (_, 0) if matches!(field, Field::SlidingWindow | Field::QLoraRank) => Some(Value::Null),
        _ if field.is_switch() => Some(Value::Bool(value > 0)),
        _ => Some(Value::from(value)),
    };
    if let Some(new) = new {
        set(&mut edited.config, &place, new);
    }
    if field == Field::FirstKDenseReplace {
        lead_dense(&mut edited.config, value);
    }
    if field == Field::SlidingWindow && value > 0 && !shows(&edited.config, field, value) {
        window_on(&mut edited.config);
    }
    let beyond =
        field == Field::SlidingWindow && before.max_positions.is_some_and(|longest| value >= longest);
    if beyond || shows(&edited.config, field, value) {
        return Ok(edited);
    }
    let what = format!("{} follows from other fields in the family {family}.", field.id());
    Err(Issue::error("not_applicable", path, what).with_value(value))
}

/// Whether the network has the value, as far as it shows it; a configuration with errors shows nothing.
fn shows(config: &Value, field: Field, value: u64) -> bool {
    let Value::Object(file) = config else {
        return true;
    };
    let (network, findings) = survey(file);
    let sound = !findings.issues.iter().any(Issue::is_error);
    !sound || observe(&network, field).is_none_or(|held| held == value)
}

/// The text stack of a configuration.
fn stack(config: &mut Value) -> Option<&mut Map<String, Value>> {
    let nested = config.get("text_config").is_some_and(Value::is_object);
    let place = if nested {
        config.get_mut("text_config")
    } else {
        Some(config)
    };
    place.and_then(Value::as_object_mut)
}

/// A list of feed-forward kinds follows the number of dense leading layers.
fn lead_dense(config: &mut Value, first: u64) {
    let list = stack(config).and_then(|stack| stack.get_mut("mlp_layer_types"));
    for (depth, kind) in list
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .enumerate()
    {
        *kind = Value::from(if (depth as u64) < first { "dense" } else { "sparse" });
    }
}

/// Where windows are switched by a flag of their own, a typed window switches it on for every layer.
fn window_on(config: &mut Value) {
    if let Some(stack) = stack(config) {
        stack.insert("use_sliding_window".to_string(), Value::Bool(true));
        stack.insert("max_window_layers".to_string(), Value::from(0));
    }
}

/// Writes a value under a dotted path; sections on the way are made where they are missing.
fn set(config: &mut Value, path: &str, value: Value) {
    let (section, key) = match path.split_once('.') {
        Some((section, rest)) => (Some(section), rest),
        None => (None, path),
    };
    let Value::Object(map) = config else { return };
    match section {
        Some(section) => {
            let inner = map.entry(section.to_string()).or_insert_with(|| json!({}));
            set(inner, key, value);
        }
        None => {
            map.insert(key.to_string(), value);
        }
    }
}

/// Lists and patterns with an entry per layer follow the number of layers.
fn resize_lists(edited: &mut Edited, old: u64, new: u64, path: &str) {
    fn walk(value: &mut Value, old: usize, new: usize, names: &mut Vec<String>, depth: u8) {
        let Value::Object(map) = value else { return };
        for (key, value) in map {
            match value {
                Value::Array(list) if list.len() == old && old != new => {
                    *list = resize(list, new);
                    names.push(key.clone());
                }
                // DeepSeek-V4 has entries for the next-token layers after those of the layers.
                Value::Array(list) if key == "compress_ratios" && list.len() > old && old != new => {
                    let rest = list.split_off(old);
                    *list = resize(list, new);
                    list.extend(rest);
                    names.push(key.clone());
                }
                Value::String(text) if key.contains("pattern") && text.chars().count() == old => {
                    let letters: Vec<char> = text.chars().collect();
                    *text = resize(&letters, new).into_iter().collect();
                    names.push(key.clone());
                }
                Value::Object(_) if depth < 2 && !key.contains("vision") && !key.contains("audio") => {
                    walk(value, old, new, names, depth + 1);
                }
                _ => {}
            }
        }
    }
    let (Ok(old), Ok(new)) = (usize::try_from(old), usize::try_from(new)) else {
        return;
    };
    let mut names = Vec::new();
    walk(&mut edited.config, old, new, &mut names, 0);
    if !names.is_empty() && old != new {
        let what = format!(
            "{} had one entry per layer: the pattern was {} {new} layers.",
            names.join(", "),
            if new > old { "repeated to" } else { "cut to" }
        );
        edited
            .warnings
            .push(Issue::warning("pattern_adjusted", path, what));
    }
}

/// Families with a twin that has experts.
const TWINS: &[(&str, &str)] = &[
    ("qwen2", "qwen2_moe"),
    ("qwen3", "qwen3_moe"),
    ("mistral", "mixtral"),
];

/// Turns the experts of a model on or off.
fn switch_experts(config: &Value, on: bool) -> Result<Edited, Issue> {
    let path = format!("model.{}", Field::MoeEnabled.id());
    let mut edited = Edited {
        config: config.clone(),
        warnings: Vec::new(),
    };
    let Value::Object(file) = config else {
        return Ok(edited);
    };
    let (network, findings) = survey(file);
    let sparse = network.kinds.iter().any(|layer| layer.moe().is_some());
    if sparse == on {
        return Ok(edited);
    }
    let family = model_type(config).to_string();
    let refuse = |what: &str| {
        let what = format!("Experts cannot be turned {what} in the family {family}.");
        Err(Issue::error("not_applicable", path.clone(), what))
    };
    if on {
        let twin = TWINS
            .iter()
            .find(|(dense, twin)| *dense == family && *twin != "mixtral");
        let name = match twin {
            Some((_, twin)) => *twin,
            None if is_plain(&family) => CUSTOM,
            None => return refuse("on"),
        };
        set(&mut edited.config, "model_type", Value::from(name));
        let width = 4 * network.hidden_size;
        for (key, value) in [
            ("num_experts", 8),
            ("num_experts_per_tok", 2),
            ("moe_intermediate_size", width),
        ] {
            if edited.config.get(key).is_none_or(Value::is_null) {
                set(&mut edited.config, key, Value::from(value));
            }
        }
        if name == "qwen2_moe" {
            set(
                &mut edited.config,
                "shared_expert_intermediate_size",
                Value::from(0),
            );
        }
        edited.warnings.push(Issue::warning(
            "assumed_default",
            path,
            format!("Experts are on: 8 of width {width}, 2 per token, unless typed otherwise."),
        ));
        return Ok(edited);
    }
    let twin = TWINS.iter().find(|(_, twin)| *twin == family);
    if twin.is_some() || family == CUSTOM {
        let name = twin.map_or("llama", |(dense, _)| *dense);
        set(&mut edited.config, "model_type", Value::from(name));
        if let Value::Object(map) = &mut edited.config {
            map.retain(|key, _| {
                !decoder::EXPERTS.contains(&key.as_str()) && !decoder::TOP_K.contains(&key.as_str())
            });
            for key in [
                "moe_intermediate_size",
                "n_shared_experts",
                "shared_expert_intermediate_size",
                "first_k_dense_replace",
                "moe_layer_freq",
                "decoder_sparse_step",
                "mlp_only_layers",
            ] {
                map.shift_remove(key);
            }
        }
        return Ok(edited);
    }
    // A family with dense leading layers becomes dense when all of them lead.
    let first = findings
        .fields
        .iter()
        .find(|(field, _)| *field == Field::FirstKDenseReplace);
    match first.and_then(|(_, paths)| paths.first()) {
        Some(place) => {
            set(&mut edited.config, place, Value::from(network.depth()));
            lead_dense(&mut edited.config, network.depth());
            Ok(edited)
        }
        None => refuse("off"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::network_from_config;
    use super::*;
    use crate::model::catalogue;

    fn network(config: &Value) -> Network {
        network_from_config(config).unwrap().network
    }

    fn typed(fields: &[(Field, u64)]) -> Value {
        fields.iter().fold(base_config(), |config, (field, value)| {
            edit(&config, *field, *value).unwrap().config
        })
    }

    #[test]
    fn typing_llama_2_gives_llama_2() {
        let config = typed(&[
            (Field::NumLayers, 32),
            (Field::HiddenSize, 4096),
            (Field::NumAttentionHeads, 32),
            (Field::IntermediateSize, 11_008),
            (Field::VocabSize, 32_000),
            (Field::MaxSeqLen, 4096),
        ]);
        assert_eq!(
            Some(network(&config)),
            catalogue::find("llama-2-7b").unwrap().network()
        );
    }

    #[test]
    fn experts_can_be_typed() {
        let config = typed(&[
            (Field::NumLayers, 4),
            (Field::HiddenSize, 256),
            (Field::NumAttentionHeads, 4),
            (Field::IntermediateSize, 512),
            (Field::MoeEnabled, 1),
            (Field::NumExperts, 6),
            (Field::TopK, 3),
            (Field::ExpertIntermediateSize, 128),
            (Field::NumSharedExperts, 2),
            (Field::FirstKDenseReplace, 1),
        ]);
        let network = network(&config);
        assert_eq!(network.routed_expert_parameters().get(), 3 * 6 * 3 * 128 * 256);
        let fields = read_fields(&config);
        assert!(fields.contains(&(Field::TopK, 3)) && fields.contains(&(Field::FirstKDenseReplace, 1)));
        let off = edit(&config, Field::MoeEnabled, 0).unwrap().config;
        assert_eq!(
            network_from_config(&off)
                .unwrap()
                .network
                .routed_expert_parameters()
                .get(),
            0
        );
    }

    #[test]
    fn every_field_of_every_model_reads_back() {
        let mut wrong = Vec::new();
        for entry in catalogue::all() {
            let Some(before) = entry.import() else { continue };
            let fields = read_fields(&entry.config);
            for (field, value) in &fields {
                let Ok(edited) = edit(&entry.config, *field, *value) else {
                    continue;
                };
                let after = network_from_config(&edited.config).map(|after| after.network.total_parameters());
                if after.as_ref() != Ok(&before.network.total_parameters()) {
                    wrong.push(format!("{}: {field:?} = {value}: {after:?}", entry.id));
                }
            }
            assert!(
                fields.iter().any(|(field, _)| *field == Field::NumLayers),
                "{}",
                entry.id
            );
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn layers_can_be_changed_everywhere() {
        let mut wrong = Vec::new();
        for entry in catalogue::all() {
            let Some(before) = entry.network() else { continue };
            for layers in [before.depth() + 8, before.depth() - 2] {
                match edit(&entry.config, Field::NumLayers, layers) {
                    Err(issue) => wrong.push(format!("{}: {issue:?}", entry.id)),
                    Ok(edited) => match network_from_config(&edited.config) {
                        Ok(after) if after.network.depth() == layers => {}
                        other => wrong.push(format!(
                            "{}: {:?}",
                            entry.id,
                            other.map(|after| after.network.depth())
                        )),
                    },
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Another value that keeps the configuration sound.
    fn other(field: Field, value: u64) -> u64 {
        match field {
            _ if field.is_switch() => 1 - value,
            Field::NumLayers | Field::NumExperts | Field::VocabSize => value + 8,
            Field::SlidingWindow => 96,
            Field::NumKeyValueHeads | Field::TopK => 1,
            Field::FirstKDenseReplace | Field::NumSharedExperts => value + 1,
            _ => value * 2,
        }
    }

    #[test]
    fn a_change_shows_or_is_refused() {
        let mut wrong = Vec::new();
        for entry in catalogue::all() {
            for (field, value) in read_fields(&entry.config) {
                let wanted = other(field, value);
                let Ok(edited) = edit(&entry.config, field, wanted) else {
                    continue;
                };
                let held = read_fields(&edited.config);
                let held = held
                    .iter()
                    .find(|(known, _)| *known == field)
                    .map(|found| found.1);
                if held != Some(wanted) && network_from_config(&edited.config).is_ok() {
                    wrong.push(format!(
                        "{} ({}): {field:?} {value} -> {wanted}: {held:?}",
                        entry.id,
                        entry.family()
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn what_does_not_apply_is_refused() {
        let gpt2 = &catalogue::find("gpt2").unwrap().config;
        assert_eq!(
            edit(gpt2, Field::KvLoraRank, 64).unwrap_err().code,
            "not_applicable"
        );
        assert_eq!(edit(gpt2, Field::NumLayers, 0).unwrap_err().code, "out_of_range");
        assert_eq!(
            edit(gpt2, Field::MoeEnabled, 1).unwrap_err().code,
            "not_applicable"
        );
    }
}
