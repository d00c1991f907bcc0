//! A part of the module: what lies in a file of its own, loaded when a tab needs it or the page has nothing else to do.
//! Which functions a part holds is said where it is made.

use std::future::Future;
use std::pin::Pin;

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

    /// Loads it when the page has nothing else to do, so that its tab opens at once, also without a network.
    pub fn load_when_idle(self) {
        request_idle_callback(move || self.load());
    }

    /// The view that it gives, and until then a word that it is loading, or that it could not be loaded.
    pub fn view(self, view: impl Fn(T) -> AnyView + Send + Copy + 'static) -> AnyView {
        self.load();
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
