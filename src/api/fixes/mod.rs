//! "What would make it fit": the changes of a question that lower its need, each with its new need, its cost in time and its effect
//! on what comes out, the best first; and where no single one suffices, a few that do together.
//!
//! Every change is tried by the whole calculation of the changed question, so every rule of validity holds for it: what the engine
//! would refuse is never proposed, and what does not help is left out. Which changes are tried is in [`training`] and
//! [`inference`].

mod card;
mod change;
mod inference;
mod training;

use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::range;
use super::inference::calculate_inference;
use super::job::{Strictness, job};
use super::measure::measure;
use crate::request::{Range, Request, Verdict};
use crate::units::Bytes;
use crate::warn::Issue;

pub use change::{Effect, Time};

use change::{Change, moved};

/// A change must lower the need by this share to be worth naming.
const WORTH: f64 = 0.005;

/// Changes that are combined at most.
const MOST_TOGETHER: usize = 8;

/// One change, as it was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Fix {
    /// What is changed, for a person.
    pub title: String,
    /// The inputs to set, by key.
    pub values: Map<String, Value>,
    /// What the verdict judges after it.
    pub need: Range,
    /// By how much the expected need is lower.
    pub saves_bytes: Bytes,
    /// What it is judged against.
    pub usable_bytes: Bytes,
    /// The verdict after it.
    pub verdict: Verdict,
    /// What it does to the results.
    pub effect: Effect,
    /// What it costs in time.
    pub time: Time,
    /// Both in words.
    pub words: &'static str,
}

/// What would make a question fit, or fit with more room.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Fixes {
    /// The verdict on the question as it stands.
    pub verdict: Verdict,
    /// What the verdict judges.
    pub need: Range,
    /// What it is judged against.
    pub usable_bytes: Bytes,
    /// Single changes that lower the need, the best first: those that make it fit, then by effect, time and need.
    pub single: Vec<Fix>,
    /// Changes that make it fit on the same hardware, one after the other, each with the need after it and those before it; empty where a single one
    /// does without touching results, where it fits, or where nothing helps.
    pub together: Vec<Fix>,
}

/// What one question comes to.
#[derive(Clone, Copy)]
struct Tried {
    need: Range,
    usable: Bytes,
    verdict: Verdict,
}

/// How a question of a kind comes to its need.
type Try = fn(&Request) -> Result<Tried, Vec<Issue>>;

/// The changes that lower the need of a training question.
pub fn training_fixes(request: &Request) -> Result<Fixes, Vec<Issue>> {
    find(request, tried_training, training::changes)
}

/// The changes that lower the need of an inference question.
pub fn inference_fixes(request: &Request) -> Result<Fixes, Vec<Issue>> {
    find(request, tried_inference, inference::changes)
}

fn find(
    request: &Request,
    tried: Try,
    changes: fn(&Request) -> Result<Vec<Change>, Vec<Issue>>,
) -> Result<Fixes, Vec<Issue>> {
    let start = tried(request)?;
    let changes = changes(request)?;
    let mut single: Vec<(Fix, usize)> = changes
        .iter()
        .enumerate()
        .filter_map(|(at, change)| Some((fix(request, tried, start, change)?, at)))
        .collect();
    single.sort_by_key(|(fix, _)| order(fix));
    let sure = single
        .iter()
        .any(|(fix, _)| fix.verdict == Verdict::Fits && fix.effect == Effect::None);
    let together = match start.verdict {
        Verdict::Fits => Vec::new(),
        _ if sure => Vec::new(),
        _ => {
            // On the hardware as it is: a larger card alone is among the single ones.
            let useful: Vec<&Change> = single
                .iter()
                .filter(|(fix, _)| fix.effect != Effect::Hardware)
                .filter_map(|(_, at)| changes.get(*at))
                .collect();
            together(request, tried, start, &useful)
        }
    };
    Ok(Fixes {
        verdict: start.verdict,
        need: start.need,
        usable_bytes: start.usable,
        single: single.into_iter().map(|(fix, _)| fix).collect(),
        together,
    })
}

