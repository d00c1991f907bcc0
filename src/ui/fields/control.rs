//! The control of an input by its kind: a text field, a menu, a switch, an area for JSON.
//!
//! What is typed goes into the request as it is typed, valid or not; the answer says what is wrong with it.

use leptos::prelude::*;
use serde_json::Value;

use super::super::state::{use_form, value_of};
use super::field::{control_id, described_by};
use super::messages::plain;
use crate::api::{Availability, Choice, FormGroup, Input, InputDefault, InputId, InputKind};

/// The control of an input.
pub fn control(input: &'static Input) -> AnyView {
    match input.kind {
        InputKind::Choice(choices) => menu(input, choices),
        InputKind::Toggle => toggle(input),
        InputKind::Integer { .. }
        | InputKind::Count { .. }
        | InputKind::Number { .. }
        | InputKind::Text { .. }
        | InputKind::List { .. }
        | InputKind::Json => text(input),
    }
}

/// Whether the model supplies this input when it is left open.
pub fn from_model(input: &Input) -> bool {
    matches!(
        input.group,
        FormGroup::Architecture | FormGroup::Attention | FormGroup::Experts
    )
}

fn invalid(input: &'static Input) -> Signal<bool> {
    let form = use_form();
    Signal::derive(move || form.issues(input.id).iter().any(|issue| issue.is_error()))
}

/// A text field. Inputs that the model supplies show the model's value until something else is typed; the others show
/// their default as a placeholder.
fn text(input: &'static Input) -> AnyView {
    let form = use_form();
    let typed = form.typed(input.id);
    let given = form.given(input.id);
    // What is being typed while it says the same as the model, or nothing.
    let draft = RwSignal::new(None::<String>);
    let shown = move || {
        if let Some(draft) = draft.get() {
            return draft;
        }
        match typed.get() {
            Some(value) => plain(&value),
            None => given.get().unwrap_or_default(),
        }
    };
    let on_input = move |event| {
        let text = event_target_value(&event);
        let same = given.with_untracked(|given| given.as_deref() == Some(text.trim()));
        form.set(input.id, if same { None } else { value_of(input, &text) });
        draft.set(Some(text));
    };
    let placeholder = move || match input.default {
        InputDefault::Fixed(value) => value.to_owned(),
        InputDefault::Derived(_) => form
            .resolved(input.id)
            .unwrap_or_else(|| unknown(input).to_owned()),
        InputDefault::None if from_model(input) => "none".to_owned(),
        InputDefault::None => String::new(),
    };
    let numeric = matches!(input.kind, InputKind::Integer { .. });
    let described = described_by(input);
    let invalid = invalid(input);
    let inside = has_room_for_unit(input);
    let unit = input.unit.filter(|_| inside).map(|unit| {
        let style = format!("--unit-width: calc({}ch + 1.75rem)", unit.chars().count());
        (
            style,
            view! { <span class="unit" aria-hidden="true">{unit}</span> },
        )
    });
    let (style, unit) = unit.unzip();
    let slider = sliding(input.id).map(|range| slider(input, range));
    view! {
        <div class="control" style=style>
            <input
                id=control_id(input)
                class="input"
                class:input-unit=inside && input.unit.is_some()
                type="text"
                inputmode=if numeric { "numeric" } else { "text" }
                autocomplete="off"
                spellcheck="false"
                placeholder=placeholder
                aria-describedby=move || described.get()
                aria-invalid=move || invalid.get().then_some("true")
                prop:value=shown
                on:input=on_input
                on:blur=move |_| draft.set(None)
            />
            {unit}
        </div>
        {slider}
    }
    .into_any()
}

/// The values that are usual for an input, as first, last and step of a slider; nothing where it has none.
const fn sliding(id: InputId) -> Option<[&'static str; 3]> {
    match id {
        InputId::GpuMemoryUtilization => Some(["0.5", "0.95", "0.05"]),
        InputId::BatchSize => Some(["1", "128", "1"]),
        _ => None,
    }
}

/// A slider over the usual values, beside the field for any other. It stands at its end where the field goes beyond.
fn slider(input: &'static Input, [first, last, step]: [&'static str; 3]) -> AnyView {
    let form = use_form();
    let typed = form.typed(input.id);
    let value = move || {
        let text = typed.get().map(|value| plain(&value));
        let default = || match input.default {
            InputDefault::Fixed(value) => Some(value.to_owned()),
            InputDefault::Derived(_) | InputDefault::None => form.resolved(input.id),
        };
        text.or_else(default).unwrap_or_default()
    };
    let described = described_by(input);
    view! {
        <input
            id=format!("{}-slider", control_id(input))
            class="slider"
            type="range"
            min=first
            max=last
            step=step
            aria-label=format!("{}, slider", input.label)
            aria-describedby=move || described.get()
            prop:value=value
            on:input=move |event| form.set(input.id, value_of(input, &event_target_value(&event)))
        />
    }
    .into_any()
}

/// Whether unit and default stand side by side in a narrow field.
pub fn has_room_for_unit(input: &Input) -> bool {
    let default = match input.default {
        InputDefault::Fixed(value) => value.len(),
        InputDefault::Derived(_) | InputDefault::None => 4,
    };
    input.unit.is_none_or(|unit| unit.len() + default <= 13)
}

