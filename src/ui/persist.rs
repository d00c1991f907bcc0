//! The address of the page holds the question, the tab and the number that is taken apart:
//! `#tab=inference&explain=part-kv_cache&m=llama-3.1-8b&b=4`. Reload, back and forward
//! restore them. A page without a fragment starts with the question of a newcomer.

use leptos::ev;
use leptos::prelude::*;

use super::dom;
use super::history::Step;
use super::state::{Form, Page, PageStoreFields, only_change};
use super::tabs::Tab;
use crate::api::{InputId, Request, share};

/// Changes of one input that follow each other within this time are one step of the history.
const ONE_STEP_MS: f64 = 2000.0;

/// What the address says, or the question of a newcomer.
pub fn initial() -> Page {
    read(&dom::fragment())
}

/// The page for which a fragment stands: `tab=` names the tab, the rest is the question.
pub fn read(fragment: &str) -> Page {
    if fragment.is_empty() {
        return Page::start();
    }
    let of_page = |name: &str| fragment.split('&').find_map(|part| part.strip_prefix(name));
    let tab = of_page("tab=").and_then(Tab::from_key);
    let explained = of_page("explain=").filter(|id| id.chars().all(part_of_name));
    let rest: Vec<&str> = fragment
        .split('&')
        .filter(|part| !part.starts_with("tab=") && !part.starts_with("explain="))
        .collect();
    let (request, notes) = share::from_fragment(&rest.join("&"));
    Page {
        request,
        tab: tab.unwrap_or_default(),
        notes,
        explained: explained.map(str::to_owned),
    }
}

/// What the names of numbers are made of.
fn part_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.')
}

/// The fragment that stands for a page.
pub fn write(request: &Request, tab: Tab, explained: Option<&str>) -> String {
    let question = share::to_fragment(request);
    let mut parts = Vec::new();
    // An empty fragment would mean the question of a newcomer, not an empty question.
    if tab != Tab::Training || question.is_empty() {
        parts.push(format!("tab={}", tab.key()));
    }
    parts.extend(explained.map(|id| format!("explain={id}")));
    if !question.is_empty() {
        parts.push(question);
    }
    parts.join("&")
}

/// What the address stood for when it was last written, and what was changed then.
struct Written {
    request: Request,
    tab: Tab,
    explained: Option<String>,
    input: Option<InputId>,
    at: f64,
}

/// Writes the address when the page changes, and the page when the address does.
pub fn keep_in_address(form: Form) {
    let page = form.page;
    let written = StoredValue::new(Written {
        request: form.page_request(),
        tab: page.tab().get_untracked(),
        explained: page.explained().get_untracked(),
        input: None,
        at: 0.0,
    });
    Effect::new(move |_| {
        let request = page.request().get();
        let tab = page.tab().get();
        let explained = page.explained().get();
        written.update_value(|last| {
            if last.request == request && last.tab == tab && last.explained == explained {
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
            let fragment = write(&request, tab, explained.as_deref());
            if input.is_some() {
                dom::set_fragment_soon(fragment, !goes_on);
            } else {
                dom::set_fragment(&fragment, true);
            }
            *last = Written {
                request,
                tab,
                explained,
                input,
                at: now,
            };
        });
    });
    let restore = move || {
        // The address has moved on; what was not written yet belongs to the one before.
        dom::forget_fragment();
        let read = read(&dom::fragment());
        let same = written.with_value(|last| {
            last.request == read.request && last.tab == read.tab && last.explained == read.explained
        });
        if same {
            return;
        }
        written.set_value(Written {
            request: read.request.clone(),
            tab: read.tab,
            explained: read.explained.clone(),
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
