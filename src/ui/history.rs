//! The questions in the order in which they were asked, for undo and redo of the whole page. The same changes that make a step in
//! the history of the browser make one here (`persist`); a change of the tab alone makes none, but comes back with its question.

use leptos::ev::{self, KeyboardEvent};
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::{Event, HtmlElement, HtmlInputElement};

use super::state::{Form, Page, PageStoreFields};
use super::tabs::Tab;
use crate::api::Request;

/// Steps that are remembered.
const MOST: usize = 200;

/// A question and the tab in which it was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The question.
    pub request: Request,
    /// The tab.
    pub tab: Tab,
}

/// The steps, and the one that is shown.
#[derive(Clone, Debug)]
struct History {
    steps: Vec<Step>,
    at: usize,
}

impl History {
    /// A page that was not changed yet.
    fn new(page: &Page) -> Self {
        let first = Step {
            request: page.request.clone(),
            tab: page.tab,
        };
        Self {
            steps: vec![first],
            at: 0,
        }
    }

    /// Notes what is shown now; one that `goes_on` belongs to the change before it.
    fn record(&mut self, step: Step, goes_on: bool) {
        let Some(shown) = self.steps.get_mut(self.at) else {
            return;
        };
        if shown.request == step.request {
            shown.tab = step.tab;
            return;
        }
        if goes_on && self.at > 0 {
            *shown = step;
            self.steps.truncate(self.at + 1);
            return;
        }
        self.steps.truncate(self.at + 1);
        self.steps.push(step);
        let over = self.steps.len().saturating_sub(MOST);
        self.steps.drain(..over);
        self.at = self.steps.len() - 1;
    }

    /// Notes where the browser's back and forward led: mostly one step of these.
    fn follow(&mut self, step: Step) {
        for near in [self.at.checked_sub(1), Some(self.at + 1)].into_iter().flatten() {
            let known = self
                .steps
                .get_mut(near)
                .filter(|known| known.request == step.request);
            if let Some(known) = known {
                *known = step;
                self.at = near;
                return;
            }
        }
        self.record(step, false);
    }

    /// Whether there is a question before the one that is shown.
    const fn can_undo(&self) -> bool {
        self.at > 0
    }

    /// Whether one was undone.
    const fn can_redo(&self) -> bool {
        self.at + 1 < self.steps.len()
    }

    fn walk(&mut self, back: bool) -> Option<Step> {
        let to = if back {
            self.at.checked_sub(1)?
        } else {
            self.at + 1
        };
        let step = self.steps.get(to)?.clone();
        self.at = to;
        Some(step)
    }
}

/// The history of the page. A handle: copies refer to the same one.
#[derive(Clone, Copy)]
pub struct Walk {
    history: StoredValue<History>,
    /// Whether there is a question before the one that is shown.
    pub back: RwSignal<bool>,
    /// Whether one was undone.
    pub forward: RwSignal<bool>,
}

impl Walk {
    /// A page that was not changed yet.
    pub fn new(page: &Page) -> Self {
        Self {
            history: StoredValue::new(History::new(page)),
            back: RwSignal::new(false),
            forward: RwSignal::new(false),
        }
    }

    fn change<T>(self, change: impl FnOnce(&mut History) -> T) -> Option<T> {
        let made = self.history.try_update_value(change);
        let (back, forward) = self
            .history
            .with_value(|history| (history.can_undo(), history.can_redo()));
        self.back.set(back);
        self.forward.set(forward);
        made
    }

    /// Whether this question is the one that is noted as shown.
    pub fn shows(self, request: &Request) -> bool {
        self.history.with_value(|history| {
            let shown = history.steps.get(history.at);
            shown.is_some_and(|step| step.request == *request)
        })
    }

    /// Notes what is shown now; one that `goes_on` belongs to the change before it.
    pub fn record(self, step: Step, goes_on: bool) {
        self.change(|history| history.record(step, goes_on));
    }

    /// Notes where the browser's back and forward led.
    pub fn follow(self, step: Step) {
        self.change(|history| history.follow(step));
    }
}

/// Shows the question before, or the one that was undone.
pub fn walk(form: Form, back: bool) {
    let Some(step) = form.history.change(|history| history.walk(back)).flatten() else {
        return;
    };
    form.replace(step.request);
    form.page.tab().set(step.tab);
    let words = if back { "Undone." } else { "Done again." };
    form.dialogs.say(words, false);
}

/// Ctrl+Z, Ctrl+Shift+Z and Ctrl+Y outside of text fields, which undo what is typed in them by themselves.
pub fn listen(form: Form) {
    let on_key = move |event: KeyboardEvent| {
        if !(event.ctrl_key() || event.meta_key()) || event.alt_key() || event.default_prevented() {
            return;
        }
        let back = match (event.key().as_str(), event.shift_key()) {
            ("z" | "Z", shift) => !shift,
            ("y", false) => false,
            _ => return,
        };
        if form.dialogs.busy() || writes(&event) {
            return;
        }
        event.prevent_default();
        walk(form, back);
    };
    let handle = window_event_listener(ev::keydown, on_key);
    on_cleanup(move || handle.remove());
}

/// Whether an event comes from a field in which text is written.
pub fn writes(event: &Event) -> bool {
    let Some(element) = event
        .target()
        .and_then(|target| target.dyn_into::<HtmlElement>().ok())
    else {
        return false;
    };
    match element.dyn_ref::<HtmlInputElement>() {
        Some(input) => !matches!(input.type_().as_str(), "checkbox" | "radio" | "file" | "button"),
        None => element.tag_name() == "TEXTAREA" || element.is_content_editable(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::InputId;

    fn step(gpus: u64) -> Step {
        Step {
            request: Request::new().with(InputId::NumGpus, gpus),
            tab: Tab::Training,
        }
    }

    #[test]
    fn steps_go_back_and_forward_and_a_new_one_ends_what_was_undone() {
        let page = Page {
            request: step(1).request,
            ..Page::start()
        };
        let mut history = History::new(&page);
        history.record(step(2), false);
        history.record(step(3), false);
        history.record(step(4), true);
        assert_eq!(history.walk(true), Some(step(2)));
        assert!(history.can_redo());
        // What the page then shows is known.
        history.record(step(2), false);
        assert!(history.can_redo());
        history.follow(step(1));
        assert!(!history.can_undo() && history.can_redo());
        history.record(step(9), false);
        assert!(history.can_undo() && !history.can_redo());
        assert_eq!(history.walk(false), None);
        // Asking the first question again is a step of its own.
        history.record(step(1), false);
        assert_eq!(history.walk(true), Some(step(9)));
    }

    #[test]
    fn a_tab_alone_is_no_step() {
        let mut history = History::new(&Page::start());
        let tab = Tab::Inference;
        let request = Page::start().request;
        history.record(Step { request, tab }, false);
        assert!(!history.can_undo());
    }
}
