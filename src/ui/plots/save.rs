//! A plot as a file: the drawing with its axes, legend and title as one SVG with the colours of the moment, and the same as PNG.

use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;
use leptos::wasm_bindgen::closure::Closure;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, HtmlImageElement};

use super::super::dom;
use super::picture::Picture;

/// Size of the file's own coordinates.
const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 760.0;
/// Pixels of the PNG for each of them.
const SHARPNESS: f64 = 2.0;
/// Where the drawing lies.
const LEFT: f64 = 90.0;
const TOP: f64 = 120.0;
const INNER_WIDTH: f64 = 1070.0;
const INNER_HEIGHT: f64 = 510.0;
/// Share of the width that a square drawing takes: its points stay round.
const SQUARE: f64 = INNER_HEIGHT / INNER_WIDTH;

/// The two buttons.
pub fn buttons(picture: Picture) -> AnyView {
    let picture = StoredValue::new(picture);
    let save = move |png: bool| {
        picture.with_value(|picture| {
            let text = standalone(picture);
            if png {
                save_png(&text, picture.id);
            } else {
                dom::download(&format!("{}.svg", picture.id), "image/svg+xml", &text);
            }
        });
    };
    view! {
        <span class="plot-save">
            <button type="button" class="button button-small" aria-label="Download the plot as SVG" on:click=move |_| save(false)>"SVG"</button>
            <button type="button" class="button button-small" aria-label="Download the plot as PNG" on:click=move |_| save(true)>"PNG"</button>
        </span>
    }
    .into_any()
}

/// A text that is safe in XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The classes that a drawing uses.
fn classes(drawing: &str) -> Vec<&str> {
    let mut found: Vec<&str> = drawing
        .split("class=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// What the style sheet says about the shapes of the drawing, for a file that has no style sheet.
fn style(picture: &Picture) -> String {
    let mut rules = String::new();
    for class in classes(&picture.drawing) {
        let shape = dom::first(&format!("#{} .plot-drawing .{class}", picture.id));
        let Some(style) = shape.and_then(|shape| window().get_computed_style(&shape).ok().flatten()) else {
            continue;
        };
        let values: Vec<String> = [
            "fill",
            "fill-opacity",
            "stroke",
            "stroke-width",
            "stroke-dasharray",
            "vector-effect",
        ]
        .into_iter()
        .filter_map(|name| Some(format!("{name}:{}", style.get_property_value(name).ok()?)))
        .collect();
        rules.push_str(&format!(".{class}{{{}}}", values.join(";")));
    }
    rules
}

/// A colour of the page at the moment.
fn colour(picture: &Picture, name: &str) -> String {
    let element = dom::find(picture.id);
    let style = element.and_then(|element| window().get_computed_style(&element).ok().flatten());
    style
        .and_then(|style| style.get_property_value(name).ok())
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| "currentColor".to_owned())
}

/// The colour of a swatch of the legend.
fn swatch(picture: &Picture, class: &str) -> String {
    let swatch = dom::first(&format!("#{} .legend .{}", picture.id, class.replace(' ', ".")));
    let style = swatch.and_then(|swatch| window().get_computed_style(&swatch).ok().flatten());
    style
        .and_then(|style| style.get_property_value("background-color").ok())
        .unwrap_or_default()
}

/// The whole plot as one SVG.
fn standalone(picture: &Picture) -> String {
    let (text, soft, surface) = (
        colour(picture, "color"),
        colour(picture, "--plot-soft"),
        colour(picture, "--plot-surface"),
    );
    let label = |x: f64, y: f64, anchor: &str, size: u32, fill: &str, words: &str| {
        format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"{fill}\">{}</text>",
            escaped(words)
        )
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"system-ui, sans-serif\"><title>{}</title><desc>{}</desc><style>{}</style><rect width=\"100%\" height=\"100%\" fill=\"{surface}\"/>",
        escaped(&picture.title),
        escaped(&picture.description),
        style(picture),
    );
    out.push_str(&label(LEFT, 44.0, "start", 26, &text, &picture.title));
    out.push_str(&label(LEFT, 74.0, "start", 16, &soft, &picture.description));
    out.push_str(&label(LEFT, TOP - 12.0, "end", 15, &soft, &picture.axes.1));
    let width = INNER_WIDTH * if is_square(&picture.drawing) { SQUARE } else { 1.0 };
    out.push_str(&placed(&picture.drawing, width));
    for tick in &picture.left {
        let y = TOP + INNER_HEIGHT * (1.0 - tick.at) + 5.0;
        out.push_str(&label(LEFT - 10.0, y, "end", 15, &soft, &tick.label));
    }
    for tick in &picture.bottom {
        let x = LEFT + width * tick.at;
        out.push_str(&label(
            x,
            TOP + INNER_HEIGHT + 24.0,
            "middle",
            15,
            &soft,
            &tick.label,
        ));
    }
    out.push_str(&label(
        LEFT + width,
        TOP + INNER_HEIGHT + 50.0,
        "end",
        15,
        &soft,
        &picture.axes.0,
    ));
    if let Some((at, name)) = &picture.limit {
        let y = TOP + INNER_HEIGHT * (1.0 - at) - 6.0;
        out.push_str(&label(LEFT + 8.0, y, "start", 15, &text, name));
    }
    if let Some((at, name)) = &picture.mark {
        let (x, anchor) = if *at > 0.6 { (-8.0, "end") } else { (8.0, "start") };
        let x = LEFT + width * at + x;
        out.push_str(&label(x, TOP + 20.0, anchor, 15, &text, name));
    }
    let mut x = LEFT;
    for (class, name) in &picture.legend {
        let y = HEIGHT - 40.0;
        out.push_str(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"16\" height=\"16\" rx=\"3\" fill=\"{}\"/>",
            swatch(picture, class)
        ));
        out.push_str(&label(x + 24.0, y + 13.0, "start", 15, &text, name));
        x += 60.0 + 8.5 * name.chars().count() as f64;
    }
    out.push_str("</svg>");
    out
}

