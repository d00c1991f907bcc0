//! What takes the memory at the binding instant: a stacked bar against the usable capacity, and the same as a table
//! of groups and their components.

use leptos::prelude::*;

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

/// The breakdown of the expected need.
pub fn breakdown(answer: &Answer) -> AnyView {
    let capacity = answer.capacity.usable_bytes;
    let parts = groups::ALL.map(|group| {
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
    });
    let total = answer.total_memory_per_gpu_bytes;
    let scale = total.max(capacity);
    let bars = parts
        .iter()
        .filter(|part| part.bytes > Bytes::ZERO)
        .map(|part| {
            view! {
                <div
                    class=format!("stack-part group-{}", part.group.key)
                    style=format!("width:{}", share(part.bytes, scale))
                    title=format!("{}: {}", part.group.label, gib(part.bytes))
                ></div>
            }
        })
        .collect_view();
    let rows = parts.iter().map(|part| rows(part, total)).collect_view();
    view! {
        <section class="panel" aria-labelledby="breakdown-title">
            <h2 id="breakdown-title">"What takes the memory"</h2>
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
                        <td class="number" title=exact(total)>{gib_number(total)}</td>
                        <td class="number">"100 %"</td>
                    </tr>
                </tfoot>
            </table>
        </section>
    }
    .into_any()
}

fn rows(part: &Part<'_>, total: Bytes) -> AnyView {
    let components = part
        .components
        .iter()
        .filter(|component| component.bytes > Bytes::ZERO)
        .map(|component| {
            view! {
                <tr class="component" data-component=component.id.clone() data-bytes=component.bytes.get().to_string()>
                    <th scope="row" title=format!("{} ({})", component.formula, component.source)>
                        {component.label.clone()}
                    </th>
                    <td class="number soft" title=exact(component.bytes)>{gib_number(component.bytes)}</td>
                    <td class="number soft">{percent(component.bytes, total)}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <tbody>
            <tr data-group=part.group.key data-bytes=part.bytes.get().to_string()>
                <th scope="row">
                    <span class=format!("swatch group-{}", part.group.key)></span>
                    {part.group.label}
                </th>
                <td class="number" title=exact(part.bytes)>{gib_number(part.bytes)}</td>
                <td class="number">{percent(part.bytes, total)}</td>
            </tr>
            {components}
        </tbody>
    }
    .into_any()
}
