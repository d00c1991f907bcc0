//! A config.json by the id of its model, straight from the public hub into this browser, and the headers of its weights beside it.
//! Off until it is switched on, and never remembered. An access token goes to the hub's own address and nowhere else.

use std::collections::BTreeSet;

use js_sys::Uint8Array;
use js_sys::futures::JsFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::{AbortController, Headers, ReferrerPolicy, RequestCredentials, RequestInit, Response};
use serde_json::{Map, Value};

use super::super::dialogs::Dialogs;
use super::super::format::grouped;
use crate::api::{self, InputId, Request};

/// The hub; a file of a model lies at `/{id}/resolve/main/{file}` (Hugging Face Hub documentation, "Downloading models").
const HUB: &str = "https://huggingface.co";

/// The section.
pub fn hub(dialogs: Dialogs) -> AnyView {
    let allowed = RwSignal::new(false);
    let id = RwSignal::new(String::new());
    let token = RwSignal::new(String::new());
    let said = RwSignal::new(String::new());
    // What stops the requests under way; nothing where none is.
    let stopper = RwSignal::new_local(None::<AbortController>);
    let busy = move || stopper.with(Option::is_some);
    let cancel = move || {
        if let Some(controller) = stopper.get_untracked() {
            controller.abort();
        }
        stopper.set(None);
        said.set("Cancelled. Nothing was taken over.".to_owned());
    };
    let fetch = move || {
        if stopper.with_untracked(Option::is_some) {
            return;
        }
        let wanted = id.get_untracked().trim().to_owned();
        if !allowed.get_untracked() || !is_id(&wanted) {
            said.set("Type the id as the hub writes it: organisation/model.".to_owned());
            return;
        }
        said.set("Asking the hub …".to_owned());
        let Ok(controller) = AbortController::new() else {
            return;
        };
        stopper.set(Some(controller.clone()));
        let stopped = controller.signal();
        let source = Source {
            id: wanted,
            token: Some(token.get_untracked().trim().to_owned()).filter(|token| !token.is_empty()),
            controller,
        };
        spawn_local(async move {
            let found = source.config().await;
            if stopped.aborted() {
                return;
            }
            match found {
                Ok(text) => {
                    dialogs.text.set(text.clone());
                    said.set("Asking for the headers of its weights …".to_owned());
                    let weights = source.weights().await;
                    if stopped.aborted() {
                        return;
                    }
                    said.set(beside(&text, weights.as_deref()));
                }
                Err(words) => said.set(words.to_owned()),
            }
            stopper.set(None);
        });
    };
    view! {
        <details class="hub">
            <summary>"Fetch a config.json by the id of its model"</summary>
            <div class="hub-body">
                <p class="soft" id="hub-privacy">
                    "Off unless you switch it on, and off again with the next visit. Your browser then asks huggingface.co itself: "
                    "the hub sees your network address and the id that you type, and nothing of your question. No cookie is sent."
                </p>
                <label class="check">
                    <input
                        type="checkbox"
                        id="hub-allowed"
                        aria-describedby="hub-privacy"
                        prop:checked=move || allowed.get()
                        on:change=move |event| allowed.set(event_target_checked(&event))
                    />
                    "Let this page ask huggingface.co"
                </label>
                <div class="hub-row">
                    <input
                        class="input"
                        id="hub-id"
                        aria-label="Id of the model on the hub"
                        placeholder="organisation/model"
                        spellcheck="false"
                        autocomplete="off"
                        disabled=move || !allowed.get()
                        prop:value=move || id.get()
                        on:input=move |event| id.set(event_target_value(&event))
                        on:keydown=move |event| {
                            if event.key() == "Enter" {
                                event.prevent_default();
                                fetch();
                            }
                        }
                    />
                    <button
                        type="button"
                        class="button"
                        id="hub-fetch"
                        disabled=move || !allowed.get() || busy()
                        on:click=move |_| fetch()
                    >
                        "Fetch"
                    </button>
                    <button type="button" class="button" id="hub-cancel" disabled=move || !busy() on:click=move |_| cancel()>
                        "Cancel"
                    </button>
                </div>
                <label class="hub-token" for="hub-token">
                    <span class="field-label">"Access token, for models that ask for a login"</span>
                    <input
                        class="input"
                        id="hub-token"
                        type="password"
                        spellcheck="false"
                        autocomplete="off"
                        aria-describedby="hub-token-note"
                        disabled=move || !allowed.get()
                        prop:value=move || token.get()
                        on:input=move |event| token.set(event_target_value(&event))
                    />
                </label>
                <p class="soft" id="hub-token-note">
                    "It is sent to huggingface.co alone, with these requests, and forgotten when this box is closed."
                </p>
                <p class="soft" role="status">{move || said.get()}</p>
            </div>
        </details>
    }
    .into_any()
}

/// Whether a text is an id of the hub: two names of letters, digits, dots, hyphens and underscores.
fn is_id(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(owner, name)| is_name(owner) && is_name(name))
}

/// Whether a text is one name of an address.
fn is_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    !name.is_empty() && name.chars().all(plain) && name.chars().any(|letter| letter != '.')
}

