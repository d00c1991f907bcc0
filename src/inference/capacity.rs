//! Capacity both ways: the most sequences of a length, the longest sequence of a number, the fewest GPUs. Found by asking
//! the engine again, never by a straight line.

use super::engines::{Engine, evaluate, vllm};
use super::job::InferenceJob;
use crate::memory::meters::Fit;

/// No engine runs more sequences than this.
const MOST_SEQUENCES: u64 = 1 << 20;
/// No sequence is longer.
const LONGEST: u64 = 1 << 30;
/// One copy is not divided among more GPUs.
const MOST_GPUS: u64 = 64;

/// What fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// The most sequences of the asked length; zero where not one fits.
    pub sequences: u64,
    /// The longest sequence with the asked number at once; zero where none fits.
    pub length: u64,
    /// The fewest GPUs that hold one copy with the asked requests, by tensor parallelism.
    pub gpus: Option<u64>,
}

/// Whether the whole interval, or its lower part, is within the card.
fn fits(job: &InferenceJob) -> bool {
    evaluate(job).fit != Fit::DoesNotFit
}

/// The largest number up to `most` that `holds`, where all smaller ones hold too; zero where one does not.
pub(super) fn largest(most: u64, holds: impl Fn(u64) -> bool) -> u64 {
    if !holds(1) {
        return 0;
    }
    let (mut good, mut bad) = (1, 2);
    while bad < most && holds(bad) {
        good = bad;
        bad = bad.saturating_mul(2);
    }
    if bad >= most {
        if holds(most) {
            return most;
        }
        bad = most;
    }
    while bad.saturating_sub(good) > 1 {
        let middle = u64::midpoint(good, bad);
        if holds(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    good
}

/// What of a question fits on its card. `limit`: the longest sequence that the model is made for.
pub fn capacity(job: &InferenceJob, limit: Option<u64>, shardable: impl Fn(u64) -> bool) -> Capacity {
    if let Engine::Vllm(options) = &job.engine {
        return vllm::capacity(job, options, limit, shardable);
    }
    let sequences = largest(MOST_SEQUENCES, |count| fits(&job.with_sequences(count)));
    let longest = limit.unwrap_or(LONGEST).max(2);
    // A sequence has a prompt and an answer: the shortest has two tokens.
    let length = match largest(longest.saturating_sub(1), |length| {
        fits(&job.with_length(length.saturating_add(1)))
    }) {
        0 => 0,
        most => most.saturating_add(1),
    };
    let sizes = std::iter::successors(Some(1_u64), |size| Some(size.saturating_mul(2)));
    let gpus = sizes
        .take_while(|size| *size <= MOST_GPUS)
        .filter(|size| shardable(*size))
        .find(|size| {
            let mut divided = job.clone();
            divided.tensor = *size;
            divided.pipeline = 1;
            fits(&divided)
        });
    Capacity {
        sequences,
        length,
        gpus,
    }
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn the_largest_number_is_found_wherever_it_lies() {
        for limit in [0, 1, 2, 3, 7, 8, 9, 1000, 1023, 1024, 5000] {
            assert_eq!(largest(1024, |number| number <= limit), limit.min(1024));
        }
    }
}
