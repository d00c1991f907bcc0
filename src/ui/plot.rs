//! What every drawing by plotters shares: colours that stand for classes of the style sheet, and a frame that it fills.

use plotters::style::RGBColor;

/// A colour that stands for a class of the style sheet.
pub fn marker(index: usize) -> RGBColor {
    RGBColor(1, 1, u8::try_from(index).unwrap_or(u8::MAX))
}

/// Replaces the markers by their classes, and makes the drawing fill its frame. It is hidden from assistive technology: a table
/// says the same.
pub fn themed(svg: &str, classes: &[(usize, String)]) -> String {
    let mut out = svg.to_owned();
    for (index, class) in classes {
        for attribute in ["fill", "stroke"] {
            out = out.replace(
                &format!("{attribute}=\"#0101{index:02X}\""),
                &format!("class=\"{class}\""),
            );
        }
    }
    out.replacen(
        "<svg ",
        "<svg preserveAspectRatio=\"none\" aria-hidden=\"true\" focusable=\"false\" ",
        1,
    )
}

/// Where a value lies between two powers of ten, from 0 to 1.
pub fn logarithmic(value: f64, low: i32, high: i32) -> f64 {
    let span = f64::from(high - low).max(1.0);
    ((value.log10() - f64::from(low)) / span).clamp(0.0, 1.0)
}

/// The powers of ten that enclose all positive values; at least one decade.
pub fn decades(values: impl Iterator<Item = f64>) -> Option<(i32, i32)> {
    let (low, high) = values
        .filter(|value| *value > 0.0 && value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    if low > high {
        return None;
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "powers of ten of a finite number are small"
    )]
    let (from, to) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    Some((from, to.max(from + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_enclose_and_positions_are_shares() {
        assert_eq!(decades([0.02, 70.0].into_iter()), Some((-2, 2)));
        assert_eq!(decades([10.0].into_iter()), Some((1, 2)));
        assert_eq!(decades(std::iter::empty()), None);
        assert!((logarithmic(1.0, -2, 2) - 0.5).abs() < 1e-12);
        assert!((logarithmic(1000.0, -2, 2) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn markers_become_classes() {
        let out = themed(
            "<svg width=\"1\"><rect fill=\"#010106\"/></svg>",
            &[(6, "tick".into())],
        );
        assert!(out.contains("class=\"tick\"") && out.contains("aria-hidden"));
    }
}
