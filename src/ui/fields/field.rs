//! One question of the form, made from its entry in the input registry: label, unit, control, help, messages.

use leptos::prelude::*;

use super::super::format::difference;
use super::super::state::use_form;
use super::control;
use super::messages::messages;
use crate::api::{Availability, Input, InputDefault, InputId, InputKind};

/// The id of the control of an input.
pub fn control_id(input: &Input) -> String {
    input.key.replace(['.', '_'], "-")
}

/// A question with everything that belongs to it.
pub fn field(id: InputId) -> AnyView {
    let input = id.input();
    let dom_id = control_id(input);
    let wide = matches!(input.kind, InputKind::Json | InputKind::List { .. });
    let form = use_form();
    let changed = form.changed(id);
    let brought = form.brought(id);
    let body = control::control(input);
    let label = label(input, &dom_id);
    view! {
        <div
            class="field"
            class:field-wide=wide
            class:field-changed=move || changed.get()
            class:field-brought=move || brought.get()
            data-input=input.key
        >
            {framed(id, label, body)}
        </div>
    }
    .into_any()
}

/// Head, control, help and messages of a question; also used around the choices of model and GPU.
pub fn framed(id: InputId, label: AnyView, control: AnyView) -> AnyView {
    let input = id.input();
    let dom_id = control_id(input);
    let help_open = RwSignal::new(false);
    let form = use_form();
    let changed = form.changed(id);
    let given = form.given(id);
    let brought = form.brought(id);
    let help_id = format!("{dom_id}-help");
    // The words come after the first answer.
    let told = move |words: &dyn Fn() -> AnyView| {
        form.families.get();
        words()
    };
    let put_back = move |_| {
        form.put_back(id);
        super::super::dom::focus(&control_id(input));
    };
    // What was opened to read goes away without moving the focus (WCAG 2.2, 1.4.13).
    let on_key = move |event: leptos::ev::KeyboardEvent| {
        if event.key() == "Escape" && help_open.get_untracked() {
            event.prevent_default();
            event.stop_propagation();
            help_open.set(false);
        }
    };
    view! {
        <div class="field-head" on:keydown=on_key>
            {label}
            <button
                type="button"
                class="help-button"
                aria-expanded=move || if help_open.get() { "true" } else { "false" }
                aria-controls=help_id.clone()
                aria-label=format!("Help: {}", input.label)
                on:click=move |_| help_open.update(|open| *open = !*open)
            >
                <span aria-hidden="true">"?"</span>
            </button>
            {effect(id)}
            {move || brought.get().then(|| view! { <span class="field-mark">"imported"</span> })}
            {move || changed.get().then(|| view! {
                <button
                    type="button"
                    class="field-put-back"
                    title=move || given.get().map(|given| format!("Changed. The model says {given}."))
                    aria-label=format!("{} is changed: put back the model's value", input.label)
                    on:click=put_back
                >
                    "↩ put back"
                </button>
            })}
        </div>
        <p class="field-brief" aria-hidden="true">{move || told(&|| brief(input).into_any())}</p>
        {control}
        <p class="field-help" id=help_id hidden=move || !help_open.get()>
            {move || told(&|| view! { {input.words().help} {origin(input)} }.into_any())}
        </p>
        {messages(id)}
    }
    .into_any()
}

/// What the last change of this input did to the need.
fn effect(id: InputId) -> impl IntoView {
    let form = use_form();
    let own = Memo::new(move |_| form.effect.get().filter(|change| change.input == id));
    move || {
        let (before, now) = own.get()?.need;
        let (class, words) = match difference(before, now) {
            Some(words) if now > before => ("field-effect field-effect-more", words),
            Some(words) => ("field-effect field-effect-less", words),
            None => ("field-effect", "same need".to_owned()),
        };
        Some(view! { <span class=class title="What this change does to the need of one GPU">{words}</span> })
    }
}

/// The label with the unit for a screen reader and the mark of what is not built yet.
pub fn label(input: &'static Input, dom_id: &str) -> AnyView {
    // Where the control has no room for the unit, the label shows it.
    let class = if control::has_room_for_unit(input) {
        "visually-hidden"
    } else {
        "soft"
    };
    let unit = input
        .unit
        .map(|unit| view! { <span class=class>{format!(" in {unit}")}</span> });
    let planned = (input.availability == Availability::Planned)
        .then(|| view! { " " <span class="tag">"in work"</span> });
    let no_effect = (input.availability == Availability::ExportsOnly)
        .then(|| view! { " " <span class="tag">"exports only"</span> });
    view! {
        <label class="field-label" for=dom_id.to_owned()>{input.label} {unit} {planned} {no_effect}</label>
    }
    .into_any()
}

/// The help in one line, and what holds when the input is left open.
fn brief(input: &'static Input) -> String {
    let help = input.words().help;
    let first = help.split_inclusive(". ").next().unwrap_or(help).trim_end();
    match input.default {
        InputDefault::Fixed(value) => format!("{first} Default: {value}."),
        InputDefault::Derived(from) => format!("{first} Default: {from}."),
        InputDefault::None => first.to_owned(),
    }
}

/// Where the default comes from, and the source of the rule.
fn origin(input: &'static Input) -> AnyView {
    let default = match input.default {
        InputDefault::Fixed(value) => Some(format!("Default: {value}.")),
        InputDefault::Derived(from) => Some(format!("When left open: {from}.")),
        InputDefault::None => None,
    };
    let source = input.words().citation.map(|citation| {
        view! { " Source: " <span translate="no">{citation.source}</span> ". " }
    });
    let flag = format!("Command line: {}.", input.flag);
    view! { <span class="field-help-source">{default} " " {source} {flag}</span> }.into_any()
}

/// The ids of help and messages, for `aria-describedby`.
pub fn described_by(input: &'static Input) -> Signal<String> {
    let dom_id = control_id(input);
    let form = use_form();
    Signal::derive(move || {
        let message = !form.issues(input.id).is_empty();
        if message {
            format!("{dom_id}-help {dom_id}-message")
        } else {
            format!("{dom_id}-help")
        }
    })
}

/// Opens the group in which a control stands, scrolls to it and moves the focus there.
pub fn reveal_input(dom_id: &str) {
    let open = |selector: &str| {
        if let Some(details) = super::super::dom::first(selector) {
            let _ = details.set_attribute("open", "");
        }
    };
    let turn = std::time::Duration::from_millis(30);
    let dom_id = dom_id.to_owned();
    // All settings build their groups, and a group its fields, when they open; they stand in the page one turn later.
    if super::super::dom::find(&dom_id).is_none() {
        open("#all-settings");
    }
    set_timeout(
        move || {
            open(&format!("[data-inputs~='{dom_id}']"));
            set_timeout(move || super::super::dom::reveal(&dom_id), turn);
        },
        turn,
    );
}
