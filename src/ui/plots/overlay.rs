//! Several questions along one input, a line each over the same axes: their expected need, and what each is judged against. The
//! questions are those that stand side by side; the same input is varied in all of them.

use leptos::prelude::*;
use plotters::prelude::*;

use super::super::answer::verdict;
use super::super::format::{gib, gib_number};
use super::super::plot::{self, marker};
use super::curve::{counted, words};
use super::picture::{Picture, Stop, Tick};
use super::scale;
use crate::api::{self, Along, Curve, CurvePoint, Request, Task};

/// Size of the drawing's own coordinates.
const SIZE: (u32, u32) = (10_000, 4_600);
/// Lines that differ in colour and dashes; further ones begin anew.
const LINES: usize = 6;

/// A question with the name under which it is compared.
pub type Named = (String, Request);

/// A choice of the input, and the lines along it. Nothing where fewer than two questions are of this kind.
pub fn overlaid(questions: Vec<Named>, task: Task) -> AnyView {
    if questions.len() < 2 {
        return ().into_any();
    }
    let along = RwSignal::new(Along::of(task).next().unwrap_or(Along::SequenceLength));
    let questions = StoredValue::new(questions);
    let choices = Along::of(task)
        .map(|one| {
            view! {
                <button
                    type="button"
                    class="choice"
                    data-overlay=one.key()
                    aria-pressed=move || if along.get() == one { "true" } else { "false" }
                    on:click=move |_| along.set(one)
                >
                    {words(one)}
                </button>
            }
        })
        .collect_view();
    let content = move || {
        let along = along.get();
        let curves: Vec<(String, Curve)> = questions.with_value(|questions| {
            questions
                .iter()
                .filter_map(|(name, request)| Some((name.clone(), api::curve(request, along).ok()?)))
                .collect()
        });
        shown(along, &curves, task)
    };
    view! {
        <div class="overlay">
            <div class="choices" role="group" aria-label="Along which input">{choices}</div>
            {content}
        </div>
    }
    .into_any()
}

