//! A heat map of ranks that do not hold the same: pipeline ranks by what they hold, or the ranks that share states by their peak. The
//! darker a cell, the more it holds; the number stands in it.

use leptos::prelude::*;
use plotters::prelude::*;

use super::super::answer::groups;
use super::super::format::{gib, gib_number, words};
use super::super::plot::{self, marker};
use super::picture::{Picture, Stop, Tick};
use crate::api::{Answer, ExpertRow};
use crate::units::Bytes;

/// Size of the drawing's own coordinates.
const SIZE: (u32, u32) = (10_000, 3_000);
/// Steps of darkness.
const STEPS: u32 = 8;
/// Ranks that are drawn one by one at most.
const DRAWN: u64 = 128;

/// A column: its name, what it says in words, and its cells from the top down.
struct Column {
    name: String,
    words: String,
    cells: Vec<Bytes>,
}

/// The heat map, where ranks differ.
pub fn heat(answer: &Answer) -> AnyView {
    let (columns, rows, title, axis) = if answer.stages.len() > 1 {
        stages(answer)
    } else if answer.ranks.len() > 1 {
        ranks(answer)
    } else {
        return ().into_any();
    };
    let count = columns.len().max(1) as f64;
    let height = rows.len().max(1) as f64;
    let every = columns.len().div_ceil(16).max(1);
    let most = columns
        .iter()
        .flat_map(|column| column.cells.iter().copied())
        .max()
        .unwrap_or_default();
    let fullest = columns
        .iter()
        .max_by_key(|column| column.cells.last().copied())
        .map(|column| format!("The fullest is {}: {}.", column.name, column.words))
        .unwrap_or_default();
    let picture = Picture {
        id: "rank-heat",
        title: title.to_owned(),
        description: fullest,
        drawing: draw(&columns, rows.len(), most).unwrap_or_default(),
        left: rows
            .iter()
            .enumerate()
            .map(|(index, name)| Tick {
                at: 1.0 - (index as f64 + 0.5) / height,
                label: name.clone(),
            })
            .collect(),
        bottom: columns
            .iter()
            .enumerate()
            .filter(|(index, _)| index % every == 0)
            .map(|(index, column)| Tick {
                at: (index as f64 + 0.5) / count,
                label: column.name.rsplit(' ').next().unwrap_or_default().to_owned(),
            })
            .collect(),
        axes: (axis.to_owned(), String::new()),
        limit: None,
        mark: None,
        legend: vec![
            ("heat-0".to_owned(), "little".to_owned()),
            (format!("heat-{}", STEPS - 1), gib(most)),
        ],
        stops: columns
            .iter()
            .enumerate()
            .map(|(index, column)| Stop {
                at: (index as f64 + 0.5) / count,
                name: column.name.clone(),
                words: column.words.clone(),
                parts: rows
                    .iter()
                    .zip(&column.cells)
                    .map(|(name, bytes)| {
                        let class = format!("heat-{}", step(*bytes, most));
                        (class, name.clone(), gib_number(*bytes))
                    })
                    .collect(),
            })
            .collect(),
        start: 0,
    };
    view! {
        <section class="panel heat" aria-label=title>
            {picture.view(Box::new(move || table(&columns, &rows)), Box::new(|_| ().into_any()))}
        </section>
    }
    .into_any()
}

type Grid = (Vec<Column>, Vec<String>, &'static str, &'static str);

