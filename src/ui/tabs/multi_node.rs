//! The multi-node tab: questions left, traffic and time of a step right. The question is that of the training tab.

use leptos::prelude::*;

use super::super::answer::travelling;
use super::columns;
use crate::api::InputId;

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

/// The multi-node tab.
pub fn multi_node() -> AnyView {
    columns("Training across nodes of", &SETUP, travelling())
}
