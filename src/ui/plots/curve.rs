//! The need along an input: areas by group, the interval, the limit, and where the verdict turns. Calculated after the answer was
//! painted and the question has rested.

use std::time::Duration;

use leptos::prelude::*;
use plotters::prelude::*;

use super::super::answer::verdict;
use super::super::format::{gib, gib_number, grouped};
use super::super::plot::{self, marker};
use super::super::rest::Rest;
use super::super::state::{Form, PageStoreFields};
use super::picture::{Picture, Stop, Tick};
use super::scale;
use crate::api::{self, Along, Curve, CurvePoint, Task, Verdict};
use crate::units::Bytes;

/// How long the question must rest before it is varied.
const REST: Duration = Duration::from_millis(300);
/// Size of the drawing's own coordinates.
const SIZE: (u32, u32) = (10_000, 4_600);

/// The section: a choice of the input, and the plot along it.
pub fn curves(form: Form, task: Task) -> AnyView {
    let first = Along::of(task).next().unwrap_or(Along::SequenceLength);
    let along = RwSignal::new(first);
    let found = RwSignal::new(None::<Curve>);
    let rested = Rest::new();
    Effect::new(move |before: Option<Along>| {
        let along = along.get();
        let request = form.page.request().with(|request| api::part(request, task));
        let follow = move || found.set(api::curve(&request, along).ok());
        // A choice is answered at once, a typed change when typing rests.
        let rest = if before.is_some_and(|before| before != along) {
            Duration::ZERO
        } else {
            REST
        };
        rested.after(rest, follow);
        along
    });
    let choices = Along::of(task)
        .map(|one| {
            view! {
                <button
                    type="button"
                    class="choice"
                    data-along=one.key()
                    aria-pressed=move || if along.get() == one { "true" } else { "false" }
                    on:click=move |_| along.set(one)
                >
                    {words(one)}
                </button>
            }
        })
        .collect_view();
    let content = move || {
        found.with(|found| match found {
            Some(curve) => shown(form, curve),
            None => view! { <p class="soft">"There is a plot when there is an answer."</p> }.into_any(),
        })
    };
    view! {
        <section class="panel" id="curves" aria-labelledby="curves-title">
            <div class="panel-head">
                <h2 id="curves-title">"How the need grows"</h2>
                <div class="choices" role="group" aria-label="Along which input">{choices}</div>
            </div>
            {content}
        </section>
    }
    .into_any()
}

/// The input for a button.
pub(super) const fn words(along: Along) -> &'static str {
    match along {
        Along::SequenceLength => "Sequence length",
        Along::MicroBatch => "Micro-batch",
        Along::Gpus => "GPUs",
        Along::Context => "Context",
        Along::Concurrency => "Concurrency",
    }
}

/// "8,192 tokens".
pub(super) fn counted(along: Along, value: u64) -> String {
    format!("{} {}", grouped(value), along.unit(value))
}

/// Where the verdict turns, in words.
fn turn(curve: &Curve) -> String {
    let along = curve.along;
    match curve.crossing {
        Some(turn) if turn.fits < turn.breaks => format!(
            "It can fit up to {}; {} do not fit.",
            counted(along, turn.fits),
            grouped(turn.breaks)
        ),
        Some(turn) => format!(
            "It can fit from {} on; {} do not suffice.",
            counted(along, turn.fits),
            grouped(turn.breaks)
        ),
        None if curve
            .points
            .iter()
            .all(|point| point.verdict == Verdict::DoesNotFit) =>
        {
            "It does not fit at any of these values.".to_owned()
        }
        None => "It can fit at all of these values.".to_owned(),
    }
}

/// The groups that occur, as class and name.
fn groups(curve: &Curve) -> Vec<(&'static str, &'static str)> {
    let Some(first) = curve.points.first() else {
        return Vec::new();
    };
    first
        .parts
        .iter()
        .map(|part| {
            let name = match part.group {
                "model_params" => "Weights",
                "gradients" => "Gradients",
                "optimizer_states" => "Optimizer states",
                "activations" => "Activations",
                "kv_cache" => "Keys and values",
                _ => "Overhead",
            };
            (part.group, name)
        })
        .collect()
}

fn shown(form: Form, curve: &Curve) -> AnyView {
    let along = curve.along;
    let points = &curve.points;
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return ().into_any();
    };
    let (first, last) = (first.value, last.value);
    let limit = points
        .iter()
        .find(|point| point.value == curve.asked)
        .or(points.first())
        .map(|point| point.limit_bytes)
        .unwrap_or_default();
    let most = points
        .iter()
        .map(|point| point.need.high_bytes.to_gib())
        .fold(0.0, f64::max);
    let shows_limit = limit.to_gib() < most * 4.0;
    let most = if shows_limit {
        most.max(limit.to_gib())
    } else {
        most
    };
    let (top, ticks) = scale::linear(most);
    let place = |value: u64| scale::logarithmic(value, first, last);
    let groups = groups(curve);
    let drawing = draw(curve, &groups, (top, &ticks), shows_limit.then_some(limit)).unwrap_or_default();
    let labels = Tick::apart(points.iter().map(|point| point.value), place);
    let stops: Vec<Stop> = points
        .iter()
        .map(|point| stop(curve, &groups, point, place(point.value)))
        .collect();
    let values: Vec<u64> = points.iter().map(|point| point.value).collect();
    let start = points
        .iter()
        .position(|point| point.value == curve.asked)
        .unwrap_or_default();
    let picture = Picture {
        id: "curve",
        title: format!("Need of one GPU along {}", words(along).to_ascii_lowercase()),
        description: turn(curve),
        drawing,
        left: Tick::heights(&ticks, top),
        bottom: labels,
        axes: (along.unit(2).to_owned(), "GiB".to_owned()),
        limit: shows_limit.then(|| (limit.to_gib() / top, format!("usable {}", gib(limit)))),
        mark: curve
            .crossing
            .map(|turn| (place(turn.fits), counted(along, turn.fits))),
        legend: groups
            .iter()
            .map(|(group, name)| (format!("flat-{group}"), (*name).to_owned()))
            .chain([("flat-interval".to_owned(), "interval of the need".to_owned())])
            .collect(),
        stops,
        start,
    };
    let asked = curve.asked;
    let action = move |at: usize| {
        let value = values.get(at).copied().filter(|value| *value != asked);
        value
            .map(|value| {
                view! {
                    <button
                        type="button"
                        class="button button-small"
                        on:click=move |_| form.set(along.input(), Some(value.into()))
                    >
                        {format!("Use {}", counted(along, value))}
                    </button>
                }
            })
            .into_any()
    };
    let curve = curve.clone();
    picture.view(Box::new(move || table(&curve, &groups)), Box::new(action))
}

