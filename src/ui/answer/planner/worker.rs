//! The search in a worker: the same module, loaded a second time, searches there and sends messages. Where there is no worker, as
//! in the page of one file, it searches in slices between which the page goes on. What starts it and what runs in it live here.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use leptos::task::spawn_local;
use serde_json::{Value, json};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{Closure, JsValue, wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, BlobPropertyBag, DedicatedWorkerGlobalScope, MessageEvent, Url, Worker, WorkerOptions, WorkerType,
};

use super::super::super::dom;
use super::super::super::model::load_families;
use super::super::super::part::part;
use crate::api::{self, Cheapest, CheapestSort, Issue, PlanProgress, Planned, Request, Strictness};

/// Milliseconds between two messages about progress.
const OFTEN: f64 = 50.0;
/// Milliseconds of a slice where there is no worker.
const SLICE: f64 = 12.0;

/// What the part holds.
#[derive(Clone, Copy)]
pub struct Searched {
    /// A search for something at once, and what it sends: in the worker.
    pub whole: Whole,
    /// The same in slices between which the page goes on, until it is stopped: where there is no worker.
    pub slices: fn(Sought, Request, Heard, Rc<Cell<bool>>),
}

/// A search at once.
pub type Whole = fn(Sought, &str, &mut dyn FnMut(&Value));

/// Who hears what a search sends, as JSON text.
pub type Heard = Rc<dyn Fn(String)>;

/// What is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// Plans of training or of serving.
    Plans,
    /// The cheapest GPU, by its order; of whole nodes.
    Cheapest(CheapestSort, bool),
}

impl Sought {
    /// The word by which the worker is told.
    fn word(self) -> String {
        match self {
            Self::Plans => "plans".to_owned(),
            Self::Cheapest(sort, whole) => format!("{}{}", sort.key(), if whole { " nodes" } else { "" }),
        }
    }

    fn from_word(word: &str) -> Self {
        let (key, whole) = match word.strip_suffix(" nodes") {
            Some(key) => (key, true),
            None => (word, false),
        };
        CheapestSort::from_key(key).map_or(Self::Plans, |sort| Self::Cheapest(sort, whole))
    }
}

fn searched(sought: Sought, request: &str, send: &mut dyn FnMut(&Value)) {
    let request = match Request::from_text(request) {
        Ok(request) => request,
        Err(issue) => return send(&json!({ "refused": [issue] })),
    };
    if let Sought::Cheapest(sort, whole) = sought {
        return send(&ended(api::cheapest(&request, sort, whole), cheapest));
    }
    let mut last = f64::NEG_INFINITY;
    let found = api::planned_with(&request, Strictness::default(), &mut |progress| {
        let now = js_sys::Date::now();
        // The first is told at once.
        if now - last >= OFTEN {
            last = now;
            send(&json!({ "progress": progress }));
        }
        true
    });
    send(&ended(found, plans));
}

/// The last message of a search.
fn ended<A>(found: Result<A, Vec<Issue>>, answer: fn(A) -> Value) -> Value {
    found.map_or_else(|issues| json!({ "refused": issues }), answer)
}

fn cheapest(answer: Cheapest) -> Value {
    json!({ "cheapest": answer })
}

fn plans(found: Planned) -> Value {
    match found {
        Planned::Training(answer) => json!({ "answer": answer }),
        Planned::Serving(answer) => json!({ "serving": answer }),
    }
}

fn sliced(sought: Sought, request: Request, hear: Heard, stopped: Rc<Cell<bool>>) {
    spawn_local(async move {
        let send = |message: Value| {
            if !stopped.get() {
                hear(message.to_string());
            }
        };
        let began = Rc::new(Cell::new(js_sys::Date::now()));
        let mut pause = move || -> Pin<Box<dyn Future<Output = ()>>> {
            if js_sys::Date::now() - began.get() < SLICE {
                return Box::pin(std::future::ready(()));
            }
            let began = began.clone();
            Box::pin(async move {
                breath().await;
                began.set(js_sys::Date::now());
            })
        };
        if let Sought::Cheapest(sort, whole) = sought {
            let found = api::cheapest_slowly(&request, (sort, whole), &|| !stopped.get(), &mut pause).await;
            return send(ended(found, cheapest));
        }
        let mut last = f64::NEG_INFINITY;
        let mut told = |progress: &PlanProgress| {
            let now = js_sys::Date::now();
            if now - last >= OFTEN {
                last = now;
                send(json!({ "progress": progress }));
            }
            !stopped.get()
        };
        let found = api::planned_slowly(&request, Strictness::default(), &mut told, &mut pause).await;
        send(ended(found, plans));
    });
}

