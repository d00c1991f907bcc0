//! The answer: verdict with the three meters, breakdown, instants, ledger, warnings, and how far it is validated.

mod advice;
mod breakdown;
mod details;
mod fixes;
pub mod groups;
mod host;
mod issues;
mod ledger;
mod meters;
mod planner;
mod ranks;
mod serving;
mod side_by_side;
mod solvers;
mod stages;
mod travelling;
mod validation;
pub mod verdict;

pub use advice::{Advice, load as load_advice};
pub use details::{Details, load as load_details};
pub use planner::{Planner, load as load_planner};
pub use serving::serving;
pub use travelling::travelling;

use leptos::prelude::*;

use super::state::use_form;
use crate::api::{Answer, Task};

/// The answer column.
pub fn answer() -> AnyView {
    let form = use_form();
    let has = Memo::new(move |_| form.answer.with(Option::is_some));
    let top = move || {
        let stale = form.stale();
        form.answer
            .with(|answer| answer.as_deref().map(|answer| verdict::strip(answer, stale)))
    };
    let part =
        move |view: fn(&Answer) -> AnyView| move || form.answer.with(|answer| answer.as_deref().map(view));
    let opened = RwSignal::new(Vec::new());
    let parts = move || {
        has.get().then(|| {
            form.details
                .view_later(move |details| (details.breakdown)(form.answer, opened))
        })
    };
    let whole = move || {
        let details = form.details.get()?;
        form.answer.with(|answer| answer.as_deref().map(details.whole))
    };
    let warnings = move || {
        form.answer.with(|answer| {
            answer
                .as_deref()
                .map(|answer| issues::warnings(form, &answer.warnings))
        })
    };
    let plots = move || {
        has.get().then(|| {
            form.plots.view_later(move |plots| {
                let instants = move || {
                    form.answer.with(|answer| {
                        let answer = answer.as_deref()?;
                        Some((plots.instants)(&answer.instants, answer.capacity.usable_bytes))
                    })
                };
                let ranks = move || form.answer.with(|answer| answer.as_deref().map(plots.ranks));
                view! {
                    <section class="panel" aria-labelledby="instants-heading">
                        <h2 id="instants-heading">"One step, instant by instant"</h2>
                        {instants}
                    </section>
                    {(plots.curves)(form, Task::Training)}
                    {ranks}
                    {(plots.schedule)(form)}
                }
                .into_any()
            })
        })
    };
    // The ledger keeps its own state (opened rows, chosen instant), so it is built once and follows the answer.
    let solved = move || {
        has.get()
            .then(|| form.advice.view_later(move |sections| sections(form)))
    };
    let explained = move || {
        has.get().then(|| {
            form.explain.view_later(move |explain| {
                view! { {(explain.learn)(form, Task::Training)} {(explain.rules)(form, Task::Training)} }
                    .into_any()
            })
        })
    };
    let table = move || {
        let details = form.details.get()?;
        has.get().then(|| (details.ledger)(form.answer))
    };
    let empty = move || {
        (!has.get() && !form.families.pending()).then(|| {
            view! {
                <section class="panel empty-answer">
                    <h2>"No answer yet"</h2>
                    <p>"Choose a model, or correct the fields that are marked."</p>
                </section>
            }
        })
    };
    view! {
        <div class="answer-top">{top}</div>
        {empty}
        <div class="answer-details" class:stale=move || form.stale()>
            {issues::errors(form)}
            {part(verdict::glance)}
            {parts}
            {solved}
            {plots}
            {whole}
            {warnings}
            {explained}
            {table}
        </div>
        {verdict::spoken(form)}
    }
    .into_any()
}

/// The verdict that a phone keeps at the bottom.
pub fn pinned() -> AnyView {
    let form = use_form();
    let open = RwSignal::new(false);
    let strip = move || {
        form.answer.with(|answer| {
            answer
                .as_deref()
                .map(|answer| verdict::pinned(answer, form.stale(), open))
        })
    };
    view! { {strip} }.into_any()
}
