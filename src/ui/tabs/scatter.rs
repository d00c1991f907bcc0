//! The drawing of the accuracy tab: each run as a point, measured to the right and predicted upwards, both logarithmic. Points
//! inside their stated interval and outside of it differ in colour and form.

use plotters::prelude::*;

use super::super::plot::{logarithmic, marker, themed};

/// Length of both axes in the drawing's own coordinates.
const SIDE: u32 = 6_000;
/// Half the size of a point.
const POINT: i32 = 36;

/// A run: measured, predicted, and whether the measured value lies inside the interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Measured value.
    pub measured: f64,
    /// Predicted value.
    pub predicted: f64,
    /// Whether the measured value lies inside the stated interval.
    pub inside: bool,
}

/// The drawing as SVG text, between two powers of ten.
pub fn draw(points: &[Point], (low, high): (i32, i32)) -> Option<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (SIDE, SIDE)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)
            .ok()?;
        let span = f64::from(high - low).max(1.0);
        let lines = (low..=high).flat_map(|power| {
            let at = f64::from(power - low) / span;
            [vec![(0.0, at), (1.0, at)], vec![(at, 0.0), (at, 1.0)]]
        });
        chart
            .draw_series(lines.map(|line| PathElement::new(line, marker(0).stroke_width(1))))
            .ok()?;
        chart
            .draw_series([PathElement::new(
                vec![(0.0, 0.0), (1.0, 1.0)],
                marker(1).stroke_width(1),
            )])
            .ok()?;
        let place = |point: &Point| {
            (
                logarithmic(point.measured, low, high),
                logarithmic(point.predicted, low, high),
            )
        };
        let inside = points.iter().filter(|point| point.inside);
        chart
            .draw_series(inside.map(|point| Circle::new(place(point), POINT, marker(2).filled())))
            .ok()?;
        let outside = points.iter().filter(|point| !point.inside);
        chart
            .draw_series(
                outside.map(|point| TriangleMarker::new(place(point), POINT * 2, marker(3).filled())),
            )
            .ok()?;
        area.present().ok()?;
    }
    let classes = ["tick", "diagonal", "point-inside", "point-outside"];
    let classes: Vec<(usize, String)> = classes.into_iter().map(String::from).enumerate().collect();
    Some(themed(&svg, &classes))
}