/// Lets the page do what waits.
async fn breath() {
    let waits = js_sys::Promise::new(&mut |done, _| {
        // Without a window there is nothing that could wait.
        let _ = web_sys::window().map(|window| window.set_timeout_with_callback(&done));
    });
    let _ = JsFuture::from(waits).await;
}

part!(search holds Searched: Searched { whole: searched, slices: sliced });

/// Runs in the worker before it is asked for anything, so that the search need not wait for its code.
#[wasm_bindgen(js_name = loadPlanner)]
pub async fn load_planner() {
    // What cannot be loaded is told when something is sought.
    let _ = load().await;
}

/// Runs in the worker: searches, and sends each message as JSON text.
#[wasm_bindgen(js_name = planInWorker)]
pub async fn plan_in_worker(sought: String, request: String) {
    let scope = js_sys::global().unchecked_into::<DedicatedWorkerGlobalScope>();
    let mut send = |message: &Value| {
        // A worker that is being ended has nobody to tell.
        let _ = scope.post_message(&JsValue::from_str(&message.to_string()));
    };
    // A worker has nothing of what the page has brought; without a part only questions about others are answered.
    let _ = load_families().await;
    match load().await {
        Some(search) => (search.whole)(Sought::from_word(&sought), &request, &mut send),
        None => send(&json!({ "refused": [{ "message": "The planner could not be loaded." }] })),
    }
}

/// A search, in a worker where there is one; dropped, it ends.
pub struct Search {
    worker: Option<Working>,
    stopped: Rc<Cell<bool>>,
}

/// A worker with those who hear it.
struct Working {
    worker: Worker,
    _heard: Closure<dyn FnMut(MessageEvent)>,
    _failed: Closure<dyn FnMut(JsValue)>,
}

impl Search {
    /// Starts one.
    pub fn start(
        sought: Sought,
        request: &Request,
        hear: impl Fn(String) + 'static,
        fail: impl Fn() + 'static,
    ) -> Self {
        let hear: Heard = Rc::new(hear);
        let stopped = Rc::new(Cell::new(false));
        let fail: Rc<dyn Fn()> = Rc::new(fail);
        let worker = Working::start(sought, request, hear.clone(), fail.clone());
        if worker.is_none() {
            let (request, stopped) = (request.clone(), stopped.clone());
            spawn_local(async move {
                match load().await {
                    Some(search) => (search.slices)(sought, request, hear, stopped),
                    None => fail(),
                }
            });
        }
        Self { worker, stopped }
    }
}

impl Working {
    /// Asks the worker that waits, or a new one; nothing where the browser gives none.
    fn start(sought: Sought, request: &Request, hear: Heard, fail: Rc<dyn Fn()>) -> Option<Self> {
        let worker = PREPARED.take().or_else(waiting)?;
        let heard = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            if let Some(text) = event.data().as_string() {
                hear(text);
            }
        });
        let failed = Closure::<dyn FnMut(JsValue)>::new(move |_| fail());
        worker.set_onmessage(Some(heard.as_ref().unchecked_ref()));
        worker.set_onerror(Some(failed.as_ref().unchecked_ref()));
        let asked = js_sys::Array::of2(
            &JsValue::from_str(&sought.word()),
            &JsValue::from_str(&request.to_json().to_string()),
        );
        worker.post_message(&asked).ok()?;
        Some(Self {
            worker,
            _heard: heard,
            _failed: failed,
        })
    }
}

thread_local! {
    /// A worker that has loaded the module and was not asked for anything yet.
    static PREPARED: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// Has a worker load the module, so that the first plans come at once when they are asked for.
pub fn prepare() {
    PREPARED.with_borrow_mut(|prepared| {
        if prepared.is_none() {
            *prepared = waiting();
        }
    });
}

/// Ends a worker that was prepared and not needed.
pub fn dismiss() {
    if let Some(worker) = PREPARED.take() {
        worker.terminate();
    }
}

/// A worker that loads the module and waits to be asked; nothing where the browser gives none.
fn waiting() -> Option<Worker> {
    let bindings = dom::module()?;
    let script = format!(
        "import init, {{ loadPlanner, planInWorker }} from {};\nconst loaded = init().then(loadPlanner);\nonmessage = ({{ data }}) => loaded.then(() => planInWorker(...data));",
        Value::from(bindings),
    );
    let pieces = js_sys::Array::of1(&JsValue::from_str(&script));
    let kind = BlobPropertyBag::new();
    kind.set_type("text/javascript");
    let blob = Blob::new_with_str_sequence_and_options(&pieces, &kind).ok()?;
    let address = Url::create_object_url_with_blob(&blob).ok()?;
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    Worker::new_with_options(&address, &options).ok()
}

impl Drop for Search {
    fn drop(&mut self) {
        self.stopped.set(true);
        if let Some(working) = &self.worker {
            working.worker.terminate();
        }
    }
}
