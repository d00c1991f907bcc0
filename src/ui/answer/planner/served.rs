//! Plans of serving on the page: options, the button, how far the search is, and what it found.

use leptos::prelude::*;

use super::super::super::fields::field;
use super::super::super::format::{gib_number, grouped};
use super::super::super::state::{Form, PageStoreFields};
use super::super::serving::{Column, table};
use super::found::{Message, Progress, Serving, ServingPoint};
use super::hunt::{Hunt, State, far, left_out, refused, serving, take};
use super::worker::Sought;
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

/// The panel.
pub fn panel(form: Form) -> AnyView {
    let hunt = Hunt::new(|message| match message {
        Message::Serving(answer) => Some(answer),
        _ => None,
    });
    let start = move |_| {
        let request = form
            .page
            .request()
            .with_untracked(|request| api::plan_part(request, Task::Inference));
        hunt.start(Sought::Plans, &serving(request));
    };
    let stop = move |_| hunt.stop();
    let running = move || hunt.running();
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
                {move || hunt.view(|state| shown(form, state))}
            </div>
        </section>
    }
    .into_any()
}

fn shown(form: Form, state: &State<Serving>) -> AnyView {
    let told = |progress: &Progress, word| {
        let best = progress.serving.as_ref();
        let best = best.map(|best| match best.tokens_per_second_per_gpu {
            Some(rate) => format!("Best so far: {rate:.0} tokens per second and GPU, {}.", best.name),
            None => format!("Best so far: {}.", best.name),
        });
        far(progress, (word, "serving-plans-progress"), best)
    };
    match state {
        State::Idle => ().into_any(),
        State::Running(progress) => told(progress, "Searching"),
        State::Stopped(progress) => {
            let best = progress.serving.as_ref();
            let best = best.map(|best| take(form, &best.name, &best.values));
            view! { {told(progress, "Stopped")} {best} }.into_any()
        }
        State::Done(answer) => answered(form, answer),
        State::Refused(why) => refused(why, "serving-plans-refused"),
    }
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
    let space = left_out("serving-left-out", space, &answer.refused);
    view! {
        <p class="soft" id="serving-plans-sentence">{sentence}</p>
        {nothing}
        {best}
        {why}
        {effects}
        {front}
        {space}
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
                    <td>{take(form, &point.name, &point.values)}</td>
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
