//! Plans of serving on the page: options, the button, how far the search is, and what it found.

use std::time::Duration;

use leptos::prelude::*;

use super::super::super::fields::field;
use super::super::super::format::{gib_number, grouped};
use super::super::super::state::{Form, PageStoreFields};
use super::super::serving::{Column, table};
use super::found::{Message, Progress, Refused, Serving, ServingPoint};
use super::worker::{Search, Sought};
use crate::api::{self, InputId, Task};
use crate::units::Bytes;

use Column::{Number, Words};

/// Options that are shown.
const OPTIONS: [InputId; 5] = [
    InputId::PlanRank,
    InputId::PlanEngines,
    InputId::PlanPrecisions,
    InputId::TargetUtilization,
    InputId::PlanCount,
];

/// Where a search is.
#[derive(Clone)]
enum State {
    Idle,
    Running(Progress),
    Stopped(Progress),
    Done(Box<Serving>),
    Refused(Vec<Refused>),
}

/// The panel.
pub fn panel(form: Form) -> AnyView {
    let state = RwSignal::new(State::Idle);
    let search: StoredValue<Option<Search>, LocalStorage> = StoredValue::new_local(None);
    on_cleanup(move || search.set_value(None));
    let start = move |_| {
        search.set_value(None);
        state.set(State::Running(Progress::default()));
        let mut request = form
            .page
            .request()
            .with_untracked(|request| api::plan_part(request, Task::Inference));
        if !request.serves() {
            // With nothing typed for serving it is a question on it all the same.
            request.set(InputId::Sequences, 1);
        }
        let hear = move |text: String| {
            let Ok(message) = serde_json::from_str::<Message>(&text) else {
                return;
            };
            let over = !matches!(message, Message::Progress(_));
            state.set(match message {
                Message::Progress(progress) => State::Running(progress),
                Message::Serving(answer) => State::Done(answer),
                Message::Refused(why) => State::Refused(why),
                // Nothing else is asked for here.
                Message::Answer(_) | Message::Cheapest(_) => State::Idle,
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
    view! {
        <section class="panel planner" id="serving-planner" aria-labelledby="serving-planner-title">
            <h2 id="serving-planner-title">"Planner"</h2>
            <p class="soft">
                "Searches engines, tensor and pipeline parallelism, engines that share experts, formats of weights and cache, and requests at once for the ways to serve on these GPUs. What is typed for these is not kept, but for the formats that plans are compared with; all else is."
            </p>
            <div class="field-grid">{OPTIONS.map(field).collect_view()}</div>
            <p class="planner-actions">
                <button type="button" class="button" id="find-serving-plans" on:click=start>"Find plans"</button>
                <button type="button" class="button" id="stop-serving-plans" disabled=move || !running() on:click=stop>"Stop"</button>
            </p>
            <div id="serving-plans" role="status" aria-busy=move || if running() { "true" } else { "false" }>
                {move || state.with(|state| shown(form, state))}
            </div>
        </section>
    }
    .into_any()
}

fn shown(form: Form, state: &State) -> AnyView {
    match state {
        State::Idle => ().into_any(),
        State::Running(progress) => far(progress, "Searching"),
        State::Stopped(progress) => {
            let best = progress.serving.as_ref().map(|best| take(form, best));
            view! { {far(progress, "Stopped")} {best} }.into_any()
        }
        State::Done(answer) => answered(form, answer),
        State::Refused(why) => refused(why, "serving-plans-refused"),
    }
}

/// Why there is no answer.
pub fn refused(why: &[Refused], id: &'static str) -> AnyView {
    let lines = why
        .iter()
        .map(|one| {
            let path = one.path.clone();
            view! { <li>{(!path.is_empty()).then(|| format!("{path}: "))} {one.message.clone()}</li> }
        })
        .collect_view();
    view! { <ul class="issues" id=id>{lines}</ul> }.into_any()
}

fn far(progress: &Progress, word: &'static str) -> AnyView {
    let all = progress.combinations.max(1);
    let percent = 100.0 * progress.settled as f64 / all as f64;
    let best = progress
        .serving
        .as_ref()
        .map(|best| match best.tokens_per_second_per_gpu {
            Some(rate) => format!("Best so far: {rate:.0} tokens per second and GPU, {}.", best.name),
            None => format!("Best so far: {}.", best.name),
        });
    view! {
        <div class="planner-progress" id="serving-plans-progress">
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

/// A button that makes a plan the question.
fn take(form: Form, point: &ServingPoint) -> AnyView {
    let values = point.values.clone();
    let name = format!("Open: {}", point.name);
    view! {
        <button type="button" class="button button-small" aria-label=name on:click=move |_| form.apply(&values)>"Open"</button>
    }
    .into_any()
}

fn answered(form: Form, answer: &Serving) -> AnyView {
    let space = &answer.space;
    let sentence = format!(
        "{} combinations, {} of them calculated; {} fit.",
        grouped(space.combinations),
        grouped(space.calculated),
        grouped(space.fitting),
    );
    let nothing = answer.plans.is_empty().then(|| {
        let nearest = answer.nearest.as_ref().map(|nearest| {
            format!(
                " Too large by the least: {}: {} GiB too much.",
                nearest.name,
                gib_number(Bytes::new(nearest.shortfall_bytes))
            )
        });
        view! { <p id="serving-plans-none"><b>"Nothing fits."</b> {nearest}</p> }
    });
    let best: Vec<&ServingPoint> = answer.plans.iter().map(|plan| &plan.point).collect();
    let best = (!best.is_empty()).then(|| listed(form, ("Best plans", "serving-plans"), &best));
    let effects: Vec<&ServingPoint> = answer.by_effect.iter().collect();
    let effects = (effects.len() > 1).then(|| {
        listed(
            form,
            ("Best for each effect on what the model says", "serving-effects"),
            &effects,
        )
    });
    let front: Vec<&ServingPoint> = answer.front.iter().collect();
    let front = (front.len() > 1).then(|| listed(form, ("More tokens or sooner", "serving-front"), &front));
    let why = answer.why.as_ref().map(|why| {
        view! {
            <p id="serving-plans-why"><b>"Why the first: "</b> {why.words.clone()} <span class="soft">{format!(" Against {}.", why.other.name)}</span></p>
        }
    });
    let rows = space
        .left_out
        .iter()
        .map(|one| {
            view! { <tr><th scope="row">{one.label.clone()}</th><td class="number">{grouped(one.combinations)}</td></tr> }
        })
        .collect_view()
        .into_any();
    let refusals = answer
        .refused
        .iter()
        .map(|one| view! { <li>{format!("{}: {}", one.way, one.reason)}</li> })
        .collect_view();
    view! {
        <p class="soft" id="serving-plans-sentence">{sentence}</p>
        {nothing}
        {best}
        {why}
        {effects}
        {front}
        <details class="planner-space">
            <summary>"What was left out, and why"</summary>
            {table("serving-left-out", &[Words("Rule"), Number("combinations")], rows)}
            <ul class="issues">{refusals}</ul>
        </details>
    }
    .into_any()
}

fn listed(form: Form, (title, name): (&'static str, &'static str), points: &[&ServingPoint]) -> AnyView {
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    let rows = points
        .iter()
        .map(|point| {
            view! {
                <tr data-rate=point.tokens_per_second_per_gpu data-need=point.need_bytes>
                    <th scope="row">{point.name.clone()}</th>
                    <td class="number">{number(point.tokens_per_second_per_gpu, 0)}</td>
                    <td class="number">{number(point.tpot_ms, 1)}</td>
                    <td class="number">{grouped(point.at_once)}</td>
                    <td class="number">{gib_number(Bytes::new(point.need_bytes))}</td>
                    <td>{point.effect.clone()}</td>
                    <td>{take(form, point)}</td>
                </tr>
            }
        })
        .collect_view()
        .into_any();
    let columns = [
        Words("Plan"),
        Number("tokens/s/GPU"),
        Number("ms per token"),
        Number("at once"),
        Number("GiB needed"),
        Words("Effect"),
        Words("As the question"),
    ];
    view! { <h3>{title}</h3> {table(name, &columns, rows)} }.into_any()
}
