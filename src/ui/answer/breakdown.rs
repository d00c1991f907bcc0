//! What takes the memory at the binding instant: a stacked bar against the usable capacity, and the same as a table
//! of groups and their components.

use leptos::prelude::*;

use super::super::explain::figure;
use super::super::format::{exact, gib, gib_number, percent, share};
use super::groups::{self, ShownGroup};
use crate::api::{Answer, Component};
use crate::units::Bytes;

/// One group with its components.
struct Part<'a> {
    group: ShownGroup,
    bytes: Bytes,
    components: Vec<&'a Component>,
}

/// The groups whose parts are shown.
pub type Opened = RwSignal<Vec<&'static str>>;

fn parts(answer: &Answer) -> [Part<'_>; groups::ALL.len()] {
    groups::ALL.map(|group| {
        let components: Vec<_> = answer
            .components
            .iter()
            .filter(|part| part.group == group.key)
            .collect();
        Part {
            group,
            bytes: components.iter().map(|part| part.bytes).sum(),
            components,
        }
    })
}

/// A piece of a bar: class of its colour, name, bytes.
pub type Piece = (String, &'static str, Bytes);

/// The expected need as one bar against the usable capacity, with the names of its pieces.
pub fn bar(pieces: &[Piece], total: Bytes, capacity: Bytes) -> AnyView {
    let scale = total.max(capacity);
    let bars = pieces
        .iter()
        .filter(|(_, _, bytes)| *bytes > Bytes::ZERO)
        .map(|(class, name, bytes)| {
            view! {
                <div
                    class=format!("stack-part {class}")
                    style=format!("width:{}", share(*bytes, scale))
                    title=format!("{name}: {}", gib(*bytes))
                ></div>
            }
        })
        .collect_view();
    let names = pieces
        .iter()
        .filter(|(_, _, bytes)| *bytes > Bytes::ZERO)
        .map(|(class, name, bytes)| {
            view! { <li><span class=format!("swatch {class}")></span>{*name} <b>{gib_number(*bytes)}</b></li> }
        })
        .collect_view();
    view! {
        <div>
            <div class="stack-frame" aria-hidden="true">
                <div class="stack">{bars}</div>
                <span class="capacity-mark" style=format!("left:{}", share(capacity, scale))></span>
            </div>
            <div class="stack-scale" aria-hidden="true">
                <span>"0"</span>
                <span>{if total > capacity {
                    format!("{} expected, {} usable", gib(total), gib(capacity))
                } else {
                    format!("{} usable", gib(capacity))
                }}</span>
            </div>
            <ul class="legend stack-legend" aria-label="What takes the memory, in GiB">{names}</ul>
        </div>
    }
    .into_any()
}

/// The bar of a training answer.
pub fn of_training(answer: &Answer) -> AnyView {
    let pieces: Vec<Piece> = parts(answer)
        .iter()
        .map(|part| (format!("group-{}", part.group.key), part.group.label, part.bytes))
        .collect();
    bar(
        &pieces,
        answer.total_memory_per_gpu_bytes,
        answer.capacity.usable_bytes,
    )
}

/// The breakdown of the expected need.
pub fn breakdown(answer: &Answer, opened: Opened) -> AnyView {
    let parts = parts(answer);
    let total = answer.total_memory_per_gpu_bytes;
    let rows = parts.iter().map(|part| rows(part, total, opened)).collect_view();
    view! {
        <section class="panel" aria-labelledby="breakdown-title">
            <h2 id="breakdown-title">"What takes the memory"</h2>
            <table class="breakdown-table" id="breakdown-table">
                <caption class="visually-hidden">"Memory of the fullest GPU by group at the binding instant"</caption>
                <thead>
                    <tr>
                        <th scope="col">"At the binding instant"</th>
                        <th scope="col" class="number">"GiB"</th>
                        <th scope="col" class="number">"Share"</th>
                    </tr>
                </thead>
                {rows}
                <tfoot>
                    <tr>
                        <th scope="row">"Expected need"</th>
                        <td class="number" title=exact(total)>{figure::words("need", gib_number(total))}</td>
                        <td class="number">"100 %"</td>
                    </tr>
                </tfoot>
            </table>
        </section>
    }
    .into_any()
}

fn rows(part: &Part<'_>, total: Bytes, opened: Opened) -> AnyView {
    let key = part.group.key;
    let is_open = Memo::new(move |_| opened.with(|opened| opened.contains(&key)));
    let components: Vec<AnyView> = part
        .components
        .iter()
        .filter(|component| component.bytes > Bytes::ZERO)
        .map(|component| row(component, total, is_open))
        .collect();
    let toggle = move |_| {
        opened.update(|opened| match opened.iter().position(|one| *one == key) {
            Some(at) => {
                opened.remove(at);
            }
            None => opened.push(key),
        });
    };
    let name = view! {
        <span class=format!("swatch group-{key}")></span>
        {part.group.label}
    };
    let count = components.len();
    let head = if count == 0 {
        view! { <span class="breakdown-group">{name}</span> }.into_any()
    } else {
        let parts = if count == 1 {
            "1 part".to_owned()
        } else {
            format!("{count} parts")
        };
        view! {
            <button
                type="button"
                class="breakdown-group breakdown-open"
                aria-expanded=move || if is_open.get() { "true" } else { "false" }
                on:click=toggle
            >
                {name}
                <small class="soft">{parts}</small>
            </button>
        }
        .into_any()
    };
    view! {
        <tbody>
            <tr data-group=key data-bytes=part.bytes.get().to_string()>
                <th scope="row">{head}</th>
                <td class="number" title=exact(part.bytes)>
                    {figure::words(format!("group-{key}"), gib_number(part.bytes))}
                </td>
                <td class="number">{percent(part.bytes, total)}</td>
            </tr>
            {components}
        </tbody>
    }
    .into_any()
}

fn row(component: &Component, total: Bytes, is_open: Memo<bool>) -> AnyView {
    view! {
        <tr
            class="component"
            hidden=move || !is_open.get()
            data-component=component.id.clone()
            data-bytes=component.bytes.get().to_string()
        >
            <th scope="row" title=format!("{} ({})", component.formula, component.source)>
                {component.label.clone()}
            </th>
            <td class="number soft" title=exact(component.bytes)>
                {figure::words(format!("line-{}", component.id), gib_number(component.bytes))}
            </td>
            <td class="number soft">{percent(component.bytes, total)}</td>
        </tr>
    }
    .into_any()
}
