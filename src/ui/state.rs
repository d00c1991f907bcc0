//! The state of the page: one store with the request as typed and the settings of the view, and the answer as a memo.
//!
//! Nothing derived is kept in the store. A view reads slices through [`Form`], which is cheap to copy.

use std::sync::Arc;

use leptos::prelude::*;
use reactive_stores::Store;
use serde_json::{Map, Value};

use super::answer::{Advice, Details, Planner, load_advice, load_details, load_planner};
use super::dialogs::Dialogs;
use super::explain::{self, Explain};
use super::fields::{Settings, from_model, load_settings, plain};
use super::format::{gib_number, parameters};
use super::history::Walk;
use super::language::{Language, Tongue};
use super::layout::{EmbedDialog, load_embed};
use super::model::{Presets, load_families, load_presets};
use super::part::Part;
use super::plots::{self, Plots};
use super::tabs::{self, Listed, Nodes, Runs, Tab};
use crate::accuracy;
use crate::api::Issue;
use crate::api::{self, Strictness};
use crate::api::{
    Answer, Assumed, Capacity, EngineId, INPUTS, InferenceAnswer, Input, InputId, InputKind, ModelReport,
    Request, Section, ServerId, Task,
};
use crate::units::{Bytes, Decimal};

/// Everything that the page remembers.
#[derive(Clone, Debug, Store)]
pub struct Page {
    /// The question, as typed.
    pub request: Request,
    /// The tab that is shown.
    pub tab: Tab,
    /// What in the link was not understood.
    pub notes: Vec<Issue>,
    /// The number that is taken apart.
    pub explained: Option<String>,
}

impl Page {
    /// The question with which a newcomer starts.
    pub fn start() -> Self {
        let request = Request::new()
            .with(InputId::ModelId, "llama-3.1-8b")
            .with(InputId::NumGpus, 8)
            .with(InputId::EngineType, "fsdp");
        Self {
            request,
            tab: Tab::default(),
            notes: Vec::new(),
            explained: None,
        }
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::start()
    }
}

/// The answer to the question as it stands.
type Current = Result<Arc<Answer>, Arc<Vec<Issue>>>;

/// The answer to the inference question as it stands.
type Serving = Result<Arc<InferenceAnswer>, Arc<Vec<Issue>>>;

/// What the part of the inference tab holds.
#[derive(Clone, Copy)]
pub struct InferencePart {
    /// The content of the tab.
    pub view: fn() -> AnyView,
    /// The answer to an inference question.
    pub answer: fn(&Request) -> Result<InferenceAnswer, Vec<Issue>>,
}

/// The store and the answer. A handle: copies refer to the same page.
#[derive(Clone, Copy)]
pub struct Form {
    /// The store.
    pub page: Store<Page>,
    /// The questions so far.
    pub history: Walk,
    /// What opens above the page.
    pub dialogs: Dialogs,
    /// The language of the page.
    pub tongue: Tongue,
    /// The answer to the question as it stands.
    pub current: Memo<Current>,
    /// The last valid answer.
    pub answer: Memo<Option<Arc<Answer>>>,
    /// The inference tab.
    pub inference: Part<InferencePart>,
    /// The multi-node tab.
    pub nodes: Part<Nodes>,
    /// The planner of the multi-node tab.
    pub planner: Part<Planner>,
    /// What follows the answer in the training tab.
    pub advice: Part<Advice>,
    /// What stands below the first answer in the training tab.
    pub details: Part<Details>,
    /// All settings.
    pub settings: Part<Settings>,
    /// The options of the menu of presets.
    pub presets: Part<Presets>,
    /// The families of models that the first answer does not need: true when they are at hand.
    pub families: Part<bool>,
    /// The plots.
    pub plots: Part<Plots>,
    /// Explanations.
    pub explain: Part<Explain>,
    /// The list of measured runs in the accuracy tab.
    pub records: Part<Listed>,
    /// The lines that show the question in a document of the reader's.
    pub embed: Part<EmbedDialog>,
    /// The measured runs.
    pub runs: Runs,
    /// The answer to the inference question as it stands; no answer and no issue before the tab is loaded.
    pub serving: Memo<Serving>,
    /// The last valid answer to it.
    pub served: Memo<Option<Arc<InferenceAnswer>>>,
    /// The last valid model, also where the rest of the question is not valid.
    pub model: Memo<Option<Arc<ModelReport>>>,
    /// What the last changed input did to the need.
    pub effect: Memo<Option<Change>>,
}

