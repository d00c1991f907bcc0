//! The instants of one step: a drawing of memory over time, the one that binds marked, and the same as a table.

use leptos::prelude::*;

use super::super::format::{gib, gib_number, share, words};
use super::{chart, groups};
use crate::api::InstantRow;
use crate::units::Bytes;

/// The instants of one step; `capacity` is what the GPU offers.
pub fn instants(instants: &[InstantRow], capacity: Bytes) -> AnyView {
    view! {
        <section class="panel" aria-labelledby="instants-title">
            <h2 id="instants-title">"One step, instant by instant"</h2>
            {figure(instants, capacity)}
        </section>
    }
    .into_any()
}

fn figure(instants: &[InstantRow], capacity: Bytes) -> AnyView {
    let peak = instants
        .iter()
        .map(|instant| instant.allocated_bytes)
        .max()
        .unwrap_or_default();
    // The capacity is drawn where it does not squeeze the bars into a corner.
    let shown_capacity = Some(capacity).filter(|capacity| capacity.to_gib() < peak.to_gib() * 2.5);
    let most = peak.to_gib().max(shown_capacity.map_or(0.0, Bytes::to_gib));
    let (top, ticks) = chart::scale(most);
    let drawing = chart::draw(instants, shown_capacity, top, &ticks).unwrap_or_default();
    let top_bytes = Bytes::from_gib(top);
    let labels = ticks
        .iter()
        .map(|tick| {
            let style = format!("bottom:{}", share(Bytes::from_gib(*tick), top_bytes));
            view! { <span style=style>{format!("{tick}")}</span> }
        })
        .collect_view();
    let capacity_label = shown_capacity.map(|capacity| {
        let style = format!("bottom:{}", share(capacity, top_bytes));
        view! { <span class="chart-capacity" style=style>{format!("usable {}", gib(capacity))}</span> }
    });
    let columns = instants
        .iter()
        .enumerate()
        .map(|(index, instant)| {
            let binds = instant.binding;
            let height = share(instant.allocated_bytes, top_bytes);
            view! {
                <div class="chart-column" class:binds=binds title=instant.label.clone()>
                    {binds.then(|| view! { <span class="chart-peak" style=format!("bottom:{height}")>"peak"</span> })}
                    <span class="chart-name"><b>{index + 1}</b><span>{short(instant)}</span></span>
                </div>
            }
        })
        .collect_view();
    let summary = instants.iter().find(|instant| instant.binding).map(|instant| {
        format!(
            "The most is allocated at this instant: {}, {}.",
            instant.label,
            gib(instant.allocated_bytes)
        )
    });
    view! {
        <p class="binding" id="binding-instant">{summary}</p>
        <figure class="chart" aria-describedby="instants-table-title">
            <figcaption class="visually-hidden">
                "Allocated memory in GiB at each instant of a training step, stacked by group. The table below has the same numbers."
            </figcaption>
            <div class="chart-frame" aria-hidden="true">
                <div class="chart-axis">{labels}</div>
                <div class="chart-area">
                    <div class="chart-drawing" inner_html=drawing></div>
                    {capacity_label}
                    <div class="chart-columns">{columns}</div>
                </div>
            </div>
            {legend()}
        </figure>
        {table(instants)}
    }
    .into_any()
}

fn legend() -> AnyView {
    let items = groups::ALL.map(|group| {
        view! { <li><span class=format!("swatch flat-{}", group.key)></span>{group.label}</li> }
    });
    view! { <ul class="legend" aria-hidden="true">{items.collect_view()}</ul> }.into_any()
}

fn table(instants: &[InstantRow]) -> AnyView {
    let heads = groups::ALL.map(|group| view! { <th scope="col" class="number">{group.label}</th> });
    let rows = instants
        .iter()
        .enumerate()
        .map(|(index, instant)| {
            let binds = instant.binding;
            let cells = groups::ALL.map(|group| {
                view! { <td class="number">{gib_number(group.of(&instant.groups))}</td> }
            });
            view! {
                <tr class:binds=binds>
                    <th scope="row">
                        {format!("{} {}", index + 1, instant.label)}
                        {binds.then(|| view! { " " <span class="tag">"peak"</span> })}
                    </th>
                    {cells.collect_view()}
                    <td class="number"><b>{gib_number(instant.allocated_bytes)}</b></td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <details class="twin">
            <summary id="instants-table-title">"The same as a table"</summary>
            <div class="table-frame" tabindex="0" role="region" aria-label="Memory at each instant, in GiB">
                <table class="plain-table">
                    <thead>
                        <tr>
                            <th scope="col">"Instant"</th>
                            {heads.collect_view()}
                            <th scope="col" class="number">"All, GiB"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </details>
    }
    .into_any()
}

/// A name short enough to stand under a bar.
fn short(instant: &InstantRow) -> String {
    let known = match instant.id {
        "load" => "loaded",
        "rest" => "at rest",
        "forward_end" => "forward done",
        "loss_forward" => "loss",
        "loss_backward" => "loss backward",
        "head_backward" => "head backward",
        "backward_last" => "last layer",
        "backward_tightest" => "tightest layer",
        "backward_first" => "first layer",
        "tower_forward" => "tower forward",
        "tower_backward" => "tower backward",
        "backward_end" => "backward done",
        "clip" => "clip",
        "optimizer_step" => "optimizer",
        other => return words(other),
    };
    known.to_owned()
}