impl Fix {
    fn of(change: &Change, before: Tried, after: Tried) -> Self {
        Self {
            title: change.title.clone(),
            values: change.values(),
            need: after.need,
            saves_bytes: before
                .need
                .expected_bytes
                .saturating_sub(after.need.expected_bytes),
            usable_bytes: after.usable,
            verdict: after.verdict,
            effect: change.effect,
            time: change.time,
            words: change.words,
        }
    }
}

/// Those that fit first, then what touches results least, what costs least time, and what needs least.
fn order(fix: &Fix) -> (Verdict, Effect, Time, Bytes) {
    (fix.verdict, fix.effect, fix.time, fix.need.expected_bytes)
}

fn tried_training(request: &Request) -> Result<Tried, Vec<Issue>> {
    let job = job(request, Strictness::default())?;
    let outcome = measure(&job, job.training.micro_batch).map_err(|issue| vec![issue])?;
    Ok(Tried {
        need: range(outcome.need),
        usable: job.card.usable.expected,
        verdict: outcome.verdict,
    })
}

fn tried_inference(request: &Request) -> Result<Tried, Vec<Issue>> {
    let answer = calculate_inference(request)?;
    Ok(Tried {
        need: answer.need,
        usable: answer.capacity.usable_bytes,
        verdict: answer.verdict,
    })
}

/// A change that is valid and helps: it lowers the need, or it is another card on which the verdict is better.
fn fix(request: &Request, tried: Try, before: Tried, change: &Change) -> Option<Fix> {
    let after = tried(&moved(request, change)).ok()?;
    let least = before.need.expected_bytes.scaled(1.0 - WORTH);
    better(after, before, least).then(|| Fix::of(change, before, after))
}

/// Changes that make the question fit one after the other: first those that leave results alone, the fastest first, and of equals
/// the one that saves most; then what does more. A change takes the place of an earlier one to the same input. At the end those
/// without which it fits as well are left out, the costliest first.
fn together(request: &Request, tried: Try, start: Tried, useful: &[&Change]) -> Vec<Fix> {
    let mut costs: Vec<(Effect, Time)> = useful.iter().map(|change| cost(change)).collect();
    costs.sort_unstable();
    costs.dedup();
    let mut taken: Vec<&Change> = Vec::new();
    let mut state = start;
    for limit in costs {
        while state.verdict != Verdict::Fits {
            let next = useful
                .iter()
                .filter(|change| cost(change) <= limit && !taken.contains(change))
                .filter_map(|change| {
                    let with = replaced(&taken, change);
                    let after = tried(&all(request, &with)).ok()?;
                    let least = state.need.expected_bytes.scaled(1.0 - WORTH);
                    (with.len() <= MOST_TOGETHER && better(after, state, least)).then_some((with, after))
                })
                .min_by_key(|(_, after)| (after.verdict, after.need.expected_bytes));
            let Some((with, after)) = next else {
                break;
            };
            (taken, state) = (with, after);
        }
    }
    if state.verdict == Verdict::DoesNotFit {
        return Vec::new();
    }
    let mut dear: Vec<&Change> = taken.clone();
    dear.sort_by_key(|change| std::cmp::Reverse(cost(change)));
    for change in dear {
        let fewer: Vec<&Change> = taken.iter().copied().filter(|one| *one != change).collect();
        let enough = tried(&all(request, &fewer)).is_ok_and(|after| after.verdict <= state.verdict);
        if enough {
            taken = fewer;
        }
    }
    taken.sort_by_key(|change| cost(change));
    steps(request, tried, start, &taken)
}

/// Whether a change brings a question on: by its need, or on a larger card by its verdict.
fn better(after: Tried, before: Tried, least: Bytes) -> bool {
    after.need.expected_bytes < least || (after.usable > before.usable && after.verdict < before.verdict)
}

fn cost(change: &Change) -> (Effect, Time) {
    (change.effect, change.time)
}

/// The changes without those to the same inputs, and this one.
fn replaced<'a>(taken: &[&'a Change], change: &'a Change) -> Vec<&'a Change> {
    let others = taken.iter().copied().filter(|one| !one.touches_same(change));
    others.chain([change]).collect()
}

/// The question with all changes made.
fn all(request: &Request, changes: &[&Change]) -> Request {
    changes
        .iter()
        .fold(request.clone(), |request, change| moved(&request, change))
}

