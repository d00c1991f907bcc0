//! Copies the address of the page, which holds the whole question.

use std::time::Duration;

use leptos::prelude::*;

use super::super::state::{PageStoreFields, use_form};
use super::super::{dom, persist};

/// Copies the link to this question.
#[component]
pub fn ShareButton() -> impl IntoView {
    let copied = RwSignal::new(false);
    let page = use_form().page;
    let copy = move |_| {
        // Where the document is somebody else's, the question stands in an address of the calculator's own.
        let link = if dom::embedded() {
            let tab = page.tab().get_untracked();
            let question = page
                .request()
                .with_untracked(|request| persist::write(request, tab, None));
            format!("{}#{question}", dom::file(""))
        } else {
            dom::address()
        };
        dom::copy(&link);
        copied.set(true);
        set_timeout(move || copied.set(false), Duration::from_secs(4));
    };
    view! {
        <button type="button" class="button button-quiet" on:click=copy title="Copy the link to this question">
            <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
                <path
                    d="M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1 1M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7l1-1"
                    fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"
                />
            </svg>
            <span class="button-label">{move || if copied.get() { "Link copied" } else { "Share" }}</span>
        </button>
        <span class="visually-hidden" role="status">
            {move || copied.get().then_some("The link to this question is copied.")}
        </span>
    }
    .into_any()
}
