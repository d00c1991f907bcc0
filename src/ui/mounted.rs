//! The page as JavaScript mounts it: into an element of a document of others, until it is taken away. The custom element
//! `assets/embed/gpu-mem-calc.js` is its user. Nothing of the document outside the element is touched.

use std::cell::Cell;
use std::rc::Rc;

use leptos::prelude::*;
use leptos::wasm_bindgen::JsValue;
use serde::Serialize;
use wasm_bindgen::prelude::wasm_bindgen;

use super::language::Language;
use super::state::{Form, PageStoreFields};
use super::{app, dom, persist};
use crate::api::{Capacity, Issue, Range, Task, Verdict};
use crate::units::Bytes;

/// A mounted page; `free()` takes it away.
#[wasm_bindgen]
pub struct Mounted {
    _handle: Box<dyn std::any::Any>,
    form: Option<Form>,
}

/// What the document is told of an answer. `question` is what follows the `#` of the page's address.
#[derive(Serialize)]
struct Told {
    question: String,
    tab: &'static str,
    #[serde(flatten)]
    answer: Option<Figures>,
    /// What is wrong with the question, or must be known about the answer.
    issues: Vec<Issue>,
}

/// What one GPU needs and has.
#[derive(Serialize)]
struct Figures {
    verdict: Verdict,
    need: Range,
    usable_bytes: Bytes,
}

impl Figures {
    fn new(verdict: Verdict, need: Range, capacity: &Capacity) -> Self {
        Self {
            verdict,
            need,
            usable_bytes: capacity.usable_bytes,
        }
    }
}

/// The answer of the shown tab as the document is told it; nothing while a part of the page is being loaded.
fn told(form: Form) -> Option<Told> {
    let (answer, issues) = match form.task() {
        Task::Training | Task::Plan => form.current.with(|current| match current {
            Ok(answer) => (
                Some(Figures::new(answer.verdict, answer.need, &answer.capacity)),
                answer.warnings.clone(),
            ),
            Err(issues) => (None, issues.to_vec()),
        }),
        Task::Inference => {
            form.inference.get()?;
            form.serving.with(|current| match current {
                Ok(answer) => (
                    Some(Figures::new(answer.verdict, answer.need, &answer.capacity)),
                    answer.warnings.clone(),
                ),
                Err(issues) => (None, issues.to_vec()),
            })
        }
    };
    let tab = form.page.tab().get();
    Some(Told {
        question: form
            .page
            .request()
            .with(|request| persist::write(request, tab, None)),
        tab: tab.key(),
        answer,
        issues,
    })
}

/// Fills an element with the page of a question, which is written as in the page's address. `base` is the address of the
/// folder with the page's files, `module` that of the bindings; `answered` is called with each answer, as JSON. The element's
/// `lang` says in which language.
#[wasm_bindgen(js_name = mount)]
pub fn mount_into(
    element: web_sys::HtmlElement,
    question: &str,
    base: &str,
    module: &str,
    answered: js_sys::Function,
) -> Mounted {
    console_error_panic_hook::set_once();
    dom::embed(base, module);
    let made = Rc::new(Cell::new(None));
    let keep = made.clone();
    let language = element
        .get_attribute("lang")
        .and_then(|tag| Language::from_tag(&tag))
        .unwrap_or(Language::English);
    let handle = app::mount_inside(element, persist::read(question), language, move |form| {
        keep.set(Some(form));
        Effect::new(move |_| {
            let Some(text) = told(form).and_then(|told| serde_json::to_string(&told).ok()) else {
                return;
            };
            // What a listener throws is the document's own affair.
            let _ = answered.call1(&JsValue::NULL, &text.into());
        });
    });
    Mounted {
        _handle: Box::new(handle),
        form: made.get(),
    }
}

#[wasm_bindgen]
impl Mounted {
    /// Shows the page in the language of this tag, where it is known.
    pub fn speak(&self, tag: &str) {
        if let (Some(form), Some(language)) = (self.form, Language::from_tag(tag)) {
            form.tongue.language.set(language);
        }
    }

    /// Shows another question, written as in the page's address.
    pub fn ask(&self, question: &str) {
        if let Some(form) = self.form {
            form.page.set(persist::read(question));
        }
    }
}
