//! The panel: options, the button, how far the search is, and what it found.

use std::time::Duration;

use leptos::prelude::*;

use super::super::super::fields::field;
use super::super::super::format::{gib_number, grouped};
use super::super::super::part::part;
use super::super::super::state::{Form, PageStoreFields};
use super::super::serving::{Column, table};
use super::drawing::draw;
use super::found::{Answer, Message, Point, Progress, Refused, Row};
use super::worker::{Search, Sought};
use crate::api::{self, InputId, Task};
use crate::ui::plots::linear as scale;
use crate::units::Bytes;

use Column::{Number, Words};

/// What the part holds: the views.
#[derive(Clone, Copy)]
pub struct Planner {
    /// Plans of training.
    pub training: fn(Form) -> AnyView,
    /// Plans of serving.
    pub serving: fn(Form) -> AnyView,
    /// The cheapest GPU for a question of this kind.
    pub cheapest: fn(Form, Task) -> AnyView,
}

const ALL: Planner = Planner {
    training: panel,
    serving: super::served::panel,
    cheapest: super::cheapest::panel,
};

part!(planner holds Planner: ALL);

/// Options that are shown at once.
const OPTIONS: [InputId; 5] = [
    InputId::GlobalBatchTokens,
    InputId::TargetUtilization,
    InputId::PlanEngines,
    InputId::PlanPrecisions,
    InputId::PlanOffload,
];

/// Where a search is.
#[derive(Clone)]
enum State {
    /// Nothing was asked.
    Idle,
    /// It runs.
    Running(Progress),
    /// It was stopped, with the best until then.
    Stopped(Progress),
    /// It found.
    Done(Box<Answer>),
    /// It was refused.
    Refused(Vec<Refused>),
}

fn panel(form: Form) -> AnyView {
    let state = RwSignal::new(State::Idle);
    let search: StoredValue<Option<Search>, LocalStorage> = StoredValue::new_local(None);
    on_cleanup(move || search.set_value(None));
    let start = move |_| {
        search.set_value(None);
        state.set(State::Running(Progress::default()));
        let request = form
            .page
            .request()
            .with_untracked(|request| api::part(request, Task::Plan));
        let hear = move |text: String| {
            let Ok(message) = serde_json::from_str::<Message>(&text) else {
                return;
            };
            let over = !matches!(message, Message::Progress(_));
            state.set(match message {
                Message::Progress(progress) => State::Running(progress),
                Message::Answer(answer) => State::Done(answer),
                Message::Refused(why) => State::Refused(why),
                // Nothing else is asked for here.
                Message::Serving(_) | Message::Cheapest(_) => State::Idle,
            });
            if over {
                // Not at once: what is told here is called by it.
                set_timeout(move || search.set_value(None), Duration::ZERO);
            }
        };
        let fail = move || {
            state.set(State::Refused(vec![Refused::here(
                "The search ended with an error.",
            )]))
        };
        search.set_value(Some(Search::start(Sought::Plans, &request, hear, fail)));
    };
    let stop = move |_| {
        search.set_value(None);
        state.update(|state| {
            if let State::Running(progress) = state {
                *state = State::Stopped(progress.clone());
            }
        });
    };
    let running = move || state.with(|state| matches!(state, State::Running(_)));
    let more: Vec<InputId> = api::Input::of_group(api::FormGroup::Planner)
        .map(|input| input.id)
        .filter(|id| !OPTIONS.contains(id))
        .collect();
    let inside = more
        .iter()
        .map(|id| super::super::super::fields::control_id(id.input()))
        .collect::<Vec<_>>()
        .join(" ");
    view! {
        <section class="panel planner" id="planner" aria-labelledby="planner-title">
            <h2 id="planner-title">"Planner"</h2>
            <p class="soft">
                "Searches engines, sharding, tensor, pipeline, context, expert and data parallelism, micro-batches, recomputation and offloading for the plans that fit and are the fastest. What is typed for these is not kept; all else is."
            </p>
            <div class="field-grid">{OPTIONS.map(field).collect_view()}</div>
            <details class="group" data-inputs=inside>
                <summary><span>"More on plans"</span></summary>
                <div class="group-body"><div class="field-grid">{more.into_iter().map(field).collect_view()}</div></div>
            </details>
            <p class="planner-actions">
                <button type="button" class="button" id="find-plans" on:click=start>"Find plans"</button>
                <button type="button" class="button" id="stop-plans" disabled=move || !running() on:click=stop>"Stop"</button>
            </p>
            <div id="plans" role="status" aria-busy=move || if running() { "true" } else { "false" }>
                {move || state.with(|state| shown(form, state))}
            </div>
        </section>
    }
    .into_any()
}

