//! A node of unlike GPUs: every one holds an equal shard, so the one with the least room binds.

use super::super::given::Given;
use super::super::measure::verdict;
use super::super::read::Typed;
use super::super::resolve::{Card, Report};
use super::job::Question;
use crate::hardware;
use crate::inference::engines::{sglang, tgi, vllm};
use crate::inference::{Engine, Estimate, InferenceJob, evaluate};
use crate::memory::meters::Fit;
use crate::request::{CardRow, InputId};
use crate::units::Bytes;
use crate::warn::Issue;

/// The cards of the node that are of another kind, and how many of each.
pub fn others(given: &Given, gpus: u64, chosen: &Card, report: &mut Report) -> Vec<(Card, u64)> {
    let Some(Typed::List(words)) = given.get(InputId::OtherGpus) else {
        return Vec::new();
    };
    let mut found: Vec<(Card, u64)> = Vec::new();
    for word in words {
        match card(word, chosen) {
            Ok((card, count)) if card.gpu.id == chosen.gpu.id => report.add(
                Issue::warning(
                    "not_used",
                    InputId::OtherGpus.key(),
                    format!("{count} x {} is the chosen kind.", card.gpu.name),
                )
                .with_value(word.as_str()),
            ),
            Ok((card, count)) => match found.iter_mut().find(|(other, _)| other.gpu.id == card.gpu.id) {
                Some((_, all)) => *all = all.saturating_add(count),
                None => found.push((card, count)),
            },
            Err(issue) => report.add(issue.with_value(word.as_str())),
        }
    }
    let unlike = found
        .iter()
        .fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    if unlike >= gpus && unlike > 0 {
        report.add(
            Issue::error(
                "gpu_count_mismatch",
                InputId::OtherGpus.key(),
                format!(
                    "{unlike} GPUs of another kind and at least one {} are more than the {gpus} of this question.",
                    chosen.gpu.name
                ),
            )
            .with_value(unlike),
        );
    }
    found
}

/// `rtx-3090`, `2 x l40s`.
fn card(word: &str, chosen: &Card) -> Result<(Card, u64), Issue> {
    let (count, name) = match word.split_once(char::is_whitespace) {
        Some((number, rest)) if number.parse::<u64>().is_ok() => {
            let rest = rest.trim();
            let name = rest.strip_prefix(['x', 'X']).unwrap_or(rest).trim();
            (number.parse().unwrap_or(1), name)
        }
        _ => (1, word),
    };
    let path = InputId::OtherGpus.key();
    if !(1..=1024).contains(&count) {
        return Err(Issue::error(
            "out_of_range",
            path,
            format!("{count} is no number of GPUs."),
        ));
    }
    let Some(gpu) = hardware::find(name) else {
        let near = hardware::nearest(name, 5);
        return Err(Issue::error(
            "unknown_value",
            path,
            format!("{name:?} is not in the table of GPUs."),
        )
        .with_allowed(near));
    };
    let visible = gpu.capacity(&hardware::MemorySetup::default());
    let usable = gpu.capacity(&hardware::MemorySetup {
        in_use: chosen.used,
        ..hardware::MemorySetup::default()
    });
    if usable.high == Bytes::ZERO {
        return Err(Issue::error(
            "out_of_range",
            path,
            format!("{} has less memory than is in use already.", gpu.name),
        ));
    }
    Ok((
        Card {
            gpu: gpu.clone(),
            known: true,
            visible,
            usable,
            used: chosen.used,
            compute_capability: gpu.capability_times_ten().unwrap_or(90),
        },
        count,
    ))
}

/// The room that an estimate leaves on its card; negative where it does not fit.
fn room(estimate: &Estimate) -> i128 {
    i128::from(estimate.budget.get()) - i128::from(estimate.need.expected.get())
}

/// Evaluates the question on every kind of card and leaves the one that binds in it; a row per kind.
pub fn bind(question: &mut Question) -> (Estimate, Vec<CardRow>) {
    let first = evaluate(&question.job);
    if question.others.is_empty() {
        return (first, Vec::new());
    }
    // Tokens of a pass and sequences are settled once, on the first card.
    match &question.job.engine {
        Engine::Vllm(options) => {
            question.job.engine = Engine::Vllm(vllm::settled(&question.job, options));
        }
        Engine::Sglang(options) => {
            question.job.engine = Engine::Sglang(sglang::settled(&question.job, options));
        }
        Engine::Tgi(options) => {
            question.job.engine = Engine::Tgi(tgi::settled(&question.job, options));
        }
        Engine::Transformers(_) | Engine::TensorRtLlm(_) | Engine::LlamaCpp(_) => {}
    }
    let unlike: u64 = question.others.iter().map(|(_, count)| *count).sum();
    let own = (question.card.clone(), question.gpus.saturating_sub(unlike));
    let mut all: Vec<(Card, InferenceJob, Estimate, u64)> = Vec::new();
    for (card, count) in std::iter::once(own).chain(question.others.drain(..)) {
        let job = InferenceJob {
            device: super::job::device(&card),
            ..question.job.clone()
        };
        let estimate = evaluate(&job);
        all.push((card, job, estimate, count));
    }
    let binding = all
        .iter()
        .enumerate()
        .min_by_key(|(_, (_, _, estimate, _))| (fits(estimate.fit), room(estimate)))
        .map_or(0, |(place, _)| place);
    let rows = all
        .iter()
        .enumerate()
        .map(|(place, (card, _, estimate, count))| CardRow {
            name: card.gpu.name.clone(),
            gpus: *count,
            usable_bytes: card.usable.expected,
            need_bytes: estimate.need.expected,
            budget_bytes: estimate.budget,
            pool_bytes: estimate.pool.as_ref().map(|pool| pool.bytes.expected),
            verdict: verdict(estimate.fit),
            binding: place == binding,
        })
        .collect();
    match all.into_iter().nth(binding) {
        Some((card, job, estimate, _)) => {
            question.card = card;
            question.job = job;
            (estimate, rows)
        }
        None => (first, rows),
    }
}

/// The worst first.
const fn fits(fit: Fit) -> u8 {
    match fit {
        Fit::DoesNotFit => 0,
        Fit::Tight => 1,
        Fit::Fits => 2,
    }
}