/// What a change of one input did to the expected need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The input.
    pub input: InputId,
    /// The need before its first change in a row, and now.
    pub need: (Bytes, Bytes),
}

/// Makes the store and the answer available to everything below.
pub fn provide(page: Page, language: Language) -> Form {
    let history = Walk::new(&page);
    let page = Store::new(page);
    let families = Part::new(load_families);
    let current: Memo<Current> = Memo::new(move |_| {
        // What is not at hand is answered when it is.
        let pending = families.pending();
        page.request().with(|request| {
            if pending && api::waits(request) {
                return Err(Arc::default());
            }
            accuracy::calculate(&api::part(request, Task::Training), Strictness::default())
                .map(Arc::new)
                .map_err(Arc::new)
        })
    });
    let inference = Part::new(tabs::load_inference);
    let serving: Memo<Serving> = Memo::new(move |_| {
        let Some(part) = inference.get() else {
            return Err(Arc::default());
        };
        if families.pending() {
            return Err(Arc::default());
        }
        page.request().with(|request| {
            (part.answer)(&api::part(request, Task::Inference))
                .map(Arc::new)
                .map_err(Arc::new)
        })
    });
    let served = Memo::new(
        move |last: Option<&Option<Arc<InferenceAnswer>>>| match serving.get() {
            Ok(answer) => Some(answer),
            Err(_) => last.cloned().flatten(),
        },
    );
    let answer = Memo::new(move |last: Option<&Option<Arc<Answer>>>| match current.get() {
        Ok(answer) => Some(answer),
        Err(_) => last.cloned().flatten(),
    });
    let about_model = Memo::new(move |_| page.request().with(about_model));
    // A model whose source was changed is another one: nothing of the last is shown for it.
    let known: Memo<Known> = Memo::new(move |last: Option<&Known>| {
        families.get();
        about_model.with(|request| {
            let source = SOURCES.map(|id| request.get(id).cloned());
            let model = match api::model_report(request, false) {
                Ok(report) => Some(Arc::new(report)),
                Err(_) => last
                    .filter(|last| last.source == source)
                    .and_then(|last| last.model.clone()),
            };
            Known { source, model }
        })
    });
    let model = Memo::new(move |_| known.with(|known| known.model.clone()));
    let effect = effect(page, current, serving);
    let form = Form {
        page,
        history,
        dialogs: Dialogs::new(),
        tongue: Tongue::new(language),
        current,
        answer,
        inference,
        nodes: Part::new(tabs::load_nodes),
        planner: Part::new(load_planner),
        advice: Part::new(load_advice),
        details: Part::new(load_details),
        settings: Part::new(load_settings),
        presets: Part::new(load_presets),
        families,
        plots: Part::new(plots::load),
        explain: Part::new(explain::load),
        records: Part::new(tabs::load_records),
        embed: Part::new(load_embed),
        runs: Runs::new(),
        serving,
        served,
        model,
        effect,
    };
    provide_context(form);
    form
}

/// The question, its tab and its need, when it was last answered, and the change that led there.
#[derive(Clone, PartialEq)]
struct Followed {
    request: Request,
    tab: Tab,
    need: Bytes,
    change: Option<Change>,
}

/// Follows the answers: where two questions in a row differ in one input, what that did to the need. Several changes of the same
/// input in a row are one.
fn effect(page: Store<Page>, current: Memo<Current>, serving: Memo<Serving>) -> Memo<Option<Change>> {
    let followed: Memo<Option<Followed>> = Memo::new(move |last: Option<&Option<Followed>>| {
        let last = last.cloned().flatten();
        let tab = page.tab().get();
        let need = match tab {
            Tab::Inference => serving.with(|answer| answer.as_ref().ok().map(|answer| answer.need)),
            _ => current.with(|answer| answer.as_ref().ok().map(|answer| answer.need)),
        };
        let Some(need) = need.map(|need| need.expected_bytes) else {
            return last;
        };
        let request = page.request().get();
        let before = last.filter(|last| last.tab == tab);
        let change = before.and_then(|before| {
            let input = only_change(&before.request, &request);
            match (input, before.change) {
                // Nothing was changed: what was told stays.
                (None, change) if before.request == request => change,
                (Some(input), Some(change)) if change.input == input => Some(Change {
                    input,
                    need: (change.need.0, need),
                }),
                (Some(input), _) => Some(Change {
                    input,
                    need: (before.need, need),
                }),
                (None, _) => None,
            }
        });
        Some(Followed {
            request,
            tab,
            need,
            change,
        })
    });
    Memo::new(move |_| followed.with(|followed| followed.as_ref().and_then(|followed| followed.change)))
}

