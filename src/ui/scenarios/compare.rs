//! The pinned scenarios beside the question on screen: a bar each on one scale, every part with its difference from the first
//! column, and the inputs in which they differ.

use leptos::prelude::*;

use super::super::answer::verdict;
use super::super::fields::plain;
use super::super::format::{exact, gib, gib_number, share};
use super::super::plots::Named;
use super::super::state::{Form, PageStoreFields};
use super::columns::{Column, Outcome, PARTS, column};
use super::store::Store;
use crate::api::{INPUTS, Input, Task};
use crate::units::Bytes;

/// The section; nothing while nothing is pinned.
pub fn compare(form: Form, store: Store) -> AnyView {
    let content = move || {
        let pinned: Vec<Column> = store.list.with(|list| {
            let pinned = list.iter().filter(|scenario| scenario.pinned);
            pinned
                .map(|scenario| column(scenario.name.clone(), scenario.tab(), &scenario.request()))
                .collect()
        });
        if pinned.is_empty() {
            return None;
        }
        let own = column(
            "On screen".to_owned(),
            form.page.tab().get_untracked(),
            &form.page_request(),
        );
        let columns: Vec<Column> = std::iter::once(own).chain(pinned).collect();
        Some(section(form, &columns))
    };
    view! { {content} }.into_any()
}

fn section(form: Form, columns: &[Column]) -> AnyView {
    let heads = columns
        .iter()
        .map(|column| {
            view! { <th scope="col" title=column.title.clone()>{column.name.clone()}</th> }
        })
        .collect_view();
    let inputs = differing(columns);
    let same = inputs.is_empty();
    let count = columns.len() + 1;
    let rows = inputs
        .into_iter()
        .map(|input| input_row(input, columns))
        .collect_view();
    view! {
        <section class="compare" aria-labelledby="compare-title">
            <h3 id="compare-title">"Side by side"</h3>
            {bars(columns)}
            {lines(form, columns)}
            <div class="table-frame" tabindex="0" role="region" aria-label="Every figure and input side by side">
                <table class="plain-table compare-table" id="compare-table">
                    <thead><tr><th scope="col">"Per GPU, GiB"</th>{heads}</tr></thead>
                    <tbody>
                        {verdicts(columns)}
                        {amount("need", "Need, expected", columns, |outcome| outcome.need.expected_bytes)}
                        {amount("usable", "Usable", columns, |outcome| outcome.usable)}
                        {amount("allocated", "Allocated", columns, |outcome| outcome.meters.allocated.expected_bytes)}
                        {amount("reserved", "Reserved", columns, |outcome| outcome.meters.reserved.expected_bytes)}
                        {amount("device", "On the device", columns, |outcome| outcome.meters.device.expected_bytes)}
                    </tbody>
                    <tbody>
                        <tr class="compare-heading"><th colspan=count scope="colgroup">"What takes the need"</th></tr>
                        {parts(columns)}
                    </tbody>
                    <tbody>
                        <tr class="compare-heading"><th colspan=count scope="colgroup">"Inputs that differ"</th></tr>
                        {rows}
                        {same.then(|| view! { <tr><td colspan=count class="soft">"None: the questions are the same."</td></tr> })}
                    </tbody>
                </table>
            </div>
        </section>
    }
    .into_any()
}

/// The need of the columns along an input, as lines over the same axes: those of training, and those of serving.
fn lines(form: Form, columns: &[Column]) -> AnyView {
    let of = |wanted: Task| -> Vec<Named> {
        columns
            .iter()
            .filter(|column| column.task == wanted && column.outcome.is_ok())
            .map(|column| (column.name.clone(), column.request.clone()))
            .collect()
    };
    let kinds = [Task::Training, Task::Inference].map(|task| StoredValue::new((task, of(task))));
    form.plots.view(move |plots| {
        kinds
            .map(|kind| {
                let (task, questions) = kind.get_value();
                (plots.overlaid)(questions, task)
            })
            .into_iter()
            .collect_view()
            .into_any()
    })
}

/// One stacked bar for each column, all on one scale.
fn bars(columns: &[Column]) -> AnyView {
    let answered = || {
        columns
            .iter()
            .filter_map(|column| Some((column, column.outcome.as_ref().ok()?)))
    };
    let total = |outcome: &Outcome| -> Bytes { outcome.parts.iter().copied().sum() };
    let scale = answered()
        .map(|(_, outcome)| total(outcome).max(outcome.usable))
        .max()
        .unwrap_or_default();
    let lines = answered()
        .map(|(column, outcome)| {
            let parts = PARTS
                .iter()
                .zip(outcome.parts)
                .filter(|(_, bytes)| *bytes > Bytes::ZERO)
                .map(|((key, label), bytes)| {
                    view! {
                        <div
                            class=format!("stack-part {}", colour(key))
                            style=format!("width:{}", share(bytes, scale))
                            title=format!("{label}: {}", gib(bytes))
                        ></div>
                    }
                })
                .collect_view();
            view! {
                <div class="compare-bar">
                    <span class="compare-name">{column.name.clone()}</span>
                    <div class="stack-frame">
                        <div class="stack">{parts}</div>
                        <span class="capacity-mark" style=format!("left:{}", share(outcome.usable, scale))></span>
                    </div>
                </div>
            }
        })
        .collect_view();
    view! { <div class="compare-bars" aria-hidden="true">{lines}</div> }.into_any()
}

