//! Light or dark: follows the system until the reader chooses, which is kept in local storage.

use leptos::prelude::*;

use super::super::dom;

const KEY: &str = "gpu-mem-calc.theme";

/// What the reader chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theme {
    System,
    Light,
    Dark,
}

impl Theme {
    fn key(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    fn load() -> Self {
        match dom::stored(KEY).as_deref() {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ => Self::System,
        }
    }

    fn next(self) -> Self {
        match self {
            Self::System => Self::Light,
            Self::Light => Self::Dark,
            Self::Dark => Self::System,
        }
    }
}

/// Switches between the system's theme, light and dark.
#[component]
pub fn ThemeButton() -> impl IntoView {
    let theme = RwSignal::new(Theme::load());
    Effect::new(move |_| {
        let theme = theme.get();
        dom::set_root_attribute("data-theme", (theme != Theme::System).then(|| theme.key()));
        dom::store(KEY, (theme != Theme::System).then(|| theme.key()));
    });
    let label = move || format!("Theme: {}", theme.get().key());
    view! {
        <button
            type="button"
            class="button button-quiet"
            title=label
            on:click=move |_| theme.update(|theme| *theme = theme.next())
        >
            <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
                {move || match theme.get() {
                    Theme::System => view! {
                        <circle cx="12" cy="12" r="8" fill="none" stroke="currentColor" stroke-width="2" />
                        <path d="M12 4a8 8 0 0 1 0 16z" fill="currentColor" />
                    }.into_any(),
                    Theme::Light => view! {
                        <circle cx="12" cy="12" r="4.5" fill="currentColor" />
                        <path
                            d="M12 1.5v3M12 19.5v3M1.5 12h3M19.5 12h3M4.6 4.6l2.1 2.1M17.3 17.3l2.1 2.1M4.6 19.4l2.1-2.1M17.3 6.7l2.1-2.1"
                            stroke="currentColor" stroke-width="2" stroke-linecap="round" fill="none"
                        />
                    }.into_any(),
                    Theme::Dark => view! {
                        <path d="M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z" fill="currentColor" />
                    }.into_any(),
                }}
            </svg>
            <span class="visually-hidden">{label}</span>
        </button>
    }
    .into_any()
}
