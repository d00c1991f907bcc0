//! The inference tab: questions left, answer right. Model and GPU are those of the training tab.

use leptos::prelude::*;

use super::super::answer::serving;
use super::super::fields::{field, gpu, groups};
use super::super::model::model;
use crate::api::InputId;

/// The inference tab.
pub fn inference() -> AnyView {
    view! {
        <div class="columns">
            <section class="questions" id="questions" aria-label="Questions">
                {model()}
                <section class="panel" aria-labelledby="setup-title">
                    <h2 id="setup-title">"Serving on"</h2>
                    <div class="field-grid">
                        {gpu()}
                        {field(InputId::NumGpus)}
                        {field(InputId::ServerType)}
                        {field(InputId::Sequences)}
                        {field(InputId::TotalTokens)}
                        {field(InputId::WeightFormat)}
                        {field(InputId::KvCacheType)}
                    </div>
                </section>
                <h2 class="settings-title">"All settings"</h2>
                <div class="groups">{groups()}</div>
            </section>
            <section class="answer" id="answer" tabindex="-1" aria-label="Answer">
                {serving()}
            </section>
        </div>
    }
    .into_any()
}
