//! The schedule of a pipeline: a row for each rank, a cell for each operation, and at the cursor how many micro-batches are in flight
//! on every rank.

use leptos::prelude::*;
use plotters::prelude::*;

use super::super::plot::{self, marker};
use super::super::state::{Form, PageStoreFields};
use super::picture::{Picture, Stop, Tick};
use crate::api::{self, ScheduleCell, SchedulePicture, ScheduleRow, Task};

/// Size of the drawing's own coordinates.
const SIZE: (u32, u32) = (10_000, 3_000);
/// Share of a row that its cells fill.
const FILL: f64 = 0.86;
/// Most labels below.
const LABELS: u64 = 12;

/// The kinds of operations: key, name, and the colour that they borrow.
const KINDS: [(&str, &str, &str); 3] = [
    ("forward", "forward", "model_params"),
    ("backward", "backward", "activations"),
    ("weights", "gradients of the weights", "optimizer_states"),
];

fn kind(cell: &ScheduleCell) -> usize {
    let place = KINDS.iter().position(|(key, _, _)| *key == cell.kind);
    place.unwrap_or_default()
}

/// The schedule of the question's pipeline, where it has one; follows the question.
pub fn schedule(form: Form) -> AnyView {
    let shown = move || {
        let staged = form
            .answer
            .with(|answer| answer.as_deref().is_some_and(|answer| answer.stages.len() > 1));
        let request = form.page.request();
        let picture = staged
            .then(|| request.with(|request| api::schedule_picture(&api::part(request, Task::Training))))
            .flatten();
        picture.as_ref().map(drawn)
    };
    view! { {shown} }.into_any()
}

/// The picture, with its read-out and its table.
fn drawn(picture: &SchedulePicture) -> AnyView {
    let ranks = picture.ranks.len().max(1) as f64;
    let steps = picture.steps.max(1);
    let every = steps.div_ceil(LABELS).max(1);
    let fullest = picture.ranks.iter().max_by_key(|rank| rank.most_in_flight);
    let description = fullest
        .map(|rank| {
            let drawn = if picture.drawn < picture.micro_batches {
                format!(
                    " Drawn are {} of {} micro-batches.",
                    picture.drawn, picture.micro_batches
                )
            } else {
                String::new()
            };
            format!(
                "Most in flight: {} micro-batches on pipeline rank {}.{drawn}",
                rank.most_in_flight, rank.rank
            )
        })
        .unwrap_or_default();
    let middle = |step: u64| (step as f64 + 0.5) / steps as f64;
    let shown = Picture {
        id: "schedule",
        title: "Schedule of the pipeline".to_owned(),
        description,
        drawing: draw(picture, steps).unwrap_or_default(),
        left: (0..)
            .zip(&picture.ranks)
            .map(|(down, rank)| Tick {
                at: 1.0 - (f64::from(down) + 0.5) / ranks,
                label: rank.rank.to_string(),
            })
            .collect(),
        bottom: (0..steps)
            .filter(|step| step.is_multiple_of(every))
            .map(|step| Tick {
                at: middle(step),
                label: step.to_string(),
            })
            .collect(),
        axes: ("steps of time".to_owned(), "pipeline rank".to_owned()),
        limit: None,
        mark: None,
        legend: KINDS
            .iter()
            .filter(|(key, _, _)| {
                picture
                    .ranks
                    .iter()
                    .any(|rank| rank.cells.iter().any(|cell| cell.kind == *key))
            })
            .map(|(_, name, colour)| (format!("flat-{colour}"), (*name).to_owned()))
            .collect(),
        stops: (0..steps).map(|step| stop(picture, step, middle(step))).collect(),
        start: 0,
    };
    let rows = picture.ranks.clone();
    view! {
        <div class="panel">
            {shown.view(Box::new(move || table(&rows)), Box::new(|_| ().into_any()))}
        </div>
    }
    .into_any()
}

/// What every rank does in a step, and what is in flight then.
fn stop(picture: &SchedulePicture, step: u64, at: f64) -> Stop {
    let flying = |rank: &ScheduleRow| {
        let over = rank.cells.iter().rev().find(|cell| cell.start <= step);
        over.map_or(0, |cell| cell.in_flight)
    };
    let all: Vec<String> = picture
        .ranks
        .iter()
        .map(|rank| flying(rank).to_string())
        .collect();
    let parts = picture
        .ranks
        .iter()
        .filter_map(|rank| {
            let cell = rank.cells.iter().find(|cell| cell.start == step)?;
            let (_, name, colour) = KINDS.get(kind(cell))?;
            let what = format!("rank {}: {name}, micro-batch", rank.rank);
            Some((format!("flat-{colour}"), what, cell.micro_batch.to_string()))
        })
        .collect();
    Stop {
        at,
        name: format!("step {step}"),
        words: format!("in flight by rank {}", all.join(", ")),
        parts,
    }
}

/// A bar for each operation; chunks of a rank lie one above the other.
fn draw(picture: &SchedulePicture, steps: u64) -> Option<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let rows = picture.ranks.len().max(1) as f64;
        let mut chart = ChartBuilder::on(&area)
            .build_cartesian_2d(0.0..steps as f64, 0.0..rows)
            .ok()?;
        let chunks = picture
            .ranks
            .iter()
            .flat_map(|rank| rank.cells.iter().map(|cell| cell.chunk + 1))
            .max()
            .unwrap_or(1) as f64;
        for (down, rank) in picture.ranks.iter().enumerate() {
            let top = rows - down as f64 - (1.0 - FILL) / 2.0;
            for cell in &rank.cells {
                let (left, high) = (cell.start as f64, top - FILL * cell.chunk as f64 / chunks);
                let bar = Rectangle::new(
                    [(left + 0.04, high), (left + 0.96, high - FILL / chunks)],
                    marker(kind(cell)).filled(),
                );
                chart.draw_series([bar]).ok()?;
            }
        }
        area.present().ok()?;
    }
    let classes: Vec<(usize, String)> = KINDS
        .iter()
        .enumerate()
        .map(|(index, (_, _, colour))| (index, format!("fill-{colour}")))
        .collect();
    Some(plot::themed(&svg, &classes))
}

/// The ranks with their operations in order: F forward, B backward, W gradients of the weights, each with its micro-batch.
fn table(ranks: &[ScheduleRow]) -> AnyView {
    let lines = ranks
        .iter()
        .map(|rank| {
            let order: Vec<String> = rank
                .cells
                .iter()
                .map(|cell| {
                    let letter = ["F", "B", "W"].get(kind(cell)).copied().unwrap_or_default();
                    format!("{letter}{}", cell.micro_batch)
                })
                .collect();
            view! {
                <tr>
                    <th scope="row">{rank.rank}</th>
                    <td class="number">{rank.most_in_flight}</td>
                    <td>{order.join(" ")}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <table class="plain-table">
            <thead>
                <tr>
                    <th scope="col">"Pipeline rank"</th>
                    <th scope="col" class="number">"Most in flight"</th>
                    <th scope="col">"Forward (F), backward (B) and weight gradients (W), with the micro-batch"</th>
                </tr>
            </thead>
            <tbody>{lines}</tbody>
        </table>
    }
    .into_any()
}
