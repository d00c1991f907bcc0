//! The training tab: questions left, answer right.

use leptos::prelude::*;

use super::super::answer::{answer, pinned};
use super::super::fields::{field, gpu, groups};
use super::super::model::model;
use crate::api::InputId;

/// The training tab.
pub fn training() -> AnyView {
    view! {
        <div class="columns">
            <section class="questions" id="questions" aria-label="Questions">
                {model()}
                <section class="panel" aria-labelledby="setup-title">
                    <h2 id="setup-title">"Training on"</h2>
                    <div class="field-grid">
                        {gpu()}
                        {field(InputId::NumGpus)}
                        {field(InputId::SeqLength)}
                        {field(InputId::BatchSize)}
                        {field(InputId::EngineType)}
                    </div>
                </section>
                <h2 class="settings-title">"All settings"</h2>
                <div class="groups">{groups()}</div>
            </section>
            <section class="answer" id="answer" tabindex="-1" aria-label="Answer">
                {answer()}
            </section>
        </div>
        {pinned()}
    }
    .into_any()
}
