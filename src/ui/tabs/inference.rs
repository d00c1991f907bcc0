//! The inference tab: questions left, answer right. Model and GPU are those of the training tab. Its content and the
//! engines behind it are a part of the module of their own.

use leptos::prelude::*;

use super::super::answer::serving;
use super::super::part::part;
use super::super::state::{InferencePart, use_form};
use super::columns;
use crate::accuracy;
use crate::api::{InputId, Strictness};

/// What a newcomer is asked besides the model and the GPU.
const SETUP: [InputId; 6] = [
    InputId::NumGpus,
    InputId::ServerType,
    InputId::Sequences,
    InputId::TotalTokens,
    InputId::WeightFormat,
    InputId::KvCacheType,
];

/// What the part holds.
fn content() -> InferencePart {
    InferencePart {
        view: || columns("Serving on", &SETUP, ().into_any(), serving()),
        answer: |request| accuracy::calculate_inference(request, Strictness::default()),
    }
}

part!(inference holds InferencePart: content());

/// The inference tab.
pub fn inference() -> AnyView {
    use_form().inference.view(|part| (part.view)())
}
