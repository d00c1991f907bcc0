//! A part of the module: what lies in a file of its own, loaded when a tab needs it or the page has nothing else to do.
//! Which functions a part holds is said where it is made.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;

/// What loads a part; nothing where its file could not be had.
pub type Loading<T> = Pin<Box<dyn Future<Output = Option<T>>>>;

/// Defines `load` for the part of this name: what it holds is cut into a file of its own, or is at hand where the module is one
/// file.
macro_rules! part {
    ($name:ident holds $content:ty: $made:expr) => {
        #[cfg(feature = "parts")]
        #[wasm_split_helpers::wasm_split($name, fallible)]
        fn part() -> Result<$content, wasm_split_helpers::SplitLoaderError> {
            Ok($made)
        }

        /// Loads the part.
        pub fn load() -> $crate::ui::part::Loading<$content> {
            #[cfg(feature = "parts")]
            return Box::pin(async { part().await.ok() });
            #[cfg(not(feature = "parts"))]
            return Box::pin(std::future::ready(Some($made as $content)));
        }
    };
}

pub(super) use part;

/// A view that is built in a turn of its own, after what is built now was painted.
pub fn in_turn(view: fn() -> AnyView) -> AnyView {
    let there = RwSignal::new(false);
    // The page may be gone by then.
    let turn = move || {
        let _ = there.try_set(true);
    };
    set_timeout(turn, Duration::ZERO);
    let content = move || there.get().then(view);
    view! { {content} }.into_any()
}

/// What waits until the reader turns to the page; nothing once that has happened.
type Waiting = Option<Vec<Box<dyn FnOnce()>>>;

thread_local! {
    static WAITING: RefCell<Waiting> = const { RefCell::new(Some(Vec::new())) };
}

/// What a reader does first, wherever it is.
const TURNS: [&str; 6] = [
    "pointermove",
    "pointerdown",
    "keydown",
    "wheel",
    "touchstart",
    "scroll",
];
/// How long a page rests before it goes on by itself.
const REST: Duration = Duration::from_secs(4);

/// Does something when the reader has turned to the page, or when it has rested.
fn later(act: impl FnOnce() + 'static) {
    let mut act: Option<Box<dyn FnOnce()>> = Some(Box::new(act));
    WAITING.with_borrow_mut(|waiting| {
        if let Some(waiting) = waiting {
            waiting.extend(act.take());
        }
    });
    if let Some(act) = act {
        act();
    }
}

fn go_on() {
    for act in WAITING.with_borrow_mut(Option::take).into_iter().flatten() {
        act();
    }
}

/// Notices when the reader turns to the page. Where the module is one file, nothing has to wait for that.
pub fn notice() {
    if cfg!(not(feature = "parts")) {
        return go_on();
    }
    for turn in TURNS {
        // The listeners live as long as the document, and find nothing that waits from the second time on.
        let _ = window_event_listener_untyped(turn, |_| go_on());
    }
    set_timeout(go_on, REST);
}

/// A part that holds `T`, its functions. A handle: copies refer to the same part.
pub struct Part<T: Copy + Send + Sync + 'static> {
    content: RwSignal<Option<T>>,
    failed: RwSignal<bool>,
    load: fn() -> Loading<T>,
}

impl<T: Copy + Send + Sync + 'static> Clone for Part<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Copy + Send + Sync + 'static> Copy for Part<T> {}

impl<T: Copy + Send + Sync + 'static> Part<T> {
    /// A part that is not loaded yet.
    pub fn new(load: fn() -> Loading<T>) -> Self {
        Self {
            content: RwSignal::new(None),
            failed: RwSignal::new(false),
            load,
        }
    }

    /// What it holds, once it is loaded.
    pub fn get(self) -> Option<T> {
        self.content.get()
    }

    /// What it holds now, for one who does not wait for it.
    pub fn get_untracked(self) -> Option<T> {
        self.content.get_untracked()
    }

    /// Whether it may still come: it is not there, and loading it has not failed.
    pub fn pending(self) -> bool {
        self.content.with(Option::is_none) && !self.failed.get()
    }

    /// Loads it, unless it is there.
    pub fn load(self) {
        if self.content.with_untracked(Option::is_some) {
            return;
        }
        self.failed.set(false);
        spawn_local(async move {
            match (self.load)().await {
                Some(content) => self.content.set(Some(content)),
                None => self.failed.set(true),
            }
        });
    }

    /// Loads it when the page has nothing else to do.
    pub fn load_when_idle(self) {
        request_idle_callback(move || self.load());
    }

    /// Loads it when the reader turns to the page, or when it has rested: its tab then opens at once, also without a network.
    pub fn load_later(self) {
        later(move || self.load());
    }

    /// As [`Self::view`], for what lies below the first answer and is not to be in its way.
    pub fn view_later(self, view: impl Fn(T) -> AnyView + Send + Copy + 'static) -> AnyView {
        self.load_later();
        self.shown(view)
    }

    /// The view that it gives, and until then a word that it is loading, or that it could not be loaded.
    pub fn view(self, view: impl Fn(T) -> AnyView + Send + Copy + 'static) -> AnyView {
        self.load();
        self.shown(view)
    }

    fn shown(self, view: impl Fn(T) -> AnyView + Send + Copy + 'static) -> AnyView {
        let content = move || self.get().map_or_else(|| self.waiting(), view);
        view! { {content} }.into_any()
    }

    fn waiting(self) -> AnyView {
        let busy = move || (!self.failed.get()).then(|| view! { <p class="soft">"Loading ..."</p> });
        let again = move || {
            self.failed.get().then(|| {
                view! {
                    <p>"This part of the calculator could not be loaded. What you typed is kept."</p>
                    <button type="button" class="button" on:click=move |_| self.load()>"Try again"</button>
                }
            })
        };
        view! { <section class="panel part-waiting" role="status">{busy} {again}</section> }.into_any()
    }
}
