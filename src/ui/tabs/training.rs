//! The training tab: questions left, answer right.

use leptos::prelude::*;

use super::super::answer::{answer, pinned};
use super::super::fields::method;
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
    view! { {columns("Training on", &SETUP, method(), answer())} {pinned()} }.into_any()
}
