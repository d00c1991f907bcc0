//! The inference tab: questions left, answer right. Model and GPU are those of the training tab. Its content and the
//! engines behind it are a part of the module of their own.

use leptos::prelude::*;

use super::super::answer::serving;
use super::super::part::Loading;
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
        view: || columns("Serving on", &SETUP, serving()),
        answer: |request| accuracy::calculate_inference(request, Strictness::default()),
    }
}

#[cfg(feature = "parts")]
#[wasm_split_helpers::wasm_split(inference, fallible)]
fn part() -> Result<InferencePart, wasm_split_helpers::SplitLoaderError> {
    Ok(content())
}

/// Loads the part; nothing has to be loaded where the module is one file.
pub fn load() -> Loading<InferencePart> {
    #[cfg(feature = "parts")]
    return Box::pin(async { part().await.ok() });
    #[cfg(not(feature = "parts"))]
    return Box::pin(std::future::ready(Some(content())));
}

/// The inference tab.
pub fn inference() -> AnyView {
    use_form().inference.view(|part| (part.view)())
}