/// All values at which a question has a point.
fn values(curves: &[(String, Curve)]) -> Vec<u64> {
    let mut values: Vec<u64> = curves
        .iter()
        .flat_map(|(_, curve)| curve.points.iter().map(|point| point.value))
        .collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// The point of a question at a value.
fn at(curve: &Curve, value: u64) -> Option<&CurvePoint> {
    curve.points.iter().find(|point| point.value == value)
}

/// The class of a line's colour, and of its swatch.
fn class(index: usize) -> String {
    format!("line-{}", index % LINES)
}

fn shown(along: Along, curves: &[(String, Curve)], task: Task) -> AnyView {
    let values = values(curves);
    let (Some(first), Some(last)) = (values.first().copied(), values.last().copied()) else {
        return view! { <p class="soft">"There is a plot when there is an answer."</p> }.into_any();
    };
    let points = || curves.iter().flat_map(|(_, curve)| &curve.points);
    let needed = points()
        .map(|point| point.need.expected_bytes.to_gib())
        .fold(0.0, f64::max);
    let limits = points()
        .map(|point| point.limit_bytes.to_gib())
        .filter(|limit| *limit < needed * 4.0)
        .fold(0.0, f64::max);
    let (top, ticks) = scale::linear(needed.max(limits));
    let place = |value: u64| scale::logarithmic(value, first, last);
    let bottom = Tick::apart(values.iter().copied(), place);
    let stops = values
        .iter()
        .map(|value| Stop {
            at: place(*value),
            name: counted(along, *value),
            words: said(curves, *value),
            parts: curves
                .iter()
                .enumerate()
                .filter_map(|(index, (name, curve))| {
                    let point = at(curve, *value)?;
                    let amount = gib_number(point.need.expected_bytes);
                    Some((format!("flat-{}", class(index)), name.clone(), amount))
                })
                .collect(),
        })
        .collect();
    let picture = Picture {
        id: match task {
            Task::Training | Task::Plan => "overlay",
            Task::Inference => "overlay-served",
        },
        title: format!(
            "Expected need of one GPU along {}",
            words(along).to_ascii_lowercase()
        ),
        description: "A line for each question; dashed across, what it is judged against.".to_owned(),
        drawing: draw(curves, (first, last), (top, &ticks)).unwrap_or_default(),
        left: Tick::heights(&ticks, top),
        bottom,
        axes: (along.unit(2).to_owned(), "GiB".to_owned()),
        limit: None,
        mark: None,
        legend: curves
            .iter()
            .enumerate()
            .map(|(index, (name, _))| (format!("flat-{}", class(index)), name.clone()))
            .collect(),
        stops,
        start: values
            .iter()
            .position(|value| curves.first().is_some_and(|(_, curve)| curve.asked == *value))
            .unwrap_or_default(),
    };
    let curves = curves.to_vec();
    let twin = move || table(along, &curves, &values);
    picture.view(Box::new(twin), Box::new(|_| ().into_any()))
}

/// What all questions need at a value, for one who listens.
fn said(curves: &[(String, Curve)], value: u64) -> String {
    let lines: Vec<String> = curves
        .iter()
        .filter_map(|(name, curve)| {
            let point = at(curve, value)?;
            let (need, verdict) = (gib(point.need.expected_bytes), verdict::title(point.verdict));
            Some(format!("{name} {need}, {}", verdict.to_ascii_lowercase()))
        })
        .collect();
    lines.join("; ")
}

/// Ticks, the limits, and the lines over them.
fn draw(
    curves: &[(String, Curve)],
    (first, last): (u64, u64),
    (top, ticks): (f64, &[f64]),
) -> Option<String> {
    let place = |value: u64| scale::logarithmic(value, first, last);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .build_cartesian_2d(0.0..1.0, 0.0..top)
            .ok()?;
        let level = ticks.iter().map(|tick| vec![(0.0, *tick), (1.0, *tick)]);
        chart
            .draw_series(level.map(|line| PathElement::new(line, marker(40).stroke_width(1))))
            .ok()?;
        for (index, (_, curve)) in curves.iter().enumerate() {
            let line = |height: fn(&CurvePoint) -> f64| -> Vec<(f64, f64)> {
                let points = curve.points.iter();
                points
                    .map(|point| (place(point.value), height(point)))
                    .filter(|(_, height)| *height <= top)
                    .collect()
            };
            let limit = line(|point| point.limit_bytes.to_gib());
            chart
                .draw_series([PathElement::new(
                    limit,
                    marker(20 + index % LINES).stroke_width(1),
                )])
                .ok()?;
            let need = line(|point| point.need.expected_bytes.to_gib());
            chart
                .draw_series([PathElement::new(need, marker(index % LINES).stroke_width(2))])
                .ok()?;
        }
        area.present().ok()?;
    }
    let lines = (0..LINES).flat_map(|index| [(index, class(index)), (20 + index, format!("limit-{index}"))]);
    let classes: Vec<(usize, String)> = lines.chain([(40, "tick".to_owned())]).collect();
    Some(plot::themed(&svg, &classes))
}

fn table(along: Along, curves: &[(String, Curve)], values: &[u64]) -> AnyView {
    let heads = curves
        .iter()
        .map(|(name, _)| view! { <th scope="col" class="number">{format!("{name}, GiB")}</th> })
        .collect_view();
    let rows = values
        .iter()
        .map(|value| {
            let cells = curves
                .iter()
                .map(|(_, curve)| {
                    let text = at(curve, *value).map_or_else(
                        || "–".to_owned(),
                        |point| {
                            format!(
                                "{} ({})",
                                gib_number(point.need.expected_bytes),
                                verdict::title(point.verdict).to_ascii_lowercase()
                            )
                        },
                    );
                    view! { <td class="number">{text}</td> }
                })
                .collect_view();
            view! { <tr><th scope="row">{counted(along, *value)}</th>{cells}</tr> }
        })
        .collect_view();
    view! {
        <table class="plain-table">
            <thead><tr><th scope="col">{words(along)}</th>{heads}</tr></thead>
            <tbody>{rows}</tbody>
        </table>
    }
    .into_any()
}
