//! What leaves the page: a file that the browser saves, or text for its clipboard.

use js_sys::{Array, Function, Object, Reflect};
use leptos::prelude::{document, window};
use leptos::wasm_bindgen::{JsCast, JsValue};
use leptos::web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

use super::super::dom;

/// Lets the browser save a text under a name.
pub fn download(name: &str, kind: &str, text: &str) {
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    let parts = Array::of1(&JsValue::from_str(text));
    if let Ok(blob) = Blob::new_with_str_sequence_and_options(&parts, &options) {
        download_blob(name, &blob);
    }
}

/// Lets the browser save a file under a name.
pub fn download_blob(name: &str, blob: &Blob) {
    let Ok(address) = Url::create_object_url_with_blob(blob) else {
        return;
    };
    let link = document()
        .create_element("a")
        .ok()
        .and_then(|element| element.dyn_into::<HtmlAnchorElement>().ok());
    if let Some(link) = link {
        link.set_href(&address);
        link.set_download(name);
        link.click();
    }
    // The download holds what it needs; an address that is not revoked would keep the file.
    let _ = Url::revoke_object_url(&address);
}

/// Puts a picture into the clipboard, where the browser can.
pub fn copy_picture(picture: &Blob) {
    let kinds = Object::new();
    let made = Reflect::set(&kinds, &JsValue::from_str(&picture.type_()), picture)
        .and_then(|_| Reflect::get(&window(), &JsValue::from_str("ClipboardItem")))
        .and_then(JsCast::dyn_into::<Function>)
        .and_then(|item| Reflect::construct(&item, &Array::of1(&kinds)));
    if let Ok(item) = made {
        // A browser that does not let pictures in leaves the reader with the files.
        let _ = window().navigator().clipboard().write(&Array::of1(&item));
    }
}

/// Puts a text into the clipboard.
pub fn copy_text(text: &str) {
    dom::copy(text);
}
