//! The measured runs as the accuracy tab lists them: fetched once, predicted in this browser in slices between which the page
//! stays usable. What is shown of them is in `records`.

use std::rc::Rc;
use std::time::Duration;

use js_sys::futures::JsFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::Response;

use super::super::dom;
use crate::accuracy::record::{Record, read};
use crate::accuracy::{Case, cases};

/// The file of the site that holds all records.
const FILE: &str = "records.jsonl";
/// Records that are predicted before the page gets its turn.
const SLICE: usize = 20;
/// Slices after which the list is shown anew.
const SHOWN_EVERY: usize = 25;

/// How far the list is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Progress {
    /// Nothing was asked for.
    #[default]
    Idle,
    /// The file is on its way.
    Fetching,
    /// So many records of so many were asked.
    Predicting(usize, usize),
    /// All records were asked; so many were not predicted.
    Done(usize),
    /// The file could not be had or read.
    Failed,
}

/// The list. A handle: copies refer to the same list.
#[derive(Clone, Copy)]
pub struct Runs {
    /// The predicted quantities so far.
    pub cases: RwSignal<Vec<Case>>,
    /// How far it is.
    pub progress: RwSignal<Progress>,
}

impl Runs {
    /// Nothing listed yet.
    pub fn new() -> Self {
        Self {
            cases: RwSignal::new(Vec::new()),
            progress: RwSignal::new(Progress::Idle),
        }
    }

    /// Fetches and predicts, unless that was done or is being done.
    pub fn start(self) {
        if !matches!(self.progress.get_untracked(), Progress::Idle | Progress::Failed) {
            return;
        }
        self.progress.set(Progress::Fetching);
        spawn_local(async move {
            match fetched().await.and_then(|text| read(&text).ok()) {
                Some(records) => self.slice(Work::new(records)),
                None => self.progress.set(Progress::Failed),
            }
        });
    }

    /// Predicts one slice and leaves the next to a later turn.
    fn slice(self, mut work: Work) {
        let until = (work.at + SLICE).min(work.records.len());
        for record in work.records.get(work.at..until).unwrap_or_default() {
            match cases(record) {
                Ok(found) => work.found.extend(found),
                Err(_) => work.left_out += 1,
            }
        }
        work.at = until;
        work.slices += 1;
        let done = until == work.records.len();
        if done || work.slices.is_multiple_of(SHOWN_EVERY) {
            let found = std::mem::take(&mut work.found);
            self.cases.update(|cases| cases.extend(found));
        }
        if done {
            self.progress.set(Progress::Done(work.left_out));
        } else {
            self.progress.set(Progress::Predicting(until, work.records.len()));
            set_timeout(move || self.slice(work), Duration::ZERO);
        }
    }
}

/// What is still to be done.
struct Work {
    records: Rc<[Record]>,
    at: usize,
    slices: usize,
    left_out: usize,
    found: Vec<Case>,
}

impl Work {
    fn new(records: Vec<Record>) -> Self {
        Self {
            records: records.into(),
            at: 0,
            slices: 0,
            left_out: 0,
            found: Vec::new(),
        }
    }
}

/// The text of the file; nothing where it could not be had.
async fn fetched() -> Option<String> {
    let answer = JsFuture::from(window().fetch_with_str(&dom::file(FILE)))
        .await
        .ok()?;
    let answer: Response = answer.dyn_into().ok()?;
    if !answer.ok() {
        return None;
    }
    JsFuture::from(answer.text().ok()?).await.ok()?.as_string()
}
