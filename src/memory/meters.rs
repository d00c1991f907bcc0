//! From allocated bytes to what the allocator holds, what the device shows, and whether it fits: intervals, with their
//! sources. What is allocated comes from the ledger; what a card offers from `hardware`.

use super::interval::Interval;
use crate::units::Bytes;

/// How the caching allocator's surplus over live blocks depends on the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// One GPU: the same blocks in every step.
    Single,
    /// DDP: the same, with buckets.
    Replicated,
    /// Tensor parallelism alone: shards cut from whole tensors, and collectives' outputs among the activations.
    Divided,
    /// FSDP2: gathered units come and go beside activations, on streams of their own.
    Sharded,
    /// FSDP1 and ZeRO 1 to 3: the same with flat buffers, which fit into few freed blocks.
    Flattened,
    /// `generate()`: a prompt, then steps of one token.
    Generated,
}

/// Reserved over what the streams of a rank need together, on a card with room to spare: low, expected, high. Where one stream
/// takes all blocks that is the allocated peak. They are the 5th percentile, the median and the 95th percentile (where states
/// are sharded the 1st and the 93rd, since a few small models reserve several times their peak, and published runs with
/// expandable segments next to nothing beyond it: torchtitan run_train.sh) over the traced runs with the
/// real allocator: field reserved_after or reserved of the traces in tests/measured, 330 runs on one GPU, 96 with DDP,
/// 45 with tensor parallelism alone, 313 with FSDP2, 166 with FSDP1 and ZeRO 1 to 3, 284 of `generate()`. Full
/// recomputation has the longest tail: blocks come in more sizes over a smaller footprint. Its figures on one GPU join those
/// traces and published runs with their `nvidia-smi` reading less what lies outside the pool (fms-acceleration records
/// of tests/measured/training.jsonl, all with full recomputation, where the card was not full).
const fn surplus(pattern: Pattern, recomputed: bool) -> (f64, f64, f64) {
    match (pattern, recomputed) {
        (Pattern::Single, false) => (0.02, 0.08, 0.21),
        (Pattern::Single, true) => (0.01, 0.10, 0.44),
        (Pattern::Replicated, _) => (0.01, 0.06, 0.19),
        (Pattern::Divided, _) => (0.005, 0.07, 0.33),
        (Pattern::Sharded, false) => (0.01, 0.085, 0.30),
        (Pattern::Sharded, true) => (0.0, 0.16, 0.46),
        (Pattern::Flattened, false) => (0.0, 0.155, 0.40),
        (Pattern::Flattened, true) => (0.04, 0.255, 0.60),
        (Pattern::Generated, _) => (0.006, 0.05, 0.24),
    }
}

/// How far the allocated peak of a known architecture can lie from what is expected, as a share of it: the 95th percentile
/// over the traced runs (tests/measured). The percentiles of the surplus hold this error already.
pub const KNOWN_ERROR: f64 = 0.03;

/// What the caching allocator holds at the end of a step on a card with room to spare. `beside`: what other streams keep
/// while they hold nothing at the peak, at least and as expected. `recomputed`: every layer is recomputed from its input.
pub fn reserved(
    allocated: Interval,
    (least, beside): (Bytes, Bytes),
    pattern: Pattern,
    recomputed: bool,
) -> Interval {
    let (low, expected, high) = surplus(pattern, recomputed);
    Interval::new(
        (allocated.low + least).scaled((1.0 + low) / (1.0 - KNOWN_ERROR)),
        (allocated.expected + beside).scaled(1.0 + expected),
        (allocated.high + beside).scaled((1.0 + high) / (1.0 + KNOWN_ERROR)),
    )
}

/// What the caching allocator holds after batches of many lengths: blocks of earlier, shorter ones stay cached beside those
/// of the longest, which do not fit into them. `rest` does not vary; what lies above it at the peak is held so many times:
/// the 10th percentile, the median and the 90th over 55 published runs whose rows were cut at a length that the data reach
/// (ms-swift-benchmark records of tests/measured/training.jsonl, max_reserved).
pub fn reserved_varying(allocated: Interval, rest: Bytes) -> Interval {
    let times = |bytes: Bytes, held: f64| rest.min(bytes) + bytes.saturating_sub(rest).scaled(held);
    let (least, usual, most) = VARYING;
    Interval::new(
        times(allocated.low, least),
        times(allocated.expected, usual),
        times(allocated.high, most),
    )
}

