//! The application: provides the store and the answer, and lays out header, panels and foot.

use std::time::Duration;

use leptos::mount::{UnmountHandle, mount_to};
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::HtmlElement;
use wasm_bindgen_futures::spawn_local;

use super::dialogs::Above;
use super::language::Language;
use super::layout::{Footer, Header};
use super::state::{Form, Page, PageStoreFields};
use super::tabs::TabPanels;
use super::{dom, history, language, persist, state};
use crate::accuracy;
use crate::api::{self, Strictness, Task};

/// The element of the page's own document that the page fills. Documents of others mark none.
const MARK: &str = "[data-gpu-mem-calc='page']";

/// The whole page, with its state in the address.
#[component]
fn App() -> impl IntoView {
    let page = state::provide(persist::initial(), Language::first());
    if let Some(body) = document().body() {
        page.tongue.keep(body);
    }
    persist::keep_in_address(page);
    history::listen(page);
    frame(page)
}

/// What is seen of the page.
fn frame(page: Form) -> impl IntoView {
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
            dom::focus("main");
        }>"Skip to the calculator"</a>
        <Header />
        <TabPanels />
        <Footer />
        {waiting}
        {dialog}
        <Above />
    }
    .into_any()
}

/// Fills the marked element of the document, where there is one; what stood in it until now is removed.
pub fn start() {
    // In a worker there is no document, and the module is there to search.
    let Some(document) = web_sys::window().and_then(|window| window.document()) else {
        return;
    };
    let marked = document
        .query_selector(MARK)
        .ok()
        .flatten()
        .and_then(|element| element.dyn_into::<HtmlElement>().ok());
    let Some(element) = marked else { return };
    if Language::first() == Language::English {
        // Tables are read in a task of their own before the one that builds the page, and the browser hears the reader in between.
        let asked = persist::initial().request;
        if !api::waits(&asked) {
            drop(accuracy::calculate(
                &api::part(&asked, Task::Training),
                Strictness::default(),
            ));
        }
        set_timeout(|| mount(element).forget(), Duration::ZERO);
        return;
    }
    // What was painted so far stays until the page can be read in the reader's language. Leptos spawns nothing before it mounts.
    spawn_local(async move {
        let _ = language::load().await;
        mount(element).forget();
    });
}

/// Fills an element with the page; dropping the handle takes it away again.
pub fn mount(element: HtmlElement) -> UnmountHandle<impl Mountable> {
    element.set_text_content(None);
    mount_to(element, App)
}

/// Fills an element of somebody else's document with the page of a question, which `made` gets a hold of.
pub fn mount_inside(
    element: HtmlElement,
    page: Page,
    language: Language,
    made: impl FnOnce(Form) + 'static,
) -> UnmountHandle<impl Mountable> {
    element.set_text_content(None);
    dom::follow_use(&element);
    let root = element.clone();
    mount_to(element, move || {
        let form = state::provide(page, language);
        form.tongue.keep(root);
        made(form);
        frame(form)
    })
}
