//! The need along one input: the points of a plot, each a whole calculation of the changed question, and where the verdict
//! changes. Which inputs can be varied lives here, and how the values are chosen; how one point is calculated is the affair of
//! the question's kind.

mod training;

use serde::Serialize;

use super::inference;
use crate::request::{InputId, InputKind, Range, Request, Task, Verdict};
use crate::units::Bytes;
use crate::warn::Issue;

/// The input along which the need is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Along {
    /// Tokens of a training sequence.
    SequenceLength,
    /// Sequences of one GPU in one pass.
    MicroBatch,
    /// GPUs of the job.
    Gpus,
    /// Tokens of a served sequence, prompt and answer.
    Context,
    /// Sequences that are served at once.
    Concurrency,
}

impl Along {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::SequenceLength,
        Self::MicroBatch,
        Self::Gpus,
        Self::Context,
        Self::Concurrency,
    ];

    /// Those that a kind of question has.
    pub fn of(task: Task) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |along| along.task() == task)
    }

    /// The kind of question that has it.
    pub const fn task(self) -> Task {
        match self {
            Self::SequenceLength | Self::MicroBatch | Self::Gpus => Task::Training,
            Self::Context | Self::Concurrency => Task::Inference,
        }
    }

    /// The name in JSON and on the command line.
    pub const fn key(self) -> &'static str {
        match self {
            Self::SequenceLength => "seq_length",
            Self::MicroBatch => "batch_size",
            Self::Gpus => "num_gpus",
            Self::Context => "context",
            Self::Concurrency => "concurrency",
        }
    }

    /// The one with this name.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|along| along.key() == key)
    }

    /// The input that is varied.
    pub const fn input(self) -> InputId {
        match self {
            Self::SequenceLength => InputId::SeqLength,
            Self::MicroBatch => InputId::BatchSize,
            Self::Gpus => InputId::NumGpus,
            Self::Context => InputId::TotalTokens,
            Self::Concurrency => InputId::Sequences,
        }
    }

    /// What is counted, for one and for more.
    pub const fn unit(self, count: u64) -> &'static str {
        match (self, count) {
            (Self::SequenceLength | Self::Context, 1) => "token",
            (Self::SequenceLength | Self::Context, _) => "tokens",
            (Self::MicroBatch, 1) => "sequence per GPU",
            (Self::MicroBatch, _) => "sequences per GPU",
            (Self::Gpus, 1) => "GPU",
            (Self::Gpus, _) => "GPUs",
            (Self::Concurrency, 1) => "sequence at once",
            (Self::Concurrency, _) => "sequences at once",
        }
    }

    /// The smallest value worth a point.
    const fn least(self) -> u64 {
        match self {
            Self::SequenceLength | Self::Context => 128,
            Self::MicroBatch | Self::Gpus | Self::Concurrency => 1,
        }
    }

    fn limit(self) -> u64 {
        match self.input().input().kind {
            InputKind::Integer { max, .. } => max,
            _ => u64::from(u32::MAX),
        }
    }
}

/// A group of a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CurvePart {
    /// Key of the breakdown: `model_params`, `kv_cache`.
    pub group: &'static str,
    /// Bytes; the groups add up to the expected need.
    pub bytes: Bytes,
}

/// The answer at one value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// The value of the input.
    pub value: u64,
    /// What the verdict judges.
    pub need: Range,
    /// The verdict.
    pub verdict: Verdict,
    /// The breakdown of the expected need.
    pub parts: Vec<CurvePart>,
    /// What the need is judged against.
    pub limit_bytes: Bytes,
}

/// Between which values the verdict turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Crossing {
    /// The last value that is not "does not fit".
    pub fits: u64,
    /// The first beside it that does not fit.
    pub breaks: u64,
}

/// The need along an input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// The input that is varied.
    pub along: Along,
    /// Its value in the question.
    pub asked: u64,
    /// The points by value; one of them is the question itself.
    pub points: Vec<CurvePoint>,
    /// Where the verdict turns within the shown values; null where it is the same at all of them.
    pub crossing: Option<Crossing>,
}

/// Points on either side of the asked one, at most; two in each doubling.
const REACH: u32 = 16;
/// Points that are still drawn after the first that needs this many times what there is.
const FAR: f64 = 1.6;

/// The curve of a valid question along an input; what is given for that input is replaced.
pub fn curve(request: &Request, along: Along) -> Result<Curve, Vec<Issue>> {
    match along.task() {
        Task::Training | Task::Plan => {
            let base = training::base(request, along)?;
            let asked = Asked {
                value: base.asked,
                step: base.step,
                limit: along.limit(),
            };
            follow(along, asked, |value| base.point(value))
        }
        Task::Inference => {
            let base = inference::curve_base(request, along)?;
            let asked = Asked {
                value: base.asked,
                step: 1,
                limit: along.limit().min(base.limit.max(base.asked)),
            };
            follow(along, asked, |value| base.point(value))
        }
    }
}

/// The asked value, and which others there are.
#[derive(Clone, Copy)]
struct Asked {
    value: u64,
    step: u64,
    limit: u64,
}

