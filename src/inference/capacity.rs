//! Capacity both ways: the most sequences of a length, the longest sequence of a number, the fewest GPUs. Found by asking
//! the engine again, never by a straight line; each engine keeps what the trials have in common.

use super::engines::{Engine, llama_cpp, sglang, tensorrt_llm, tgi, transformers, vllm};
use super::estimate::Estimate;
use super::job::InferenceJob;
use crate::units::Bytes;

/// No engine runs more sequences than this.
pub(super) const MOST_SEQUENCES: u64 = 1 << 20;
/// No sequence is longer.
pub(super) const LONGEST: u64 = 1 << 30;
/// Among how many GPUs one copy is divided.
pub(super) const SIZES: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];

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

/// What one of `size` ranks holds at least of weights of which one of `ranks` holds so much: no tensor shrinks by more than
/// the number of ranks grows. Most sizes need no trial then.
pub(super) fn least(held: Bytes, ranks: u64, size: u64) -> Bytes {
    let ranks = ranks.max(1);
    let whole = match size.is_multiple_of(ranks) {
        true => held.get().saturating_mul(ranks),
        false if size > ranks => held.get(),
        false => return held,
    };
    Bytes::new(whole / size.max(1))
}

/// The largest number up to `most` that `holds`, where all smaller ones hold too; zero where one does not.
pub(super) fn largest(most: u64, mut holds: impl FnMut(u64) -> bool) -> u64 {
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
/// `estimate`: what the engine says about the question itself.
pub fn capacity(
    job: &InferenceJob,
    estimate: &Estimate,
    limit: Option<u64>,
    shardable: impl Fn(u64) -> bool,
) -> Capacity {
    match &job.engine {
        Engine::Transformers(options) => transformers::capacity(job, options, limit, shardable),
        Engine::Vllm(options) => vllm::capacity(job, options, &estimate.loaded, limit, shardable),
        Engine::Sglang(options) => sglang::capacity(job, options, &estimate.loaded, limit, shardable),
        Engine::Tgi(options) => tgi::capacity(job, options, &estimate.loaded, limit, shardable),
        Engine::TensorRtLlm(options) => {
            tensorrt_llm::capacity(job, options, &estimate.loaded, limit, shardable)
        }
        Engine::LlamaCpp(options) => llama_cpp::capacity(job, options, limit),
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
