//! The four tabs: which there are, the list of them, and their panels.

mod accuracy;
mod inference;
mod list;
mod multi_node;
mod records;
mod runs;
mod scatter;
mod scatter_labels;
mod training;

pub use inference::load as load_inference;
pub use list::TabList;
pub use multi_node::{Nodes, SETUP as NODES, load as load_nodes};
pub use records::{Listed, load as load_records};
pub use runs::Runs;

use super::fields::{field, gpu, groups};
use super::model::model;
use super::state::{PageStoreFields, use_form};
use crate::api::InputId;
use leptos::prelude::*;

/// A tab of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    /// Memory of a training step.
    #[default]
    Training,
    /// Memory of serving.
    Inference,
    /// Traffic between nodes.
    MultiNode,
    /// Predicted against measured.
    Accuracy,
}

impl Tab {
    /// The tabs in their order.
    pub const ALL: [Self; 4] = [Self::Training, Self::Inference, Self::MultiNode, Self::Accuracy];

    /// Its place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its name for a person.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Training => "Training",
            Self::Inference => "Inference",
            Self::MultiNode => "Multi-node",
            Self::Accuracy => "Accuracy",
        }
    }

    /// Its key in the address.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Inference => "inference",
            Self::MultiNode => "multi-node",
            Self::Accuracy => "accuracy",
        }
    }

    /// The tab with this key.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tab| tab.key() == key)
    }

    /// Id of its button.
    pub const fn button_id(self) -> &'static str {
        match self {
            Self::Training => "tab-training",
            Self::Inference => "tab-inference",
            Self::MultiNode => "tab-multi-node",
            Self::Accuracy => "tab-accuracy",
        }
    }

    /// Id of its panel.
    pub const fn panel_id(self) -> &'static str {
        match self {
            Self::Training => "panel-training",
            Self::Inference => "panel-inference",
            Self::MultiNode => "panel-multi-node",
            Self::Accuracy => "panel-accuracy",
        }
    }
}

/// The page of a question: the model, what it runs on, all settings; the answer beside them.
fn columns(title: &'static str, inputs: &[InputId], more: AnyView, answer: AnyView) -> AnyView {
    let fields = inputs.iter().map(|id| field(*id)).collect_view();
    view! {
        <div class="columns">
            <section class="questions" id="questions" aria-label="Questions">
                {model()}
                <section class="panel" aria-labelledby="setup-title">
                    <h2 id="setup-title">{title}</h2>
                    <div class="field-grid">{gpu()} {fields}</div>
                    {more}
                </section>
                {groups()}
            </section>
            <section class="answer" id="answer" tabindex="-1" aria-label="Answer">
                {answer}
            </section>
        </div>
    }
    .into_any()
}

/// The panels, of which one is shown. Their content is built when they are shown.
#[component]
pub fn TabPanels() -> impl IntoView {
    let form = use_form();
    // A link may ask about a model of any family, so these come first where they are needed; inside a document of others a reader
    // may have turned to the page long ago.
    if super::dom::embedded() || form.page.request().with_untracked(crate::api::waits) {
        form.families.load();
    } else {
        form.families.load_later();
    }
    form.inference.load_later();
    form.nodes.load_later();
    form.explain.load_later();
    form.settings.load_later();
    super::part::notice();
    let page = form.page;
    let shown = Memo::new(move |_| page.tab().get());
    let panels = Tab::ALL.map(|tab| {
        let content = move || {
            (shown.get() == tab).then(|| match tab {
                Tab::Training => training::training(),
                Tab::Inference => inference::inference(),
                Tab::MultiNode => multi_node::multi_node(),
                Tab::Accuracy => form.records.view(|content| content()),
            })
        };
        view! {
            <div
                role="tabpanel"
                class="page"
                id=tab.panel_id()
                aria-labelledby=tab.button_id()
                hidden=move || shown.get() != tab
            >
                {content}
            </div>
        }
        .into_any()
    });
    // A document of others has a main part of its own.
    let panels = panels.collect_view();
    if super::dom::embedded() {
        view! { <div id="main" tabindex="-1">{panels}</div> }.into_any()
    } else {
        view! { <main id="main" tabindex="-1">{panels}</main> }.into_any()
    }
}
