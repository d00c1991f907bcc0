//! How many bytes of a block torch's caching allocator hands out for a request, where it does not have a fitting block yet
//! (c10/cuda/CUDACachingAllocator.cpp of PyTorch 2.15: `round_size`, `get_allocation_size`, `should_split`).

use crate::units::Bytes;

/// Requests are rounded up to multiples of this (CUDACachingAllocator.h: `kMinBlockSize`; in bytes, as the others here).
pub const BLOCK: u64 = 512;
/// What is left of a large block stays with it when it is no larger than this (CUDACachingAllocator.h: `kSmallSize`).
const UNSPLIT: u64 = 1 << 20;
/// Requests of this size and more get a segment of their own (CUDACachingAllocator.h: `kMinLargeAlloc`).
const OWN_SEGMENT: u64 = 10 << 20;
/// Segments of their own are multiples of this (CUDACachingAllocator.h: `kRoundLarge`).
const SEGMENT: u64 = 2 << 20;

/// The block that holds a tensor of so many bytes: rounded up to 512 B, and from 10 MiB on with the rest of its segment
/// when that is at most 1 MiB.
pub const fn block(bytes: Bytes) -> Bytes {
    let rounded = bytes.align_up(BLOCK);
    if rounded.get() < OWN_SEGMENT {
        return rounded;
    }
    let segment = rounded.align_up(SEGMENT);
    if segment.get() - rounded.get() <= UNSPLIT {
        segment
    } else {
        rounded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn holds(bytes: u64, expected: u64) {
        assert_eq!(block(Bytes::new(bytes)).get(), expected);
    }

    #[test]
    fn small_requests_are_rounded_to_512() {
        holds(0, 0);
        holds(1, 512);
        holds(5_000_000, 5_000_192);
    }

    #[test]
    fn a_rest_of_up_to_one_mib_stays_with_its_block() {
        holds(40_960_000, 41_943_040);
        holds(42_000_000, 42_000_384);
        holds(u64::MAX, u64::MAX);
    }
}
