//! The least number of GPUs of one kind on which a job trains: within a node every number that the mesh allows, beyond it whole
//! nodes, doubled and then bisected, as the need does not rise with the number but for padding of shards.

use super::super::answer::range;
use super::super::job::{Strictness, job};
use super::super::measure::measure;
use super::super::network::estimate;
use super::super::plan::with_nodes;
use super::super::solve::{bisect, step_of};
use super::{Card, MOST_NODES, Tried, words};
use crate::request::{InputId, Request, Verdict};

/// The least number, or why there is none.
pub fn least(card: &Card<'_>, whole_nodes: bool) -> Result<Tried, String> {
    // The mesh alone decides the step: with nothing typed a job is on one GPU.
    let first = job(&card.request, Strictness::default()).map_err(|issues| words(&issues))?;
    let step = step_of(&first, InputId::NumGpus);
    let (node, slice) = (card.per_node.max(1), card.gpu.slice.is_some());
    let counts = |from: u64| (from..=node).filter(|count| count.is_multiple_of(step));
    let within: Vec<u64> = counts(if whole_nodes { node } else { 1 }).collect();
    let mut last = Err("the parallel sizes need more GPUs than a node has".to_owned());
    // More GPUs never need more on each but for padding: where the whole node does not work, nothing below it does.
    if let Some(most) = within.last() {
        last = asked(card, *most);
        if works(&last) {
            let found = within.iter().map(|count| asked(card, *count)).find(works);
            return found.unwrap_or(last);
        }
    }
    // So many nodes at once have whole copies.
    let several = (1..=step).find(|nodes| nodes.saturating_mul(node).is_multiple_of(step));
    let several = several.unwrap_or(1);
    let most = if slice { 0 } else { MOST_NODES / several };
    let of = |times: u64| asked(card, times.saturating_mul(several).saturating_mul(node));
    if most < 1 || !works(&of(most)) {
        return Err(match last {
            Ok(tried) => format!(
                "{} GPUs need {:.1} GiB each of {:.1}, and more of them do not help enough",
                tried.gpus,
                tried.need.expected_bytes.to_gib(),
                tried.usable.to_gib()
            ),
            Err(reason) => reason,
        });
    }
    let one = of(1);
    if works(&one) {
        return one;
    }
    let (_, found) = bisect::last(most, of, |tried| !works(tried));
    found.unwrap_or_else(|| of(most))
}

fn works(tried: &Result<Tried, String>) -> bool {
    tried.as_ref().is_ok_and(Tried::works)
}

fn question(card: &Card<'_>, gpus: u64) -> Request {
    with_nodes(&card.request.clone().with(InputId::NumGpus, gpus))
}

/// What so many GPUs come to.
fn asked(card: &Card<'_>, gpus: u64) -> Result<Tried, String> {
    let job = job(&question(card, gpus), Strictness::default()).map_err(|issues| words(&issues))?;
    let outcome = measure(&job, job.training.micro_batch).map_err(|issue| issue.message)?;
    let rate = (outcome.verdict != Verdict::DoesNotFit)
        .then(|| estimate(&job))
        .filter(|found| found.timed)
        .map(|found| {
            let [_, expected, _] = &found.cases;
            found.work.tokens_per_step() / expected.total().get().max(1e-9)
        });
    Ok(Tried {
        gpus,
        usable: job.card.usable.expected,
        need: range(outcome.need),
        verdict: outcome.verdict,
        rate,
        ranks: None,
    })
}
