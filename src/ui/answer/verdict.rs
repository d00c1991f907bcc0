//! The verdict with the need against the usable capacity and the three meters; its strip for phones; its spoken form.

use leptos::prelude::*;

use super::super::format::{exact, gib, gib_number, grouped};
use super::super::state::Form;
use super::host::host;
use super::ranks::ranks;
use super::stages::stages;
use super::{meters, validation};
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
                    {need(answer.need)}
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

/// The three meters, and what else the answer says at a glance.
pub fn glance(answer: &Answer) -> AnyView {
    view! {
        <section class=format!("panel glance {}", tone(answer.verdict)) aria-labelledby="meters-title">
            <h2 id="meters-title">"Three meters"</h2>
            {meters::meters(&answer.meters, answer.capacity.usable_bytes)}
            {totals(answer)}
            {host(answer.host.as_ref())}
            {ranks(answer)}
            {stages(&answer.stages)}
            {facts(answer)}
            {validation::line(&answer.validation, Some(&answer.evidence))}
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
    let batch = match (
        answer.recommended_batch_size,
        &answer.recommended_batch_size_reason,
    ) {
        (Some(batch), _) => Some(format!("Largest micro-batch that fits: {batch}.")),
        (None, Some(reason)) => Some(reason.clone()),
        (None, None) => None,
    };
    let wide = (answer.model.source == ModelSource::ParameterCount).then_some(
        "Only a parameter count is known: the interval is wide because the architecture is assumed.",
    );
    let notes = (!answer.warnings.is_empty()).then(|| {
        let text = match answer.warnings.len() {
            1 => "1 note on this answer".to_owned(),
            count => format!("{count} notes on this answer"),
        };
        view! {
            <li>
                <a href="#warnings" on:click=|event| {
                    event.prevent_default();
                    super::super::dom::reveal("warnings");
                }>{text}</a>
            </li>
        }
    });
    view! {
        <ul class="verdict-facts">
            <li>{job}</li>
            <li title=capacity.source.clone()>{gpu}</li>
            {batch.map(|batch| view! { <li><b>{batch}</b></li> })}
            {wide.map(|wide| view! { <li><b>{wide}</b></li> })}
            {notes}
        </ul>
    }
    .into_any()
}

/// The strip at the bottom of a phone; it leads to the answer.
pub fn pinned(answer: &Answer, stale: bool) -> AnyView {
    let stale = stale.then_some(" (previous input)");
    view! {
        <a class=format!("pinned {}", tone(answer.verdict)) href="#answer" id="pinned" on:click=|event| {
            event.prevent_default();
            super::super::dom::reveal("answer");
        }>
            {sign(answer.verdict)}
            <span class="pinned-text">
                <span>{title(answer.verdict)} {stale}</span>
                <span class="pinned-need">
                    {format!("{} of {}", need(answer.need), gib_number(answer.capacity.usable_bytes))}
                </span>
            </span>
            <span class="pinned-more">"Answer"</span>
        </a>
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
            Err(issues) => match issues.len() {
                0 | 1 => "One input is not valid; the answer is that of the previous input.".to_owned(),
                count => format!("{count} inputs are not valid; the answer is that of the previous input."),
            },
        })
    });
    view! { <div class="visually-hidden" role="status" id="spoken-answer">{move || text.get()}</div> }
        .into_any()
}
