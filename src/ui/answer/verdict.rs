//! The verdict with the need against the usable capacity and the three meters; its strip for phones; its spoken form.

use leptos::prelude::*;

use super::super::explain::figure;
use super::super::format::{exact, gib, gib_number, grouped};
use super::super::state::Form;
use super::host::host;
use super::ranks::ranks;
use super::stages::stages;
use super::{breakdown, meters, validation};
use crate::api::{Answer, ModelSource, Range, Verdict};
use crate::units::Bytes;

/// The class of the verdict's colours.
pub fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fits => "tone-fits",
        Verdict::Tight => "tone-tight",
        Verdict::DoesNotFit => "tone-over",
    }
}

/// A sign of its own for each verdict, so that colour is never the only one.
pub fn sign(verdict: Verdict) -> AnyView {
    let path = match verdict {
        Verdict::Fits => "M4 12.5l5 5L20 6.5",
        Verdict::Tight => "M12 4v10M12 18.5v.5",
        Verdict::DoesNotFit => "M6 6l12 12M18 6L6 18",
    };
    view! {
        <svg viewBox="0 0 24 24" aria-hidden="true">
            <path d=path fill="none" stroke="currentColor" stroke-width="3" stroke-linecap="round" />
        </svg>
    }
    .into_any()
}

/// The verdict as a heading.
pub fn title(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fits => "Fits",
        Verdict::Tight => "Tight",
        Verdict::DoesNotFit => "Does not fit",
    }
}

/// The need as a person says it: "56.10 – 63.02 GiB", or one figure where both ends print the same.
pub fn need(need: Range) -> String {
    let (low, high) = (gib_number(need.low_bytes), gib_number(need.high_bytes));
    if low == high {
        format!("{high} GiB")
    } else {
        format!("{low} – {high} GiB")
    }
}

/// The strip that stays in sight on a desktop: verdict, need, and whether it belongs to an earlier input.
pub fn strip(answer: &Answer, stale: bool) -> AnyView {
    let capacity = answer.capacity.usable_bytes;
    let note = stale.then(|| {
        view! {
            <p class="stale-note" id="stale-note">
                "This answer belongs to the previous input. Correct the marked field to update it."
            </p>
        }
    });
    view! {
        <section
            class=format!("verdict-strip {}", tone(answer.verdict))
            class:stale=stale
            id="verdict"
            aria-label="Verdict"
            data-verdict=answer.verdict.key()
            data-stale=if stale { "true" } else { "false" }
        >
            <div class="verdict-line">
                <h2 class="verdict-badge">{sign(answer.verdict)} {title(answer.verdict)}</h2>
                <p class="verdict-need" title=exact(answer.need.expected_bytes)>
                    <small>"needs "</small>
                    {figure::words("need", need(answer.need))}
                    <small>{format!(" of {} per GPU", gib(capacity))}</small>
                </p>
                <p class="verdict-brief" aria-hidden="true">
                    {format!(
                        "allocated {} · reserved {} · device {}",
                        gib_number(answer.meters.allocated.expected_bytes),
                        gib_number(answer.meters.reserved.expected_bytes),
                        gib_number(answer.meters.device.expected_bytes),
                    )}
                </p>
            </div>
            {note}
        </section>
    }
    .into_any()
}

/// What a reader sees first: the bar, the instant that binds, the three meters, and how far it is checked.
pub fn glance(answer: &Answer) -> AnyView {
    view! {
        <section class=format!("panel glance {}", tone(answer.verdict)) aria-labelledby="glance-title">
            <h2 id="glance-title">"At a glance"</h2>
            {breakdown::of_training(answer)}
            {binding(answer)}
            {meters::meters(&answer.meters, answer.capacity.usable_bytes)}
            {batch(answer)}
            {validation::line(&answer.validation, Some(&answer.evidence))}
            {notes(answer)}
        </section>
    }
    .into_any()
}

