//! The answer: verdict with the three meters, breakdown, instants, ledger, warnings, and how far it is validated.

mod advice;
mod breakdown;
mod chart;
mod fixes;
mod groups;
mod host;
mod instants;
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
mod verdict;

pub use advice::{Advice, load as load_advice};
pub use planner::{Planner, load as load_planner};
pub use serving::serving;
pub use travelling::travelling;

use leptos::prelude::*;

use super::state::use_form;
use crate::api::Answer;

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
        form.answer.with(|answer| {
            answer
                .as_deref()
                .map(|answer| breakdown::breakdown(answer, opened))
        })
    };
    let warnings = move || {
        form.answer.with(|answer| {
            answer
                .as_deref()
                .map(|answer| issues::warnings(form, &answer.warnings))
        })
    };
    // The ledger keeps its own state (opened rows, chosen instant), so it is built once and follows the answer.
    let solved = move || {
        has.get()
            .then(|| form.advice.view(move |sections| sections(form)))
    };
    let table = move || has.get().then(|| ledger::ledger(form.answer));
    let empty = move || {
        (!has.get()).then(|| {
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
            {part(|answer| instants::instants(&answer.instants, answer.capacity.usable_bytes))}
            {solved}
            {warnings}
            {table}
        </div>
        {verdict::spoken(form)}
    }
    .into_any()
}

/// The verdict that a phone keeps at the bottom.
pub fn pinned() -> AnyView {
    let form = use_form();
    let strip = move || {
        form.answer.with(|answer| {
            answer
                .as_deref()
                .map(|answer| verdict::pinned(answer, form.stale()))
        })
    };
    view! { {strip} }.into_any()
}
