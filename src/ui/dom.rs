//! The few places that touch the browser directly: storage, address, root attributes, focus, clipboard.

use leptos::prelude::window;
use leptos::wasm_bindgen::JsValue;

/// A value of the local storage, where there is one and storage is allowed.
pub fn stored(key: &str) -> Option<String> {
    window()
        .local_storage()
        .ok()
        .flatten()?
        .get_item(key)
        .ok()
        .flatten()
}

/// Writes or removes a value of the local storage; a browser that forbids storage is left alone.
pub fn store(key: &str, value: Option<&str>) {
    if let Some(storage) = window().local_storage().ok().flatten() {
        // A full or forbidden storage only means that the choice is not remembered.
        let _ = match value {
            Some(value) => storage.set_item(key, value),
            None => storage.remove_item(key),
        };
    }
}

/// Why a browser did not keep a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// It keeps nothing for this page.
    Forbidden,
    /// There is no room left.
    Full,
}

/// Writes a value of the local storage that must not be lost in silence.
pub fn keep(key: &str, value: &str) -> Result<(), NotKept> {
    let storage = window()
        .local_storage()
        .ok()
        .flatten()
        .ok_or(NotKept::Forbidden)?;
    storage.set_item(key, value).map_err(|_| NotKept::Full)
}

/// Sets or removes an attribute of the root element.
pub fn set_root_attribute(name: &str, value: Option<&str>) {
    if let Some(root) = window()
        .document()
        .and_then(|document| document.document_element())
    {
        let _ = match value {
            Some(value) => root.set_attribute(name, value),
            None => root.remove_attribute(name),
        };
    }
}

/// The fragment of the address without its `#`.
pub fn fragment() -> String {
    let hash = window().location().hash().unwrap_or_default();
    hash.trim_start_matches('#').to_owned()
}

/// Replaces the fragment of the address; with `step` the former address stays in the history.
pub fn set_fragment(fragment: &str, step: bool) {
    let Ok(history) = window().history() else {
        return;
    };
    let url = if fragment.is_empty() {
        let location = window().location();
        location.pathname().unwrap_or_default() + &location.search().unwrap_or_default()
    } else {
        format!("#{fragment}")
    };
    // Browsers refuse more than a hundred changes in ten seconds; the address then lags until the next change.
    let _ = if step {
        history.push_state_with_url(&JsValue::NULL, "", Some(&url))
    } else {
        history.replace_state_with_url(&JsValue::NULL, "", Some(&url))
    };
}

/// The address of the page as it stands.
pub fn address() -> String {
    window().location().href().unwrap_or_default()
}

/// Moves the keyboard focus to the element with this id.
pub fn focus(id: &str) {
    use leptos::wasm_bindgen::JsCast;
    let element = window()
        .document()
        .and_then(|document| document.get_element_by_id(id));
    if let Some(element) = element.and_then(|element| element.dyn_into::<web_sys::HtmlElement>().ok()) {
        let _ = element.focus();
    }
}

/// Copies a text; the browser may refuse without a user's gesture.
pub fn copy(text: &str) {
    let _ = window().navigator().clipboard().write_text(text);
}

/// Scrolls to the element with this id and moves the focus there.
pub fn reveal(id: &str) {
    if let Some(element) = leptos::prelude::document().get_element_by_id(id) {
        element.scroll_into_view();
    }
    focus(id);
}
