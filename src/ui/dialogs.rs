//! What opens above the page: the box for anything at hand, the exports, the saved scenarios, each a part of the module of its own;
//! and the line that says what was done. Files and text may be dropped or pasted anywhere.

use std::time::Duration;

use leptos::ev;
use leptos::prelude::*;
use leptos::wasm_bindgen::JsValue;
use leptos::web_sys::{DataTransfer, DragEvent, File};

use super::part::Part;
use super::state::{Form, use_form};
use super::{dom, history};
use super::{exchange, scenarios};

/// How long the line stays that says what was done.
const SAID: Duration = Duration::from_secs(15);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Paste or drop anything.
    Import,
    /// The question as a file of another program.
    Export,
    /// Saved questions, and several side by side.
    Scenarios,
}

impl Shown {
    const ALL: [Self; 3] = [Self::Import, Self::Export, Self::Scenarios];

    const fn key(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Export => "export",
            Self::Scenarios => "scenarios",
        }
    }
}

/// The content of one.
pub type Content = fn(Form) -> AnyView;

/// All of them. A handle: copies refer to the same ones. Texts and switches only: each further type of a signal would add to what
/// the first answer waits for.
#[derive(Clone, Copy)]
pub struct Dialogs {
    /// Key of the one that is open; empty where none is.
    shown: RwSignal<String>,
    /// What was typed or pasted into the box; it stays there when the box is closed.
    pub text: RwSignal<String>,
    /// Whether a file was given that is not read yet.
    pub waits: RwSignal<bool>,
    file: StoredValue<Option<File>, LocalStorage>,
    /// The saved scenarios as text, once they were changed: a browser may keep nothing beyond this visit.
    pub kept: RwSignal<String>,
    /// The fields that the last import changed, with their new values: a line each.
    pub brought: RwSignal<String>,
    /// What was done; empty where nothing is to be said.
    said: RwSignal<String>,
    /// Whether it can be undone from the line that says it.
    undo: RwSignal<bool>,
    dropping: RwSignal<bool>,
    import: Part<Content>,
    export: Part<Content>,
    scenarios: Part<Content>,
}

impl Dialogs {
    /// Nothing open.
    pub fn new() -> Self {
        Self {
            shown: RwSignal::new(String::new()),
            text: RwSignal::new(String::new()),
            waits: RwSignal::new(false),
            file: StoredValue::new_local(None),
            kept: RwSignal::new(String::new()),
            brought: RwSignal::new(String::new()),
            said: RwSignal::new(String::new()),
            undo: RwSignal::new(false),
            dropping: RwSignal::new(false),
            import: Part::new(exchange::load_import),
            export: Part::new(exchange::load_export),
            scenarios: Part::new(scenarios::load),
        }
    }

    const fn part(self, shown: Shown) -> Part<Content> {
        match shown {
            Shown::Import => self.import,
            Shown::Export => self.export,
            Shown::Scenarios => self.scenarios,
        }
    }

    /// Opens one.
    pub fn open(self, shown: Shown) {
        self.shown.set(shown.key().to_owned());
    }

    /// Closes what is open.
    pub fn close(self) {
        self.shown.set(String::new());
    }

    /// Whether one is open.
    pub fn busy(self) -> bool {
        self.shown.with_untracked(|shown| !shown.is_empty())
    }

    fn shows(self) -> Option<Shown> {
        self.shown
            .with(|shown| Shown::ALL.into_iter().find(|one| one.key() == shown))
    }

    /// Opens the box with a file.
    fn give(self, file: File) {
        self.file.set_value(Some(file));
        self.waits.set(true);
        self.open(Shown::Import);
    }

    /// The file that was given, once.
    pub fn given(self) -> Option<File> {
        self.file.try_update_value(Option::take).flatten()
    }

    /// Says what was done; with `undo` a button takes it back.
    pub fn say(self, words: impl Into<String>, undo: bool) {
        let words: String = words.into();
        self.undo.set(undo);
        self.said.set(words.clone());
        let later = move || {
            if self.said.with_untracked(|said| *said == words) {
                self.said.set(String::new());
            }
        };
        set_timeout(later, SAID);
    }