/// Which instant decides.
fn binding(answer: &Answer) -> Option<AnyView> {
    let instant = answer.instants.iter().find(|instant| instant.binding)?;
    Some(
        view! {
            <p class="binding" id="binding-instant">
                "Tightest at "
                {figure::words(format!("instant-{}", instant.id), instant.label.clone())}
                {format!(": {} allocated.", gib(instant.allocated_bytes))}
            </p>
        }
        .into_any(),
    )
}

/// The whole job: all GPUs, host memory, ranks and stages, and what was asked.
pub fn whole(answer: &Answer) -> AnyView {
    view! {
        <section class="panel glance" aria-labelledby="whole-title">
            <h2 id="whole-title">"The whole job"</h2>
            {totals(answer)}
            {host(answer.host.as_ref())}
            {ranks(answer)}
            {stages(&answer.stages)}
            {facts(answer)}
        </section>
    }
    .into_any()
}

/// Memory of one GPU, of all of them, and of the machines, with the exact bytes on demand.
fn totals(answer: &Answer) -> AnyView {
    let rows = [
        ("per-gpu", "Memory per GPU", answer.total_memory_per_gpu_bytes),
        ("all-gpus", "All GPUs", answer.total_memory_all_gpus_bytes),
        ("cpu", "CPU memory", answer.cpu_memory_bytes),
    ]
    .map(|(key, label, bytes)| {
        view! {
            <tr data-total=key data-bytes=bytes.get().to_string()>
                <th scope="row">{label}</th>
                <td class="number" title=exact(bytes)>{gib(bytes)}</td>
            </tr>
        }
    })
    .collect_view();
    view! {
        <table class="breakdown-table" id="totals-table">
            <caption class="visually-hidden">"Expected memory of the whole job"</caption>
            <tbody>{rows}</tbody>
        </table>
    }
    .into_any()
}

/// What else the answer says in one line each.
fn facts(answer: &Answer) -> AnyView {
    let capacity = &answer.capacity;
    let used =
        (capacity.used_bytes > Bytes::ZERO).then(|| format!(", {} already in use", gib(capacity.used_bytes)));
    let gpu = format!(
        "{}{}: {} usable{}",
        capacity.name,
        capacity
            .marketing
            .as_ref()
            .map(|size| format!(" ({size} on the box)"))
            .unwrap_or_default(),
        gib(capacity.usable_bytes),
        used.unwrap_or_default(),
    );
    let nodes = answer.multi_node_info.as_ref().map(|info| {
        format!(
            " on {} nodes ({}, {} Gbit/s per port)",
            grouped(info.num_nodes),
            info.interconnect_type,
            info.interconnect_bandwidth_gbps,
        )
    });
    let job = format!(
        "{} GPU{}{}, global batch {}",
        grouped(answer.gpus_used),
        if answer.gpus_used == 1 { "" } else { "s" },
        nodes.unwrap_or_default(),
        grouped(answer.global_batch_size),
    );
    view! {
        <ul class="verdict-facts">
            <li>{job}</li>
            <li title=capacity.source.clone()>{gpu}</li>
        </ul>
    }
    .into_any()
}

/// The micro-batch that would fit, and why the interval is wide.
fn batch(answer: &Answer) -> Option<AnyView> {
    let batch = match (
        answer.recommended_batch_size,
        &answer.recommended_batch_size_reason,
    ) {
        (Some(batch), _) => Some(format!("Largest micro-batch that fits: {batch}.")),
        (None, Some(reason)) => Some(reason.clone()),
        (None, None) => None,
    };
    let wide = (answer.model.source == ModelSource::ParameterCount).then(|| {
        "Only a parameter count is known: the interval is wide because the architecture is assumed."
            .to_owned()
    });
    let lines: Vec<String> = batch.into_iter().chain(wide).collect();
    (!lines.is_empty()).then(|| {
        let lines = lines
            .into_iter()
            .map(|line| view! { <li><b>{line}</b></li> })
            .collect_view();
        view! { <ul class="verdict-facts">{lines}</ul> }.into_any()
    })
}

