//! What follows the answer to a training question: what would make it fit, and how far it would reach. A part of the module of its
//! own, which the first answer does not wait for.

use leptos::prelude::*;

use super::super::part::part;
use super::super::state::Form;
use super::{fixes, solvers};

/// What the part holds: the view.
pub type Advice = fn(Form) -> AnyView;

fn sections(form: Form) -> AnyView {
    view! { {fixes::of_training(form)} {solvers::solvers(form)} }.into_any()
}

part!(advice holds Advice: sections);
