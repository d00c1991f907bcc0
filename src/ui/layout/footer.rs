//! The foot of the page: units, and that nothing leaves the browser.

use leptos::prelude::*;

/// The foot of the page.
#[component]
pub fn Footer() -> impl IntoView {
    view! {
        <footer class="footer">
            <p>
                "GiB = 2"<sup>"30"</sup>" bytes, GB = 10"<sup>"9"</sup>" bytes. Everything is computed in this browser; nothing is sent anywhere, unless you ask for a model's config.json by its id. "
                {format!("Version {}.", env!("CARGO_PKG_VERSION"))}
            </p>
        </footer>
    }
    .into_any()
}