/// The way to the notes on the answer.
fn notes(answer: &Answer) -> Option<AnyView> {
    let text = match answer.warnings.len() {
        0 => return None,
        1 => "1 note on this answer".to_owned(),
        count => format!("{count} notes on this answer"),
    };
    Some(
        view! {
            <p class="accuracy-line">
                <a href="#warnings" on:click=|event| {
                    event.prevent_default();
                    super::super::dom::reveal("warnings");
                }>{text}</a>
            </p>
        }
        .into_any(),
    )
}

/// The strip at the bottom of a phone; it opens to the bar and the meters, and leads to the answer.
pub fn pinned(answer: &Answer, stale: bool, open: RwSignal<bool>) -> AnyView {
    let brief = [
        ("Allocated", answer.meters.allocated),
        ("Reserved", answer.meters.reserved),
        ("Device", answer.meters.device),
    ];
    let binding = answer.instants.iter().find(|instant| instant.binding);
    let words = binding.map(|instant| format!("Tightest at {}.", instant.label));
    let bar = breakdown::of_training(answer);
    sheet(
        (answer.verdict, answer.need, answer.capacity.usable_bytes),
        stale,
        open,
        (bar, &brief, words),
    )
}

/// A strip that opens: verdict, need and capacity; below it, when open, a bar, figures with their names, and a sentence.
pub fn sheet(
    (verdict, need_of_it, capacity): (Verdict, Range, Bytes),
    stale: bool,
    open: RwSignal<bool>,
    (bar, figures, words): (AnyView, &[(&'static str, Range)], Option<String>),
) -> AnyView {
    let stale = stale.then_some(" (previous input)");
    let figures = figures
        .iter()
        .map(|(name, value)| view! { <li>{format!("{name} ")} <b>{gib(value.expected_bytes)}</b></li> })
        .collect_view();
    view! {
        <div class=format!("pinned {}", tone(verdict)) id="pinned">
            <div class="pinned-sheet" id="pinned-sheet" hidden=move || !open.get()>
                {bar}
                <ul class="verdict-facts">{figures}</ul>
                {words.map(|words| view! { <p>{words}</p> })}
                <a href="#answer" on:click=move |event| {
                    event.prevent_default();
                    open.set(false);
                    super::super::dom::reveal("answer");
                }>"Go to the whole answer"</a>
            </div>
            <button
                type="button"
                class="pinned-strip"
                aria-controls="pinned-sheet"
                aria-expanded=move || if open.get() { "true" } else { "false" }
                on:click=move |_| open.update(|open| *open = !*open)
            >
                {sign(verdict)}
                <span class="pinned-text">
                    <span>{title(verdict)} {stale}</span>
                    <span class="pinned-need">
                        {format!("{} of {}", need(need_of_it), gib_number(capacity))}
                    </span>
                </span>
                <span class="pinned-more">{move || if open.get() { "Less" } else { "More" }}</span>
            </button>
        </div>
    }
    .into_any()
}

/// What a screen reader hears after a change, once per change.
pub fn spoken(form: Form) -> AnyView {
    let text = Memo::new(move |_| {
        form.current.with(|current| match current {
            Ok(answer) => format!(
                "{}: needs {} of {} per GPU.",
                title(answer.verdict),
                need(answer.need),
                gib(answer.capacity.usable_bytes)
            ),
            Err(_) if form.families.pending() => String::new(),
            Err(issues) => match issues.len() {
                0 | 1 => "One input is not valid; the answer is that of the previous input.".to_owned(),
                count => format!("{count} inputs are not valid; the answer is that of the previous input."),
            },
        })
    });
    view! { <div class="visually-hidden" role="status" id="spoken-answer">{move || text.get()}</div> }
        .into_any()
}
