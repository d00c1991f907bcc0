//! The multi-node tab: questions left, traffic and time of a step right. The question is that of the training tab. Its content is
//! a part of the module of its own.

use leptos::prelude::*;

use super::super::answer::travelling;
use super::super::part::Loading;
use super::super::state::use_form;
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

/// What the part holds: the content of the tab.
pub type Nodes = fn() -> AnyView;

fn content() -> AnyView {
    columns("Training across nodes of", &SETUP, travelling())
}

#[cfg(feature = "parts")]
#[wasm_split_helpers::wasm_split(nodes, fallible)]
fn part() -> Result<Nodes, wasm_split_helpers::SplitLoaderError> {
    Ok(content)
}

/// Loads the part; nothing has to be loaded where the module is one file.
pub fn load() -> Loading<Nodes> {
    #[cfg(feature = "parts")]
    return Box::pin(async { part().await.ok() });
    #[cfg(not(feature = "parts"))]
    return Box::pin(std::future::ready(Some(content as Nodes)));
}

/// The multi-node tab.
pub fn multi_node() -> AnyView {
    use_form().nodes.view(|content| content())
}
