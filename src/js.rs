//! The JavaScript surface: one function, through which the package reaches every call by its name.
//!
//! The functions that programs use, their types and the errors that they throw are in `package/`, written in JavaScript over
//! this one: a call costs the module nothing, and no answer is written twice.

use wasm_bindgen::prelude::wasm_bindgen;

use crate::calls;

/// Runs a call: its name, its arguments as the text of a JSON list; `{"answer": ...}` or `{"fault": ...}`. Never throws.
#[wasm_bindgen]
pub fn call(name: &str, arguments: &str) -> String {
    calls::run_text(name, arguments)
}
