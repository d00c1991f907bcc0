//! Torch's caching allocator while a model is loaded: every weight stays, so the blocks follow from sizes and order alone
//! (c10/cuda/CUDACachingAllocator.cpp: `round_size`, `get_allocation_size`, `should_split`, best fit within a pool).

use crate::units::Bytes;

const BLOCK: u64 = 512;
const MIB: u64 = 1 << 20;
/// Requests up to this come from the small pool.
const SMALL: u64 = MIB;
const SMALL_SEGMENT: u64 = 2 * MIB;
const LARGE_SEGMENT: u64 = 20 * MIB;
/// From here on a request has a segment of its own, a multiple of 2 MiB.
const OWN_SEGMENT: u64 = 10 * MIB;

/// The allocator of one device after so many requests, none of them freed.
#[derive(Clone, Debug, Default)]
pub struct Caching {
    allocated: u64,
    requested: u64,
    reserved: u64,
    small: Free,
    large: Free,
}

/// Free blocks by size, the smallest first, and how many there are of each.
#[derive(Clone, Debug, Default)]
struct Free(Vec<(u64, u64)>);

impl Free {
    /// Takes the smallest block that holds so much.
    fn take(&mut self, wanted: u64) -> Option<u64> {
        if self.0.last().is_none_or(|(largest, _)| *largest < wanted) {
            return None;
        }
        let place = self.0.partition_point(|(size, _)| *size < wanted);
        let (size, count) = self.0.get_mut(place)?;
        let size = *size;
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.0.remove(place);
        }
        Some(size)
    }

    fn give(&mut self, size: u64) {
        let place = self.0.partition_point(|(known, _)| *known < size);
        match self.0.get_mut(place) {
            Some((known, count)) if *known == size => *count = count.saturating_add(1),
            _ => self.0.insert(place, (size, 1)),
        }
    }
}

impl Caching {
    /// Takes a block for a tensor.
    pub fn add(&mut self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.requested = self.requested.saturating_add(bytes);
        let wanted = Bytes::new(bytes).align_up(BLOCK).get();
        let is_small = wanted <= SMALL;
        let pool = if is_small {
            &mut self.small
        } else {
            &mut self.large
        };
        let block = pool.take(wanted).unwrap_or_else(|| {
            let segment = segment(wanted);
            self.reserved = self.reserved.saturating_add(segment);
            segment
        });
        let rest = block.saturating_sub(wanted);
        let splits = if is_small { rest >= BLOCK } else { rest > SMALL };
        if splits {
            pool.give(rest);
        }
        self.allocated = self.allocated.saturating_add(if splits { wanted } else { block });
    }

    /// Bytes in live blocks, which is what torch counts as allocated.
    pub fn allocated(&self) -> Bytes {
        Bytes::new(self.allocated)
    }

    /// Bytes in segments, which is what the driver counts.
    pub fn reserved(&self) -> Bytes {
        Bytes::new(self.reserved)
    }

    /// Bytes that were asked for.
    pub fn requested(&self) -> Bytes {
        Bytes::new(self.requested)
    }
}

/// The segment that a request takes from the driver.
fn segment(wanted: u64) -> u64 {
    if wanted <= SMALL {
        SMALL_SEGMENT
    } else if wanted < OWN_SEGMENT {
        LARGE_SEGMENT
    } else {
        Bytes::new(wanted).align_up(2 * MIB).get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allocated(sizes: &[u64]) -> u64 {
        let mut caching = Caching::default();
        for size in sizes {
            caching.add(*size);
        }
        caching.allocated().get()
    }

    #[test]
    fn large_blocks_keep_a_tail_of_up_to_one_mib() {
        // The first tensors of Qwen2.5-7B: 31.5 MiB is charged 32, of 24.5 MiB the rest of 1.5 MiB is split off.
        assert_eq!(allocated(&[33_030_144]), 32 * MIB);
        assert_eq!(allocated(&[25_690_112]), 25_690_112);
        assert_eq!(allocated(&[271_581_184]), 260 * MIB);
        assert_eq!(allocated(&[135_790_592]), 130 * MIB);
    }

    #[test]
    fn what_is_left_is_used_again() {
        assert_eq!(
            allocated(&[8 * MIB, 8 * MIB]),
            16 * MIB,
            "two in one segment of 20 MiB"
        );
        assert_eq!(allocated(&[9_216]), 9_216);
        assert_eq!(allocated(&[1]), 512);
        assert_eq!(allocated(&[25_690_112, 3 * MIB / 2]), 25_690_112 + 3 * MIB / 2);
    }
}
