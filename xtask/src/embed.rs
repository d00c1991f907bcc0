//! What other documents load from the site: the custom element under a name with the release's version, and the page's styles
//! as they hold inside a shadow root of a document with styles of its own.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{place, site};

/// The name of the container that takes the place of the window.
const CONTAINER: &str = "calculator";

/// Pixels of one `rem` where the reader has not chosen another size of text.
const REM: f64 = 16.0;

/// The length that stands for one `rem`: documents set the size of their root for their own purposes.
const UNIT: &str = "var(--gpu-mem-calc-rem, 16px)";

/// Writes the element and its styles. `module` is the name that the build gave the page's module.
pub fn write(site: &Path, module: &str) -> Result<()> {
    let folder = place::root().join("assets/embed");
    let own = fs::read_to_string(folder.join("embed.css")).context("reading embed.css")?;
    let styles = format!("{}{own}", inside(&page_styles(site)?));
    let css = format!("embed-{}.css", site::digest(styles.as_bytes()));
    fs::write(site.join(&css), styles).with_context(|| format!("writing {css}"))?;

    let text = fs::read_to_string(folder.join("gpu-mem-calc.js")).context("reading gpu-mem-calc.js")?;
    let text = text
        .replace("MODULE", module)
        .replace("EMBED_CSS", &css)
        .replace("VERSION", &version()?);
    for name in [
        format!("gpu-mem-calc-{}.js", version()?),
        "gpu-mem-calc.js".to_owned(),
    ] {
        fs::write(site.join(&name), &text).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}

/// The version of the calculator.
pub fn version() -> Result<String> {
    let manifest = fs::read_to_string(place::root().join("Cargo.toml")).context("reading Cargo.toml")?;
    let line = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = \""));
    let version = line.and_then(|line| line.strip_suffix('"'));
    Ok(version.context("Cargo.toml has a version")?.to_owned())
}

/// The page's style sheets as the build made them, in the order of the document.
fn page_styles(site: &Path) -> Result<String> {
    let index = fs::read_to_string(site.join("index.html")).context("reading the built index.html")?;
    let mut all = String::new();
    for piece in index.split("href=").skip(1) {
        let end = piece.trim_start_matches('"').find(['"', '>', ' ']).unwrap_or(0);
        let name = piece.trim_start_matches('"').get(..end).unwrap_or_default();
        if name.ends_with(".css") {
            let path = site.join(name.trim_start_matches("./"));
            all.push_str(&fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?);
            all.push('\n');
        }
    }
    if all.is_empty() {
        bail!("the built index.html names no style sheet");
    }
    Ok(all)
}

/// Styles of a page as styles of an element: the frame in place of the document, its width in place of the window's, and
/// lengths that do not depend on the size of the document's root.
fn inside(styles: &str) -> String {
    let frame = format!(".{CONTAINER}");
    let mut made = format!("{frame}{{container:{CONTAINER}/inline-size}}\n");
    let mut rest = styles;
    while let Some(at) = rest.find("@media") {
        let (before, after) = rest.split_at(at);
        made.push_str(&lengths(&selectors(before, &frame)));
        let end = after.find('{').unwrap_or(after.len());
        let (query, body) = after.split_at(end);
        if query.contains("width") {
            let query = query.replacen("@media", &format!("@container {CONTAINER}"), 1);
            made.push_str(&each_rem(&query, |number| format!("{}px", number * REM)));
        } else {
            made.push_str(query);
        }
        rest = body;
    }
    made.push_str(&lengths(&selectors(rest, &frame)));
    made
}

/// Rules for the document hold for the frame.
fn selectors(styles: &str, frame: &str) -> String {
    let mut made = styles.replace(":root", frame);
    for element in ["html", "body"] {
        for (before, after) in [
            ("}", "{"),
            ("}", " {"),
            ("\n", "{"),
            ("\n", " {"),
            ("/", "{"),
            (",", "{"),
            ("{", "{"),
        ] {
            made = made.replace(
                &format!("{before}{element}{after}"),
                &format!("{before}{frame}{after}"),
            );
        }
    }
    made
}

fn lengths(styles: &str) -> String {
    each_rem(styles, |number| format!("calc({number}*{UNIT})"))
}

/// Writes each length in `rem` anew.
fn each_rem(styles: &str, write: impl Fn(f64) -> String) -> String {
    let mut made = String::with_capacity(styles.len());
    let mut rest = styles;
    while let Some(at) = rest.find("rem") {
        let (before, after) = rest.split_at(at);
        let after = after.get(3..).unwrap_or_default();
        let digits = before
            .rfind(|letter: char| !(letter.is_ascii_digit() || letter == '.'))
            .map_or(0, |last| last + 1);
        let signed = before
            .get(..digits)
            .is_some_and(|text| text.ends_with('-') && !text.ends_with("--"));
        let start = if signed { digits - 1 } else { digits };
        let number = before.get(start..).and_then(|number| number.parse::<f64>().ok());
        let ends = !after.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '-');
        match number.filter(|_| ends) {
            Some(number) => {
                made.push_str(before.get(..start).unwrap_or_default());
                made.push_str(&write(number));
            }
            None => {
                made.push_str(before);
                made.push_str("rem");
            }
        }
        rest = after;
    }
    made.push_str(rest);
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_takes_the_place_of_document_and_window() {
        let styles = ":root{--a:1rem}:root[data-theme=\"dark\"]{color-scheme:dark}body{margin:0}\
                      @media (max-width:62rem){html{padding:1px}}@media print{p{margin:-.5rem}}";
        assert_eq!(
            inside(styles),
            ".calculator{container:calculator/inline-size}\n\
             .calculator{--a:calc(1*var(--gpu-mem-calc-rem, 16px))}\
             .calculator[data-theme=\"dark\"]{color-scheme:dark}.calculator{margin:0}\
             @container calculator (max-width:992px){.calculator{padding:1px}}\
             @media print{p{margin:calc(-0.5*var(--gpu-mem-calc-rem, 16px))}}"
        );
    }

    #[test]
    fn words_with_those_letters_stay() {
        let styles = ".premium-rem1 .rem{gap:2.25rem}";
        assert_eq!(
            lengths(styles),
            ".premium-rem1 .rem{gap:calc(2.25*var(--gpu-mem-calc-rem, 16px))}"
        );
    }
}
