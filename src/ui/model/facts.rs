//! What is known about the model: exact counts, and where the architecture comes from.

use leptos::prelude::*;

use super::super::format::{grouped, parameters};
use super::super::state::use_form;
use crate::api::{InputDefault, InputId, ModelSource, ModelSummary};
use crate::units::Count;

/// The counts of the model, as soon as its own fields are valid.
pub fn facts() -> AnyView {
    let form = use_form();
    let view = move || {
        form.model
            .with(|model| model.as_deref().map(|model| list(&model.summary)))
    };
    view! { {view} }.into_any()
}

fn list(model: &ModelSummary) -> AnyView {
    let none = Count::ZERO;
    let sparse = model.active_parameters != model.total_parameters;
    let shown = [
        ("total", "Parameters", model.total_parameters, true),
        ("active", "Active per token", model.active_parameters, sparse),
        ("embedding", "Embedding", model.embedding_parameters, true),
        (
            "head",
            "Head",
            model.head_parameters,
            model.head_parameters != none,
        ),
        (
            "expert",
            "Routed experts",
            model.expert_parameters,
            model.expert_parameters != none,
        ),
        (
            "tower",
            "Vision and audio",
            model.tower_parameters,
            model.tower_parameters != none,
        ),
        (
            "mtp",
            "Next-token layers",
            model.mtp_parameters,
            model.mtp_parameters != none,
        ),
    ];
    let items = shown
        .into_iter()
        .filter(|(_, _, _, show)| *show)
        .map(|(key, label, count, _)| {
            view! {
                <div data-count=key data-value=count.get().to_string()>
                    <dt>{label}</dt>
                    <dd>{parameters(count.get())}<small>{grouped(count.get())}</small></dd>
                </div>
            }
        })
        .collect_view();
    let source = match model.source {
        ModelSource::HfConfig => "Architecture from the config.json.",
        ModelSource::Catalogue => "Architecture from the catalogue.",
        ModelSource::Fields => "Architecture as typed.",
        ModelSource::ParameterCount => "Nearest typical architecture to the parameter count.",
    };
    let given = model
        .given_parameters
        .filter(|given| *given != model.total_parameters.get())
        .map(|given| {
            format!(
                " Typed: {}; counted from the architecture: {}.",
                grouped(given),
                grouped(model.total_parameters.get())
            )
        });
    let number = |path: &str| {
        let field = model.fields.iter().find(|field| field.path == path);
        field.and_then(|field| field.value.as_u64())
    };
    let routed = number(InputId::TopK.key())
        .zip(number(InputId::NumExperts.key()))
        .filter(|_| model.expert_parameters != none)
        .map(|(active, all)| {
            format!(
                " {} of {} experts active per token.",
                grouped(active),
                grouped(all)
            )
        });
    // A config.json has no name of its own.
    let name = match model.source {
        ModelSource::HfConfig if Some(model.name.as_str()) == unnamed() => model.family.clone(),
        _ => format!("{} · {}", model.name, model.family),
    };
    view! {
        <div id="model-facts">
            <dl class="facts">{items}</dl>
            <p class="facts-source">{format!("{name}. ")} {source} <span id="model-routed">{routed}</span> {given}</p>
        </div>
    }
    .into_any()
}

/// The name of a model that was given none.
fn unnamed() -> Option<&'static str> {
    match InputId::ModelName.input().default {
        InputDefault::Fixed(name) => Some(name),
        InputDefault::Derived(_) | InputDefault::None => None,
    }
}