/// Points around the asked value, two in each doubling, and the place where the verdict turns.
fn follow(
    along: Along,
    asked: Asked,
    mut point: impl FnMut(u64) -> Option<CurvePoint>,
) -> Result<Curve, Vec<Issue>> {
    let Asked {
        value: asked,
        step,
        limit,
    } = asked;
    let mut points: Vec<CurvePoint> = Vec::new();
    for value in values(asked, step, along.least(), true) {
        points.extend(point(value));
    }
    points.reverse();
    points.extend(point(asked));
    for value in values(asked, step, limit, false) {
        let Some(next) = point(value) else { break };
        let far = next.need.expected_bytes.get() as f64 > next.limit_bytes.get() as f64 * FAR;
        points.push(next);
        if far {
            break;
        }
    }
    if points.is_empty() {
        return Err(vec![Issue::error(
            "out_of_range",
            along.input().key(),
            "No value near the asked one has an answer.",
        )]);
    }
    let crossing = crossing(&points, step, &mut point);
    Ok(Curve {
        along,
        asked,
        points,
        crossing,
    })
}

/// Multiples of the step from the asked value away to the end, excluding both itself and repetitions: 3/4, 1/2, 3/8 ... of it
/// downwards, 3/2, 2, 3 ... times it upwards.
fn values(asked: u64, step: u64, end: u64, down: bool) -> Vec<u64> {
    let mut found: Vec<u64> = Vec::new();
    for turn in 1..=REACH {
        let (doublings, half) = (turn / 2, turn % 2 == 1);
        let value = if down {
            let power = asked >> doublings.min(63);
            if half { power - power / 4 } else { power }
        } else {
            let power = asked.saturating_mul(1 << doublings.min(62));
            if half {
                power.saturating_add(power / 2)
            } else {
                power
            }
        };
        let value = (value / step).max(1).saturating_mul(step);
        let beyond = if down {
            value < end || value >= asked
        } else {
            value > end || value <= asked
        };
        if !beyond && !found.contains(&value) {
            found.push(value);
        }
    }
    found.sort_unstable();
    if down {
        found.reverse();
    }
    found
}

/// The neighbours between which "does not fit" begins or ends, found by bisection between the two points around it.
fn crossing(
    points: &[CurvePoint],
    step: u64,
    point: &mut impl FnMut(u64) -> Option<CurvePoint>,
) -> Option<Crossing> {
    let holds = |point: &CurvePoint| point.verdict != Verdict::DoesNotFit;
    let (left, right) = points.windows(2).find_map(|pair| match pair {
        [left, right] if holds(left) != holds(right) => Some((left, right)),
        _ => None,
    })?;
    let left_holds = holds(left);
    let (mut low, mut high) = (left.value / step, right.value / step);
    while high - low > 1 {
        let middle = u64::midpoint(low, high);
        // A value that a rule refuses is passed over to the side of the larger ones.
        match point(middle.saturating_mul(step)) {
            Some(found) if holds(&found) == left_holds => low = middle,
            _ => high = middle,
        }
    }
    let (low, high) = (low.saturating_mul(step), high.saturating_mul(step));
    Some(if left_holds {
        Crossing {
            fits: low,
            breaks: high,
        }
    } else {
        Crossing {
            fits: high,
            breaks: low,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Unknown, calculate, calculate_inference, solve};

    fn question() -> Request {
        Request::new()
            .with(InputId::ModelId, "llama-3.1-8b")
            .with(InputId::EngineType, "fsdp")
            .with(InputId::NumGpus, 8)
    }

    #[test]
    fn values_go_away_from_the_asked_one_and_keep_the_step() {
        assert_eq!(values(8, 1, 1, true), [6, 4, 3, 2, 1]);
        assert_eq!(values(8, 4, 32, false), [12, 16, 24, 32]);
        assert!(values(1, 1, 1, true).is_empty());
        assert!(values(u64::MAX, 1, u64::MAX, false).is_empty());
    }

    #[test]
    fn the_point_of_the_question_is_its_answer_and_parts_add_up() -> Result<(), Vec<Issue>> {
        let answer = calculate(&question())?;
        for along in Along::of(Task::Training) {
            let curve = curve(&question(), along)?;
            let at = curve.points.iter().find(|point| point.value == curve.asked);
            assert_eq!(at.map(|point| point.need), Some(answer.need), "{}", along.key());
            for point in &curve.points {
                let sum: Bytes = point.parts.iter().map(|part| part.bytes).sum();
                assert_eq!(sum, point.need.expected_bytes, "{} {}", along.key(), point.value);
            }
            let rising = curve.points.is_sorted_by(|one, next| one.value < next.value);
            assert!(rising && curve.points.len() > 4, "{}", along.key());
        }
        Ok(())
    }

    #[test]
    fn the_crossing_is_what_the_solver_finds() -> Result<(), Vec<Issue>> {
        for (along, unknown) in [
            (Along::SequenceLength, Unknown::SequenceLength),
            (Along::MicroBatch, Unknown::MicroBatch),
        ] {
            let found = curve(&question(), along)?.crossing;
            let solved = solve(&question(), unknown)?;
            assert_eq!(found.map(|found| found.fits), solved.value, "{}", along.key());
        }
        Ok(())
    }

    #[test]
    fn a_served_question_has_its_own_two_axes() -> Result<(), Vec<Issue>> {
        let question = Request::new()
            .with(InputId::ModelId, "llama-3.1-8b")
            .with(InputId::Gpu, "l40s")
            .with(InputId::ServerType, "vllm")
            .with(InputId::Sequences, 8);
        let answer = calculate_inference(&question)?;
        for along in Along::of(Task::Inference) {
            let curve = curve(&question, along)?;
            let at = curve.points.iter().find(|point| point.value == curve.asked);
            assert_eq!(at.map(|point| point.need), Some(answer.need), "{}", along.key());
        }
        let longest = curve(&question, Along::Context)?.crossing;
        assert_eq!(longest.map(|longest| longest.fits), Some(answer.max_context_len));
        Ok(())
    }
}
