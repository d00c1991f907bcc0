//! The page in a real browser: it fills an element and leaves it again.

#![cfg(all(target_arch = "wasm32", feature = "web"))]
#![allow(
    clippy::expect_used,
    reason = "a test; the exception of clippy.toml does not reach what wasm_bindgen_test makes of it"
)]

use leptos::prelude::document;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::HtmlElement;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

fn element() -> HtmlElement {
    let element = document().create_element("div").expect("an element");
    document()
        .body()
        .expect("a body")
        .append_child(&element)
        .expect("put into the document");
    element.dyn_into().expect("an HTML element")
}

#[wasm_bindgen_test]
fn the_page_fills_an_element_and_leaves_it_when_its_handle_is_dropped() {
    let element = element();
    let handle = gpu_mem_calc::ui::mount(element.clone());
    let heading = element
        .query_selector("h1")
        .expect("a valid selector")
        .expect("a heading");
    assert_eq!(heading.text_content().as_deref(), Some("GPU Memory Calculator"));
    drop(handle);
    assert_eq!(element.child_element_count(), 0);
}
