//! The cheapest GPU on the page: of each kind the least number that works, sorted by numbers, GPU-hours or typed prices, by whole
//! nodes too. It is found in the worker; a row becomes the question by one click.

use std::time::Duration;

use leptos::prelude::*;

use super::super::super::fields::field;
use super::super::super::format::grouped;
use super::super::super::state::{Form, PageStoreFields};
use super::super::serving::{Column, table};
use super::found::{Cheapest, CheapestRow, Message, Refused};
use super::served::refused;
use super::worker::{Search, Sought};
use crate::api::{self, CheapestSort, InputId, Task};

use Column::{Number, Words};

/// Where a search is.
#[derive(Clone)]
enum State {
    Idle,
    Running,
    Done(Box<Cheapest>),
    Refused(Vec<Refused>),
}

/// The panel for a question of this kind.
pub fn panel(form: Form, task: Task) -> AnyView {
    let state = RwSignal::new(State::Idle);
    let whole = RwSignal::new(false);
    let search: StoredValue<Option<Search>, LocalStorage> = StoredValue::new_local(None);
    on_cleanup(move || search.set_value(None));
    let start = move |sort: CheapestSort| {
        search.set_value(None);
        state.set(State::Running);
        let mut request = form
            .page
            .request()
            .with_untracked(|request| api::part(request, task));
        if task == Task::Inference && !request.serves() {
            // With nothing typed for serving it is a question on it all the same.
            request.set(InputId::Sequences, 1);
        }
        let hear = move |text: String| {
            let Ok(message) = serde_json::from_str::<Message>(&text) else {
                return;
            };
            state.set(match message {
                Message::Cheapest(answer) => State::Done(answer),
                Message::Refused(why) => State::Refused(why),
                // Nothing else is asked for here.
                Message::Progress(_) | Message::Answer(_) | Message::Serving(_) => State::Running,
            });
            // Not at once: what is told here is called by it.
            set_timeout(move || search.set_value(None), Duration::ZERO);
        };
        let fail = move || {
            state.set(State::Refused(vec![Refused::here(
                "The search ended with an error.",
            )]))
        };
        search.set_value(Some(Search::start(
            Sought::Cheapest(sort, whole.get_untracked()),
            &request,
            hear,
            fail,
        )));
    };
    let (panel, title, kind) = match task {
        Task::Inference => ("cheapest-serving", "cheapest-serving-title", "cheapest-serving"),
        Task::Training | Task::Plan => ("cheapest", "cheapest-title", "cheapest"),
    };
    let buttons = [
        (CheapestSort::Gpus, "By GPUs"),
        (CheapestSort::GpuHours, "By GPU-hours"),
        (CheapestSort::Cost, "By price"),
    ]
    .map(|(sort, words)| {
        view! {
            <button type="button" class="button" id=format!("{kind}-{}", sort.key()) on:click=move |_| start(sort)>{words}</button>
        }
    })
    .collect_view();
    let running = move || state.with(|state| matches!(state, State::Running));
    // The multi-node tab asks for them among its settings of speed.
    let prices = (task == Task::Inference)
        .then(|| view! { <div class="field-grid">{field(InputId::GpuPrices)}</div> });
    view! {
        <section class="panel planner" id=panel aria-labelledby=title>
            <h2 id=title>"Cheapest GPU"</h2>
            <p class="soft">
                "Of each GPU of the table the least number on which this works, with everything else as it is asked. Beyond a node whole nodes are counted. Prices are those that are typed; what has none comes last."
            </p>
            {prices}
            <p class="planner-actions">
                {buttons}
                <label>
                    <input type="checkbox" id=format!("{kind}-nodes") prop:checked=whole on:change=move |_| whole.update(|whole| *whole = !*whole) />
                    " whole nodes"
                </label>
            </p>
            <div id=format!("{kind}-found") role="status" aria-busy=move || if running() { "true" } else { "false" }>
                {move || state.with(|state| shown(form, kind, state))}
            </div>
        </section>
    }
    .into_any()
}

fn shown(form: Form, kind: &'static str, state: &State) -> AnyView {
    match state {
        State::Idle => ().into_any(),
        State::Running => view! { <p>"Searching"</p> }.into_any(),
        State::Done(answer) => answered(form, kind, answer),
        State::Refused(why) => refused(why, "cheapest-refused"),
    }
}

fn answered(form: Form, kind: &'static str, answer: &Cheapest) -> AnyView {
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    let rows = answer
        .rows
        .iter()
        .map(|row| {
            view! {
                <tr data-gpu=row.gpu.clone() data-gpus=row.gpus>
                    <th scope="row">{row.name.clone()}</th>
                    <td class="number">{grouped(row.gpus)}</td>
                    <td class="number">{grouped(row.nodes)}</td>
                    <td class="number">{number(row.tokens_per_second, 0)}</td>
                    <td class="number">{number(row.gpu_hours, 2)}</td>
                    <td class="number">{number(row.cost_per_hour, 2)}</td>
                    <td class="number">{number(row.cost, 2)}</td>
                    <td>{take(form, row)}</td>
                </tr>
            }
        })
        .collect_view()
        .into_any();
    let (hours, cost) = match answer.kind.as_str() {
        "serving" => ("GPU-hours per million tokens", "cost per million tokens"),
        _ => ("GPU-hours per billion tokens", "cost per billion tokens"),
    };
    let columns = [
        Words("GPU"),
        Number("GPUs"),
        Number("nodes"),
        Number("tokens/s"),
        Number(hours),
        Number("cost per hour"),
        Number(cost),
        Words("As the question"),
    ];
    let left_out = answer
        .left_out
        .iter()
        .map(|one| view! { <li>{format!("{}: {}", one.gpu, one.reason)}</li> })
        .collect_view();
    view! {
        {table(kind, &columns, rows)}
        <details class="planner-space">
            <summary>{format!("{} GPUs are left out", answer.left_out.len())}</summary>
            <ul class="issues">{left_out}</ul>
        </details>
    }
    .into_any()
}

/// A button that makes a row the question.
fn take(form: Form, row: &CheapestRow) -> AnyView {
    let values = row.values.clone();
    let name = format!("Open: {} x {}", row.gpus, row.name);
    view! {
        <button type="button" class="button button-small" aria-label=name on:click=move |_| form.apply(&values)>"Open"</button>
    }
    .into_any()
}