fn stop(curve: &Curve, groups: &[(&'static str, &'static str)], point: &CurvePoint, at: f64) -> Stop {
    let asked = if point.value == curve.asked {
        " (asked)"
    } else {
        ""
    };
    Stop {
        at,
        name: format!("{}{asked}", counted(curve.along, point.value)),
        words: format!(
            "needs {} of {}: {}",
            verdict::need(point.need),
            gib(point.limit_bytes),
            verdict::title(point.verdict).to_ascii_lowercase()
        ),
        parts: groups
            .iter()
            .zip(&point.parts)
            .map(|((group, name), part)| {
                (
                    format!("flat-{group}"),
                    (*name).to_owned(),
                    gib_number(part.bytes),
                )
            })
            .collect(),
    }
}

/// Areas from below upwards, the interval, ticks, limit, and the place of the turn.
fn draw(
    curve: &Curve,
    groups: &[(&'static str, &'static str)],
    (top, ticks): (f64, &[f64]),
    limit: Option<Bytes>,
) -> Option<String> {
    let points = &curve.points;
    let (first, last) = (points.first()?.value, points.last()?.value);
    let place = |value: u64| scale::logarithmic(value, first, last);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .build_cartesian_2d(0.0..1.0, 0.0..top)
            .ok()?;
        let across = |height: f64, index: usize| {
            PathElement::new(vec![(0.0, height), (1.0, height)], marker(index).stroke_width(1))
        };
        chart
            .draw_series(ticks.iter().map(|tick| across(*tick, 10)))
            .ok()?;
        let mut base = vec![0.0; points.len()];
        for index in 0..groups.len() {
            let upper: Vec<f64> = points
                .iter()
                .zip(&base)
                .map(|(point, base)| base + point.parts.get(index).map_or(0.0, |part| part.bytes.to_gib()))
                .collect();
            chart
                .draw_series([between(points, &base, &upper, place, index)])
                .ok()?;
            base = upper;
        }
        let side = |bound: fn(&CurvePoint) -> Bytes| -> Vec<f64> {
            points.iter().map(|point| bound(point).to_gib()).collect()
        };
        let (low, high) = (
            side(|point| point.need.low_bytes),
            side(|point| point.need.high_bytes),
        );
        chart
            .draw_series([between(points, &low, &high, place, 11)])
            .ok()?;
        if let Some(limit) = limit {
            chart.draw_series([across(limit.to_gib(), 12)]).ok()?;
        }
        if let Some(turn) = curve.crossing {
            let at = place(turn.fits);
            let down = PathElement::new(vec![(at, 0.0), (at, top)], marker(13).stroke_width(1));
            chart.draw_series([down]).ok()?;
        }
        area.present().ok()?;
    }
    let classes: Vec<(usize, String)> = groups
        .iter()
        .enumerate()
        .map(|(index, (group, _))| (index, format!("fill-{group}")))
        .chain([
            (10, "tick".into()),
            (11, "interval".into()),
            (12, "capacity".into()),
            (13, "turn".into()),
        ])
        .collect();
    Some(plot::themed(&svg, &classes))
}

/// The area between two lines.
fn between(
    points: &[CurvePoint],
    lower: &[f64],
    upper: &[f64],
    place: impl Fn(u64) -> f64,
    index: usize,
) -> Polygon<(f64, f64)> {
    let along = |heights: &[f64]| -> Vec<(f64, f64)> {
        points
            .iter()
            .zip(heights)
            .map(|(point, height)| (place(point.value), *height))
            .collect()
    };
    let mut outline = along(lower);
    outline.extend(along(upper).into_iter().rev());
    Polygon::new(outline, marker(index).filled())
}

fn table(curve: &Curve, groups: &[(&'static str, &'static str)]) -> AnyView {
    let heads = groups
        .iter()
        .map(|(_, name)| view! { <th scope="col" class="number">{*name}</th> })
        .collect_view();
    let rows = curve
        .points
        .iter()
        .map(|point| {
            let cells = point
                .parts
                .iter()
                .map(|part| view! { <td class="number">{gib_number(part.bytes)}</td> })
                .collect_view();
            view! {
                <tr class:binds=point.value == curve.asked>
                    <th scope="row">{counted(curve.along, point.value)}</th>
                    {cells}
                    <td class="number"><b>{verdict::need(point.need)}</b></td>
                    <td>{verdict::title(point.verdict)}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <table class="plain-table">
            <thead>
                <tr>
                    <th scope="col">{words(curve.along)}</th>
                    {heads}
                    <th scope="col" class="number">"Need"</th>
                    <th scope="col">"Verdict"</th>
                </tr>
            </thead>
            <tbody>{rows}</tbody>
        </table>
    }
    .into_any()
}
