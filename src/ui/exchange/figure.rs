//! The drawings of the page as files: each figure with its labels, legend and colours as they are computed at the moment, as SVG that
//! needs no style sheet, and as PNG drawn from it.

use leptos::prelude::{document, window};
use leptos::wasm_bindgen::prelude::Closure;
use leptos::wasm_bindgen::{JsCast, JsValue};
use leptos::web_sys::{
    Blob, CanvasRenderingContext2d, CssStyleDeclaration, DomRect, Element, HtmlCanvasElement,
    HtmlImageElement, Node,
};

use super::save;

/// Where the figures of the shown tab stand.
const FIGURES: &str = "[role=tabpanel]:not([hidden]) figure";
/// What of a figure belongs to the page alone: buttons, the table that says the same, what is read out.
const LEFT_OUT: &str =
    "button:not(.figure), details, input, select, .plot-told, .runs-read, .visually-hidden";
/// The answer itself: the verdict, and below it what is seen at a glance.
const ANSWER: [&str; 2] = ["#verdict", ".glance"];
/// Room around a figure.
const MARGIN: f64 = 16.0;
/// Pixels of the PNG for one of the page.
const SCALE: f64 = 2.0;

/// What of a shape's style a file must say itself.
const SHAPE: [&str; 8] = [
    "fill",
    "fill-opacity",
    "stroke",
    "stroke-width",
    "stroke-dasharray",
    "stroke-opacity",
    "opacity",
    "vector-effect",
];

/// A drawing of the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Key, also the name of its file.
    pub id: String,
    /// The heading under which it stands.
    pub title: String,
    /// The drawing.
    pub svg: String,
    width: f64,
    height: f64,
}

/// The answer and the figures of the shown tab.
pub fn figures() -> Vec<Figure> {
    let Ok(list) = document().query_selector_all(FIGURES) else {
        return Vec::new();
    };
    let mut figures: Vec<Figure> = answer().into_iter().collect();
    for index in 0..list.length() {
        let element = list.item(index).and_then(|node| node.dyn_into::<Element>().ok());
        if let Some(figure) = element.and_then(|element| figure(&element)) {
            let same = figures.iter().filter(|other| other.title == figure.title).count();
            let id = if same > 0 {
                format!("{}-{}", figure.id, same + 1)
            } else {
                figure.id
            };
            figures.push(Figure { id, ..figure });
        }
    }
    figures
}

fn figure(element: &Element) -> Option<Figure> {
    let heading = |of: &Element| of.query_selector("h2, h3").ok().flatten();
    let title = heading(element)
        .or_else(|| heading(&element.closest("section").ok().flatten()?))
        .and_then(|heading| heading.text_content())?;
    let frame = element.get_bounding_client_rect();
    if frame.width() < 1.0 || frame.height() < 1.0 {
        return None;
    }
    let (width, height) = (frame.width() + 2.0 * MARGIN, frame.height() + 2.0 * MARGIN);
    let mut canvas = Canvas {
        left: frame.left() - MARGIN,
        top: frame.top() - MARGIN,
        out: String::new(),
    };
    let ground = document()
        .body()
        .and_then(|body| {
            style_of(
                &element
                    .closest(".panel")
                    .ok()
                    .flatten()
                    .unwrap_or_else(|| body.into()),
            )
        })
        .map(|style| property(&style, "background-color"))
        .unwrap_or_else(|| "#fff".to_owned());
    canvas.element(element);
    let svg = whole(&title, (width, height), &ground, &canvas.out);
    let id: String = title
        .to_ascii_lowercase()
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    Some(Figure {
        id: id.trim_matches('-').to_owned(),
        title,
        svg,
        width,
        height,
    })
}

/// The answer as one figure: its parts below each other, wherever they have been scrolled to.
fn answer() -> Option<Figure> {
    let parts: Vec<(Element, DomRect)> = ANSWER
        .iter()
        .filter_map(|part| {
            let selector = format!("[role=tabpanel]:not([hidden]) {part}");
            let element = document().query_selector(&selector).ok().flatten()?;
            let frame = element.get_bounding_client_rect();
            (frame.height() >= 1.0).then_some((element, frame))
        })
        .collect();
    let width = parts.iter().map(|(_, frame)| frame.width()).fold(0.0, f64::max);
    if parts.is_empty() || width < 1.0 {
        return None;
    }
    let mut canvas = Canvas {
        left: 0.0,
        top: 0.0,
        out: String::new(),
    };
    let mut down = MARGIN;
    for (element, frame) in &parts {
        canvas.left = frame.left() - MARGIN;
        canvas.top = frame.top() - down;
        canvas.element(element);
        down += frame.height() + MARGIN;
    }
    let ground = document()
        .body()
        .and_then(|body| style_of(&body.into()))
        .map_or_else(|| "#fff".to_owned(), |style| property(&style, "background-color"));
    let title = "The answer".to_owned();
    let (width, height) = (width + 2.0 * MARGIN, down);
    Some(Figure {
        id: "answer".to_owned(),
        svg: whole(&title, (width, height), &ground, &canvas.out),
        title,
        width,
        height,
    })
}

