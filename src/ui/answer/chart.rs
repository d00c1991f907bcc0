//! Draws the memory of each instant, stacked by group, with plotters.
//!
//! Plotters' SVG backend works in whole pixels, so the drawing is ten times larger than shown and scaled by its view
//! box. It carries geometry only: colours come from the style sheet, labels are HTML beside it.

use plotters::prelude::*;

use super::super::plot::{self, marker};
use super::groups;
use crate::api::InstantRow;
use crate::units::Bytes;

/// Width of the drawing's own coordinates.
const WIDTH: u32 = 10_000;
/// Height of the drawing's own coordinates.
const HEIGHT: u32 = 3_600;
/// Share of a column that its bar fills, in thousandths.
const FILL: f64 = 0.82;

/// The drawing as SVG text: one stacked bar per instant, a line at each tick, a line at the capacity.
pub fn draw(instants: &[InstantRow], capacity: Option<Bytes>, top: f64, ticks: &[f64]) -> Option<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let columns = instants.len() as f64;
        let mut chart = ChartBuilder::on(&area)
            .build_cartesian_2d(0.0..columns, 0.0..top)
            .ok()?;
        chart
            .draw_series(ticks.iter().map(|tick| {
                PathElement::new(vec![(0.0, *tick), (columns, *tick)], marker(6).stroke_width(1))
            }))
            .ok()?;
        for (at, instant) in instants.iter().enumerate() {
            let (left, right) = (at as f64 + (1.0 - FILL) / 2.0, at as f64 + (1.0 + FILL) / 2.0);
            let mut base = 0.0;
            for (index, group) in groups::ALL.iter().enumerate() {
                let height = group.of(&instant.groups).to_gib();
                if height > 0.0 {
                    let bar = Rectangle::new([(left, base), (right, base + height)], marker(index).filled());
                    chart.draw_series([bar]).ok()?;
                    base += height;
                }
            }
        }
        if let Some(capacity) = capacity.map(Bytes::to_gib).filter(|capacity| *capacity <= top) {
            let line = PathElement::new(
                vec![(0.0, capacity), (columns, capacity)],
                marker(7).stroke_width(1),
            );
            chart.draw_series([line]).ok()?;
        }
        area.present().ok()?;
    }
    Some(themed(&svg))
}

/// The classes of the markers, and a drawing that fills its frame.
fn themed(svg: &str) -> String {
    let groups = groups::ALL.iter().map(|group| format!("fill-{}", group.key));
    let classes: Vec<(usize, String)> = (0..5)
        .zip(groups)
        .chain([(6, "tick".into()), (7, "capacity".into())])
        .collect();
    plot::themed(svg, &classes)
}

/// Round values from zero to a little above `most`: the top of the scale and its ticks.
pub fn scale(most: f64) -> (f64, Vec<f64>) {
    let most = most.max(0.01);
    let rough = most / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    let count = (most * 1.02 / step).ceil();
    let ticks = (0..20)
        .map(f64::from)
        .take_while(|index| *index <= count)
        .map(|index| index * step)
        .collect();
    (count * step, ticks)
}
