//! What the searches of the page have in common: where one is, how it starts and ends, and how its progress, what it refused and
//! what it left out are shown. What each looks for and shows of it lives in its own file.

use std::time::Duration;

use leptos::prelude::*;
use serde_json::{Map, Value};

use super::super::super::format::grouped;
use super::super::super::state::Form;
use super::super::serving::{Column, table};
use super::found::{Message, Progress, Refused, Space, Way};
use super::worker::{Search, Sought, dismiss, prepare};
use crate::api::{InputId, Request};

/// How long after the panel appears the worker is started that a search will use.
const PREPARED_AFTER: Duration = Duration::from_millis(300);

/// Where a search is.
#[derive(Clone)]
pub enum State<A> {
    /// Nothing was asked.
    Idle,
    /// It runs.
    Running(Progress),
    /// It was stopped, with the best until then.
    Stopped(Progress),
    /// It found.
    Done(Box<A>),
    /// It was refused.
    Refused(Vec<Refused>),
}

/// A search for an answer of one kind. A handle: copies refer to the same search.
pub struct Hunt<A: Send + Sync + 'static> {
    state: RwSignal<State<A>>,
    search: StoredValue<Option<Search>, LocalStorage>,
    wanted: fn(Message) -> Option<Box<A>>,
}

impl<A: Send + Sync + 'static> Clone for Hunt<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Send + Sync + 'static> Copy for Hunt<A> {}

impl<A: Send + Sync + 'static> Hunt<A> {
    /// One that was not started; `wanted` takes the answer out of a message.
    pub fn new(wanted: fn(Message) -> Option<Box<A>>) -> Self {
        let search: StoredValue<Option<Search>, LocalStorage> = StoredValue::new_local(None);
        // When the page has shown what it opened.
        set_timeout(prepare, PREPARED_AFTER);
        on_cleanup(move || {
            search.set_value(None);
            dismiss();
        });
        Self {
            state: RwSignal::new(State::Idle),
            search,
            wanted,
        }
    }

    /// Ends what runs and starts anew.
    pub fn start(self, sought: Sought, request: &Request) {
        let Self {
            state,
            search,
            wanted,
        } = self;
        search.set_value(None);
        state.set(State::Running(Progress::default()));
        let hear = move |text: String| {
            let Ok(message) = serde_json::from_str::<Message>(&text) else {
                return;
            };
            let over = !matches!(message, Message::Progress(_));
            state.set(match message {
                Message::Progress(progress) => State::Running(progress),
                Message::Refused(why) => State::Refused(why),
                other => wanted(other).map_or(State::Idle, State::Done),
            });
            if over {
                // Not at once: what is told here is called by it.
                set_timeout(
                    move || {
                        search.set_value(None);
                        prepare();
                    },
                    Duration::ZERO,
                );
            }
        };
        let fail = move || {
            state.set(State::Refused(vec![Refused {
                path: String::new(),
                message: "The search ended with an error.".to_owned(),
            }]))
        };
        search.set_value(Some(Search::start(sought, request, hear, fail)));
    }

    /// Ends it, with what it found until now.
    pub fn stop(self) {
        self.search.set_value(None);
        prepare();
        self.state.update(|state| {
            if let State::Running(progress) = state {
                *state = State::Stopped(progress.clone());
            }
        });
    }

    /// Whether it runs.
    pub fn running(self) -> bool {
        self.state.with(|state| matches!(state, State::Running(_)))
    }

    /// A view of where it is.
    pub fn view(self, shown: impl Fn(&State<A>) -> AnyView) -> AnyView {
        self.state.with(shown)
    }
}

/// A question on serving; with nothing typed for serving it is one all the same.
pub fn serving(mut request: Request) -> Request {
    if !request.serves() {
        request.set(InputId::Sequences, 1);
    }
    request
}

/// Why there is no answer.
pub fn refused(why: &[Refused], id: &'static str) -> AnyView {
    let lines = why
        .iter()
        .map(|one| {
            let path = one.path.clone();
            view! { <li>{(!path.is_empty()).then(|| format!("{path}: "))} {one.message.clone()}</li> }
        })
        .collect_view();
    view! { <ul class="issues" id=id>{lines}</ul> }.into_any()
}

/// How far a search is, and the best until now in words.
pub fn far(progress: &Progress, (word, id): (&'static str, &'static str), best: Option<String>) -> AnyView {
    let all = progress.combinations.max(1);
    let percent = 100.0 * progress.settled as f64 / all as f64;
    view! {
        <div class="planner-progress" id=id>
            <progress max="100" value=format!("{percent:.1}") aria-label="Part of the space that is searched"></progress>
            <p>{format!(
                "{word}: {} of {} combinations, {} fit. ",
                grouped(progress.settled),
                grouped(progress.combinations),
                grouped(progress.fitting)
            )} {best}</p>
        </div>
    }
    .into_any()
}

/// A button that makes what it names the question.
pub fn take(form: Form, name: &str, values: &Map<String, Value>) -> AnyView {
    let values = values.clone();
    let name = format!("Open: {name}");
    view! {
        <button type="button" class="button button-small" aria-label=name on:click=move |_| form.apply(&values)>"Open"</button>
    }
    .into_any()
}

/// What the rules left out, and the ways that were refused.
pub fn left_out(name: &'static str, space: &Space, refused: &[Way]) -> AnyView {
    let rows = space
        .left_out
        .iter()
        .map(|one| {
            view! { <tr><th scope="row">{one.label.clone()}</th><td class="number">{grouped(one.combinations)}</td></tr> }
        })
        .collect_view()
        .into_any();
    let refused = refused
        .iter()
        .map(|one| view! { <li>{format!("{}: {}", one.way, one.reason)}</li> })
        .collect_view();
    view! {
        <details class="planner-space">
            <summary>"What was left out, and why"</summary>
            {table(name, &[Column::Words("Rule"), Column::Number("combinations")], rows)}
            <ul class="issues">{refused}</ul>
        </details>
    }
    .into_any()
}