/// A file of this size with its title on a ground.
fn whole(title: &str, (width, height): (f64, f64), ground: &str, content: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.1} {height:.1}\">\
         <title>{}</title><rect width=\"100%\" height=\"100%\" fill=\"{}\"/>{content}</svg>",
        escaped(title),
        escaped(ground),
    )
}

/// The file as it grows, in the coordinates of the figure.
struct Canvas {
    left: f64,
    top: f64,
    out: String,
}

impl Canvas {
    /// An element with everything in it.
    fn element(&mut self, element: &Element) {
        let Some(style) = style_of(element) else { return };
        let frame = element.get_bounding_client_rect();
        let hidden = property(&style, "display") == "none" || property(&style, "visibility") == "hidden";
        // What is one pixel wide is there for screen readers.
        let unseen = frame.width() <= 1.5 && frame.height() <= 1.5;
        if hidden || unseen || element.matches(LEFT_OUT).unwrap_or(false) {
            return;
        }
        if element.tag_name().eq_ignore_ascii_case("svg") {
            self.nested(element, &frame);
            return;
        }
        self.ground(&style, &frame);
        let children = element.child_nodes();
        for index in 0..children.length() {
            let Some(child) = children.item(index) else {
                continue;
            };
            if let Some(element) = child.dyn_ref::<Element>() {
                self.element(element);
            } else if child.node_type() == Node::TEXT_NODE {
                self.text(&child, &style);
            }
        }
    }

    /// Background and lines of an element.
    fn ground(&mut self, style: &CssStyleDeclaration, frame: &DomRect) {
        let (x, y) = (frame.left() - self.left, frame.top() - self.top);
        let (width, height) = (frame.width(), frame.height());
        let colour = property(style, "background-color");
        // A browser makes a corner no rounder than half of the shorter side; a drawing would make an ellipse of it.
        let radius = number(&property(style, "border-top-left-radius"))
            .min(width / 2.0)
            .min(height / 2.0);
        if !clear(&colour) {
            self.out.push_str(&format!(
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius:.1}\" fill=\"{}\"/>",
                escaped(&colour)
            ));
        }
        if radius > 0.0 && property(style, "border-style") == "solid" {
            let (wide, line) = (
                number(&property(style, "border-top-width")),
                property(style, "border-top-color"),
            );
            if wide > 0.0 && !clear(&line) {
                self.out.push_str(&format!(
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius:.1}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{wide:.1}\"/>",
                    escaped(&line)
                ));
            }
            return;
        }
        let sides = [
            ("left", x, y, x, y + height),
            ("right", x + width, y, x + width, y + height),
            ("top", x, y, x + width, y),
            ("bottom", x, y + height, x + width, y + height),
        ];
        for (side, x1, y1, x2, y2) in sides {
            let kind = property(style, &format!("border-{side}-style"));
            let wide = number(&property(style, &format!("border-{side}-width")));
            let colour = property(style, &format!("border-{side}-color"));
            if kind == "none" || wide <= 0.0 || clear(&colour) {
                continue;
            }
            let dashes = if kind == "dashed" {
                " stroke-dasharray=\"4 3\""
            } else {
                ""
            };
            self.out.push_str(&format!(
                "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{}\" stroke-width=\"{wide:.1}\"{dashes}/>",
                escaped(&colour)
            ));
        }
    }

    /// A text at the place where it stands, line by line.
    fn text(&mut self, node: &Node, style: &CssStyleDeclaration) {
        let size = number(&property(style, "font-size"));
        for line in lines(node) {
            // The baseline of common fonts lies a third of their size below the middle of the line.
            let base = line.middle + size * 0.35;
            self.out.push_str(&format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" font-family=\"{}\" font-size=\"{size:.1}\" font-weight=\"{}\" fill=\"{}\">{}</text>",
                line.left - self.left,
                base - self.top,
                escaped(&property(style, "font-family")),
                escaped(&property(style, "font-weight")),
                escaped(&property(style, "color")),
                escaped(&line.words)
            ));
        }
    }

    /// A drawing inside of the figure.
    fn nested(&mut self, element: &Element, frame: &DomRect) {
        let named = |name: &str| element.get_attribute(name).unwrap_or_default();
        self.out.push_str(&format!(
            "<svg x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" viewBox=\"{}\"",
            frame.left() - self.left,
            frame.top() - self.top,
            frame.width(),
            frame.height(),
            escaped(&named("viewBox")),
        ));
        if let Some(ratio) = element.get_attribute("preserveAspectRatio") {
            self.out
                .push_str(&format!(" preserveAspectRatio=\"{}\"", escaped(&ratio)));
        }
        self.out.push('>');
        self.shapes(element);
        self.out.push_str("</svg>");
    }

    fn shapes(&mut self, parent: &Element) {
        let children = parent.children();
        for index in 0..children.length() {
            let Some(child) = children.item(index) else {
                continue;
            };
            let tag = child.tag_name().to_ascii_lowercase();
            self.out.push_str(&format!("<{tag}"));
            for name in child
                .get_attribute_names()
                .iter()
                .filter_map(|name| name.as_string())
            {
                if name != "class" && name != "style" && !SHAPE.contains(&name.as_str()) {
                    let value = child.get_attribute(&name).unwrap_or_default();
                    self.out.push_str(&format!(" {name}=\"{}\"", escaped(&value)));
                }
            }
            if let Some(style) = style_of(&child) {
                for name in SHAPE {
                    let value = property(&style, name);
                    if !value.is_empty() {
                        self.out.push_str(&format!(" {name}=\"{}\"", escaped(&value)));
                    }
                }
            }
            self.out.push('>');
            if child.child_element_count() == 0 {
                self.out
                    .push_str(&escaped(&child.text_content().unwrap_or_default()));
            }
            self.shapes(&child);
            self.out.push_str(&format!("</{tag}>"));
        }
    }
}