/// The drawing's own coordinates.
fn own(drawing: &str) -> &str {
    drawing
        .split_once("viewBox=\"")
        .and_then(|(_, rest)| rest.split('"').next())
        .unwrap_or_default()
}

/// Whether a drawing is as high as it is wide.
fn is_square(drawing: &str) -> bool {
    let mut sides = own(drawing).split(' ').skip(2);
    sides.next().is_some_and(|width| sides.next() == Some(width))
}

/// Gives the drawing its place in the file, instead of its own size.
fn placed(drawing: &str, width: f64) -> String {
    let Some((_, body)) = drawing.split_once('>') else {
        return String::new();
    };
    let own = own(drawing);
    format!(
        "<svg x=\"{LEFT}\" y=\"{TOP}\" width=\"{width}\" height=\"{INNER_HEIGHT}\" viewBox=\"{own}\" preserveAspectRatio=\"none\" overflow=\"visible\">{body}"
    )
}

/// Draws the SVG on a canvas and saves that. A browser that refuses leaves the reader with the SVG.
fn save_png(svg: &str, id: &'static str) {
    let (Ok(image), Ok(canvas)) = (HtmlImageElement::new(), document().create_element("canvas")) else {
        return;
    };
    let Ok(canvas) = canvas.dyn_into::<HtmlCanvasElement>() else {
        return;
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a fixed size of some thousand pixels"
    )]
    let (width, height) = ((WIDTH * SHARPNESS) as u32, (HEIGHT * SHARPNESS) as u32);
    canvas.set_width(width);
    canvas.set_height(height);
    let drawn = image.clone();
    let done = Closure::once_into_js(move || {
        let context = canvas
            .get_context("2d")
            .ok()
            .flatten()
            .and_then(|context| context.dyn_into::<CanvasRenderingContext2d>().ok());
        let Some(context) = context else { return };
        let painted = context.draw_image_with_html_image_element_and_dw_and_dh(
            &drawn,
            0.0,
            0.0,
            f64::from(width),
            f64::from(height),
        );
        if let (Ok(()), Ok(address)) = (painted, canvas.to_data_url()) {
            dom::save(&format!("{id}.png"), &address);
        }
    });
    image.set_onload(Some(done.unchecked_ref()));
    let encoded = String::from(js_sys::encode_uri_component(svg));
    image.set_src(&format!("data:image/svg+xml;charset=utf-8,{encoded}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_gets_its_place_and_its_classes_are_known_once() {
        let drawing = "<svg width=\"9\" height=\"5\" viewBox=\"0 0 9 5\"><rect class=\"tick\"/><rect class=\"tick\"/></svg>";
        let out = placed(drawing, 5.0);
        assert!(!is_square(drawing) && is_square("<svg viewBox=\"0 0 9 9\">"));
        assert!(out.contains("viewBox=\"0 0 9 5\" preserveAspectRatio") && out.ends_with("</svg>"));
        assert!(!out.contains("width=\"9\""));
        assert_eq!(classes(drawing), ["tick"]);
        assert_eq!(escaped("a < b & c"), "a &lt; b &amp; c");
    }
}