/// The input in which two questions differ, where it is only one.
pub fn only_change(one: &Request, other: &Request) -> Option<InputId> {
    let mut changed = InputId::ALL
        .iter()
        .copied()
        .filter(|id| one.get(*id) != other.get(*id));
    let first = changed.next()?;
    changed.next().is_none().then_some(first)
}

/// The inputs that name where an architecture comes from.
const SOURCES: [InputId; 2] = [InputId::ModelId, InputId::HfConfig];

/// The last valid model and the source that it belongs to.
#[derive(Clone, PartialEq)]
struct Known {
    source: [Option<Value>; SOURCES.len()],
    model: Option<Arc<ModelReport>>,
}

/// The part of a question that says what the model is.
fn about_model(request: &Request) -> Request {
    let mut model = Request::new();
    for input in INPUTS.iter().filter(|input| input.section == Section::Model) {
        if let Some(value) = request.get(input.id) {
            model.set(input.id, value.clone());
        }
    }
    model
}

/// The page's store and answer; call it while a view is built, not in an event handler.
pub fn use_form() -> Form {
    expect_context::<Form>()
}

impl Form {
    /// Whether the shown answer belongs to an earlier input.
    pub fn stale(self) -> bool {
        match self.task() {
            Task::Training | Task::Plan => self.current.with(Result::is_err),
            Task::Inference => self.serving.with(Result::is_err),
        }
    }

    /// Which kind of question the shown tab asks.
    pub fn task(self) -> Task {
        match self.page.tab().get() {
            Tab::Inference => Task::Inference,
            Tab::Training | Tab::MultiNode | Tab::Accuracy => Task::Training,
        }
    }

    /// The question of the shown tab, without what belongs to the other kind or means nothing to its engine.
    pub fn asked(self) -> Request {
        let task = self.task();
        self.page.request().with(|request| api::part(request, task))
    }

    /// The inference engine that is chosen, where what is typed names one.
    pub fn server(self) -> Option<ServerId> {
        self.choice(InputId::ServerType).and_then(ServerId::from_key)
    }

    /// What is typed for an input.
    pub fn typed(self, id: InputId) -> Memo<Option<Value>> {
        Memo::new(move |_| self.page.request().with(|request| request.get(id).cloned()))
    }

    /// Types a value, or leaves the input open.
    pub fn set(self, id: InputId, value: Option<Value>) {
        let same = self
            .page
            .request()
            .with_untracked(|request| request.get(id) == value.as_ref());
        if !same {
            self.page
                .request()
                .update(|request| request.set(id, value.unwrap_or(Value::Null)));
        }
    }

    /// Leaves an input open again.
    pub fn put_back(self, id: InputId) {
        self.set(id, None);
    }

    /// Sets several inputs by their keys at once.
    pub fn apply(self, values: &Map<String, Value>) {
        self.page.request().update(|request| {
            for (key, value) in values {
                if let Some(input) = Input::by_key(key) {
                    request.set(input.id, value.clone());
                }
            }
        });
    }

    /// The engine that is chosen, where what is typed names one.
    pub fn engine(self) -> Option<EngineId> {
        self.choice(InputId::EngineType).and_then(EngineId::from_key)
    }