/// What an empty field says while nothing is known about it.
fn unknown(input: &Input) -> &'static str {
    match input.id {
        InputId::NumParameters => "such as 7B",
        _ => "automatic",
    }
}

/// A menu; the first line stands for the default.
fn menu(input: &'static Input, choices: &'static [Choice]) -> AnyView {
    let options = choices
        .iter()
        .map(|choice| {
            let mark = if choice.availability == Availability::Planned {
                " (in work)"
            } else {
                ""
            };
            (choice.value, format!("{}{mark}", choice.label))
        })
        .collect();
    select(input, options, Value::from)
}

/// A switch where the default is fixed; a menu of automatic, yes and no where it follows from something else.
fn toggle(input: &'static Input) -> AnyView {
    let InputDefault::Fixed(default) = input.default else {
        return yes_or_no(input);
    };
    if from_model(input) {
        return yes_or_no(input);
    }
    let form = use_form();
    let typed = form.typed(input.id);
    let default = default == "true";
    let described = described_by(input);
    let invalid = invalid(input);
    let on = move || typed.get().as_ref().and_then(Value::as_bool).unwrap_or(default);
    view! {
        <div class="switch">
            <input
                id=control_id(input)
                type="checkbox"
                aria-describedby=move || described.get()
                aria-invalid=move || invalid.get().then_some("true")
                prop:checked=on
                on:change=move |event| {
                    let on = event_target_checked(&event);
                    form.set(input.id, (on != default).then_some(Value::Bool(on)));
                }
            />
            <span class="soft" aria-hidden="true">{move || if on() { "on" } else { "off" }}</span>
        </div>
    }
    .into_any()
}

fn yes_or_no(input: &'static Input) -> AnyView {
    select(
        input,
        vec![("true", "yes".to_owned()), ("false", "no".to_owned())],
        |value| Value::Bool(value == "true"),
    )
}

/// A native menu. Without a fixed default its first line leaves the input open.
fn select(
    input: &'static Input,
    options: Vec<(&'static str, String)>,
    json: impl Fn(&'static str) -> Value + Copy + Send + 'static,
) -> AnyView {
    let form = use_form();
    let typed = form.typed(input.id);
    let fixed = match input.default {
        InputDefault::Fixed(value) if !from_model(input) => Some(value),
        _ => None,
    };
    let known: Vec<&'static str> = options.iter().map(|(value, _)| *value).collect();
    let current = {
        let known = known.clone();
        Memo::new(move |_| {
            let text = typed.get().map(|value| plain(&value)).unwrap_or_default();
            let lower = text.to_ascii_lowercase();
            match canonical(input, &lower).or_else(|| known.iter().copied().find(|value| *value == lower)) {
                Some(value) => value.to_owned(),
                None if text.is_empty() => fixed.unwrap_or_default().to_owned(),
                None => text,
            }
        })
    };
    let automatic = fixed.is_none().then(|| {
        let given = form.given(input.id);
        let text = move || {
            let value = given.get().or_else(|| form.resolved(input.id));
            let head = if from_model(input) {
                "as the model"
            } else {
                "automatic"
            };
            value.map_or_else(|| head.to_owned(), |value| format!("{head}: {}", word(&value)))
        };
        view! { <option value="" selected=move || current.get().is_empty()>{text}</option> }
    });
    let stranger = {
        let known = known.clone();
        move || {
            let current = current.get();
            (!current.is_empty() && !known.contains(&current.as_str()))
                .then(|| view! { <option value=current.clone() selected=true>{current.clone()}</option> })
        }
    };
    let lines = options
        .into_iter()
        .map(|(value, label)| {
            view! { <option value=value selected=move || current.get() == value>{label}</option> }
        })
        .collect_view();
    let described = described_by(input);
    let invalid = invalid(input);
    view! {
        <div class="control">
            <select
                id=control_id(input)
                class="select"
                aria-describedby=move || described.get()
                aria-invalid=move || invalid.get().then_some("true")
                prop:value=move || current.get()
                on:change=move |event| {
                    let chosen = event_target_value(&event);
                    let value = known.iter().copied().find(|value| *value == chosen);
                    form.set(input.id, value.filter(|value| Some(*value) != fixed).map(json));
                }
            >
                {automatic}
                {lines}
                {stranger}
            </select>
            <svg viewBox="0 0 16 16" aria-hidden="true">
                <path d="M4 6l4 4 4-4" fill="none" stroke="currentColor" stroke-width="1.6" />
            </svg>
        </div>
    }
    .into_any()
}

/// The canonical value of an alias.
fn canonical(input: &'static Input, lower: &str) -> Option<&'static str> {
    input
        .kind
        .choices()
        .iter()
        .find(|choice| choice.value == lower || choice.aliases.contains(&lower))
        .map(|choice| choice.value)
}

fn word(value: &str) -> String {
    match value {
        "true" => "yes".to_owned(),
        "false" => "no".to_owned(),
        other => other.to_owned(),
    }
}