    /// Takes the file, or else the text, that a drop or the clipboard brings.
    fn take(self, data: Option<DataTransfer>) -> bool {
        let Some(data) = data else { return false };
        if let Some(file) = data.files().and_then(|files| files.get(0)) {
            self.give(file);
            return true;
        }
        let text = data.get_data("text/plain").unwrap_or_default();
        if text.trim().is_empty() {
            return false;
        }
        self.text.set(text);
        self.open(Shown::Import);
        true
    }
}

/// Whether files are dragged, and not a text that a field may take.
fn brings_files(event: &DragEvent) -> bool {
    event
        .data_transfer()
        .is_some_and(|data| data.types().includes(&JsValue::from_str("Files"), 0))
}

/// What is open above the page, the place to drop files, and the line that says what was done.
#[component]
pub fn Above() -> impl IntoView {
    let form = use_form();
    let dialogs = form.dialogs;
    // In a document of others, what is dropped or pasted outside the calculator is not meant for it.
    if !dom::embedded() {
        listen(dialogs);
    }
    let element = NodeRef::<leptos::html::Dialog>::new();
    Effect::new(move |_| {
        let Some(element) = element.get() else { return };
        match (dialogs.shows().is_some(), element.open()) {
            // Only an element that is not in the document cannot be shown.
            (true, false) => drop(element.show_modal()),
            (false, true) => element.close(),
            _ => {}
        }
    });
    let content = move || {
        let shown = dialogs.shows()?;
        Some(dialogs.part(shown).view(move |content| content(form)))
    };
    view! {
        <dialog
            class="dialog"
            class:dialog-wide=move || dialogs.shows() != Some(Shown::Import)
            node_ref=element
            aria-labelledby="dialog-title"
            on:close=move |_| dialogs.close()
        >
            <button type="button" class="button button-quiet dialog-close" aria-label="Close" on:click=move |_| dialogs.close()>
                <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
                    <path d="M6 6l12 12M18 6L6 18" stroke="currentColor" stroke-width="2" stroke-linecap="round" />
                </svg>
            </button>
            {content}
        </dialog>
        <div class="drop-offer" hidden=move || !dialogs.dropping.get() aria-hidden="true">
            <p>"Drop it anywhere: it is read in this browser."</p>
        </div>
        {notice(form)}
    }
    .into_any()
}

fn listen(dialogs: Dialogs) {
    let offer = move |event: DragEvent| {
        if brings_files(&event) {
            event.prevent_default();
            dialogs.dropping.set(true);
        }
    };
    let leave = move |event: DragEvent| {
        if event.related_target().is_none() {
            dialogs.dropping.set(false);
        }
    };
    let take = move |event: DragEvent| {
        dialogs.dropping.set(false);
        if brings_files(&event) {
            event.prevent_default();
            dialogs.take(event.data_transfer());
        }
    };
    let listeners = [
        window_event_listener(ev::dragover, offer),
        window_event_listener(ev::dragleave, leave),
        window_event_listener(ev::drop, take),
        window_event_listener(ev::paste, move |event| {
            let busy = dialogs.busy() || history::writes(&event);
            if !busy && dialogs.take(event.clipboard_data()) {
                event.prevent_default();
            }
        }),
    ];
    on_cleanup(move || {
        for listener in listeners {
            listener.remove();
        }
    });
}

/// The line that says what was done.
fn notice(form: Form) -> AnyView {
    let dialogs = form.dialogs;
    let content = move || {
        let said = dialogs.said.get();
        (!said.is_empty()).then(|| {
            let undo = dialogs.undo.get().then(|| {
                view! {
                    <button type="button" class="button button-small" on:click=move |_| history::walk(form, true)>
                        "Undo"
                    </button>
                }
            });
            view! { <div class="notice"><span>{said}</span> {undo}</div> }
        })
    };
    view! { <div class="notice-frame" role="status">{content}</div> }.into_any()
}
