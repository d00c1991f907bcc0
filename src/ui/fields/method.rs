//! What trains, in one press: all weights, adapters, or adapters beside 4-bit weights. The settings behind it stand among all
//! settings.

use leptos::prelude::*;
use serde_json::Value;

use super::super::state::use_form;
use crate::api::{EngineId, InputId};

/// A way to train: its name, its title, and what it sets.
struct Method {
    name: &'static str,
    title: &'static str,
    adapter: Option<&'static str>,
    base: Option<&'static str>,
}

const METHODS: [Method; 3] = [
    Method {
        name: "All weights",
        title: "Full fine-tuning or pre-training: every weight has a gradient and optimizer states",
        adapter: None,
        base: None,
    },
    Method {
        name: "LoRA",
        title: "Frozen weights with small trained matrices beside them",
        adapter: Some("lora"),
        base: None,
    },
    Method {
        name: "QLoRA",
        title: "LoRA with the frozen weights in 4 bits (NF4)",
        adapter: Some("lora"),
        base: Some("nf4"),
    },
];

/// The choice of what trains.
pub fn method() -> AnyView {
    let form = use_form();
    let held = Memo::new(move |_| {
        let adapter = form.choice(InputId::Adapter).filter(|adapter| *adapter != "none");
        let base = form.choice(InputId::BaseFormat).filter(|base| *base != "plain");
        (adapter, base.filter(|_| adapter.is_some()))
    });
    let buttons = METHODS
        .iter()
        .map(|method| {
            let own = (method.adapter, method.base);
            let press = move |_| {
                form.set(InputId::Adapter, own.0.map(Value::from));
                form.set(InputId::BaseFormat, own.1.map(Value::from));
                // FSDP2 cannot hold 4-bit weights as yet; FSDP1 can.
                if own.1.is_some() && form.engine() == Some(EngineId::Fsdp) {
                    form.set(InputId::FsdpVersion, Some("1".into()));
                }
            };
            view! {
                <button
                    type="button"
                    class="choice"
                    title=method.title
                    aria-pressed=move || if held.get() == own { "true" } else { "false" }
                    on:click=press
                >
                    {method.name}
                </button>
            }
        })
        .collect_view();
    view! {
        <div class="method" id="method">
            <span class="field-label" id="method-label">"What trains"</span>
            <div class="choices" role="group" aria-labelledby="method-label">{buttons}</div>
        </div>
    }
    .into_any()
}