/// A line of a text as the browser broke it.
struct Line {
    left: f64,
    middle: f64,
    words: String,
}

/// The lines of a text, found by the places of its words.
fn lines(node: &Node) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let text = node.text_content().unwrap_or_default();
    let Ok(range) = document().create_range() else {
        return lines;
    };
    let length = |text: &str| u32::try_from(text.encode_utf16().count()).unwrap_or(u32::MAX);
    let mut at = 0u32;
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        let end = at.saturating_add(length(word));
        let placed =
            !word.is_empty() && range.set_start(node, at).is_ok() && range.set_end(node, end).is_ok();
        at = at.saturating_add(length(piece));
        if !placed {
            continue;
        }
        let frame = range.get_bounding_client_rect();
        let middle = frame.top() + frame.height() / 2.0;
        match lines.last_mut() {
            Some(line) if (line.middle - middle).abs() < frame.height() / 2.0 => {
                line.words.push(' ');
                line.words.push_str(word);
            }
            _ => lines.push(Line {
                left: frame.left(),
                middle,
                words: word.to_owned(),
            }),
        }
    }
    lines
}

fn style_of(element: &Element) -> Option<CssStyleDeclaration> {
    window().get_computed_style(element).ok().flatten()
}

fn property(style: &CssStyleDeclaration, name: &str) -> String {
    style.get_property_value(name).unwrap_or_default()
}

/// Whether a colour lets everything through.
fn clear(colour: &str) -> bool {
    colour.is_empty() || colour == "transparent" || colour.ends_with(", 0)") || colour.ends_with("/ 0)")
}

/// The number that begins a length.
fn number(text: &str) -> f64 {
    text.trim_end_matches("px").parse().unwrap_or_default()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Draws a figure into pixels and lets the browser save them.
pub fn save_pixels(figure: &Figure) {
    let name = format!("{}.png", figure.id);
    pixels(figure, move |blob| save::download_blob(&name, &blob));
}

/// Draws a figure into pixels and puts them into the clipboard.
pub fn copy_pixels(figure: &Figure) {
    pixels(figure, |blob| save::copy_picture(&blob));
}

fn pixels(figure: &Figure, take: impl FnOnce(Blob) + 'static) {
    let Ok(image) = HtmlImageElement::new() else {
        return;
    };
    let (width, height) = (figure.width, figure.height);
    let source = image.clone();
    let drawn = Closure::once_into_js(move || draw(&source, width, height, take));
    image.set_onload(Some(drawn.unchecked_ref()));
    let text = js_sys::encode_uri_component(&figure.svg);
    image.set_src(&format!("data:image/svg+xml;charset=utf-8,{text}"));
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the size of a figure on a screen"
)]
fn draw(image: &HtmlImageElement, width: f64, height: f64, take: impl FnOnce(Blob) + 'static) {
    let canvas = document()
        .create_element("canvas")
        .ok()
        .and_then(|element| element.dyn_into::<HtmlCanvasElement>().ok());
    let Some(canvas) = canvas else { return };
    canvas.set_width((width * SCALE).round() as u32);
    canvas.set_height((height * SCALE).round() as u32);
    let context = canvas
        .get_context("2d")
        .ok()
        .flatten()
        .and_then(|context| context.dyn_into::<CanvasRenderingContext2d>().ok());
    let Some(context) = context else { return };
    let drawn = context.draw_image_with_html_image_element_and_dw_and_dh(
        image,
        0.0,
        0.0,
        width * SCALE,
        height * SCALE,
    );
    if drawn.is_err() {
        return;
    }
    let saved = Closure::once_into_js(move |blob: JsValue| {
        if let Ok(blob) = blob.dyn_into::<Blob>() {
            take(blob);
        }
    });
    // A canvas without foreign content can always be read.
    let _ = canvas.to_blob(saved.unchecked_ref());
}
