//! What takes the memory at the binding instant: a stacked bar against the usable capacity, and the same as a table
//! of groups and their components.

use std::sync::Arc;

use leptos::prelude::*;

use super::super::explain::figure;
use super::super::format::{exact, gib, gib_number, percent, share};
use super::groups::{self, ShownGroup};
use crate::api::{Answer, Component};
use crate::units::Bytes;

/// The groups whose parts are shown.
pub type Opened = RwSignal<Vec<&'static str>>;

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
    let pieces = groups::ALL.map(|group| {
        let bytes = of_group(Some(answer), group.key).map(|part| part.bytes).sum();
        (format!("group-{}", group.key), group.label, bytes)
    });
    bar(
        &pieces,
        answer.total_memory_per_gpu_bytes,
        answer.capacity.usable_bytes,
    )
}

/// The breakdown of the expected need. It follows the answer: the groups stay, and their numbers change.
pub fn breakdown(answer: Memo<Option<Arc<Answer>>>, opened: Opened) -> AnyView {
    let total = Memo::new(move |_| {
        answer.with(|answer| {
            answer
                .as_deref()
                .map(|answer| answer.total_memory_per_gpu_bytes)
                .unwrap_or_default()
        })
    });
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
                {groups::ALL.map(|group| rows(group, answer, total, opened)).into_iter().collect_view()}
                <tfoot>
                    <tr>
                        <th scope="row">"Expected need"</th>
                        <td class="number" title=move || exact(total.get())>
                            {figure::following("need", move || gib_number(total.get()))}
                        </td>
                        <td class="number">"100 %"</td>
                    </tr>
                </tfoot>
            </table>
        </section>
    }
    .into_any()
}

fn rows(group: ShownGroup, answer: Memo<Option<Arc<Answer>>>, total: Memo<Bytes>, opened: Opened) -> AnyView {
    let key = group.key;
    // The bytes of the group, and how many of its parts take any.
    let size = Memo::new(move |_| {
        answer.with(|answer| {
            let components = of_group(answer.as_deref(), key);
            components.fold((Bytes::ZERO, 0_usize), |(bytes, count), part| {
                (bytes + part.bytes, count + 1)
            })
        })
    });
    let bytes = move || size.get().0;
    let count = Memo::new(move |_| size.get().1);
    let is_open = Memo::new(move |_| opened.with(|opened| opened.contains(&key)));
    let toggle = move |_| {
        opened.update(|opened| match opened.iter().position(|one| *one == key) {
            Some(at) => {
                opened.remove(at);
            }
            None => opened.push(key),
        });
    };
    let name = move || {
        view! {
            <span class=format!("swatch group-{key}")></span>
            {group.label}
        }
    };
    let head = move || {
        let parts = match count.get() {
            0 => return view! { <span class="breakdown-group">{name()}</span> }.into_any(),
            1 => "1 part".to_owned(),
            count => format!("{count} parts"),
        };
        view! {
            <button
                type="button"
                class="breakdown-group breakdown-open"
                aria-expanded=move || if is_open.get() { "true" } else { "false" }
                on:click=toggle
            >
                {name()}
                <small class="soft">{parts}</small>
            </button>
        }
        .into_any()
    };
    let components = move || {
        is_open.get().then(|| {
            let total = total.get();
            answer.with(|answer| {
                of_group(answer.as_deref(), key)
                    .map(|component| row(component, total))
                    .collect_view()
            })
        })
    };
    view! {
        <tbody>
            <tr data-group=key data-bytes=move || bytes().get().to_string()>
                <th scope="row">{head}</th>
                <td class="number" title=move || exact(bytes())>
                    {figure::following(format!("group-{key}"), move || gib_number(bytes()))}
                </td>
                <td class="number">{move || percent(bytes(), total.get())}</td>
            </tr>
            {components}
        </tbody>
    }
    .into_any()
}

/// The parts of a group that take any memory.
fn of_group<'a>(answer: Option<&'a Answer>, group: &'static str) -> impl Iterator<Item = &'a Component> {
    let components = answer.map(|answer| answer.components.as_slice());
    let all = components.unwrap_or_default().iter();
    all.filter(move |part| part.group == group && part.bytes > Bytes::ZERO)
}

fn row(component: &Component, total: Bytes) -> AnyView {
    view! {
        <tr
            class="component"
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