/// A model of the hub, and how it is asked for.
struct Source {
    id: String,
    token: Option<String>,
    controller: AbortController,
}

impl Source {
    /// One request; of a range the first and the last byte.
    async fn ask(&self, file: &str, range: Option<(u64, u64)>) -> Option<Response> {
        let options = RequestInit::new();
        options.set_credentials(RequestCredentials::Omit);
        options.set_referrer_policy(ReferrerPolicy::NoReferrer);
        options.set_signal(Some(&self.controller.signal()));
        let headers = Headers::new().ok()?;
        if let Some((first, last)) = range {
            headers.set("range", &format!("bytes={first}-{last}")).ok()?;
        }
        if let Some(token) = &self.token {
            headers.set("authorization", &format!("Bearer {token}")).ok()?;
        }
        options.set_headers(&headers);
        let address = format!("{HUB}/{}/resolve/main/{file}", self.id);
        let asked = JsFuture::from(window().fetch_with_str_and_init(&address, &options));
        asked.await.ok()?.dyn_into().ok()
    }

    async fn config(&self) -> Result<String, &'static str> {
        const NOT_REACHED: &str = "The hub was not reached. Is this browser online? Paste the config.json instead: that works without a network.";
        let answer = self.ask("config.json", None).await.ok_or(NOT_REACHED)?;
        match answer.status() {
            200 => {}
            401 | 403 if self.token.is_some() => {
                return Err(
                    "The hub does not let this token read the model: ask for access on its page there.",
                );
            }
            401 | 403 => {
                return Err(
                    "The hub wants a login for this model: give an access token, or download its config.json there and drop it here.",
                );
            }
            404 => return Err("The hub has no such model, or the model has no config.json."),
            _ => return Err("The hub does not answer as expected. Try again later, or drop the file here."),
        }
        text_of(&answer).await.ok_or(NOT_REACHED)
    }

    /// The tensors of all files as one header has them; or the index, where it states a count or a header cannot be had.
    async fn weights(&self) -> Option<String> {
        let index = self.ask("model.safetensors.index.json", None).await?;
        if index.status() != 200 {
            return self
                .header("model.safetensors")
                .await
                .map(|tensors| Value::Object(tensors).to_string());
        }
        let text = text_of(&index).await?;
        let read: Value = serde_json::from_str(&text).ok()?;
        let files = read.get("weight_map").and_then(Value::as_object);
        let files: BTreeSet<&str> = files
            .into_iter()
            .flatten()
            .filter_map(|(_, file)| file.as_str())
            .collect();
        if files.is_empty() || read.pointer("/metadata/total_parameters").is_some() {
            return Some(text);
        }
        let mut all = Map::new();
        for file in files {
            if !is_name(file) {
                return Some(text);
            }
            match self.header(file).await {
                Some(tensors) => all.extend(tensors),
                None => return Some(text),
            }
        }
        Some(Value::Object(all).to_string())
    }

    /// The header of one file: its length stands in the first 8 bytes, and no more than that is asked for.
    async fn header(&self, file: &str) -> Option<Map<String, Value>> {
        /// The longest header that the format allows.
        const LONGEST: u64 = 100_000_000;
        let start = self
            .ask(file, Some((0, 7)))
            .await
            .filter(|start| start.status() == 206)?;
        let buffer = JsFuture::from(start.array_buffer().ok()?).await.ok()?;
        let length = u64::from_le_bytes(Uint8Array::new(&buffer).to_vec().try_into().ok()?);
        if !(2..=LONGEST).contains(&length) {
            return None;
        }
        let body = self
            .ask(file, Some((8, length + 7)))
            .await
            .filter(|body| body.status() == 206)?;
        match serde_json::from_str(&text_of(&body).await?).ok()? {
            Value::Object(mut tensors) => {
                tensors.remove("__metadata__");
                Some(tensors)
            }
            _ => None,
        }
    }
}

async fn text_of(answer: &Response) -> Option<String> {
    JsFuture::from(answer.text().ok()?).await.ok()?.as_string()
}

/// What the files hold beside what the configuration makes.
fn beside(config: &str, weights: Option<&str>) -> String {
    let Some(weights) = weights else {
        return "There are no safetensors files whose headers could be read: the count is that of the config.json.".to_owned();
    };
    let import = api::read_text(weights);
    let Some(held) = import.request.get(InputId::NumParameters).and_then(Value::as_u64) else {
        return "The headers of its weights state no count.".to_owned();
    };
    let config: Value = serde_json::from_str(config).unwrap_or_default();
    let made = api::model_report(&Request::new().with(InputId::HfConfig, config), false);
    let made = made.ok().map(|report| report.summary.total_parameters.get());
    let guess = import
        .assumed
        .iter()
        .any(|words| words.starts_with("The index states bytes"));
    let held_words = format!(
        "Its files hold {} parameters{}",
        grouped(held),
        if guess { ", if each has 16 bits" } else { "" }
    );
    match made {
        Some(made) if made == held => format!("{held_words}, as the config.json makes."),
        Some(made) => format!("{held_words}; the config.json makes {}.", grouped(made)),
        None => format!("{held_words}; this architecture is not known, so type that count."),
    }
}