/// Each change after those before it; nothing where one alone suffices.
fn steps(request: &Request, tried: Try, start: Tried, taken: &[&Change]) -> Vec<Fix> {
    let mut now = request.clone();
    let mut state = start;
    let mut steps = Vec::new();
    for change in taken {
        now = moved(&now, change);
        let Ok(after) = tried(&now) else {
            return Vec::new();
        };
        steps.push(Fix::of(change, state, after));
        state = after;
    }
    if steps.len() > 1 { steps } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::request::InputId;

    fn asked(value: &Value) -> Request {
        Request::from_json(value).expect("a request")
    }

    fn eight_billion(gpus: u64, engine: &Value) -> Request {
        asked(&json!({
            "model": {"id": "llama-3.1-8b"},
            "training": {"batch_size": 4, "seq_length": 4096},
            "engine": engine,
            "hardware": {"gpu": "a100-sxm-40gb", "num_gpus": gpus},
        }))
    }

    #[test]
    fn every_change_gives_the_need_that_it_promises() {
        let request = eight_billion(8, &json!({"type": "fsdp"}));
        let found = training_fixes(&request).expect("fixes");
        assert!(found.single.len() >= 6, "{}", found.single.len());
        for fix in &found.single {
            let mut changed = request.clone();
            for (key, value) in &fix.values {
                let input = crate::request::Input::by_key(key).expect("an input");
                changed.set(input.id, value.clone());
            }
            let answer = super::super::calculate(&changed).expect("valid");
            assert_eq!(
                (answer.need, answer.verdict),
                (fix.need, fix.verdict),
                "{}",
                fix.title
            );
        }
    }

    #[test]
    fn those_that_fit_come_first_and_results_are_touched_last() {
        let request = eight_billion(8, &json!({"type": "fsdp"}))
            .with(InputId::BatchSize, 2)
            .with(InputId::SeqLength, 2048);
        let found = training_fixes(&request).expect("fixes");
        let keys: Vec<_> = found.single.iter().map(order).collect();
        assert!(keys.is_sorted());
        assert_eq!(found.verdict, Verdict::DoesNotFit);
        let first = found.single.first().expect("a fix");
        assert_eq!(
            (first.verdict, first.effect),
            (Verdict::Fits, Effect::None),
            "{}",
            first.title
        );
    }

    #[test]
    fn several_changes_together_fit_where_none_does_alone() {
        let request = asked(&json!({
            "model": {"id": "llama-3.1-8b"},
            "training": {"batch_size": 1, "seq_length": 8192},
            "engine": {"type": "pytorch_ddp"},
            "hardware": {"gpu": "rtx-4090", "num_gpus": 1},
        }));
        let found = training_fixes(&request).expect("fixes");
        assert_eq!(found.verdict, Verdict::DoesNotFit);
        assert!(found.together.len() > 1, "{:?}", found.single.first());
        let last = found.together.last().expect("a last step");
        assert_ne!(last.verdict, Verdict::DoesNotFit);
        let all = found.together.iter().flat_map(|fix| fix.values.iter());
        let changed = all.fold(request, |request, (key, value)| {
            let input = crate::request::Input::by_key(key).expect("an input");
            request.with(input.id, value.clone())
        });
        let answer = super::super::calculate(&changed).expect("valid");
        assert_eq!((answer.need, answer.verdict), (last.need, last.verdict));
    }

    #[test]
    fn a_refused_question_has_no_fixes_but_issues() {
        let request = asked(&json!({"model": {"id": "no such model"}}));
        assert!(training_fixes(&request).is_err());
    }

    #[test]
    fn a_server_that_is_too_small_is_told_what_helps() {
        let request = asked(&json!({
            "model": {"id": "llama-3.1-70b"},
            "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 1},
            "inference": {"engine_type": "vllm", "max_seq_len": 8192},
        }));
        let found = inference_fixes(&request).expect("fixes");
        assert_eq!(found.verdict, Verdict::DoesNotFit);
        let fitting: Vec<&str> = found
            .single
            .iter()
            .filter(|fix| fix.verdict != Verdict::DoesNotFit)
            .map(|fix| fix.title.as_str())
            .collect();
        assert!(fitting.len() > 1, "{fitting:?}");
    }
}