/// How often what lies above the resting memory is held after batches of many lengths: low, expected, high. See
/// [`reserved_varying`].
const VARYING: (f64, f64, f64) = (1.2, 2.8, 3.9);

/// Outside the allocator: the CUDA context with the kernels of the libraries. 0.5 GiB for a bare context on A100 and H100;
/// 0.92 to 1.2 GiB in runs whose pool was nearly full, so that nothing else could hide in the difference
/// (fms-acceleration records, nvidia-smi less max_allocated).
pub fn context() -> Interval {
    Interval::new(Bytes::from_gib(0.5), Bytes::from_gib(0.9), Bytes::from_gib(1.2))
}

/// Outside the allocator: NCCL's buffers of one communicator with more than one rank (NVIDIA/nccl issues 964, 864, 986).
pub fn communicator() -> Interval {
    Interval::new(Bytes::from_gib(0.4), Bytes::from_gib(0.6), Bytes::from_gib(1.0))
}

/// How much more than its live blocks an allocator under pressure can need: it frees what it holds in vain before it fails.
/// In 14 of 15 traced searches for the smallest card the surplus was below the search step of 0.25 GiB, in one 11 %
/// (tests/measured/smallest-card.jsonl).
const PRESSURE: f64 = 1.11;

/// What the verdict judges: live blocks with the surplus of an allocator under pressure, and what lies outside it.
pub fn need(allocated: Interval, outside: Interval) -> Interval {
    let pressed = Interval::new(allocated.low, allocated.expected, allocated.high.scaled(PRESSURE));
    pressed + outside
}

/// Whether a need fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// All of the interval does.
    Fits,
    /// Part of it does.
    Tight,
    /// None of it does.
    DoesNotFit,
}

/// The verdict: the interval of the need against the usable capacity, never reserved memory, which an allocator under
/// pressure gives back (engines under torch: c10/cuda/CUDACachingAllocator.cpp, `free_cached_blocks` before an
/// out-of-memory error).
pub fn fit(need: Interval, usable: Bytes) -> Fit {
    if need.high <= usable {
        Fit::Fits
    } else if need.low <= usable {
        Fit::Tight
    } else {
        Fit::DoesNotFit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gib(low: f64, expected: f64, high: f64) -> Interval {
        Interval::new(
            Bytes::from_gib(low),
            Bytes::from_gib(expected),
            Bytes::from_gib(high),
        )
    }

    #[test]
    fn the_verdict_has_three_values() {
        let need = gib(70.0, 72.0, 80.0);
        assert_eq!(fit(need, Bytes::from_gib(80.0)), Fit::Fits);
        assert_eq!(fit(need, Bytes::from_gib(79.0)), Fit::Tight);
        assert_eq!(fit(need, Bytes::from_gib(70.0)), Fit::Tight);
        assert_eq!(fit(need, Bytes::from_gib(69.9)), Fit::DoesNotFit);
    }

    #[test]
    fn what_is_reserved_is_as_uncertain_as_what_is_allocated() {
        for pattern in [
            Pattern::Single,
            Pattern::Replicated,
            Pattern::Divided,
            Pattern::Sharded,
            Pattern::Flattened,
            Pattern::Generated,
        ] {
            let allocated = gib(70.0, 100.0, 150.0);
            let reserved = reserved(allocated, (Bytes::ZERO, Bytes::ZERO), pattern, false);
            assert!(reserved.low > allocated.low && reserved.low < allocated.expected);
            assert!(reserved.high > allocated.high);
        }
    }

    #[test]
    fn what_is_at_rest_does_not_vary_with_the_batches() {
        let rest = Bytes::from_gib(10.0);
        let same = reserved_varying(gib(10.0, 10.0, 10.0), rest);
        assert_eq!(same, gib(10.0, 10.0, 10.0));
        let peak = reserved_varying(gib(12.0, 12.0, 12.0), rest);
        assert!(peak.low > Bytes::from_gib(12.0) && peak.high < Bytes::from_gib(18.0));
        assert!((peak.expected.to_gib() - 15.6).abs() < 1e-6);
    }

    #[test]
    fn the_need_is_between_live_blocks_and_eleven_per_cent_more() {
        let need = need(gib(100.0, 100.0, 100.0), gib(1.0, 1.0, 1.0));
        assert_eq!(need.low, Bytes::from_gib(101.0));
        assert_eq!(need.expected, Bytes::from_gib(101.0));
        assert_eq!(need.high, Bytes::from_gib(112.0));
    }
}
