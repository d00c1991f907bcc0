//! The training tab: questions left, answer right.

use leptos::prelude::*;

use super::super::answer::{answer, pinned};
use super::super::fields::method;
use super::super::part::in_turn;
use super::columns;
use crate::api::InputId;

/// What a newcomer is asked besides the model and the GPU.
const SETUP: [InputId; 4] = [
    InputId::NumGpus,
    InputId::SeqLength,
    InputId::BatchSize,
    InputId::EngineType,
];

/// The training tab.
pub fn training() -> AnyView {
    // Each is a task of its own, between which the browser paints and hears the reader.
    view! { {columns("Training on", &SETUP, method(), in_turn(answer))} {in_turn(pinned)} }.into_any()
}
