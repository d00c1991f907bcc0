//! The inference tab: questions left, answer right. Model and GPU are those of the training tab.

use leptos::prelude::*;

use super::super::answer::serving;
use super::columns;
use crate::api::InputId;

/// What a newcomer is asked besides the model and the GPU.
const SETUP: [InputId; 6] = [
    InputId::NumGpus,
    InputId::ServerType,
    InputId::Sequences,
    InputId::TotalTokens,
    InputId::WeightFormat,
    InputId::KvCacheType,
];

/// The inference tab.
pub fn inference() -> AnyView {
    columns("Serving on", &SETUP, serving())
}
