//! What would fit: the largest micro-batch, the longest sequence, the fewest GPUs and the smallest card, each a button that
//! takes the value over. Calculated after the answer was painted, one solver at a time, so typing never waits for it.

use std::time::Duration;

use leptos::prelude::*;

use super::super::format::{gib_number, grouped};
use super::super::rest::Rest;
use super::super::state::{Form, PageStoreFields};
use crate::api::{self, Cards, InputId, Range, Request, Solution, Task, Unknown};

/// How long the question must rest before it is solved for something.
const REST: Duration = Duration::from_millis(250);

/// What was found for the question as it stands.
#[derive(Clone, Default)]
struct Found {
    solutions: [Option<Solution>; Unknown::ALL.len()],
    cards: Option<Cards>,
}

/// The section; it follows the question.
pub fn solvers(form: Form) -> AnyView {
    let found = RwSignal::new(Found::default());
    let rested = Rest::new();
    Effect::new(move |_| {
        let request = form
            .page
            .request()
            .with(|request| api::part(request, Task::Training));
        let valid = form.current.with(Result::is_ok);
        let first = move || {
            if valid {
                next(request.clone(), 0, found, rested);
            } else {
                found.set(Found::default());
            }
        };
        rested.after(REST, first);
    });
    view! {
        <section class="panel" id="solvers" aria-labelledby="solvers-title">
            <h2 id="solvers-title">"What would fit"</h2>
            <p class="solver-note">
                "Each with everything else as it is. What is not marked “maybe” surely fits; “maybe” is the last value that can."
            </p>
            <dl class="solvers">
                {Unknown::ALL.into_iter().enumerate().map(|(index, unknown)| number(form, found, index, unknown)).collect_view()}
                {card(form, found)}
            </dl>
        </section>
    }
    .into_any()
}

/// Solves for one unknown and leaves the rest to the next turn of the browser.
fn next(request: Request, turn: usize, found: RwSignal<Found>, rested: Rest) {
    match Unknown::ALL.get(turn) {
        Some(unknown) => {
            let solution = api::solve(&request, *unknown).ok();
            found.update(|found| {
                if let Some(place) = found.solutions.get_mut(turn) {
                    *place = solution;
                }
            });
            let later = move || next(request.clone(), turn + 1, found, rested);
            rested.after(Duration::ZERO, later);
        }
        None => {
            let cards = api::smallest_card(&request).ok();
            found.update(|found| found.cards = cards);
        }
    }
}

fn number(form: Form, found: RwSignal<Found>, index: usize, unknown: Unknown) -> AnyView {
    let (title, id) = match unknown {
        Unknown::MicroBatch => ("Largest micro-batch", "solved-batch"),
        Unknown::SequenceLength => ("Longest sequence", "solved-sequence"),
        Unknown::Gpus => ("Fewest GPUs", "solved-gpus"),
    };
    let content = move || {
        found.with(|found| {
            let Some(solution) = found.solutions.get(index).and_then(Option::as_ref) else {
                return view! { <span class="solver-note">"…"</span> }.into_any();
            };
            let button = |value: u64| take(form, unknown.input(), value.to_string(), grouped(value));
            match (solution.certain, solution.value) {
                (Some(certain), Some(value)) if certain == value => view! {
                    {button(certain)}
                    {note(solution.reason.clone().unwrap_or_else(|| needs(solution.at.need)))}
                }
                .into_any(),
                (Some(certain), Some(value)) => view! {
                    {button(certain)}
                    <span class="solver-best">"maybe "{button(value)}</span>
                }
                .into_any(),
                (None, Some(value)) => view! {
                    <span class="solver-best">"maybe "{button(value)}</span>
                    {note(needs(solution.at.need))}
                }
                .into_any(),
                (_, None) => {
                    view! { <b>"none"</b> {note(solution.reason.clone().unwrap_or_default())} }.into_any()
                }
            }
        })
    };
    view! { <div id=id><dt>{title}</dt><dd>{content}</dd></div> }.into_any()
}

fn card(form: Form, found: RwSignal<Found>) -> AnyView {
    let content = move || {
        found.with(|found| {
            let Some(cards) = found.cards.as_ref() else {
                return view! { <span class="solver-note">"…"</span> }.into_any();
            };
            let named = |id: &Option<String>| {
                let card = cards.cards.iter().find(|card| Some(&card.gpu) == id.as_ref())?;
                let size = format!("{} ({} GiB)", card.name, gib_number(card.usable_bytes));
                Some(take(form, InputId::Gpu, card.gpu.clone(), size))
            };
            match (named(&cards.certain), named(&cards.value)) {
                (Some(certain), Some(_)) if cards.certain == cards.value => certain,
                (Some(certain), Some(possible)) => view! {
                    {certain}
                    <span class="solver-best">"maybe "{possible}</span>
                }
                .into_any(),
                (None, Some(possible)) => {
                    view! { <span class="solver-best">"maybe "{possible}</span> }.into_any()
                }
                (_, None) => {
                    view! { <b>"none"</b> {note(cards.reason.clone().unwrap_or_default())} }.into_any()
                }
            }
        })
    };
    view! { <div id="solved-card"><dt>"Smallest card"</dt><dd>{content}</dd></div> }.into_any()
}

/// A button that types the value into its input.
fn take(form: Form, id: InputId, value: String, label: String) -> AnyView {
    let name = id.input().label;
    let title = format!("Set {name} to {label}");
    let on_click = move |_| {
        match id {
            InputId::NumGpus => form.set(InputId::DataParallelSize, None),
            InputId::Gpu => form.set(InputId::GpuMemoryGb, None),
            _ => {}
        }
        let typed = super::super::state::value_of(id.input(), &value);
        form.set(id, typed);
    };
    view! { <button type="button" class="button button-small" aria-label=title on:click=on_click>{label.clone()}</button> }
        .into_any()
}

fn needs(need: Range) -> String {
    format!(
        "needs {} – {} GiB",
        gib_number(need.low_bytes),
        gib_number(need.high_bytes)
    )
}

fn note(text: String) -> AnyView {
    view! { <span class="solver-note">{text}</span> }.into_any()
}
