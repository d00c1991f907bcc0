//! A number that opens: a button that names it in the address, from where the dialog takes it apart.

use leptos::prelude::*;

use super::super::format::{exact, gib};
use super::super::state::{PageStoreFields, use_form};
use crate::units::Bytes;

/// A number of bytes that opens; `id` is its name in the core.
pub fn figure(id: impl Into<String>, bytes: Bytes) -> AnyView {
    let words = gib(bytes);
    opens(id.into(), "figure", words.into_any(), Some(exact(bytes)))
}

/// Words that open a number.
pub fn words(id: impl Into<String>, words: impl Into<String>) -> AnyView {
    opens(id.into(), "figure", words.into().into_any(), None)
}

/// Words that open a number, and change with it.
pub fn following(id: impl Into<String>, words: impl Fn() -> String + Send + 'static) -> AnyView {
    opens(id.into(), "figure", words.into_any(), None)
}

/// A button that opens a number.
pub fn button(id: impl Into<String>, words: impl Into<String>) -> AnyView {
    opens(id.into(), "button button-small", words.into().into_any(), None)
}

fn opens(id: String, class: &'static str, words: AnyView, title: Option<String>) -> AnyView {
    let page = use_form().page;
    let name = id.clone();
    view! {
        <button
            type="button"
            class=class
            data-explains=name
            title=title
            aria-haspopup="dialog"
            on:click=move |_| page.explained().set(Some(id.clone()))
        >
            {words}
        </button>
    }
    .into_any()
}
