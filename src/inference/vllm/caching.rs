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
    /// Whether no block is looked for: sizes are only added up.
    bounds: bool,
    /// What can stay unsplit of the large blocks at most.
    tails: u64,
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

    fn give(&mut self, size: u64, times: u64) {
        let place = self.0.partition_point(|(known, _)| *known < size);
        match self.0.get_mut(place) {
            Some((known, count)) if *known == size => *count = count.saturating_add(times),
            _ => self.0.insert(place, (size, times)),
        }
    }

    fn has(&self, size: u64) -> bool {
        self.0.binary_search_by_key(&size, |(known, _)| *known).is_ok()
    }

    fn same_sizes(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(one, other)| one.0 == other.0)
    }
}

/// What the large tensors of a layer do to the allocator in every layer of its kind, once that repeats.
///
/// Best fit asks only which sizes are free. Where a layer takes no block of a size that was free before it, and leaves no size
/// that was not, the next layer of the kind finds the same sizes and does the same, with more blocks of them.
#[derive(Clone, Debug)]
pub struct Repeat {
    before: Free,
    allocated: u64,
    requested: u64,
    reserved: u64,
    tails: u64,
    left: Vec<(u64, u64)>,
}

impl Caching {
    /// Adds up sizes without looking for blocks: what is allocated is a lower bound, and with the tails an upper one.
    pub fn bounds() -> Self {
        Self {
            bounds: true,
            ..Self::default()
        }
    }

    /// What can stay unsplit of the large blocks at most.
    pub fn tails(&self) -> Bytes {
        Bytes::new(self.tails)
    }

    /// Takes blocks for the tensors of a layer. `repeat`: what is known of its kind.
    pub fn layer(&mut self, tensors: &[u64], repeat: &mut Option<Repeat>) {
        let large = |bytes: &&u64| **bytes > SMALL;
        match repeat {
            Some(known) if known.before.same_sizes(&self.large) => {
                self.allocated = self.allocated.saturating_add(known.allocated);
                self.requested = self.requested.saturating_add(known.requested);
                self.reserved = self.reserved.saturating_add(known.reserved);
                self.tails = self.tails.saturating_add(known.tails);
                for (size, times) in &known.left {
                    self.large.give(*size, *times);
                }
            }
            _ => *repeat = self.watched(tensors.iter().filter(large)),
        }
        for bytes in tensors.iter().filter(|bytes| !large(bytes)) {
            self.add(*bytes);
        }
    }

    /// Takes blocks for large tensors and tells what of that repeats.
    fn watched<'a>(&mut self, tensors: impl Iterator<Item = &'a u64>) -> Option<Repeat> {
        let before = self.large.clone();
        let (allocated, requested, reserved) = (self.allocated, self.requested, self.reserved);
        let tails = self.tails;
        let mut old = false;
        for bytes in tensors {
            old |= self.add(*bytes).is_some_and(|size| before.has(size));
        }
        if old || !before.same_sizes(&self.large) {
            return None;
        }
        let left = self.large.0.iter().zip(&before.0);
        Some(Repeat {
            allocated: self.allocated.saturating_sub(allocated),
            requested: self.requested.saturating_sub(requested),
            reserved: self.reserved.saturating_sub(reserved),
            tails: self.tails.saturating_sub(tails),
            left: left
                .map(|((size, now), (_, then))| (*size, now.saturating_sub(*then)))
                .filter(|(_, times)| *times > 0)
                .collect(),
            before,
        })
    }

    /// Takes a block for a tensor; tells the size of the free block that it was cut from.
    pub fn add(&mut self, bytes: u64) -> Option<u64> {
        if bytes == 0 {
            return None;
        }
        self.requested = self.requested.saturating_add(bytes);
        let wanted = Bytes::new(bytes).align_up(BLOCK).get();
        let is_small = wanted <= SMALL;
        if !is_small {
            self.tails = self.tails.saturating_add(SMALL);
        }
        if self.bounds {
            self.allocated = self.allocated.saturating_add(wanted);
            return None;
        }
        let pool = if is_small {
            &mut self.small
        } else {
            &mut self.large
        };
        let free = pool.take(wanted);
        let block = free.unwrap_or_else(|| {
            let segment = segment(wanted);
            self.reserved = self.reserved.saturating_add(segment);
            segment
        });
        let rest = block.saturating_sub(wanted);
        let splits = if is_small { rest >= BLOCK } else { rest > SMALL };
        if splits {
            pool.give(rest, 1);
        }
        self.allocated = self.allocated.saturating_add(if splits { wanted } else { block });
        free
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
#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by a panic"
)]
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
    fn layers_that_repeat_are_counted_as_if_each_were_loaded() {
        let mut seed = 1_u64;
        let mut next = |most: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % most
        };
        for _ in 0..2_000 {
            let kinds: Vec<Vec<u64>> = (0..1 + next(3))
                .map(|_| {
                    let tensors = 1 + next(12);
                    let mut size = |_| {
                        let most = [4_096, MIB, 3 * MIB, 12 * MIB, 300 * MIB][next(5) as usize];
                        next(most)
                    };
                    (0..tensors).map(&mut size).collect()
                })
                .collect();
            let (mut each, mut at_once) = (Caching::default(), Caching::default());
            let mut repeats = vec![None; kinds.len()];
            let mut all = Vec::new();
            for _ in 0..30 + next(60) {
                let kind = (next(4) as usize).min(kinds.len() - 1);
                for bytes in &kinds[kind] {
                    each.add(*bytes);
                }
                at_once.layer(&kinds[kind], &mut repeats[kind]);
                all.extend(kinds[kind].iter().copied());
            }
            for bytes in [next(MIB), 2 * MIB, 5 * MIB + 1, 40 * MIB] {
                all.push(bytes);
                each.add(bytes);
                at_once.add(bytes);
            }
            let mut bounds = Caching::bounds();
            for bytes in &all {
                bounds.add(*bytes);
            }
            assert!(bounds.allocated() <= each.allocated());
            assert!(each.allocated() <= bounds.allocated() + bounds.tails());
            assert_eq!(
                (
                    each.allocated,
                    each.requested,
                    each.reserved,
                    &each.large.0,
                    &each.small.0
                ),
                (
                    at_once.allocated,
                    at_once.requested,
                    at_once.reserved,
                    &at_once.large.0,
                    &at_once.small.0
                )
            );
        }
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
