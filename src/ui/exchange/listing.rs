//! What an import found, assumed and did not understand, as it is listed before it is applied.

use leptos::prelude::*;
use serde_json::Value;

use super::super::answer::verdict as verdicts;
use super::super::fields::{message, plain};
use super::super::format::{gib, grouped};
use super::super::state::Form;
use super::measured;
use crate::accuracy;
use crate::api::{self, Found, Imported, InputId, Issue, Request, Strictness, Task};

/// The longest value that is printed.
const LONGEST: usize = 60;

/// The whole listing.
pub fn listing(form: Form, imported: &Imported) -> AnyView {
    let import = &imported.import;
    if import.kind == "unknown" {
        let messages = import
            .issues
            .iter()
            .map(|issue| message(form, issue))
            .collect_view();
        return view! {
            <section class="imported-what" data-kind="unknown">
                <h3>{import.title}</h3>
                <div class="messages">{messages}</div>
            </section>
        }
        .into_any();
    }
    let counts = [
        (import.found.len(), "found"),
        (import.assumed.len(), "assumed"),
        (import.not_understood.len(), "not understood"),
        (import.measured.len(), "measured"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| view! { <span class="tag">{format!("{count} {word}")}</span> })
    .collect_view();
    view! {
        <section class="imported-what" data-kind=import.kind>
            <div class="imported-title">
                <h3>{import.title}</h3>
                {counts}
            </div>
            {(!import.found.is_empty()).then(|| outcome(form, imported))}
            {measured::measured(imported)}
            {found(form, imported)}
            {list("import-assumed", "Assumed", &import.assumed, false)}
            {list("import-strange", "Not understood, and not used", &import.not_understood, true)}
        </section>
    }
    .into_any()
}

/// What the question with these values says.
fn outcome(form: Form, imported: &Imported) -> AnyView {
    let task = imported.task.unwrap_or_else(|| form.task());
    let request = api::part(&imported.request, task);
    match answer(&request, task) {
        Ok((verdict, need, usable)) => view! {
            <p class=format!("import-outcome {}", verdicts::tone(verdict))>
                {verdicts::sign(verdict)}
                <b>{verdicts::title(verdict)}</b>
                <span>{format!("With these values a GPU needs {} of {}.", verdicts::need(need), gib(usable))}</span>
            </p>
        }
        .into_any(),
        Err(issues) => {
            let first = issues.into_iter().find(Issue::is_error);
            let words = first.map_or_else(String::new, |issue| format!(" {}", issue.message));
            view! { <p class="import-outcome tone-tight"><span>{format!("There is no answer to it yet.{words}")}</span></p> }
                .into_any()
        }
    }
}

type Outcome = (api::Verdict, api::Range, crate::units::Bytes);

fn answer(request: &Request, task: Task) -> Result<Outcome, Vec<Issue>> {
    Ok(match task {
        Task::Training | Task::Plan => {
            let answer = accuracy::calculate(request, Strictness::default())?;
            (answer.verdict, answer.need, answer.capacity.usable_bytes)
        }
        Task::Inference => {
            let answer = accuracy::calculate_inference(request, Strictness::default())?;
            (answer.verdict, answer.need, answer.capacity.usable_bytes)
        }
    })
}

/// The values that were found, each beside what the form holds now, and what they take the place of.
fn found(form: Form, imported: &Imported) -> Option<AnyView> {
    if imported.import.found.is_empty() {
        return None;
    }
    let now = form.page_request();
    let rows = imported
        .import
        .found
        .iter()
        .map(|found| row(&now, found))
        .collect_view();
    let given_up: Vec<String> = now
        .given()
        .filter(|(id, _)| !imported.request.has(*id))
        .map(|(id, value)| format!("{} = {}", id.input().label, short(value)))
        .collect();
    let given_up = (!given_up.is_empty()).then(|| {
        view! {
            <p class="soft" id="import-given-up">{format!("Left open again: {}.", given_up.join(", "))}</p>
        }
    });
    Some(
        view! {
            <div class="table-frame" tabindex="0" role="region" aria-label="Values that were found">
                <table class="plain-table import-table" id="import-found">
                    <thead>
                        <tr>
                            <th scope="col">"Found"</th>
                            <th scope="col">"Value"</th>
                            <th scope="col">"Now"</th>
                            <th scope="col">"In the text"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
            {given_up}
        }
        .into_any(),
    )
}

fn row(now: &Request, found: &Found) -> AnyView {
    let held = InputId::ALL
        .iter()
        .find(|id| id.key() == found.path)
        .and_then(|id| now.get(*id));
    let same = held.is_some_and(|held| plain(held) == plain(&found.value));
    let held = match held {
        Some(_) if same => "the same".to_owned(),
        Some(held) => short(held),
        None => "–".to_owned(),
    };
    view! {
        <tr data-path=found.path class:import-same=same>
            <th scope="row">{found.label}</th>
            <td class="import-value">{short(&found.value)}</td>
            <td class="soft">{held}</td>
            <td class="import-from"><code>{found.from.clone()}</code></td>
        </tr>
    }
    .into_any()
}

fn list(id: &'static str, title: &'static str, lines: &[String], code: bool) -> Option<AnyView> {
    if lines.is_empty() {
        return None;
    }
    let lines = lines
        .iter()
        .map(|line| {
            let line = line.clone();
            if code {
                view! { <li><code>{line}</code></li> }.into_any()
            } else {
                view! { <li>{line}</li> }.into_any()
            }
        })
        .collect_view();
    Some(
        view! {
            <div class="import-list" id=id>
                <h4>{title}</h4>
                <ul>{lines}</ul>
            </div>
        }
        .into_any(),
    )
}

/// A value in one line.
fn short(value: &Value) -> String {
    if let Some(fields) = value.as_object() {
        return format!("{} keys", grouped(fields.len() as u64));
    }
    let text = plain(value);
    let short: String = text.chars().take(LONGEST).collect();
    if short == text {
        text
    } else {
        format!("{short}…")
    }
}
