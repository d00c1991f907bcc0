//! The front of time against memory as a drawing by plotters: milliseconds of a step to the right, memory upwards. It carries
//! geometry only; a table says the same.

use plotters::prelude::*;

use super::super::super::plot::{marker, themed};

/// Size of the drawing's own coordinates.
const SIZE: (u32, u32) = (10_000, 3_600);
/// Half the size of a point.
const POINT: i32 = 70;

/// The drawing as SVG text: points and the steps between them, up to the largest values. `limit` is a line across.
pub fn draw(
    points: &[(f64, f64)],
    (right, top): (f64, f64),
    (across, up): (&[f64], &[f64]),
    limit: f64,
) -> Option<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .build_cartesian_2d(0.0..right, 0.0..top)
            .ok()?;
        let vertical = across.iter().map(|at| vec![(*at, 0.0), (*at, top)]);
        let level = up.iter().map(|at| vec![(0.0, *at), (right, *at)]);
        chart
            .draw_series(
                vertical
                    .chain(level)
                    .map(|line| PathElement::new(line, marker(0).stroke_width(1))),
            )
            .ok()?;
        if limit <= top {
            let line = PathElement::new(vec![(0.0, limit), (right, limit)], marker(1).stroke_width(1));
            chart.draw_series([line]).ok()?;
        }
        let mut steps = Vec::new();
        for pair in points.windows(2) {
            if let [(x, y), (next, lower)] = pair {
                steps.extend([(*x, *y), (*next, *y), (*next, *lower)]);
            }
        }
        chart
            .draw_series([PathElement::new(steps, marker(2).stroke_width(2))])
            .ok()?;
        chart
            .draw_series(
                points
                    .iter()
                    .map(|point| Circle::new(*point, POINT, marker(3).filled())),
            )
            .ok()?;
        area.present().ok()?;
    }
    let classes = ["tick", "capacity", "diagonal", "point-inside"];
    let classes: Vec<(usize, String)> = classes.into_iter().map(String::from).enumerate().collect();
    Some(themed(&svg, &classes))
}
