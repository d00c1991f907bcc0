//! The rules of thumb beside our figures: for comparison, no answer is made from them. Calculated after the question has rested.

use std::time::Duration;

use leptos::prelude::*;

use super::super::format::{exact, gib_number, readable};
use super::super::rest::Rest;
use super::super::state::{Form, PageStoreFields};
use crate::api::{self, RuleOfThumb, Task};
use crate::units::Bytes;

/// How long the question must rest.
const REST: Duration = Duration::from_millis(500);

/// The section.
pub fn rules(form: Form, task: Task) -> AnyView {
    let found = RwSignal::new(Vec::<RuleOfThumb>::new());
    let rested = Rest::new();
    Effect::new(move |_| {
        let request = form.page.request().with(|request| api::part(request, task));
        let look = move || {
            let rules = match task {
                Task::Training | Task::Plan => api::rules_of_thumb(&request),
                Task::Inference => api::rules_of_thumb_served(&request),
            };
            found.set(rules.unwrap_or_default());
        };
        rested.after(REST, look);
    });
    let content = move || {
        found.with(|rules| {
            (!rules.is_empty()).then(|| {
                let rows = rules.iter().map(row).collect_view();
                view! {
                    <section class="panel" id="rules" aria-labelledby="rules-title">
                        <h2 id="rules-title">"Rules of thumb, for comparison"</h2>
                        <p class="solver-note">
                            "What people calculate with on paper. Nothing on this page is made from them; beside each stands what this page calculates, and what the rule misses here."
                        </p>
                        <ul class="rules">{rows}</ul>
                    </section>
                }
            })
        })
    };
    view! { {content} }.into_any()
}

fn row(rule: &RuleOfThumb) -> AnyView {
    let ours = rule.ours_bytes.map(|ours| {
        view! {
            <span class="rule-ours" title=exact(ours)>
                <small>"here "</small>
                <b>{format!("{} GiB", gib_number(ours))}</b>
                <small>{against(rule.bytes, ours)}</small>
            </span>
        }
    });
    view! {
        <li data-rule=rule.id data-bytes=rule.bytes.get().to_string() data-ours=rule.ours_bytes.map(|ours| ours.get().to_string())>
            <div class="rule-head">
                <b>{rule.name.clone()}</b>
                <span class="rule-value" title=exact(rule.bytes)>
                    <small>"rule "</small>
                    {format!("{} GiB", gib_number(rule.bytes))}
                </span>
                {ours}
            </div>
            <p><code>{rule.formula}</code> <code>{format!(" = {}", readable(&rule.substituted))}</code></p>
            <p>{rule.misses.clone()}</p>
            <p class="soft rule-source">{format!("Compared with {}. {}", rule.compared_with, rule.citation.source)}</p>
        </li>
    }
    .into_any()
}

/// How far the rule is from our figure: " rule +42 %".
fn against(rule: Bytes, ours: Bytes) -> String {
    if ours == Bytes::ZERO {
        return String::new();
    }
    let percent = (rule.to_gib() / ours.to_gib() - 1.0) * 100.0;
    format!(" rule {percent:+.0} %")
}