impl Refused {
    pub(super) fn here(message: &str) -> Self {
        Self {
            path: String::new(),
            message: message.to_owned(),
        }
    }
}

fn shown(form: Form, state: &State) -> AnyView {
    match state {
        State::Idle => ().into_any(),
        State::Running(progress) => far(progress, "Searching"),
        State::Stopped(progress) => {
            let best = progress.best.as_ref().map(|best| take(form, best));
            view! { {far(progress, "Stopped")} {best} }.into_any()
        }
        State::Done(answer) => answered(form, answer),
        State::Refused(why) => {
            let lines = why
                .iter()
                .map(|one| {
                    let path = one.path.clone();
                    view! { <li>{(!path.is_empty()).then(|| format!("{path}: "))} {one.message.clone()}</li> }
                })
                .collect_view();
            view! { <ul class="issues" id="plans-refused">{lines}</ul> }.into_any()
        }
    }
}

fn far(progress: &Progress, word: &'static str) -> AnyView {
    let all = progress.combinations.max(1);
    let percent = 100.0 * progress.settled as f64 / all as f64;
    let best = progress
        .best
        .as_ref()
        .map(|best| format!("Best so far: {:.0} ms a step, {}.", best.step_ms, best.name));
    view! {
        <div class="planner-progress" id="plans-progress">
            <progress max="100" value=format!("{percent:.1}") aria-label="Part of the space that is searched"></progress>
            <p>{format!(
                "{word}: {} of {} combinations, {} fit. ",
                grouped(progress.settled),
                grouped(progress.combinations),
                grouped(progress.fitting)
            )} {best}</p>
        </div>
    }
    .into_any()
}

fn answered(form: Form, answer: &Answer) -> AnyView {
    let space = &answer.space;
    let sentence = format!(
        "{} combinations, {} of them calculated; {} fit into {} GiB per GPU. {} tokens per step on {} GPUs, {} per node.",
        grouped(space.combinations),
        grouped(space.calculated),
        grouped(space.fitting),
        gib_number(Bytes::new(answer.asked.limit_bytes)),
        grouped(answer.asked.tokens_per_step),
        grouped(answer.asked.gpus),
        grouped(answer.asked.gpus_per_node),
    );
    let nothing = answer.plans.is_empty().then(|| {
        let nearest = answer
            .nearest
            .as_ref()
            .zip(answer.shortfall_bytes)
            .map(|(nearest, short)| {
                format!(
                    " The least is needed by {}: {} GiB, {} GiB too much.",
                    nearest.name,
                    gib_number(Bytes::new(nearest.need_bytes)),
                    gib_number(Bytes::new(short))
                )
            });
        view! { <p id="plans-none"><b>"Nothing fits."</b> {nearest}</p> }
    });
    let best = (!answer.plans.is_empty()).then(|| best(form, &answer.plans));
    let why = answer.why.as_ref().map(|why| {
        view! {
            <p id="plans-why"><b>"Why the first: "</b> {why.words.clone()} <span class="soft">{format!(" Against {}.", why.other.name)}</span></p>
        }
    });
    let front = (answer.front.len() > 1).then(|| front(form, &answer.front, answer.asked.limit_bytes));
    let rows = space
        .left_out
        .iter()
        .map(|one| {
            view! { <tr><th scope="row">{one.label.clone()}</th><td class="number">{grouped(one.combinations)}</td></tr> }
        })
        .collect_view()
        .into_any();
    let refused = answer
        .refused
        .iter()
        .map(|one| view! { <li>{format!("{}: {}", one.way, one.reason)}</li> })
        .collect_view();
    view! {
        <p class="soft" id="plans-sentence">{sentence}</p>
        {nothing}
        {best}
        {why}
        {front}
        <details class="planner-space">
            <summary>"What was left out, and why"</summary>
            {table("left-out", &[Words("Rule"), Number("combinations")], rows)}
            <ul class="issues">{refused}</ul>
        </details>
    }
    .into_any()
}