/// The cache of serving has the colour of what is kept between steps of training.
fn colour(key: &str) -> String {
    match key {
        "kv_cache" => "group-optimizer_states".to_owned(),
        key => format!("group-{key}"),
    }
}

fn verdicts(columns: &[Column]) -> AnyView {
    let cells = columns
        .iter()
        .map(|column| match &column.outcome {
            Ok(outcome) => view! {
                <td class="number">
                    <span class=format!("scenario-verdict {}", verdict::tone(outcome.verdict))>{verdict::title(outcome.verdict)}</span>
                </td>
            }
            .into_any(),
            Err(issues) => {
                let first = issues.iter().find(|issue| issue.is_error());
                let words = first.map_or_else(String::new, |issue| issue.message.clone());
                view! { <td class="number soft" title=words>"no answer"</td> }.into_any()
            }
        })
        .collect_view();
    view! { <tr data-row="verdict"><th scope="row">"Verdict"</th>{cells}</tr> }.into_any()
}

fn parts(columns: &[Column]) -> AnyView {
    PARTS
        .iter()
        .enumerate()
        .filter(|(index, _)| {
            columns.iter().any(|column| {
                let outcome = column.outcome.as_ref();
                outcome.is_ok_and(|outcome| {
                    outcome
                        .parts
                        .get(*index)
                        .is_some_and(|bytes| *bytes > Bytes::ZERO)
                })
            })
        })
        .map(|(index, (key, label))| {
            amount(key, label, columns, move |outcome| {
                outcome.parts.get(index).copied().unwrap_or_default()
            })
        })
        .collect_view()
        .into_any()
}

/// A row of amounts, each with its difference from the first column.
fn amount(
    key: &'static str,
    label: &'static str,
    columns: &[Column],
    of: impl Fn(&Outcome) -> Bytes,
) -> AnyView {
    let values: Vec<Option<Bytes>> = columns
        .iter()
        .map(|column| column.outcome.as_ref().ok().map(&of))
        .collect();
    let first = values.first().copied().flatten();
    let cells = values
        .iter()
        .enumerate()
        .map(|(index, value)| match value {
            None => view! { <td class="number soft">"–"</td> }.into_any(),
            Some(bytes) => {
                let difference = first.filter(|_| index > 0).map(|first| difference(first, *bytes));
                view! {
                    <td class="number" data-bytes=bytes.get().to_string() title=exact(*bytes)>
                        {gib_number(*bytes)}
                        {difference}
                    </td>
                }
                .into_any()
            }
        })
        .collect_view();
    view! { <tr data-row=key><th scope="row">{label}</th>{cells}</tr> }.into_any()
}

fn difference(first: Bytes, bytes: Bytes) -> Option<AnyView> {
    let more = bytes.to_gib() - first.to_gib();
    if more.abs() < 0.005 {
        return None;
    }
    let (class, sign) = if more > 0.0 {
        ("compare-more", "+")
    } else {
        ("compare-less", "−")
    };
    Some(view! { <small class=class>{format!("{sign}{:.2}", more.abs())}</small> }.into_any())
}

/// The inputs that are not the same in all columns.
fn differing(columns: &[Column]) -> Vec<&'static Input> {
    let given = |column: &Column, input: &Input| column.request.get(input.id).map(plain);
    INPUTS
        .iter()
        .copied()
        .filter(|input| {
            let mut values = columns.iter().map(|column| given(column, input));
            let first = values.next().flatten();
            values.any(|value| value != first)
        })
        .collect()
}

fn input_row(input: &'static Input, columns: &[Column]) -> AnyView {
    let cells = columns
        .iter()
        .map(|column| {
            let text = match column.request.get(input.id) {
                Some(value) if value.is_object() => "config.json".to_owned(),
                Some(value) => plain(value),
                None => "default".to_owned(),
            };
            let open = !column.request.has(input.id);
            view! { <td class="number" class:soft=open>{text}</td> }
        })
        .collect_view();
    view! { <tr data-row=input.key><th scope="row">{input.label}</th>{cells}</tr> }.into_any()
}
