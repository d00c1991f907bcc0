//! The architecture fields: typed over the source, checked against each other, and listed with their source values.

use serde_json::Value;

use super::super::given::Given;
use super::Report;
use super::observe::observe;
use super::source::{self, Source};
use crate::model::Network;
use crate::request::{InputId, ModelField, ModelSource};
use crate::warn::Issue;

/// The inputs that describe an architecture.
pub const ARCHITECTURE: [InputId; 29] = [
    InputId::NumLayers,
    InputId::HiddenSize,
    InputId::IntermediateSize,
    InputId::MlpGated,
    InputId::HiddenAct,
    InputId::VocabSize,
    InputId::TieWordEmbeddings,
    InputId::Norm,
    InputId::MaxSeqLen,
    InputId::NumAttentionHeads,
    InputId::NumKeyValueHeads,
    InputId::HeadDim,
    InputId::AttentionBias,
    InputId::SlidingWindow,
    InputId::LayerTypes,
    InputId::QLoraRank,
    InputId::KvLoraRank,
    InputId::QkNopeHeadDim,
    InputId::QkRopeHeadDim,
    InputId::VHeadDim,
    InputId::MoeEnabled,
    InputId::NumExperts,
    InputId::TopK,
    InputId::ExpertIntermediateSize,
    InputId::NumSharedExperts,
    InputId::SharedExpertIntermediateSize,
    InputId::FirstKDenseReplace,
    InputId::MoeLayerFreq,
    InputId::NumNextnPredictLayers,
];

/// Fields that mean something only to a sparse model.
const SPARSE: [InputId; 7] = [
    InputId::NumExperts,
    InputId::TopK,
    InputId::ExpertIntermediateSize,
    InputId::NumSharedExperts,
    InputId::SharedExpertIntermediateSize,
    InputId::FirstKDenseReplace,
    InputId::MoeLayerFreq,
];

/// Whether any architecture field is typed. The longest sequence alone describes no architecture.
pub fn any(given: &Given) -> bool {
    ARCHITECTURE
        .iter()
        .any(|id| given.has(*id) && *id != InputId::MaxSeqLen)
}

/// The value that holds: the typed one, else that of the source.
pub fn value(given: &Given, source: &Source, id: InputId) -> Option<Value> {
    given
        .get(id)
        .map(super::super::read::Typed::to_json)
        .or_else(|| source.original(id))
}

fn whole(given: &Given, source: &Source, id: InputId) -> Option<u64> {
    value(given, source, id)?.as_u64()
}

/// Whether the model is sparse, by what is typed and by its source.
pub fn is_sparse(given: &Given, source: &Source) -> bool {
    value(given, source, InputId::MoeEnabled).and_then(|value| value.as_bool()) == Some(true)
}

/// Puts the typed fields into the configuration of the source.
pub fn edit(given: &Given, source: &mut Source, report: &mut Report) {
    let sparse = is_sparse(given, source);
    // Turning experts on comes first, so that there is something for the others to change.
    let order = [InputId::MoeEnabled]
        .into_iter()
        .chain(ARCHITECTURE.into_iter().filter(|id| *id != InputId::MoeEnabled));
    for id in order {
        let Some(typed) = given.get(id).map(super::super::read::Typed::to_json) else {
            continue;
        };
        if !sparse && SPARSE.contains(&id) {
            report.add(
                Issue::warning(
                    "not_used",
                    id.key(),
                    format!("{} means nothing to a model without experts.", id.input().label),
                )
                .with_value(typed)
                .with_hint("Turn model.moe_enabled on."),
            );
            continue;
        }
        if source.original(id).as_ref() == Some(&typed) {
            continue;
        }
        if id == InputId::MoeEnabled && source.kind != ModelSource::Fields {
            report.warn(
                "assumed",
                id,
                "The family of this model is dense or sparse for good: with experts switched it is read as a generic decoder of the same sizes.",
            );
        }
        if let Err(issue) = source::edit(&mut source.config, id, &typed) {
            report.add(issue.with_value(typed));
        }
    }
}

/// What must divide what, by the input that has to change.
pub fn check(given: &Given, source: &Source, report: &mut Report) {
    let latent = value(given, source, InputId::KvLoraRank).is_some();
    let typed = |id| given.get(id).is_some();
    let heads = whole(given, source, InputId::NumAttentionHeads);
    let kv = whole(given, source, InputId::NumKeyValueHeads);
    let hidden = whole(given, source, InputId::HiddenSize);
    if let (Some(heads), Some(kv), false) = (heads, kv, latent)
        && (typed(InputId::NumAttentionHeads) || typed(InputId::NumKeyValueHeads))
        && heads % kv.max(1) != 0
    {
        let id = if typed(InputId::NumKeyValueHeads) {
            InputId::NumKeyValueHeads
        } else {
            InputId::NumAttentionHeads
        };
        report.error(
            "not_divisible",
            id,
            format!("{heads} attention heads cannot be shared among {kv} key/value heads."),
        );
    }
    if let (Some(heads), Some(hidden), false) = (heads, hidden, latent)
        && (typed(InputId::NumAttentionHeads) || typed(InputId::HiddenSize))
        && source.kind == ModelSource::Fields
        && !given.has(InputId::HeadDim)
        && hidden % heads != 0
    {
        report.add(
            Issue::error(
                "not_divisible",
                InputId::NumAttentionHeads.key(),
                format!("A hidden size of {hidden} cannot be divided into {heads} heads."),
            )
            .with_value(heads)
            .with_hint("Where the model has another head size, type model.head_dim."),
        );
    }
    if is_sparse(given, source) {
        let experts = whole(given, source, InputId::NumExperts).unwrap_or(8);
        let top_k = whole(given, source, InputId::TopK).unwrap_or(2);
        if top_k > experts && (typed(InputId::NumExperts) || typed(InputId::TopK)) {
            report.add(
                Issue::error(
                    "top_k_exceeds_experts",
                    InputId::TopK.key(),
                    format!("A token cannot use {top_k} of {experts} experts."),
                )
                .with_value(top_k),
            );
        }
    }
}

/// Every field that the network has, with the value of the source.
pub fn list(given: &Given, source: &Source, network: &Network) -> Vec<ModelField> {
    ARCHITECTURE
        .into_iter()
        .filter_map(|id| {
            let value = observe(network, id).or_else(|| source::read(&source.config, id))?;
            let source_value = match source.kind {
                ModelSource::Fields => None,
                _ => source.original(id),
            };
            let differs = source_value.as_ref() != Some(&value);
            Some(ModelField {
                path: id.key(),
                edited: source.kind != ModelSource::Fields && given.get(id).is_some() && differs,
                value,
                source_value,
            })
        })
        .collect()
}
