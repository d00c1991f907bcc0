//! The choice of the GPU: every card of the table by vendor, and a line for one that is not in it. Its memory has a field
//! of its own, which also overrides that of a card in the table.

use std::sync::Arc;

use leptos::prelude::*;
use serde_json::Value;

use super::super::state::use_form;
use super::combobox::{Choice, Combobox};
use super::field::{control_id, described_by, field, framed, label};
use super::messages::plain;
use crate::api;
use crate::api::InputId;

/// The value of the line that stands for a card that is not in the table.
const CUSTOM: &str = "custom";
/// Its name.
const NOT_LISTED: &str = "Another GPU: type its memory";
/// The memory in GiB with which a card that is not in the table starts.
const TO_START_FROM: u64 = 80;
/// Id of the choice; the same as [`control_id`] gives for its input.
const ID: &str = "hardware-gpu";

/// The choice of the GPU.
pub fn gpu() -> AnyView {
    let form = use_form();
    let input = InputId::Gpu.input();
    let choices = Memo::new(|_| Arc::new(choices()));
    let typed = form.typed(InputId::Gpu);
    let size = form.typed(InputId::GpuMemoryGb);
    let custom = Memo::new(move |_| typed.with(Option::is_none) && size.with(Option::is_some));
    let value = Signal::derive(move || {
        if custom.get() {
            return CUSTOM.to_owned();
        }
        let named = typed.get().map(|value| plain(&value));
        named
            .or_else(|| form.answer.with(|answer| answer.as_deref()?.capacity.gpu.clone()))
            .unwrap_or_default()
    });
    let shown = Signal::derive(move || {
        let value = value.get();
        match value.as_str() {
            CUSTOM => NOT_LISTED.to_owned(),
            _ => api::gpus()
                .iter()
                .find(|gpu| gpu.id == value)
                .map_or(value, |gpu| gpu.name.clone()),
        }
    });
    let on_choose = Callback::new(move |value: String| {
        if value == CUSTOM {
            form.set(InputId::Gpu, None);
            if size.with_untracked(Option::is_none) {
                form.set(InputId::GpuMemoryGb, Some(Value::from(TO_START_FROM)));
            }
            super::super::dom::focus(&control_id(InputId::GpuMemoryGb.input()));
        } else {
            form.set(InputId::GpuMemoryGb, None);
            form.set(InputId::Gpu, Some(Value::from(value)));
        }
    });
    let invalid = Signal::derive(move || form.issues(InputId::Gpu).iter().any(|issue| issue.is_error()));
    let brought = form.brought(InputId::Gpu);
    let control = view! {
        <Combobox
            id=ID
            choices=choices
            value=value
            shown=shown
            on_choose=on_choose
            described_by=described_by(input)
            invalid=invalid
            placeholder="Search GPUs"
        />
    }
    .into_any();
    debug_assert_eq!(control_id(input), ID);
    view! {
        <div class="field field-wide" class:field-brought=move || brought.get() data-input=input.key>
            {framed(InputId::Gpu, label(input, ID), control)}
        </div>
        {field(InputId::GpuMemoryGb)}
    }
    .into_any()
}

fn choices() -> Vec<Choice> {
    let mut choices: Vec<Choice> = api::gpus()
        .iter()
        .map(|gpu| Choice {
            value: gpu.id.clone(),
            label: gpu.name.clone(),
            detail: format!("{} GB", gpu.marketing_gb),
            group: gpu.vendor.clone(),
            search: format!(
                "{} {} {} {} {}",
                gpu.id,
                gpu.vendor,
                gpu.name,
                gpu.architecture,
                gpu.aliases.join(" ")
            )
            .to_ascii_lowercase(),
        })
        .collect();
    choices.push(Choice {
        value: CUSTOM.to_owned(),
        label: NOT_LISTED.to_owned(),
        detail: String::new(),
        group: "Not in the list".to_owned(),
        search: "another custom other typed own size gib".to_owned(),
    });
    choices
}
