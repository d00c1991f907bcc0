//! Explanations: any number taken apart in a dialog, the rules of thumb beside our figures, and how the calculation works with the
//! numbers of the question in it. All but the buttons is a part of the module of its own.

mod dialog;
pub mod figure;
mod learn;
mod rules;

use leptos::prelude::*;

use super::part::part;
use super::state::Form;
use crate::api::Task;

/// What the part holds.
#[derive(Clone, Copy)]
pub struct Explain {
    /// The number that is opened, taken apart.
    pub dialog: fn(Form) -> AnyView,
    /// The rules of thumb for a kind of question.
    pub rules: fn(Form, Task) -> AnyView,
    /// How the calculation works.
    pub learn: fn(Form, Task) -> AnyView,
}

part!(explain holds Explain: Explain { dialog: dialog::dialog, rules: rules::rules, learn: learn::learn });
