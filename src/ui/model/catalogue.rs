//! The searchable list of catalogue models, and what choosing one means for the fields typed so far.

use std::sync::Arc;

use leptos::prelude::*;
use serde_json::Value;

use super::super::fields::{Choice, Combobox, from_model, plain};
use super::super::format::parameters;
use super::super::state::Form;
use crate::api::{self, INPUTS, InputId, ModelEntry, Request};

/// The name of the line for an architecture of one's own.
const OWN: &str = "None: type the fields";
/// Id of the choice, as its input names it.
const ID: &str = "model-id";

/// The searchable list.
pub fn choice(form: Form, described_by: Signal<String>) -> AnyView {
    let choices = Memo::new(move |_| {
        // The list counts every model, so it waits for all families.
        let at_hand = form.families.get() == Some(true);
        Arc::new(if at_hand { choices() } else { Vec::new() })
    });
    let typed = form.typed(InputId::ModelId);
    let imported = form.typed(InputId::HfConfig);
    let value = Signal::derive(move || typed.get().map(|value| plain(&value)).unwrap_or_default());
    let shown = Signal::derive(move || {
        if imported.with(Option::is_some) {
            return "Imported config.json".to_owned();
        }
        let value = value.get();
        match value.as_str() {
            "" => OWN.to_owned(),
            id => api::model_name(id).map_or(value, str::to_owned),
        }
    });
    let on_choose = Callback::new(move |id: String| {
        let mut request = form.page_request();
        forget_model(&mut request);
        if !id.is_empty() {
            request.set(InputId::ModelId, Value::from(id));
        }
        form.replace(request);
    });
    let invalid = Signal::derive(move || form.issues(InputId::ModelId).iter().any(|issue| issue.is_error()));
    view! {
        <Combobox
            id=ID
            choices=choices
            value=value
            shown=shown
            on_choose=on_choose
            described_by=described_by
            invalid=invalid
            placeholder="Search the catalogue"
        />
    }
    .into_any()
}

/// Leaves open every input that says what the model is.
pub fn forget_model(request: &mut Request) {
    let sources = [
        InputId::ModelId,
        InputId::ModelName,
        InputId::HfConfig,
        InputId::NumParameters,
    ];
    for input in INPUTS
        .iter()
        .filter(|input| from_model(input) || sources.contains(&input.id))
    {
        request.clear(input.id);
    }
}

/// Every model of the catalogue under the organisation that published it, and the line for typed fields.
fn choices() -> Vec<Choice> {
    let own = Choice {
        value: String::new(),
        label: OWN.to_owned(),
        detail: String::new(),
        group: "Your own".to_owned(),
        search: "none own custom type fields architecture".to_owned(),
    };
    let mut groups: Vec<(&str, Vec<Choice>)> = Vec::new();
    for model in api::models() {
        let publisher = publisher(model);
        let line = line(model, publisher);
        match groups.iter_mut().find(|(name, _)| *name == publisher) {
            Some((_, lines)) => lines.push(line),
            None => groups.push((publisher, vec![line])),
        }
    }
    let models = groups.into_iter().flat_map(|(_, lines)| lines);
    std::iter::once(own).chain(models).collect()
}

/// Who published it, as its name on the hub says.
fn publisher(model: &ModelEntry) -> &'static str {
    model
        .hf_id
        .split_once('/')
        .map_or("Described, not published", |(publisher, _)| publisher)
}

fn line(model: &ModelEntry, publisher: &str) -> Choice {
    let names: Vec<&str> = model.names().collect();
    Choice {
        value: model.id.to_owned(),
        label: model.name.to_owned(),
        detail: parameters(model.total_parameters.get()),
        group: publisher.to_owned(),
        search: names.join(" ").to_ascii_lowercase(),
    }
}
