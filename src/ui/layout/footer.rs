//! The foot of the page: units, that nothing leaves the browser, and the way to show the question elsewhere.

use leptos::prelude::*;

use super::super::dom;
use super::super::state::use_form;

/// The foot of the page.
#[component]
pub fn Footer() -> impl IntoView {
    let form = use_form();
    let open = RwSignal::new(false);
    let embed = (!dom::embedded()).then(|| {
        view! {
            <button
                type="button"
                class="button button-quiet"
                id="embed"
                aria-haspopup="dialog"
                on:click=move |_| open.set(true)
            >
                "Embed in your documentation"
            </button>
            {move || open.get().then(|| form.embed.view(move |dialog| dialog(form, open)))}
        }
    });
    view! {
        <footer class="footer" role=dom::embedded().then_some("group")>
            <p>
                "GiB = 2"<sup>"30"</sup>" bytes, GB = 10"<sup>"9"</sup>" bytes. Everything is computed in this browser; nothing is sent anywhere, unless you ask for a model's config.json by its id. "
                {format!("Version {}.", env!("CARGO_PKG_VERSION"))}
            </p>
            {embed}
        </footer>
    }
    .into_any()
}
