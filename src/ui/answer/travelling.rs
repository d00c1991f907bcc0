//! The answer to the multi-node question: the step with its parts and its timeline, what travels, and what would save time.

use std::sync::Arc;

use leptos::prelude::*;

use super::super::format::{decimal, exact, gib_number};
use super::super::state::{Form, PageStoreFields, use_form};
use super::serving::{Column, panel, table};
use super::{issues, verdict};
use crate::api::{self, Alternative, Figures, InferenceAnswer, MultiNodeAnswer, Segment, StepAnswer, Task};
use crate::units::Bytes;

use Column::{Number, Words};

/// The answer column of the multi-node tab. It is calculated while the tab is shown.
pub fn travelling() -> AnyView {
    let form = use_form();
    let found = Memo::new(move |last: Option<&Option<Arc<MultiNodeAnswer>>>| {
        let asked = form
            .page
            .request()
            .with(|request| api::multi_node(&api::part(request, Task::Training)));
        match asked {
            Ok(answer) => Some(Arc::new(answer)),
            Err(_) => last.cloned().flatten(),
        }
    });
    let part = move |view: fn(Form, &MultiNodeAnswer) -> AnyView| {
        move || found.with(|answer| answer.as_deref().map(|answer| view(form, answer)))
    };
    view! {
        <div class="answer-details" class:stale=move || form.stale()>
            {issues::errors(form)}
            {part(|_, answer| summary(answer))}
            {part(|_, answer| parts(answer))}
            {part(|_, answer| timeline(answer))}
            {part(|_, answer| traffic(answer))}
            {part(suggestions)}
            {part(|_, answer| rates(answer))}
            {part(|form, answer| issues::warnings(form, &answer.warnings))}
        </div>
    }
    .into_any()
}

/// Low, expected and high in one cell each.
fn figures(value: Figures, shown: fn(f64) -> String) -> AnyView {
    [value.low, value.expected, value.high]
        .map(|one| view! { <td class="number">{shown(one)}</td> }.into_any())
        .collect_view()
        .into_any()
}