    /// The value of a choice that holds, where what is typed names one.
    pub fn choice(self, id: InputId) -> Option<&'static str> {
        self.page.request().with(|request| api::chosen(request, id))
    }

    /// What is wrong with an input, or must be known about it, at present.
    pub fn issues(self, id: InputId) -> Vec<Issue> {
        let input = id.input();
        let inside = |path: &str| {
            path.strip_prefix(input.key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.issues_where(|issue| inside(&issue.path) || input.aliases.contains(&issue.path.as_str()))
    }

    /// What is wrong with, or must be known about, a place of the question.
    pub fn issues_where(self, about: impl Fn(&Issue) -> bool) -> Vec<Issue> {
        let chosen = |issues: &[Issue]| issues.iter().filter(|issue| about(issue)).cloned().collect();
        match self.task() {
            Task::Training | Task::Plan => self.current.with(|current| match current {
                Ok(answer) => chosen(&answer.warnings),
                Err(issues) => chosen(issues),
            }),
            Task::Inference => self.serving.with(|current| match current {
                Ok(answer) => chosen(&answer.warnings),
                Err(issues) => chosen(issues),
            }),
        }
    }

    /// Whether anything is typed for an input.
    pub fn is_set(self, id: InputId) -> bool {
        self.page.request().with(|request| request.has(id))
    }

    /// The value that the model's source gives to an input, as a person would type it.
    pub fn given(self, id: InputId) -> Memo<Option<String>> {
        let key = id.key();
        Memo::new(move |_| {
            let typed = self.is_set(id);
            self.model.with(|model| {
                let fields = &model.as_deref()?.summary.fields;
                let field = fields.iter().find(|field| field.path == key)?;
                let value = field
                    .source_value
                    .as_ref()
                    .or((!field.edited && !typed).then_some(&field.value))?;
                (!value.is_null()).then(|| plain(value))
            })
        })
    }

    /// The value that holds for an input that was left open.
    pub fn resolved(self, id: InputId) -> Option<String> {
        let key = id.key();
        if id == InputId::NumParameters {
            let total = |report: &Arc<ModelReport>| report.summary.total_parameters.get();
            return self
                .model
                .with(|model| model.as_ref().map(|report| parameters(total(report))));
        }
        let told = |capacity: &Capacity, assumed: &[Assumed]| {
            if id == InputId::GpuMemoryGb {
                return Some(gib_number(capacity.visible.expected_bytes));
            }
            let assumed = assumed.iter().find(|assumed| assumed.path == key)?;
            (!assumed.value.is_null()).then(|| plain(&assumed.value))
        };
        match self.task() {
            Task::Training | Task::Plan => self.answer.with(|answer| {
                let answer = answer.as_deref()?;
                told(&answer.capacity, &answer.assumed)
            }),
            Task::Inference => self.served.with(|answer| {
                let answer = answer.as_deref()?;
                told(&answer.capacity, &answer.assumed)
            }),
        }
    }

    /// Whether an architecture field is typed over what the model's source says.
    pub fn changed(self, id: InputId) -> Memo<bool> {
        let given = self.given(id);
        Memo::new(move |_| {
            let typed = self.page.request().with(|request| request.get(id).map(plain));
            from_model(id.input())
                && typed.is_some_and(|typed| {
                    given.with(|given| given.as_ref().is_some_and(|given| *given != typed))
                })
        })
    }

    /// Whether the value of an input is the one that the last import gave it.
    pub fn brought(self, id: InputId) -> Memo<bool> {
        Memo::new(move |_| {
            self.dialogs.brought.with(|brought| {
                !brought.is_empty()
                    && self
                        .page
                        .request()
                        .with(|request| brought_line(request, id).is_some_and(|line| brought.contains(&line)))
            })
        })
    }

    /// The question as it stands.
    pub fn page_request(self) -> Request {
        self.page.request().get_untracked()
    }

    /// Replaces the whole question.
    pub fn replace(self, request: Request) {
        self.page.request().set(request);
        self.page.notes().set(Vec::new());
    }
}

/// An input with its value, as the fields that an import changed are noted.
pub fn brought_line(request: &Request, id: InputId) -> Option<String> {
    let value = request.get(id)?;
    Some(format!("\n{}={value}\n", id.input().key))
}

/// What is typed, as JSON: nothing for an empty field, a number where the text is exactly one, else the text.
pub fn value_of(input: &Input, text: &str) -> Option<Value> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return None;
    }
    let number = match input.kind {
        InputKind::Integer { .. } | InputKind::Count { .. } => trimmed.parse::<u64>().ok().map(Value::from),
        InputKind::Number { .. } => Decimal::parse(trimmed)
            .map(|number| number.to_f64())
            .filter(|number| number.is_finite())
            .map(Value::from),
        _ => None,
    };
    Some(
        number
            .filter(|number| plain(number) == text)
            .unwrap_or_else(|| Value::from(text)),
    )
}
