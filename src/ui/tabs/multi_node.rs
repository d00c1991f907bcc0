//! The multi-node tab: questions left, traffic and time of a step right. The question is that of the training tab. Its content is
//! a part of the module of its own.

use leptos::prelude::*;

use super::super::answer::travelling;
use super::super::part::part;
use super::super::state::use_form;
use super::columns;
use crate::api::{InputId, Task};

/// What is asked at once besides the model and the GPU; `fields::group` leaves them out of the groups of this tab.
pub const SETUP: [InputId; 7] = [
    InputId::NodeShape,
    InputId::NumNodes,
    InputId::NumGpus,
    InputId::InterconnectType,
    InputId::SeqLength,
    InputId::BatchSize,
    InputId::EngineType,
];

/// What the part holds: the content of the tab.
pub type Nodes = fn() -> AnyView;

fn content() -> AnyView {
    let form = use_form();
    let planner = form.planner.view_later(move |planner| {
        view! { {(planner.training)(form)} {(planner.cheapest)(form, Task::Training)} }.into_any()
    });
    let answer = view! { {travelling()} {planner} }.into_any();
    columns("Training across nodes of", &SETUP, ().into_any(), answer)
}

part!(nodes holds Nodes: content);

/// The multi-node tab.
pub fn multi_node() -> AnyView {
    use_form().nodes.view(|content| content())
}
