//! What would make it fit: changes of the question, each with its new need and what it costs, and a button that makes it. Looked for
//! after the answer was painted and the question has rested.

use std::time::Duration;

use leptos::prelude::*;
use serde_json::{Map, Value};

use super::super::format::{gib, gib_number};
use super::super::rest::Rest;
use super::super::state::{Form, PageStoreFields};
use super::verdict;
use crate::api::{self, Fix, Fixes, Issue, Request, Task, Verdict};

/// How long the question must rest before changes of it are tried.
const REST: Duration = Duration::from_millis(400);

/// Changes that are shown at first.
const SHOWN: usize = 6;

/// What looks for changes of a question.
type Look = fn(&Request) -> Result<Fixes, Vec<Issue>>;

/// The section of the training tab.
pub fn of_training(form: Form) -> AnyView {
    fixes(form, Task::Training, api::training_fixes)
}

/// The section of the inference tab.
pub fn of_inference(form: Form) -> AnyView {
    fixes(form, Task::Inference, api::inference_fixes)
}

fn fixes(form: Form, task: Task, find: Look) -> AnyView {
    let found = RwSignal::new(None::<Fixes>);
    let all = RwSignal::new(false);
    let rested = Rest::new();
    Effect::new(move |_| {
        let request = form.page.request().with(|request| api::part(request, task));
        let look = move || found.set(find(&request).ok());
        rested.after(REST, look);
    });
    let content = move || {
        found.with(|found| {
            let found = found.as_ref()?;
            (!found.single.is_empty()).then(|| section(form, found, all))
        })
    };
    view! { {content} }.into_any()
}

fn section(form: Form, found: &Fixes, all: RwSignal<bool>) -> AnyView {
    let (title, note) = match found.verdict {
        Verdict::Fits => ("To save memory", "Each alone, with everything else as it is."),
        _ => (
            "What would make it fit",
            "Each alone, with everything else as it is; those that suffice come first.",
        ),
    };
    let shown = if all.get() { found.single.len() } else { SHOWN };
    let rows = found
        .single
        .iter()
        .take(shown)
        .map(|fix| row(form, fix))
        .collect_view();
    let more = found.single.len().saturating_sub(shown);
    let more = (more > 0).then(|| {
        view! {
            <button type="button" class="button button-small" on:click=move |_| all.set(true)>
                {format!("Show {more} more")}
            </button>
        }
    });
    view! {
        <section class="panel" id="fixes" aria-labelledby="fixes-title">
            <h2 id="fixes-title">{title}</h2>
            <p class="solver-note">{note}</p>
            <ul class="fixes">{rows}</ul>
            {more}
            {together(form, &found.together)}
        </section>
    }
    .into_any()
}

fn together(form: Form, steps: &[Fix]) -> Option<AnyView> {
    let last = steps.last()?;
    let mut values = Map::new();
    for step in steps {
        values.extend(step.values.clone());
    }
    let titles = steps
        .iter()
        .map(|step| {
            view! {
                <li>
                    <b>{step.title.clone()}</b>
                    <span class="soft">{format!(" – then {}, {}", gib(step.need.expected_bytes), step.effect.words())}</span>
                </li>
            }
        })
        .collect_view();
    Some(
        view! {
            <div class="fixes-together">
                <h3>{format!("Together: {}, needs {}", verdict::title(last.verdict).to_ascii_lowercase(), verdict::need(last.need))}</h3>
                <ol>{titles}</ol>
                {apply(form, "Apply all of them".to_owned(), "Apply all", values)}
            </div>
        }
        .into_any(),
    )
}

fn row(form: Form, fix: &Fix) -> AnyView {
    let class = format!("fix-verdict verdict-{}", fix.verdict.key());
    let saves = match fix.saves_bytes.get() {
        0 => String::new(),
        _ => format!("−{}", gib(fix.saves_bytes)),
    };
    view! {
        <li>
            <div class="fix-what">
                <b>{fix.title.clone()}</b>
                <span class="soft">{fix.words}</span>
                <span class="fix-cost">
                    <span class="tag">{fix.effect.words()}</span> " " <span class="tag">{fix.time.words()}</span>
                </span>
            </div>
            <div class="fix-need">
                <span class=class>{verdict::title(fix.verdict)}</span>
                <span>{format!("{} – {} GiB", gib_number(fix.need.low_bytes), gib_number(fix.need.high_bytes))}</span>
                <span class="soft">{saves}</span>
            </div>
            {apply(form, format!("Apply: {}", fix.title), "Apply", fix.values.clone())}
        </li>
    }
    .into_any()
}

fn apply(form: Form, name: String, words: &'static str, values: Map<String, Value>) -> AnyView {
    view! {
        <button type="button" class="button button-small" aria-label=name on:click=move |_| form.apply(&values)>
            {words}
        </button>
    }
    .into_any()
}
