//! The language of the page: that of the reader's browser until the reader chooses, which is kept in local storage. The page is
//! written in English; `words` says what it shows in the other language, from one table of messages.

mod observer;
mod words;

use leptos::prelude::*;
use leptos::web_sys::HtmlElement;

use super::dom;
use super::part::Part;
use super::state::use_form;

pub use words::{Words, load};

const KEY: &str = "gpu-mem-calc.language";

/// A language in which the page can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Simplified Chinese.
    Chinese,
}

impl Language {
    /// Its tag of BCP 47.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-Hans",
        }
    }

    /// The language that a tag asks for: `zh-CN` is read in Simplified Chinese, and so is `zh-TW` rather than in English.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let language = tag.split(['-', '_']).next().unwrap_or_default();
        match language.to_ascii_lowercase().as_str() {
            "en" => Some(Self::English),
            "zh" => Some(Self::Chinese),
            _ => None,
        }
    }

    /// The language of the page when it opens: the one chosen before, or the first of the browser's that is known.
    pub fn first() -> Self {
        let of_browser = || {
            let languages = window().navigator().languages();
            languages
                .iter()
                .filter_map(|tag| Self::from_tag(&tag.as_string()?))
                .next()
        };
        dom::stored(KEY)
            .and_then(|tag| Self::from_tag(&tag))
            .or_else(of_browser)
            .unwrap_or(Self::English)
    }

    const fn other(self) -> Self {
        match self {
            Self::English => Self::Chinese,
            Self::Chinese => Self::English,
        }
    }

    /// What it calls itself.
    const fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Chinese => "中文",
        }
    }
}

/// The language of one page and what says its texts. A handle: copies refer to the same page.
#[derive(Clone, Copy)]
pub struct Tongue {
    /// The language that is shown.
    pub language: RwSignal<Language>,
    words: Part<Words>,
}

impl Tongue {
    /// That of a page which opens in this language.
    pub fn new(language: Language) -> Self {
        Self {
            language: RwSignal::new(language),
            words: Part::new(load),
        }
    }

    /// A text in the language that is shown; as it is where there is no other.
    pub fn say(self, text: String) -> String {
        match (self.language.get(), self.words.get()) {
            (Language::Chinese, Some(words)) => (words.say)(&text).unwrap_or(text),
            _ => text,
        }
    }

    /// From now on what stands in `root` is shown in the language, whatever it becomes.
    pub fn keep(self, root: HtmlElement) {
        let shown = StoredValue::new_local(root);
        Effect::new(move |_| {
            let language = self.language.get();
            if language == Language::Chinese {
                self.words.load();
            }
            let words = self.words.get();
            shown.with_value(|root| {
                let _ = root.set_attribute("lang", language.tag());
                match (words, language) {
                    (Some(words), Language::Chinese) => (words.show)(root),
                    (Some(words), Language::English) => (words.undo)(root),
                    (None, _) => {}
                }
            });
            if !dom::embedded() {
                dom::set_root_attribute("lang", Some(language.tag()));
            }
        });
        on_cleanup(move || {
            if let Some(words) = self.words.get_untracked() {
                shown.with_value(|root| (words.undo)(root));
            }
        });
    }
}

/// The address of a page of the reader's documentation, which lies beside the page, in the language that is shown.
pub fn documentation(page: &'static str) -> impl Fn() -> String + Copy + Send + 'static {
    let language = use_form().tongue.language;
    move || {
        let folder = match language.get() {
            Language::English => "docs",
            Language::Chinese => "docs/zh",
        };
        dom::file(&format!("{folder}/{page}.html"))
    }
}

/// Switches to the other language, whose own name it shows.
#[component]
pub fn LanguageButton() -> impl IntoView {
    let language = use_form().tongue.language;
    let other = move || language.get().other();
    let choose = move |_| {
        let chosen = language.get_untracked().other();
        dom::store(KEY, Some(chosen.tag()));
        language.set(chosen);
    };
    view! {
        <button
            type="button" class="button button-quiet" id="language" translate="no" lang=move || other().tag()
            on:click=choose
        >
            {move || other().own_name()}
        </button>
    }
    .into_any()
}
