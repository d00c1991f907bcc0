//! What says the page in another language: a part of the module of its own, with the table of messages.

use leptos::web_sys::HtmlElement;

use super::super::part::part;
use super::observer;

/// What the part holds.
#[derive(Clone, Copy)]
pub struct Words {
    /// Shows what stands in an element in Chinese, and what comes into it later.
    pub show: fn(&HtmlElement),
    /// Shows it in English again.
    pub undo: fn(&HtmlElement),
    /// A text in Chinese, where the table has it.
    pub say: fn(&str) -> Option<String>,
}

part!(words holds Words: Words { show: observer::show, undo: observer::undo, say: observer::say });