/// A number as short as it may be.
fn short(value: f64) -> String {
    if value >= 1000.0 {
        super::super::format::grouped(Bytes::nearest(value).get())
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else {
        decimal(value)
    }
}

fn line(label: &'static str, value: Figures) -> AnyView {
    view! { <tr><th scope="row">{label}</th>{figures(value, short)}</tr> }.into_any()
}

fn summary(answer: &MultiNodeAnswer) -> AnyView {
    let Some(step) = &answer.step else {
        let reason = answer.step_missing.clone();
        return view! { <section class="panel" id="step"><h2>"Time of a step"</h2><p>{reason}</p></section> }
            .into_any();
    };
    let mut rows = vec![
        line("Step, ms", step.step_ms),
        line("Tokens per second", step.tokens_per_second),
        line("Tokens per second and GPU", step.tokens_per_second_per_gpu),
        line("Tokens per day, millions", scaled(step.tokens_per_day, 1e-6)),
        line("MFU, % of dense bf16", step.mfu_percent),
    ];
    if let Some(budget) = &step.budget {
        rows.push(line("Days", budget.days));
        rows.push(line("GPU-hours", budget.gpu_hours));
        rows.extend(budget.cost.map(|cost| line("Cost of the run", cost)));
    }
    rows.extend(
        step.cost_per_billion_tokens
            .map(|cost| line("Cost of a billion tokens", cost)),
    );
    let memory = format!(
        "A roofline: stated rates, nothing fitted. Memory: {} (needs {} per GPU).",
        answer.verdict.words(),
        verdict::need(answer.need)
    );
    panel(
        "step",
        "Time of a step",
        &[Words("Figure"), Number("low"), Number("expected"), Number("high")],
        rows.collect_view().into_any(),
        Some(memory),
    )
}

/// How fast a copy can serve, and machines for the asked traffic.
pub fn served(answer: &InferenceAnswer) -> AnyView {
    let Some(speed) = &answer.speed else {
        return ().into_any();
    };
    let mut rows = vec![
        line("Time to first token, ms", speed.ttft_ms),
        line("Time per token, ms", speed.tpot_ms),
        line("Prompt tokens per second", speed.prefill_tokens_per_second),
        line(
            "New tokens per second and sequence",
            speed.decode_tokens_per_second_per_sequence,
        ),
        line("New tokens per second", speed.decode_tokens_per_second),
        line(
            "New tokens per second, prompts included",
            speed.output_tokens_per_second,
        ),
    ];
    let mut words = format!(
        "Prompts are bound by {}, steps by {}.",
        speed.prefill_bound, speed.decode_bound
    );
    if let Some(sizing) = &speed.sizing {
        rows.push(line("Sequences at once per copy", sizing.sequences_per_copy));
        rows.push(line(
            "Requests per second of a copy",
            sizing.requests_per_second_per_copy,
        ));
        rows.push(line("Copies for the traffic", sizing.replicas));
        rows.push(line("GPUs for the traffic", sizing.gpus));
        words.push_str(&format!(
            " The traffic is limited by {}.",
            sizing.limit.replace('_', " ")
        ));
    }
    words.extend(speed.sizing_missing.iter().flat_map(|reason| [" ", reason]));
    panel(
        "speed",
        "Speed of a copy, a roofline",
        &[Words("Figure"), Number("low"), Number("expected"), Number("high")],
        rows.collect_view().into_any(),
        Some(words),
    )
}

fn scaled(value: Figures, factor: f64) -> Figures {
    Figures {
        low: value.low * factor,
        expected: value.expected * factor,
        high: value.high * factor,
    }
}

/// The colour of a part of a step.
fn colour(id: &str) -> &'static str {
    match id {
        "forward" => "group-model_params",
        "backward" => "group-gradients",
        "recomputation" => "group-optimizer_states",
        "communication" => "group-activations",
        _ => "group-overhead",
    }
}

/// The step as a bar and its parts as a table.
fn parts(answer: &MultiNodeAnswer) -> AnyView {
    let Some(step) = &answer.step else {
        return ().into_any();
    };
    let bar = bars(step);
    let rows = step
        .parts
        .iter()
        .map(|part| {
            view! {
                <tr>
                    <th scope="row"><span class=format!("swatch {}", colour(part.id))></span> " " {part.label}</th>
                    {figures(part.ms, short)}
                </tr>
            }
        })
        .collect_view()
        .into_any();
    let columns = [Words("ms"), Number("low"), Number("expected"), Number("high")];
    view! {
        <section class="panel" aria-labelledby="parts-title">
            <h2 id="parts-title">"What takes the time"</h2>
            {bar}
            {table("parts", &columns, rows)}
        </section>
    }
    .into_any()
}

fn bars(step: &StepAnswer) -> AnyView {
    let whole = step.step_ms.expected;
    let bars = step
        .parts
        .iter()
        .map(|part| {
            let width = format!("width:{:.3}%", 100.0 * part.ms.expected / whole);
            view! { <div class=format!("stack-part {}", colour(part.id)) style=width title=part.label></div> }
        })
        .collect_view();
    view! { <div class="stack-frame" id="step-bar" aria-hidden="true"><div class="stack">{bars}</div></div> }
        .into_any()
}

