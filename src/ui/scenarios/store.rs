//! The collection of scenarios: kept in the browser's storage where it allows that, else for this visit, and said so.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::dom::{self, NotKept};
use crate::api::Request;

const KEY: &str = "gpu-mem-calc.scenarios";

/// The form of the file; another number is read by a later version.
const VERSION: u32 = 1;

/// A saved question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Its name; no two are the same.
    pub name: String,
    /// Key of the tab in which it was asked.
    pub tab: String,
    /// The question.
    pub request: Value,
    /// Whether it stands side by side with the question on screen.
    #[serde(default)]
    pub pinned: bool,
}

impl Scenario {
    /// The question; empty where a file was written by hand and holds none.
    pub fn request(&self) -> Request {
        Request::from_json(&self.request).unwrap_or_default()
    }
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Collection {
    version: u32,
    scenarios: Vec<Scenario>,
}

/// The scenarios of a file; nothing where it is another one.
pub fn read(text: &str) -> Option<Vec<Scenario>> {
    let collection: Collection = serde_json::from_str(text).ok()?;
    (collection.version == VERSION).then_some(collection.scenarios)
}

/// The collection. A handle: copies refer to the same one.
#[derive(Clone, Copy)]
pub struct Store {
    /// The scenarios, the latest first.
    pub list: RwSignal<Vec<Scenario>>,
    /// Why they are not kept.
    pub problem: RwSignal<Option<&'static str>>,
    kept: RwSignal<String>,
    /// What the browser's storage held when it was last read or written from here.
    seen: StoredValue<Option<String>>,
}

impl Store {
    /// As it was left: by this visit, else by the last one.
    pub fn open(kept: RwSignal<String>) -> Self {
        let stored = dom::stored(KEY);
        let text = Some(kept.get_untracked())
            .filter(|text| !text.is_empty())
            .or_else(|| stored.clone());
        let read = text.as_deref().map(read);
        let problem = matches!(read, Some(None)).then_some(
            "What this browser keeps cannot be read by this version. It stays as it is until you save a scenario.",
        );
        Self {
            list: RwSignal::new(read.flatten().unwrap_or_default()),
            problem: RwSignal::new(problem),
            kept,
            seen: StoredValue::new(stored),
        }
    }

    /// The file.
    pub fn text(self) -> String {
        let collection = Collection {
            version: VERSION,
            scenarios: self.list.get_untracked(),
        };
        serde_json::to_string_pretty(&collection).unwrap_or_default()
    }

    fn change(self, change: impl FnOnce(&mut Vec<Scenario>)) {
        // Another tab may have changed the collection since: what is kept is changed, so that nothing of either is lost.
        let stored = dom::stored(KEY);
        if self.seen.with_value(|seen| *seen != stored)
            && let Some(others) = stored.as_deref().and_then(read)
        {
            self.list.set(others);
        }
        self.list.update(change);
        let text = self.text();
        self.problem.set(match dom::keep(KEY, &text) {
            Ok(()) => {
                self.seen.set_value(Some(text.clone()));
                None
            }
            Err(NotKept::Forbidden) => Some(
                "This browser keeps nothing for this page: the scenarios are gone when the page is closed. Save them as a file to keep them.",
            ),
            Err(NotKept::Full) => Some(
                "The storage of this browser is full or closed: the last change is gone when the page is closed. Delete some scenarios, or save them as a file.",
            ),
        });
        self.kept.set(text);
    }

    /// Saves one; tells whether one of its name was replaced.
    pub fn put(self, scenario: Scenario) -> bool {
        let mut replaced = false;
        self.change(
            |list| match list.iter_mut().find(|own| own.name == scenario.name) {
                Some(own) => {
                    *own = scenario;
                    replaced = true;
                }
                None => list.insert(0, scenario),
            },
        );
        replaced
    }

    /// Adds those of a file; one of a name that is taken gets a number. Tells what was done.
    pub fn add(self, scenarios: Vec<Scenario>) -> String {
        let (mut added, mut known) = (0u32, 0u32);
        self.change(|list| {
            for mut scenario in scenarios {
                if list
                    .iter()
                    .any(|own| own.name == scenario.name && own.request == scenario.request)
                {
                    known += 1;
                    continue;
                }
                let name = scenario.name.clone();
                let mut number = 2u32;
                while list.iter().any(|own| own.name == scenario.name) {
                    scenario.name = format!("{name} ({number})");
                    number += 1;
                }
                list.push(scenario);
                added += 1;
            }
        });
        match known {
            0 => format!("{added} added."),
            _ => format!("{added} added, {known} were there already."),
        }
    }

    /// Puts one beside the question on screen, or takes it away.
    pub fn pin(self, index: usize, pinned: bool) {
        self.change(|list| {
            if let Some(own) = list.get_mut(index) {
                own.pinned = pinned;
            }
        });
    }

    /// Gives one another name, unless it is empty or taken.
    pub fn rename(self, index: usize, old: &str, name: &str) {
        let free = !name.is_empty()
            && self
                .list
                .with_untracked(|list| list.iter().all(|own| own.name != name));
        // What was typed goes back to the name that holds.
        self.change(|list| {
            if let Some(own) = list.get_mut(index).filter(|own| free && own.name == old) {
                name.clone_into(&mut own.name);
            }
        });
    }

    /// Takes one away.
    pub fn remove(self, name: &str) {
        self.change(|list| list.retain(|own| own.name != name));
    }
}
