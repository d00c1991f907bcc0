//! The page: a thin shell over `api` in Leptos. Nothing is computed here.

use leptos::mount::{UnmountHandle, mount_to};
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::HtmlElement;

/// Id of the element of the host document that the page fills.
const MARK: &str = "app";

/// The whole page.
#[component]
fn App() -> impl IntoView {
    view! {
        <main>
            <h1>"GPU Memory Calculator"</h1>
        </main>
    }
}

/// Fills the marked element of the document, where there is one.
pub fn start() {
    let marked = document()
        .get_element_by_id(MARK)
        .and_then(|element| element.dyn_into::<HtmlElement>().ok());
    if let Some(element) = marked {
        mount(element).forget();
    }
}

/// Fills an element with the page; dropping the handle takes it away again.
pub fn mount(element: HtmlElement) -> UnmountHandle<impl Mountable> {
    element.set_inner_html("");
    mount_to(element, App)
}
