//! The few places that touch the browser directly: storage, address, root attributes, focus, clipboard.
//!
//! A page that stands in a document of others touches neither their storage nor their address, and finds its elements in
//! the shadow root that was used last.

use std::cell::RefCell;
use std::time::Duration;

use leptos::prelude::{set_timeout, window};
use leptos::wasm_bindgen::closure::Closure;
use leptos::wasm_bindgen::{JsCast, JsValue};
use web_sys::{Element, HtmlElement, HtmlLinkElement, ShadowRoot};

/// How long the address waits for the page to be painted.
const AFTER_PAINT: Duration = Duration::from_millis(30);

/// How pages stand in their document.
#[derive(Debug, Default)]
struct Place {
    /// Put before the names of the page's files; empty where they lie beside the document.
    base: String,
    /// Whether the document is somebody else's.
    embedded: bool,
    /// The address of the module's bindings, where the document does not say it.
    module: Option<String>,
    /// The shadow root that the reader used last.
    in_use: Option<ShadowRoot>,
}

thread_local! {
    static PLACE: RefCell<Place> = RefCell::default();
}

/// From now on the pages stand in a document of others, their files lie at `base`, and the bindings of the module are `module`.
pub fn embed(base: &str, module: &str) {
    PLACE.with_borrow_mut(|place| {
        base.clone_into(&mut place.base);
        place.module = Some(module.to_owned());
        place.embedded = true;
    });
}

/// The address of the module's bindings, for a worker that loads them again: what the document lets the browser load ahead.
pub fn module() -> Option<String> {
    if let Some(module) = PLACE.with_borrow(|place| place.module.clone()) {
        return Some(module);
    }
    let links = window()
        .document()?
        .query_selector_all("link[rel=modulepreload]")
        .ok()?;
    (0..links.length())
        .filter_map(|at| links.get(at)?.dyn_into::<HtmlLinkElement>().ok())
        .map(|link| link.href())
        .find(|address| address.ends_with(".js") && !address.ends_with("-parts.js"))
}

/// Whether the document is somebody else's.
pub fn embedded() -> bool {
    PLACE.with_borrow(|place| place.embedded)
}

/// The address of one of the page's files. A document that carries its files itself names them by links.
pub fn file(name: &str) -> String {
    let carried = window()
        .document()
        .and_then(|document| {
            document
                .query_selector(&format!("link[data-file='{name}']"))
                .ok()
                .flatten()
        })
        .and_then(|link| link.get_attribute("href"));
    carried.unwrap_or_else(|| PLACE.with_borrow(|place| format!("{}{name}", place.base)))
}

/// Remembers that the reader uses the shadow root in which an element stands, each time they do.
pub fn follow_use(element: &HtmlElement) {
    let Ok(root) = element.get_root_node().dyn_into::<ShadowRoot>() else {
        return;
    };
    let target = element.clone();
    let used = Closure::<dyn Fn()>::new(move || {
        PLACE.with_borrow_mut(|place| place.in_use = Some(root.clone()));
    });
    for event in ["pointerdown", "focusin"] {
        let _ = target.add_event_listener_with_callback(event, used.as_ref().unchecked_ref());
    }
    // The listeners live as long as their element, which owns them through the browser.
    used.forget();
}

/// The element with this id: of the shadow root in use, or of the document.
pub fn find(id: &str) -> Option<HtmlElement> {
    first(&format!("[id='{id}']"))?.dyn_into().ok()
}

/// The first element that a selector names: of the shadow root in use, or of the document.
pub fn first(selector: &str) -> Option<Element> {
    let root = PLACE.with_borrow(|place| place.in_use.clone());
    let inside = root.filter(|root| root.is_connected());
    match inside {
        Some(root) => root.query_selector(selector).ok().flatten(),
        None => window().document()?.query_selector(selector).ok().flatten(),
    }
}

/// A value of the local storage, where there is one and storage is allowed.
pub fn stored(key: &str) -> Option<String> {
    if embedded() {
        return None;
    }
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
    if embedded() {
        return;
    }
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
    if embedded() {
        return Err(NotKept::Forbidden);
    }
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

thread_local! {
    /// A fragment that is to be written, and whether the former address stays in the history.
    static UNWRITTEN: RefCell<Option<(String, bool)>> = const { RefCell::new(None) };
}

/// Replaces the fragment of the address when what changed has been painted: browsers take their time for it. With `step` the
/// former address stays in the history.
pub fn set_fragment_soon(fragment: String, step: bool) {
    // A step is written before the next one begins; what goes on from it replaces it.
    let waits = if step {
        write_fragment();
        false
    } else {
        UNWRITTEN.with_borrow(Option::is_some)
    };
    UNWRITTEN.with_borrow_mut(|unwritten| {
        let step = step || unwritten.as_ref().is_some_and(|(_, step)| *step);
        *unwritten = Some((fragment, step));
    });
    if !waits {
        set_timeout(write_fragment, AFTER_PAINT);
    }
}

/// Forgets a fragment that was not written yet.
pub fn forget_fragment() {
    UNWRITTEN.take();
}

/// Writes the fragment that waits.
fn write_fragment() {
    if let Some((fragment, step)) = UNWRITTEN.take() {
        put_fragment(&fragment, step);
    }
}

/// Replaces the fragment of the address at once; with `step` the former address stays in the history.
pub fn set_fragment(fragment: &str, step: bool) {
    write_fragment();
    put_fragment(fragment, step);
}

fn put_fragment(fragment: &str, step: bool) {
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
    write_fragment();
    window().location().href().unwrap_or_default()
}

/// The folder of the page: its address up to the last `/`.
pub fn folder() -> String {
    let address = address();
    let path = address.split(['#', '?']).next().unwrap_or_default();
    path.rfind('/')
        .and_then(|end| path.get(..=end))
        .unwrap_or_default()
        .to_owned()
}

/// Moves the keyboard focus to the element with this id.
pub fn focus(id: &str) {
    if let Some(element) = find(id) {
        let _ = element.focus();
    }
}

/// Copies a text; the browser may refuse without a user's gesture.
pub fn copy(text: &str) {
    let _ = window().navigator().clipboard().write_text(text);
}

/// Scrolls to the element with this id and moves the focus there.
pub fn reveal(id: &str) {
    if let Some(element) = find(id) {
        element.scroll_into_view();
        let _ = element.focus();
    }
}

/// Saves an address as a file of this name, as a click on a link does.
pub fn save(name: &str, address: &str) {
    use leptos::wasm_bindgen::JsCast;
    let Ok(link) = leptos::prelude::document().create_element("a") else {
        return;
    };
    let _ = link.set_attribute("href", address);
    let _ = link.set_attribute("download", name);
    if let Ok(link) = link.dyn_into::<HtmlElement>() {
        link.click();
    }
}

/// Saves a text as a file.
pub fn download(name: &str, kind: &str, text: &str) {
    let encoded = String::from(js_sys::encode_uri_component(text));
    save(name, &format!("data:{kind};charset=utf-8,{encoded}"));
}
