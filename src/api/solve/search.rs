//! Doubling and bisection over one input, on probes of the whole calculation. What a probe is lives in the parent.

use super::bisect::last;
use super::{Probe, Question, Solution, Unknown};
use crate::request::Verdict;
use crate::units::Bytes;

/// How sure a value must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Not "does not fit".
    Possible,
    /// "Fits".
    Certain,
}

impl Level {
    fn met(self, probe: &Probe) -> bool {
        match self {
            Self::Possible => probe.verdict != Verdict::DoesNotFit,
            Self::Certain => probe.verdict == Verdict::Fits,
        }
    }
}

/// The largest value, where the need grows with it.
pub fn largest(question: &Question) -> Solution {
    let first = question.probe(1);
    if !Level::Possible.met(&first) {
        let reason = format!(
            "Not even {} {} fits: the expected need is {:.2} GiB of {:.2} GiB.",
            first.value,
            words(question.unknown, first.value),
            first.need.expected_bytes.to_gib(),
            first.usable_bytes.to_gib(),
        );
        return nothing(question, first, reason);
    }
    let up_to =
        |level: Level, limit: u64| last(limit, |steps| question.probe(steps), |probe| level.met(probe));
    let (value, beyond) = up_to(Level::Possible, question.limit());
    let certain = Level::Certain
        .met(&first)
        .then(|| up_to(Level::Certain, value).0.saturating_mul(question.step));
    let reason = beyond.is_none().then(|| {
        format!(
            "The input ends here: even {} {} fit.",
            question.limit().saturating_mul(question.step),
            words(question.unknown, question.limit()),
        )
    });
    Solution {
        variable: question.unknown.key(),
        value: Some(value.saturating_mul(question.step)),
        certain,
        at: question.probe(value),
        beyond,
        step: question.step,
        shortfall_bytes: None,
        reason,
    }
}

/// The fewest GPUs, where more of them never need more on each but for padding.
pub fn fewest(question: &Question) -> Solution {
    let Some((value, beyond)) = first(question, Level::Possible) else {
        let most = question.probe(question.limit());
        let one = question.probe(1);
        let reason = if one.need.expected_bytes <= most.need.expected_bytes {
            "More GPUs do not help: this engine holds everything on each of them. FSDP, ZeRO or a smaller batch divide it."
                .to_owned()
        } else {
            format!(
                "No number of GPUs is enough: what every GPU holds for itself takes {:.2} GiB of {:.2} GiB.",
                most.need.expected_bytes.to_gib(),
                most.usable_bytes.to_gib(),
            )
        };
        return nothing(question, most, reason);
    };
    let certain = first(question, Level::Certain).map(|(steps, _)| steps.saturating_mul(question.step));
    Solution {
        variable: question.unknown.key(),
        value: Some(value.saturating_mul(question.step)),
        certain,
        at: question.probe(value),
        beyond,
        step: question.step,
        shortfall_bytes: None,
        reason: (value > LOOKED_AT).then(|| {
            format!(
                "Fewer than {} GPUs were not looked at one by one: there the need is larger, but for padding.",
                (value - LOOKED_AT).saturating_mul(question.step)
            )
        }),
    }
}

/// Padding of shards can make the need rise from one count to the next: a gathered weight is as many shards as there are
/// ranks, and shards are whole rows. So each count below the one that bisection found is looked at too, up to this many.
const LOOKED_AT: u64 = 256;

/// The first value (in steps) at which the level is met, and the probe one step below.
fn first(question: &Question, level: Level) -> Option<(u64, Option<Probe>)> {
    let limit = question.limit();
    let (mut failed, mut met) = (0, 1);
    while !level.met(&question.probe(met)) {
        if met >= limit {
            return None;
        }
        failed = met;
        met = met.saturating_mul(2).min(limit);
    }
    while met - failed > 1 {
        let middle = u64::midpoint(failed, met);
        if level.met(&question.probe(middle)) {
            met = middle;
        } else {
            failed = middle;
        }
    }
    let below = met.saturating_sub(LOOKED_AT).max(1)..met;
    let first = below
        .into_iter()
        .find(|value| level.met(&question.probe(*value)))
        .unwrap_or(met);
    Some((first, (first > 1).then(|| question.probe(first - 1))))
}

fn nothing(question: &Question, at: Probe, reason: String) -> Solution {
    Solution {
        variable: question.unknown.key(),
        value: None,
        certain: None,
        beyond: None,
        step: question.step,
        shortfall_bytes: (at.need.expected_bytes < Bytes::MAX)
            .then(|| at.need.expected_bytes.saturating_sub(at.usable_bytes)),
        reason: Some(reason),
        at,
    }
}

const fn words(unknown: Unknown, count: u64) -> &'static str {
    match (unknown, count) {
        (Unknown::MicroBatch, 1) => "sequence per GPU",
        (Unknown::MicroBatch, _) => "sequences per GPU",
        (Unknown::SequenceLength, 1) => "token",
        (Unknown::SequenceLength, _) => "tokens",
        (Unknown::Gpus, 1) => "GPU",
        (Unknown::Gpus, _) => "GPUs",
    }
}
