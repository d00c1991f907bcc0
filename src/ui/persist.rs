//! The address of the page holds the question and the tab: `#tab=inference&m=llama-3.1-8b&b=4`. Reload, back and forward
//! restore them. A page without a fragment starts with the question of a newcomer.

use leptos::ev;
use leptos::prelude::*;

use super::dom;
use super::history::Step;
use super::state::{Form, Page, PageStoreFields};
use super::tabs::Tab;
use crate::api::{InputId, Request, share};

/// Changes of one input that follow each other within this time are one step of the history.
const ONE_STEP_MS: f64 = 2000.0;

/// What the address says, or the question of a newcomer.
pub fn initial() -> Page {
    read(&dom::fragment())
}

fn read(fragment: &str) -> Page {
    if fragment.is_empty() {
        return Page::start();
    }
    let is_tab = |part: &&str| part.starts_with("tab=");
    let tab = fragment
        .split('&')
        .find(is_tab)
        .and_then(|part| Tab::from_key(part.trim_start_matches("tab=")));
    let rest: Vec<&str> = fragment.split('&').filter(|part| !is_tab(part)).collect();
    let (request, notes) = share::from_fragment(&rest.join("&"));
    Page {
        request,
        tab: tab.unwrap_or_default(),
        notes,
    }
}

fn write(request: &Request, tab: Tab) -> String {
    let question = share::to_fragment(request);
    match tab {
        // An empty fragment would mean the question of a newcomer, not an empty question.
        Tab::Training if !question.is_empty() => question,
        tab if question.is_empty() => format!("tab={}", tab.key()),
        tab => format!("tab={}&{question}", tab.key()),
    }
}

/// What the address stood for when it was last written, and what was changed then.
struct Written {
    request: Request,
    tab: Tab,
    input: Option<InputId>,
    at: f64,
}

/// Writes the address when the page changes, and the page when the address does.
pub fn keep_in_address(form: Form) {
    let page = form.page;
    let written = StoredValue::new(Written {
        request: form.page_request(),
        tab: page.tab().get_untracked(),
        input: None,
        at: 0.0,
    });
    Effect::new(move |_| {
        let request = page.request().get();
        let tab = page.tab().get();
        written.update_value(|last| {
            if last.request == request && last.tab == tab {
                return;
            }
            let now = js_sys::Date::now();
            // Undo and redo are steps of their own, and nothing goes on from them.
            let walked = form.history.shows(&request);
            let input = (last.tab == tab && !walked)
                .then(|| only_change(&last.request, &request))
                .flatten();
            let goes_on = input.is_some() && input == last.input && now - last.at < ONE_STEP_MS;
            let step = Step {
                request: request.clone(),
                tab,
            };
            form.history.record(step, goes_on);
            dom::set_fragment(&write(&request, tab), !goes_on);
            *last = Written {
                request,
                tab,
                input,
                at: now,
            };
        });
    });
    let restore = move || {
        let read = read(&dom::fragment());
        let same = written.with_value(|last| last.request == read.request && last.tab == read.tab);
        if same {
            return;
        }
        written.set_value(Written {
            request: read.request.clone(),
            tab: read.tab,
            input: None,
            at: 0.0,
        });
        let step = Step {
            request: read.request.clone(),
            tab: read.tab,
        };
        form.history.follow(step);
        page.set(read);
    };
    let handle = window_event_listener(ev::popstate, move |_| restore());
    on_cleanup(move || handle.remove());
}

/// The input in which two questions differ, where it is only one.
fn only_change(one: &Request, other: &Request) -> Option<InputId> {
    let mut changed = InputId::ALL
        .iter()
        .copied()
        .filter(|id| one.get(*id) != other.get(*id));
    let first = changed.next()?;
    changed.next().is_none().then_some(first)
}
