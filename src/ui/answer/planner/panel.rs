//! The panel: options, the button, how far the search is, and what it found.

use leptos::prelude::*;

use super::super::super::fields::field;
use super::super::super::format::{gib_number, grouped};
use super::super::super::part::part;
use super::super::super::state::{Form, PageStoreFields};
use super::super::serving::{Column, table};
use super::drawing::draw;
use super::found::{Answer, Message, Point, Progress, Row};
use super::hunt::{Hunt, State, far, left_out, refused, take};
use super::worker::Sought;
use crate::api::{self, InputId, Task};
use crate::ui::plots::{Picture, Stop, Tick, linear as scale};
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

fn panel(form: Form) -> AnyView {
    let hunt = Hunt::new(|message| match message {
        Message::Answer(answer) => Some(answer),
        _ => None,
    });
    let start = move |_| {
        let request = form
            .page
            .request()
            .with_untracked(|request| api::part(request, Task::Plan));
        hunt.start(Sought::Plans, &request);
    };
    let stop = move |_| hunt.stop();
    let running = move || hunt.running();
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
                {move || hunt.view(|state| shown(form, state))}
            </div>
        </section>
    }
    .into_any()
}

fn shown(form: Form, state: &State<Answer>) -> AnyView {
    let told = |progress: &Progress, word| {
        let best = progress.best.as_ref();
        let best = best.map(|best| format!("Best so far: {:.0} ms a step, {}.", best.step_ms, best.name));
        far(progress, (word, "plans-progress"), best)
    };
    match state {
        State::Idle => ().into_any(),
        State::Running(progress) => told(progress, "Searching"),
        State::Stopped(progress) => {
            let best = progress
                .best
                .as_ref()
                .map(|best| take(form, &best.name, &best.values));
            view! { {told(progress, "Stopped")} {best} }.into_any()
        }
        State::Done(answer) => answered(form, answer),
        State::Refused(why) => refused(why, "plans-refused"),
    }
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
    let space = left_out("left-out", space, &answer.refused);
    view! {
        <p class="soft" id="plans-sentence">{sentence}</p>
        {nothing}
        {best}
        {why}
        {front}
        {space}
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
                    <td>{take(form, &point.name, &point.values)}</td>
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
    // A long tail of slow plans would press the fast ones together.
    let fastest = points.first().map_or(1.0, |point| point.step_ms);
    let near: Vec<Point> = points
        .iter()
        .filter(|point| point.step_ms <= 4.0 * fastest)
        .cloned()
        .collect();
    let longest = near.iter().map(|point| point.step_ms).fold(0.0, f64::max);
    let most = near.iter().map(|point| gib(point.need_bytes)).fold(0.0, f64::max);
    let (right, across) = scale(longest);
    let (top, up) = scale(most.max(gib(limit)));
    let places: Vec<(f64, f64)> = near
        .iter()
        .map(|point| (point.step_ms, gib(point.need_bytes)))
        .collect();
    let ticks = |values: &[f64], all: f64| -> Vec<Tick> {
        let tick = |value: &f64| Tick {
            at: value / all,
            label: format!("{value}"),
        };
        values.iter().map(tick).collect()
    };
    let picture = Picture {
        id: "front-plot",
        title: "Faster or smaller".to_owned(),
        description: "No plan is both faster and smaller than one of these.".to_owned(),
        drawing: draw(&places, (right, top), (&across, &up), gib(limit)).unwrap_or_default(),
        left: ticks(&up, top),
        bottom: ticks(&across, right),
        axes: ("milliseconds of a step".to_owned(), "GiB per GPU".to_owned()),
        limit: Some((gib(limit) / top, "limit".to_owned())),
        mark: None,
        legend: vec![("point-inside".to_owned(), "a plan".to_owned())],
        stops: near.iter().map(|point| stop(point, right)).collect(),
        start: 0,
    };
    let shown = StoredValue::new((picture, near));
    let rows = StoredValue::new(points.to_vec());
    form.plots.view(move |plots| {
        let twin = move || {
            let rows =
                rows.with_value(|points| points.iter().map(|point| front_row(form, point)).collect_view());
            let columns = [
                Words("Plan"),
                Number("ms a step"),
                Number("GiB needed"),
                Words("As the question"),
            ];
            table("front", &columns, rows.into_any())
        };
        let (picture, near) = shown.get_value();
        let offer = move |at: usize| {
            near.get(at)
                .map(|point| take(form, &point.name, &point.values))
                .into_any()
        };
        (plots.framed)(picture, Box::new(twin), Box::new(offer))
    })
}

/// A plan as it is read out.
fn stop(point: &Point, right: f64) -> Stop {
    Stop {
        at: point.step_ms / right,
        name: point.name.clone(),
        words: format!(
            "{:.0} ms a step, {} GiB per GPU",
            point.step_ms,
            gib_number(Bytes::new(point.need_bytes))
        ),
        parts: Vec::new(),
    }
}

fn front_row(form: Form, point: &Point) -> AnyView {
    view! {
        <tr>
            <th scope="row">{point.name.clone()}</th>
            <td class="number">{format!("{:.0}", point.step_ms)}</td>
            <td class="number">{gib_number(Bytes::new(point.need_bytes))}</td>
            <td>{take(form, &point.name, &point.values)}</td>
        </tr>
    }
    .into_any()
}
