//! The cheapest GPU on the page: of each kind the least number that works, sorted by numbers, GPU-hours or typed prices, by whole
//! nodes too. It is found in the worker; a row becomes the question by one click.

use leptos::prelude::*;

use super::super::super::fields::field;
use super::super::super::format::grouped;
use super::super::super::state::{Form, PageStoreFields};
use super::super::serving::{Column, table};
use super::found::{Cheapest, Message};
use super::hunt::{Hunt, State, refused, serving, take};
use super::worker::Sought;
use crate::api::{self, CheapestSort, InputId, Task};

use Column::{Number, Words};

/// The panel for a question of this kind.
pub fn panel(form: Form, task: Task) -> AnyView {
    let hunt = Hunt::new(|message| match message {
        Message::Cheapest(answer) => Some(answer),
        _ => None,
    });
    let whole = RwSignal::new(false);
    let start = move |sort: CheapestSort| {
        let mut request = form
            .page
            .request()
            .with_untracked(|request| api::part(request, task));
        if task == Task::Inference {
            request = serving(request);
        }
        hunt.start(Sought::Cheapest(sort, whole.get_untracked()), &request);
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
    let running = move || hunt.running();
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
                {move || hunt.view(|state| shown(form, kind, state))}
            </div>
        </section>
    }
    .into_any()
}

fn shown(form: Form, kind: &'static str, state: &State<Cheapest>) -> AnyView {
    match state {
        State::Idle => ().into_any(),
        State::Running(_) | State::Stopped(_) => view! { <p>"Searching"</p> }.into_any(),
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
                    <td>{take(form, &format!("{} x {}", row.gpus, row.name), &row.values)}</td>
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
