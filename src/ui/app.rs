//! The application: provides the store and the answer, and lays out header, panels and foot.

use leptos::mount::{UnmountHandle, mount_to};
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::HtmlElement;

use super::layout::{Footer, Header};
use super::state::PageStoreFields;
use super::tabs::TabPanels;
use super::{persist, state};

/// Id of the element of the host document that the page fills.
const MARK: &str = "app";

/// The whole page.
#[component]
fn App() -> impl IntoView {
    let page = state::provide(persist::initial());
    persist::keep_in_address(page);
    // The part is asked for when a number is opened, if it is not there by then.
    Effect::new(move |_| {
        if page.page.explained().with(Option::is_some) {
            page.explain.load();
        }
    });
    // Says to whoever watches the page that more is to come.
    let waiting = move || {
        page.families
            .get()
            .is_none()
            .then(|| view! { <span class="part-waiting" hidden></span> })
    };
    let dialog = move || page.explain.get().map(|explain| (explain.dialog)(page));
    view! {
        <a class="skip-link" href="#main" on:click=|event| {
            event.prevent_default();
            super::dom::focus("main");
        }>"Skip to the calculator"</a>
        <Header />
        <TabPanels />
        <Footer />
        {waiting}
        {dialog}
    }
    .into_any()
}

/// Fills the marked element of the document, where there is one; what stood in it until now is removed.
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
