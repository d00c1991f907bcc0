//! The bar at the top: name, tabs, tools, share, language and theme.

use leptos::prelude::*;

use super::super::dom;
use super::super::language::LanguageButton;
use super::super::tabs::TabList;
use super::help::HelpLink;
use super::share::ShareButton;
use super::theme::ThemeButton;
use super::tools::Tools;

/// The bar at the top of the page.
#[component]
pub fn Header() -> impl IntoView {
    // A document of others has its own title, and this is a part of it.
    let (bar, title) = if dom::embedded() {
        (Some("group"), Some("presentation"))
    } else {
        (None, None)
    };
    view! {
        <header class="header" role=bar aria-label=bar.map(|_| "GPU Memory Calculator")>
            <div class="header-row">
                <h1 class="brand" role=title>
                    <svg viewBox="0 0 24 24" aria-hidden="true">
                        <rect x="2" y="4" width="20" height="16" rx="3" fill="var(--accent)" />
                        <rect x="5" y="8" width="6" height="8" rx="1" fill="var(--accent-text)" />
                        <rect x="12" y="8" width="3.5" height="8" rx="1" fill="var(--accent-text)" opacity="0.7" />
                        <rect x="16.5" y="8" width="2.5" height="8" rx="1" fill="var(--accent-text)" opacity="0.4" />
                    </svg>
                    "GPU Memory Calculator"
                </h1>
                <TabList />
                {(!dom::embedded()).then(|| view! { <Tools /> })}
                <div class="header-actions">
                    <HelpLink />
                    <ShareButton />
                    {(!dom::embedded()).then(|| view! { <LanguageButton /> <ThemeButton /> })}
                </div>
            </div>
        </header>
    }
    .into_any()
}