/// Pipeline ranks: a column each, a row for each group and one for all, and one for each class of their expert ranks.
fn stages(answer: &Answer) -> Grid {
    let classes = answer.stages.first().map(|stage| stage.experts.as_slice());
    let of_class = |class: &ExpertRow| match class.class {
        "hot" => "Hot routing".to_owned(),
        _ => "Even routing".to_owned(),
    };
    let rows = groups::ALL
        .iter()
        .map(|group| group.label.to_owned())
        .chain(["All".to_owned()])
        .chain(classes.unwrap_or_default().iter().map(of_class))
        .collect();
    let columns = answer
        .stages
        .iter()
        .map(|stage| Column {
            name: format!("pipeline rank {}", stage.rank),
            words: format!(
                "{} at {}, {} at rest",
                gib(stage.peak_allocated_bytes),
                words(stage.instant),
                gib(stage.rest_bytes)
            ),
            cells: groups::ALL
                .iter()
                .map(|group| group.of(&stage.groups))
                .chain([stage.peak_allocated_bytes])
                .chain(stage.experts.iter().map(|class| class.peak_allocated_bytes))
                .collect(),
        })
        .collect();
    (
        columns,
        rows,
        "What each pipeline rank holds at its peak",
        "pipeline ranks",
    )
}

/// Ranks that share states or divide matrices: a column each, or one for each class where they are many.
fn ranks(answer: &Answer) -> Grid {
    let mut classes: Vec<_> = answer.ranks.iter().collect();
    classes.sort_by_key(|class| class.first);
    let last = classes.iter().map(|class| class.last).max().unwrap_or_default();
    let mut columns = Vec::new();
    for class in classes {
        let words = format!("{} at {}", gib(class.peak_allocated_bytes), words(class.instant));
        if last < DRAWN {
            for rank in class.first..=class.last {
                columns.push(Column {
                    name: format!("rank {rank}"),
                    words: words.clone(),
                    cells: vec![class.peak_allocated_bytes],
                });
            }
        } else {
            columns.push(Column {
                name: format!("ranks {}\u{2013}{}", class.first, class.last),
                words,
                cells: vec![class.peak_allocated_bytes],
            });
        }
    }
    (
        columns,
        vec!["Peak".to_owned()],
        "What each rank holds at its peak",
        "ranks",
    )
}

/// The step of darkness: nothing is the lightest, the most the darkest.
fn step(bytes: Bytes, most: Bytes) -> u32 {
    let share = bytes.to_gib() / most.to_gib().max(f64::MIN_POSITIVE);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share from 0 to 1 times a small number"
    )]
    let step = (share.clamp(0.0, 1.0) * f64::from(STEPS - 1)).round() as u32;
    step
}

fn draw(columns: &[Column], rows: usize, most: Bytes) -> Option<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let (width, height) = (columns.len() as f64, rows.max(1) as f64);
        let mut chart = ChartBuilder::on(&area)
            .build_cartesian_2d(0.0..width, 0.0..height)
            .ok()?;
        for (at, column) in columns.iter().enumerate() {
            let left = at as f64;
            for (down, bytes) in column.cells.iter().enumerate() {
                let top = height - down as f64;
                let cell = Rectangle::new(
                    [(left, top - 1.0), (left + 1.0, top)],
                    marker(usize::try_from(step(*bytes, most)).unwrap_or_default()).filled(),
                );
                chart.draw_series([cell]).ok()?;
            }
        }
        area.present().ok()?;
    }
    let classes: Vec<(usize, String)> = (0..STEPS)
        .map(|step| (usize::try_from(step).unwrap_or_default(), format!("heat-{step}")))
        .collect();
    Some(plot::themed(&svg, &classes))
}

fn table(columns: &[Column], rows: &[String]) -> AnyView {
    let heads = rows
        .iter()
        .map(|row| view! { <th scope="col" class="number">{format!("{row}, GiB")}</th> })
        .collect_view();
    let lines = columns
        .iter()
        .map(|column| {
            let cells = column
                .cells
                .iter()
                .map(|bytes| view! { <td class="number">{gib_number(*bytes)}</td> })
                .collect_view();
            view! { <tr><th scope="row">{column.name.clone()}</th>{cells}<td>{column.words.clone()}</td></tr> }
        })
        .collect_view();
    view! {
        <table class="plain-table">
            <thead>
                <tr><th scope="col">"Rank"</th>{heads}<th scope="col">"Peak"</th></tr>
            </thead>
            <tbody>{lines}</tbody>
        </table>
    }
    .into_any()
}