/// What runs when, one bar per line.
fn timeline(answer: &MultiNodeAnswer) -> AnyView {
    let Some(step) = &answer.step else {
        return ().into_any();
    };
    let line = |segment: &Segment| {
        let tone = if segment.communication {
            "group-activations"
        } else {
            "group-model_params"
        };
        let place = format!(
            "margin-left:{:.2}%;width:{:.2}%",
            100.0 * segment.start.min(0.99),
            (100.0 * segment.length).max(0.3)
        );
        let visible = if segment.communication {
            format!("{} %", decimal(100.0 * segment.exposed))
        } else {
            String::new()
        };
        view! {
            <tr>
                <th scope="row">{segment.label}</th>
                <td class="lane"><div class=format!("stack-part {tone}") style=place></div></td>
                <td class="number">{format!("{} %", decimal(100.0 * segment.length))}</td>
                <td class="number">{visible}</td>
            </tr>
        }
    };
    let rows = step.timeline.iter().map(line).collect_view().into_any();
    panel(
        "timeline",
        "What runs beside what",
        &[
            Words("Expected step"),
            Words("from start to end"),
            Number("of it"),
            Number("visible"),
        ],
        rows,
        None,
    )
}

fn traffic(answer: &MultiNodeAnswer) -> AnyView {
    let rows = answer
        .traffic
        .iter()
        .map(|row| {
            let place = match row.nodes {
                1 => format!("{} ranks, {}", row.ranks, row.link),
                nodes => format!("{} ranks on {nodes} nodes, {}", row.ranks, row.link),
            };
            view! {
                <tr data-traffic=row.id>
                    <th scope="row" title=row.source>{row.label}</th>
                    <td>{row.collective.replace('_', "-")} ", " {row.algorithm.replace('_', "-")} <br/> <small>{place}</small></td>
                    <td class="number" title=exact(row.bytes_per_step) data-bytes=row.bytes_per_step.get()>{gib_number(row.bytes_per_step)}</td>
                    <td class="number" title=exact(row.node_bytes_per_step)>{gib_number(row.node_bytes_per_step)}</td>
                    <td class="number">{short(row.time_ms.expected)}</td>
                    <td class="number" title=format!("beside {}", row.beside)>{short(row.exposed_ms.expected)}</td>
                </tr>
            }
        })
        .collect_view()
        .into_any();
    let all = &answer.network_overhead;
    let total = format!(
        "{} GiB leave each node per step. Traffic is no memory; NCCL's buffers are: {} GiB per GPU.",
        gib_number(all.total_overhead_bytes),
        gib_number(answer.communicator_bytes)
    );
    panel(
        "traffic",
        "What travels in a step",
        &[
            Words("For"),
            Words("How, between whom"),
            Number("GiB per GPU"),
            Number("GiB out of a node"),
            Number("ms"),
            Number("visible"),
        ],
        rows,
        Some(total),
    )
}

fn suggestions(form: Form, answer: &MultiNodeAnswer) -> AnyView {
    if answer.alternatives.is_empty() {
        return ().into_any();
    }
    let line = |one: &Alternative, words: &String| {
        let changes = one.changes.clone();
        view! {
            <li>
                {words.clone()} " "
                <button type="button" class="button" on:click=move |_| form.apply(&changes)>"Apply"</button>
            </li>
        }
    };
    let items = answer.alternatives.iter().zip(&answer.suggestions);
    let items = items.map(|(one, words)| line(one, words)).collect_view();
    view! {
        <section class="panel" aria-labelledby="suggestions-title">
            <h2 id="suggestions-title">"What would save time"</h2>
            <ul class="issues" id="suggestions">{items}</ul>
        </section>
    }
    .into_any()
}

fn rates(answer: &MultiNodeAnswer) -> AnyView {
    let Some(step) = &answer.step else {
        return ().into_any();
    };
    let rows = step
        .rates
        .iter()
        .map(|rate| {
            view! {
                <tr>
                    <th scope="row" title=rate.source.clone()>{rate.label} ", " {rate.unit}</th>
                    {figures(rate.value, short)}
                </tr>
            }
        })
        .collect_view()
        .into_any();
    panel(
        "rates",
        "Rates that this is calculated with",
        &[Words("Figure"), Number("low"), Number("expected"), Number("high")],
        rows,
        None,
    )
}
