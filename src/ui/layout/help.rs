//! The way to the reader's documentation, which lies beside the page.

use leptos::prelude::*;

use super::super::language::documentation;

/// Opens the documentation beside the question.
#[component]
pub fn HelpLink() -> impl IntoView {
    view! {
        <a class="button button-quiet" id="help" href=documentation("index") target="_blank" rel="noopener" title="What the numbers mean">
            <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
                <path
                    d="M9 9a3 3 0 1 1 4 2.8c-.7.3-1 .8-1 1.7v.5M12 17.5v.5"
                    fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"
                />
            </svg>
            <span class="button-label">"Help"</span>
        </a>
    }
    .into_any()
}
