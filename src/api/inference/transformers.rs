//! What only Transformers' `generate` reads.

use super::super::given::Given;
use super::super::resolve::{Model, Report};
use crate::inference::engines::transformers::{Attention, CacheKind, Experts, Options, Sampling};
use crate::model::catalogue;
use crate::request::InputId;
use crate::warn::Issue;

/// The version that was read.
const VERSION: &str = "5.23.0";

/// The options of `generate`.
pub fn options(given: &Given, model: &Model, report: &mut Report) -> Options {
    version(given, report);
    let cached = given.toggle(InputId::UseKvCache) != Some(false);
    let typed = |id| given.typed_integer(id);
    let sampling = if given.toggle(InputId::DoSample) == Some(true) {
        let all = given.integer(InputId::SamplingTopK) == Some(0);
        let whole = given
            .number(InputId::SamplingTopP)
            .is_none_or(|share| share >= 1.0);
        if all && whole {
            Sampling::Plain
        } else {
            Sampling::Filtered
        }
    } else {
        Sampling::Greedy
    };
    Options {
        attention: attention(given, model, report),
        padding: given.toggle(InputId::Padding) == Some(true),
        cache: match given.choice(InputId::CacheImplementation) {
            _ if !cached => CacheKind::None,
            Some("static") => CacheKind::Static,
            Some("offloaded") => CacheKind::Offloaded,
            _ => CacheKind::Dynamic,
        },
        chunk: typed(InputId::PrefillChunk),
        all_logits: given.toggle(InputId::AllLogits) == Some(true),
        beams: given.integer(InputId::NumBeams).unwrap_or(1),
        sampling,
        output_scores: given.toggle(InputId::OutputScores) == Some(true),
        experts: match given.choice(InputId::ExpertsImplementation) {
            Some("grouped_mm") => Experts::Grouped,
            Some("batched_mm") => Experts::Batched,
            _ => Experts::Default,
        },
        assistant: assistant(given, model, report),
        drafts: given.integer(InputId::AssistantTokens).unwrap_or(20),
    }
}

fn version(given: &Given, report: &mut Report) {
    match given.text(InputId::ServerVersion) {
        None => report.assume(
            InputId::ServerVersion,
            VERSION,
            "the version that was read and traced",
        ),
        Some(version) if version.starts_with("5.") => {}
        Some(version) => report.add(
            Issue::warning(
                "assumed",
                InputId::ServerVersion.key(),
                format!("Only Transformers {VERSION} was read; {version} is answered as that."),
            )
            .with_value(version),
        ),
    }
}

/// SDPA where the class has it; Gemma 2 (soft-capped scores) and gpt-oss (sinks) fall back to eager (transformers 5.23.0
/// `modeling_gemma2.py`, `modeling_gpt_oss.py`: `_supports_sdpa = False`).
fn attention(given: &Given, model: &Model, report: &mut Report) -> Attention {
    match given.choice(InputId::ServerAttention) {
        Some("eager") => Attention::Eager,
        Some("flash_attention_2") => Attention::Flash,
        Some("math") => Attention::Math,
        Some(_) => Attention::Sdpa,
        None => {
            let eager = matches!(model.network.model_type.as_str(), "gemma2" | "gpt_oss");
            let (name, kind) = if eager {
                ("eager", Attention::Eager)
            } else {
                ("sdpa", Attention::Sdpa)
            };
            report.assume(InputId::ServerAttention, name, "what the model's class chooses");
            kind
        }
    }
}

/// The model that drafts. `generate` then takes one sequence, neither beams nor a static cache, and the whole prompt at once
/// (transformers 5.23.0 `generation/utils.py` _assisted_decoding; beams are set aside by `get_generation_mode`).
fn assistant(
    given: &Given,
    model: &Model,
    report: &mut Report,
) -> Option<std::sync::Arc<crate::model::Network>> {
    let Some(name) = given.text(InputId::AssistantModel) else {
        if given.differs_from_default(InputId::AssistantTokens) {
            report.warn("not_used", InputId::AssistantTokens, "No model drafts.");
        }
        return None;
    };
    let beyond = |id, most| given.integer(id).is_some_and(|count| count > most);
    for (refused, id, why) in [
        (
            beyond(InputId::Sequences, 1),
            InputId::Sequences,
            "Assisted decoding takes one sequence.",
        ),
        (
            beyond(InputId::NumBeams, 1),
            InputId::NumBeams,
            "Assisted decoding has no beams.",
        ),
        (
            given.choice(InputId::CacheImplementation) == Some("static"),
            InputId::CacheImplementation,
            "Assisted decoding does not work on a static cache.",
        ),
        (
            given.toggle(InputId::UseKvCache) == Some(false),
            InputId::UseKvCache,
            "Assisted decoding needs a cache.",
        ),
    ] {
        if refused {
            report.error("unsupported_combination", id, why);
        }
    }
    if given.has(InputId::PrefillChunk) {
        report.warn(
            "not_used",
            InputId::PrefillChunk,
            "Assisted decoding takes the prompt at once, with the first draft.",
        );
    }
    let network = catalogue::find(&name)
        .and_then(catalogue::Entry::shared)
        .map(|shared| shared.network.clone());
    if network.is_none() {
        report.add(
            Issue::error(
                "not_found",
                InputId::AssistantModel.key(),
                format!("{name:?} is not in the catalogue of models."),
            )
            .with_value(name),
        );
    } else if network
        .as_ref()
        .is_some_and(|drafter| drafter.vocabulary != model.network.vocabulary)
    {
        report.warn(
            "assumed",
            InputId::AssistantModel,
            "The models have other vocabularies: generate() needs both tokenizers then, and re-encodes the drafts.",
        );
    }
    network
}
