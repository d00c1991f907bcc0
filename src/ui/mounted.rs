//! The page as JavaScript mounts it: into an element of the caller's document, until it is taken away.

use wasm_bindgen::prelude::wasm_bindgen;

/// A mounted page; `free()` takes it away.
#[wasm_bindgen]
pub struct Mounted {
    _handle: Box<dyn std::any::Any>,
}

/// Fills an element with the page.
#[wasm_bindgen(js_name = mount)]
pub fn mount_into(element: web_sys::HtmlElement) -> Mounted {
    console_error_panic_hook::set_once();
    Mounted {
        _handle: Box::new(super::mount(element)),
    }
}
