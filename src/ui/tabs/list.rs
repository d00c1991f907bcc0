//! The list of tabs after the WAI-ARIA tabs pattern: arrows, Home and End move and choose.

use leptos::ev::KeyboardEvent;
use leptos::prelude::*;

use super::super::dom;
use super::super::state::{PageStoreFields, use_form};
use super::Tab;

/// The list of tabs.
#[component]
pub fn TabList() -> impl IntoView {
    let page = use_form().page;
    let choose = move |tab: Tab| {
        page.tab().set(tab);
        dom::focus(tab.button_id());
    };
    let on_key = move |event: KeyboardEvent| {
        let at = page.tab().get_untracked().index();
        let last = Tab::ALL.len() - 1;
        let to = match event.key().as_str() {
            "ArrowRight" | "ArrowDown" => {
                if at == last {
                    0
                } else {
                    at + 1
                }
            }
            "ArrowLeft" | "ArrowUp" => {
                if at == 0 {
                    last
                } else {
                    at - 1
                }
            }
            "Home" => 0,
            "End" => last,
            _ => return,
        };
        event.prevent_default();
        if let Some(tab) = Tab::ALL.get(to) {
            choose(*tab);
        }
    };
    let buttons = Tab::ALL.map(|tab| {
        view! {
            <button
                type="button"
                role="tab"
                class="tab"
                id=tab.button_id()
                aria-controls=tab.panel_id()
                aria-selected=move || if page.tab().get() == tab { "true" } else { "false" }
                tabindex=move || if page.tab().get() == tab { "0" } else { "-1" }
                on:click=move |_| page.tab().set(tab)
            >
                {tab.label()}
            </button>
        }
        .into_any()
    });
    view! {
        <div class="tablist" role="tablist" aria-label="Calculators" on:keydown=on_key>
            {buttons.collect_view()}
        </div>
    }
    .into_any()
}
