//! The instants of a step or of a service: what is allocated at each, stacked by group, the one that binds marked, and the same as a
//! table.

use leptos::prelude::*;
use plotters::prelude::*;

use super::super::answer::groups;
use super::super::explain::figure;
use super::super::format::{gib, gib_number, words};
use super::super::plot::{self, marker};
use super::picture::{Picture, Stop, Tick};
use super::scale;
use crate::api::InstantRow;
use crate::units::Bytes;

/// Size of the drawing's own coordinates.
const SIZE: (u32, u32) = (10_000, 3_600);
/// Share of a column that its bar fills.
const FILL: f64 = 0.82;
/// More than so many columns have numbers instead of names.
const NAMED: usize = 9;

/// A part of an instant: class of its colour, name, bytes.
type Part = (&'static str, &'static str, Bytes);

/// The parts of an instant in the order in which they are stacked. What no group of training has is a cache.
fn parts(instant: &InstantRow) -> Vec<Part> {
    let cache = instant.allocated_bytes.saturating_sub(instant.groups.total());
    let mut parts: Vec<Part> = groups::ALL
        .iter()
        .map(|group| (group.key, group.label, group.of(&instant.groups)))
        .collect();
    parts.insert(1, ("kv_cache", "Keys and values", cache));
    parts
}

/// Whether each part occurs at any instant.
fn occurring(instants: &[InstantRow]) -> Vec<(&'static str, &'static str)> {
    let mut found: Vec<(&'static str, &'static str)> = Vec::new();
    for (key, label, bytes) in instants.iter().flat_map(parts) {
        if bytes > Bytes::ZERO && !found.iter().any(|(known, _)| *known == key) {
            found.push((key, label));
        }
    }
    found
}

/// The instants against what the GPU offers.
pub fn instants(instants: &[InstantRow], capacity: Bytes) -> AnyView {
    let count = instants.len().max(1) as f64;
    let peak = instants
        .iter()
        .map(|instant| instant.allocated_bytes)
        .max()
        .unwrap_or_default();
    // The capacity is drawn where it does not squeeze the bars into a corner.
    let limit = Some(capacity).filter(|capacity| capacity.to_gib() < peak.to_gib() * 2.5);
    let most = peak.to_gib().max(limit.map_or(0.0, Bytes::to_gib));
    let (top, ticks) = scale::linear(most);
    let drawing = draw(instants, limit, top, &ticks).unwrap_or_default();
    let middle = |index: usize| (index as f64 + 0.5) / count;
    let binding = instants.iter().position(|instant| instant.binding);
    let description = binding
        .and_then(|at| instants.get(at))
        .map(|instant| {
            format!(
                "The most is allocated at this instant: {}, {}.",
                instant.label,
                gib(instant.allocated_bytes)
            )
        })
        .unwrap_or_default();
    let picture = Picture {
        id: "instants",
        title: "Allocated at each instant".to_owned(),
        description,
        drawing,
        left: Tick::heights(&ticks, top),
        bottom: instants
            .iter()
            .enumerate()
            .map(|(index, instant)| Tick {
                at: middle(index),
                label: if instants.len() > NAMED {
                    (index + 1).to_string()
                } else {
                    short(instant)
                },
            })
            .collect(),
        axes: ("instants in the order of time".to_owned(), "GiB".to_owned()),
        limit: limit.map(|limit| (limit.to_gib() / top, format!("usable {}", gib(limit)))),
        mark: None,
        legend: occurring(instants)
            .into_iter()
            .map(|(key, label)| (format!("flat-{key}"), label.to_owned()))
            .collect(),
        stops: instants
            .iter()
            .enumerate()
            .map(|(index, instant)| stop(instant, index, middle(index)))
            .collect(),
        start: binding.unwrap_or_default(),
    };
    let ids: Vec<&'static str> = instants.iter().map(|instant| instant.id).collect();
    let action = move |at: usize| {
        ids.get(at)
            .map(|id| figure::button(format!("instant-{id}"), "Every tensor of this instant"))
            .into_any()
    };
    let rows = instants.to_vec();
    picture.view(Box::new(move || table(&rows)), Box::new(action))
}

fn stop(instant: &InstantRow, index: usize, at: f64) -> Stop {
    let tightest = if instant.binding { " (the tightest)" } else { "" };
    Stop {
        at,
        name: format!("{} {}{tightest}", index + 1, instant.label),
        words: gib(instant.allocated_bytes),
        parts: parts(instant)
            .into_iter()
            .filter(|(_, _, bytes)| *bytes > Bytes::ZERO)
            .map(|(key, label, bytes)| (format!("flat-{key}"), label.to_owned(), gib_number(bytes)))
            .collect(),
    }
}

/// One stacked bar per instant, a line at each tick, a line at the capacity.
fn draw(instants: &[InstantRow], capacity: Option<Bytes>, top: f64, ticks: &[f64]) -> Option<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let columns = instants.len() as f64;
        let mut chart = ChartBuilder::on(&area)
            .build_cartesian_2d(0.0..columns, 0.0..top)
            .ok()?;
        let across = |height: f64, index: usize| {
            PathElement::new(
                vec![(0.0, height), (columns, height)],
                marker(index).stroke_width(1),
            )
        };
        chart
            .draw_series(ticks.iter().map(|tick| across(*tick, 6)))
            .ok()?;
        for (at, instant) in instants.iter().enumerate() {
            let (left, right) = (at as f64 + (1.0 - FILL) / 2.0, at as f64 + (1.0 + FILL) / 2.0);
            let mut base = 0.0;
            for (index, (_, _, bytes)) in parts(instant).into_iter().enumerate() {
                let height = bytes.to_gib();
                if height > 0.0 {
                    let bar = Rectangle::new([(left, base), (right, base + height)], marker(index).filled());
                    chart.draw_series([bar]).ok()?;
                    base += height;
                }
            }
        }
        if let Some(capacity) = capacity {
            chart.draw_series([across(capacity.to_gib(), 7)]).ok()?;
        }
        area.present().ok()?;
    }
    let known = instants.first().map(parts).unwrap_or_default();
    let classes: Vec<(usize, String)> = known
        .iter()
        .enumerate()
        .map(|(index, (key, _, _))| (index, format!("fill-{key}")))
        .chain([(6, "tick".into()), (7, "capacity".into())])
        .collect();
    Some(plot::themed(&svg, &classes))
}

fn table(instants: &[InstantRow]) -> AnyView {
    let shown = occurring(instants);
    let heads = shown
        .iter()
        .map(|(_, label)| view! { <th scope="col" class="number">{*label}</th> })
        .collect_view();
    let rows = instants
        .iter()
        .enumerate()
        .map(|(index, instant)| {
            let all = parts(instant);
            let cells = all
                .iter()
                .filter(|(key, _, _)| shown.iter().any(|(known, _)| known == key))
                .map(|(_, _, bytes)| view! { <td class="number">{gib_number(*bytes)}</td> })
                .collect_view();
            view! {
                <tr class:binds=instant.binding>
                    <th scope="row">
                        {format!("{} {}", index + 1, instant.label)}
                        {instant.binding.then(|| view! { " " <span class="tag">"peak"</span> })}
                    </th>
                    {cells}
                    <td class="number"><b>{gib_number(instant.allocated_bytes)}</b></td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <table class="plain-table">
            <thead>
                <tr>
                    <th scope="col">"Instant"</th>
                    {heads}
                    <th scope="col" class="number">"All, GiB"</th>
                </tr>
            </thead>
            <tbody>{rows}</tbody>
        </table>
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
