//! A config.json by the id of its model, straight from the public hub into this browser. Off until it is switched on, and never
//! remembered.

use js_sys::futures::JsFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::{ReferrerPolicy, RequestCredentials, RequestInit, Response};

use super::super::dialogs::Dialogs;

/// The hub; a file of a model lies at `/{id}/resolve/main/{file}` (Hugging Face Hub documentation, "Downloading models").
const HUB: &str = "https://huggingface.co";

/// The section.
pub fn hub(dialogs: Dialogs) -> AnyView {
    let allowed = RwSignal::new(false);
    let id = RwSignal::new(String::new());
    let said = RwSignal::new(String::new());
    let fetch = move || {
        let wanted = id.get_untracked().trim().to_owned();
        if !allowed.get_untracked() || !is_id(&wanted) {
            said.set("Type the id as the hub writes it: organisation/model.".to_owned());
            return;
        }
        said.set("Asking the hub …".to_owned());
        spawn_local(async move {
            match config(&wanted).await {
                Ok(text) => {
                    said.set(String::new());
                    dialogs.text.set(text);
                }
                Err(words) => said.set(words.to_owned()),
            }
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
                    <button type="button" class="button" id="hub-fetch" disabled=move || !allowed.get() on:click=move |_| fetch()>
                        "Fetch"
                    </button>
                </div>
                <p class="soft" role="status">{move || said.get()}</p>
            </div>
        </details>
    }
    .into_any()
}

/// Whether a text is an id of the hub: two names of letters, digits, dots, hyphens and underscores.
fn is_id(text: &str) -> bool {
    let is_name = |name: &str| {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
        !name.is_empty() && name.chars().all(plain) && name.chars().any(|letter| letter != '.')
    };
    text.split_once('/')
        .is_some_and(|(owner, name)| is_name(owner) && is_name(name))
}

async fn config(id: &str) -> Result<String, &'static str> {
    const NOT_REACHED: &str = "The hub was not reached. Is this browser online?";
    let options = RequestInit::new();
    options.set_credentials(RequestCredentials::Omit);
    options.set_referrer_policy(ReferrerPolicy::NoReferrer);
    let address = format!("{HUB}/{id}/resolve/main/config.json");
    let asked = JsFuture::from(window().fetch_with_str_and_init(&address, &options));
    let answer = asked.await.map_err(|_| NOT_REACHED)?;
    let answer: Response = answer.dyn_into().map_err(|_| NOT_REACHED)?;
    match answer.status() {
        200 => {}
        401 | 403 => {
            return Err(
                "The hub wants a login for this model: download its config.json there, and drop it here.",
            );
        }
        404 => return Err("The hub has no such model, or the model has no config.json."),
        _ => return Err("The hub does not answer as expected. Try again later, or drop the file here."),
    }
    let text = answer.text().map_err(|_| NOT_REACHED)?;
    let text = JsFuture::from(text).await.map_err(|_| NOT_REACHED)?;
    text.as_string().ok_or(NOT_REACHED)
}
