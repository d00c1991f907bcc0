//! All inference engines on the question, side by side. Calculated when it is asked for: it is six answers.

use leptos::prelude::*;

use super::super::format::{exact, gib_number, grouped};
use super::super::state::{Form, PageStoreFields};
use super::verdict;
use crate::api::{self, ServerRow, SideBySide, Task};

/// The section: a button, then the table, which follows the question while it is open.
pub fn side_by_side(form: Form) -> AnyView {
    let open = RwSignal::new(false);
    let content = move || {
        open.get().then(|| {
            let all = form
                .page
                .request()
                .with(|request| api::side_by_side(&api::part(request, Task::Inference)));
            table(&all)
        })
    };
    view! {
        <section class="panel" aria-labelledby="side-by-side-title">
            <h2 id="side-by-side-title">"All engines side by side"</h2>
            <button
                type="button"
                class="button button-small"
                id="side-by-side"
                aria-expanded=move || if open.get() { "true" } else { "false" }
                on:click=move |_| open.update(|open| *open = !*open)
            >
                {move || if open.get() { "Close" } else { "Ask every engine" }}
            </button>
            {content}
        </section>
    }
    .into_any()
}

fn table(all: &SideBySide) -> AnyView {
    let rows = all.engines.iter().map(row).collect_view();
    let notes = all.engines.iter().flat_map(notes).collect_view();
    view! {
        <div class="table-frame" tabindex="0" role="region" aria-labelledby="side-by-side-title">
            <table class="breakdown-table" id="side-by-side-table">
                <thead>
                    <tr>
                        <th scope="col">"Engine"</th>
                        <th scope="col">"Verdict"</th>
                        <th scope="col" class="number">"GiB needed"</th>
                        <th scope="col" class="number">"of weights"</th>
                        <th scope="col" class="number">"Tokens"</th>
                        <th scope="col" class="number">"Sequences"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
        <ul class="soft">{notes}</ul>
    }
    .into_any()
}

fn row(row: &ServerRow) -> AnyView {
    let cells = match &row.answer {
        None => view! { <td colspan="5">"no answer, see below"</td> }.into_any(),
        Some(answer) => view! {
            <td>{verdict::title(answer.verdict)}</td>
            <td class="number" title=exact(answer.need.expected_bytes)>{gib_number(answer.need.expected_bytes)}</td>
            <td class="number" title=answer.weights.clone()>{gib_number(answer.weights_bytes)}</td>
            <td class="number">{grouped(answer.tokens)}</td>
            <td class="number">{grouped(answer.sequences)}</td>
        }
        .into_any(),
    };
    let mark = row.asked.then_some(" (asked)");
    view! { <tr data-engine=row.engine><th scope="row">{row.name} {mark}</th>{cells}</tr> }.into_any()
}

/// Why the engine holds more than the next, or why it does not answer.
fn notes(row: &ServerRow) -> Vec<AnyView> {
    let why = row
        .answer
        .as_ref()
        .and_then(|answer| answer.difference.as_ref())
        .map(|difference| {
            format!(
                "{} holds more tokens than {}, most of all by {}.",
                row.name, difference.name, difference.words
            )
        });
    let refused = row
        .issues
        .iter()
        .map(|issue| format!("{}: {} ({})", row.name, issue.message, issue.path));
    why.into_iter()
        .chain(refused)
        .map(|text| view! { <li>{text}</li> }.into_any())
        .collect()
}
