//! The search in a worker: the same module, loaded a second time, searches there and sends messages. What starts it and what runs
//! in it live here.

use serde_json::{Value, json};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{Closure, JsValue, wasm_bindgen};
use web_sys::{
    Blob, BlobPropertyBag, DedicatedWorkerGlobalScope, MessageEvent, Url, Worker, WorkerOptions, WorkerType,
};

use super::super::super::dom;
use super::super::super::part::part;
use crate::api::{self, CheapestSort, Planned, Request, Strictness};

/// Milliseconds between two messages about progress.
const OFTEN: f64 = 50.0;

/// What the part holds: a search for something, and what it sends.
type Searched = fn(Sought, &str, &mut dyn FnMut(&Value));

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
        return match api::cheapest(&request, sort, whole) {
            Ok(answer) => send(&json!({ "cheapest": answer })),
            Err(issues) => send(&json!({ "refused": issues })),
        };
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
    match found {
        Ok(Planned::Training(answer)) => send(&json!({ "answer": answer })),
        Ok(Planned::Serving(answer)) => send(&json!({ "serving": answer })),
        Err(issues) => send(&json!({ "refused": issues })),
    }
}

part!(search holds Searched: searched);

/// Runs in the worker: searches, and sends each message as JSON text.
#[wasm_bindgen(js_name = planInWorker)]
pub async fn plan_in_worker(sought: String, request: String) {
    let scope = js_sys::global().unchecked_into::<DedicatedWorkerGlobalScope>();
    let mut send = |message: &Value| {
        // A worker that is being ended has nobody to tell.
        let _ = scope.post_message(&JsValue::from_str(&message.to_string()));
    };
    match load().await {
        Some(search) => search(Sought::from_word(&sought), &request, &mut send),
        None => send(&json!({ "refused": [{ "message": "The planner could not be loaded." }] })),
    }
}

/// A search in a worker; dropped, it ends.
pub struct Search {
    worker: Worker,
    _heard: Closure<dyn FnMut(MessageEvent)>,
    _failed: Closure<dyn FnMut(JsValue)>,
}

impl Search {
    /// Starts one; nothing where the browser gives no worker.
    pub fn start(
        sought: Sought,
        request: &Request,
        hear: impl Fn(String) + 'static,
        fail: impl Fn() + 'static,
    ) -> Option<Self> {
        let bindings = dom::module()?;
        let request = request.to_json().to_string();
        let script = format!(
            "import init, {{ planInWorker }} from {};\ninit().then(() => planInWorker({}, {}));",
            Value::from(bindings),
            Value::from(sought.word()),
            Value::from(request)
        );
        let pieces = js_sys::Array::of1(&JsValue::from_str(&script));
        let kind = BlobPropertyBag::new();
        kind.set_type("text/javascript");
        let blob = Blob::new_with_str_sequence_and_options(&pieces, &kind).ok()?;
        let address = Url::create_object_url_with_blob(&blob).ok()?;
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(&address, &options).ok()?;
        let heard = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            if let Some(text) = event.data().as_string() {
                hear(text);
            }
        });
        let failed = Closure::<dyn FnMut(JsValue)>::new(move |_| fail());
        worker.set_onmessage(Some(heard.as_ref().unchecked_ref()));
        worker.set_onerror(Some(failed.as_ref().unchecked_ref()));
        Some(Self {
            worker,
            _heard: heard,
            _failed: failed,
        })
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.worker.terminate();
    }
}
