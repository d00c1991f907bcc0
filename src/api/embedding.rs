//! The lines with which a document of somebody else's shows a question in the calculator: as an element or in a frame, with
//! the figures in them for readers who have no JavaScript.

use crate::request::{Capacity, Range, Verdict};
use crate::units::Bytes;

/// The version in the name of the element's script; its content never changes.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Address of the folder with the calculator's files; ends with `/`.
    pub base: String,
    /// What follows the `#` of the page's address.
    pub question: String,
    /// A sentence with the figures.
    pub figures: String,
    /// Whether only the answer is shown.
    pub read_only: bool,
}

/// The figures of an answer as one sentence.
pub fn figures(model: &str, gpus: u64, capacity: &Capacity, need: Range, verdict: Verdict) -> String {
    let gib = |bytes: Bytes| format!("{:.1}", bytes.to_gib());
    format!(
        "{model} on {gpus} × {}: each GPU needs {} – {} GiB of {} GiB that a program can use (verdict: {}).",
        capacity.name,
        gib(need.low_bytes),
        gib(need.high_bytes),
        gib(capacity.usable_bytes),
        verdict.words()
    )
}

/// The custom element and its script.
pub fn element(shown: &Shown) -> String {
    let read_only = if shown.read_only { " readonly" } else { "" };
    format!(
        "<script type=\"module\" src=\"{base}gpu-mem-calc-{VERSION}.js\"></script>\n\
         <gpu-mem-calc question=\"{question}\"{read_only}>\n  {figures}\n</gpu-mem-calc>\n",
        base = escaped(&shown.base),
        question = escaped(&shown.question),
        figures = escaped(&shown.figures)
    )
}

/// A frame, and the script that gives it the height of its content.
pub fn frame(shown: &Shown) -> String {
    format!(
        "<iframe src=\"{base}#{question}\" data-gpu-mem-calc title=\"GPU Memory Calculator\" loading=\"lazy\"\n        \
         style=\"width: 100%; height: 60rem; border: 0\"></iframe>\n\
         <p>{figures}</p>\n\
         <script src=\"{base}frame.js\" defer></script>\n",
        base = escaped(&shown.base),
        question = escaped(&shown.question),
        figures = escaped(&shown.figures)
    )
}

/// Text as it stands in HTML, also inside quotation marks.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(question: &str) -> Shown {
        Shown {
            base: "https://example.org/calc/".to_owned(),
            question: question.to_owned(),
            figures: "A & B".to_owned(),
            read_only: true,
        }
    }

    #[test]
    fn an_element_names_the_release_and_the_question() {
        assert_eq!(
            element(&shown("m=llama-3.1-8b&gn=8")),
            format!(
                "<script type=\"module\" src=\"https://example.org/calc/gpu-mem-calc-{VERSION}.js\"></script>\n\
                 <gpu-mem-calc question=\"m=llama-3.1-8b&amp;gn=8\" readonly>\n  A &amp; B\n</gpu-mem-calc>\n"
            )
        );
    }

    #[test]
    fn nothing_in_a_question_ends_the_attribute() {
        let made = frame(&shown("c=~{\"a\":\"'><script>\"}"));
        assert_eq!(made.matches("<script").count(), 1);
        assert!(made.contains("#c=~{&quot;a&quot;:&quot;&#39;&gt;&lt;script&gt;&quot;}\""));
    }
}