/// A button that makes a plan the question.
fn take(form: Form, point: &Point) -> AnyView {
    let values = point.values.clone();
    let name = format!("Open: {}", point.name);
    view! {
        <button type="button" class="button button-small" aria-label=name on:click=move |_| form.apply(&values)>"Open"</button>
    }
    .into_any()
}

fn best(form: Form, plans: &[Row]) -> AnyView {
    let rows = plans
        .iter()
        .map(|plan| {
            let point = &plan.point;
            view! {
                <tr data-step=point.step_ms data-need=point.need_bytes>
                    <th scope="row">{point.name.clone()}</th>
                    <td class="number">{format!("{:.0}", point.step_ms)}</td>
                    <td class="number">{format!("{:.0}", plan.tokens_per_second_per_gpu.expected)}</td>
                    <td class="number">{format!("{:.1}", plan.mfu_percent.expected)}</td>
                    <td class="number">{gib_number(Bytes::new(point.need_bytes))}</td>
                    <td class="number">{gib_number(Bytes::new(plan.margin_bytes))}</td>
                    <td>{take(form, point)}</td>
                </tr>
            }
        })
        .collect_view()
        .into_any();
    let columns = [
        Words("Plan"),
        Number("ms a step"),
        Number("tokens/s/GPU"),
        Number("MFU, %"),
        Number("GiB needed"),
        Number("GiB left"),
        Words("As the question"),
    ];
    view! { <h3>"Best plans"</h3> {table("plans", &columns, rows)} }.into_any()
}

/// The front, drawn and as a table.
fn front(form: Form, points: &[Point], limit: u64) -> AnyView {
    let gib = |bytes: u64| Bytes::new(bytes).to_gib();
    let most = |of: &dyn Fn(&Point) -> f64| points.iter().map(of).fold(0.0, f64::max);
    // A long tail of slow plans would press the fast ones together.
    let fastest = points.first().map_or(1.0, |point| point.step_ms);
    let near: Vec<(f64, f64)> = points
        .iter()
        .filter(|point| point.step_ms <= 4.0 * fastest)
        .map(|point| (point.step_ms, gib(point.need_bytes)))
        .collect();
    let longest = near.iter().map(|(time, _)| *time).fold(0.0, f64::max);
    let (right, across) = scale(longest);
    let (top, up) = scale(most(&|point| gib(point.need_bytes)).max(gib(limit)));
    let drawing = draw(&near, (right, top), (&across, &up), gib(limit)).unwrap_or_default();
    let levels = up
        .iter()
        .map(|tick| view! { <span style=format!("bottom:{:.3}%", 100.0 * tick / top)>{format!("{tick}")}</span> })
        .collect_view();
    let times = across
        .iter()
        .map(|tick| view! { <span style=format!("left:{:.3}%", 100.0 * tick / right)>{format!("{tick}")}</span> })
        .collect_view();
    let rows = points
        .iter()
        .map(|point| {
            view! {
                <tr>
                    <th scope="row">{point.name.clone()}</th>
                    <td class="number">{format!("{:.0}", point.step_ms)}</td>
                    <td class="number">{gib_number(Bytes::new(point.need_bytes))}</td>
                    <td>{take(form, point)}</td>
                </tr>
            }
        })
        .collect_view()
        .into_any();
    let columns = [
        Words("Plan"),
        Number("ms a step"),
        Number("GiB needed"),
        Words("As the question"),
    ];
    view! {
        <h3>"Faster or smaller"</h3>
        <p class="soft">"No plan is both faster and smaller than one of these. Milliseconds of a step to the right, GiB per GPU upwards; the line across is the limit."</p>
        <figure class="plot">
            <figcaption class="visually-hidden">"Plans by the time of a step and by memory. The table below has the same numbers."</figcaption>
            <div class="plot-frame planner-front" aria-hidden="true">
                <div class="plot-left">{levels}</div>
                <div class="plot-area">
                    <div class="plot-drawing" inner_html=drawing></div>
                </div>
                <div class="plot-bottom">{times}</div>
            </div>
        </figure>
        {table("front", &columns, rows)}
    }
    .into_any()
}
