//! What a rank keeps outside its GPU: in the memory of its machine, or on its disk. Each has formula and source like an
//! entry of the ledger; the ranks of a machine add up.

use super::entry::Symbol;
use super::interval::Interval;
use crate::cite::Citation;
use crate::units::Bytes;

/// Where it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPlace {
    /// Memory of the machine.
    Memory,
    /// Disk of the machine.
    Disk,
}

/// When it is there. What is needed is the larger of the two sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPhase {
    /// While the model is built.
    Build,
    /// During training.
    Training,
    /// While an engine serves.
    Serving,
}

/// Equal allocations of one rank outside its GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct HostEntry {
    /// Stable key.
    pub id: &'static str,
    /// For a person.
    pub label: &'static str,
    /// Where.
    pub place: HostPlace,
    /// When.
    pub phase: HostPhase,
    /// Page-locked by torch's host allocator.
    pub pinned: bool,
    /// Bytes that are asked for in one allocation.
    pub unit: Bytes,
    /// How many allocations.
    pub count: u64,
    /// Formula of one.
    pub formula: &'static str,
    /// Its symbols.
    pub symbols: Vec<Symbol>,
    /// Its source.
    pub citation: Citation,
}

impl HostEntry {
    /// Bytes of all of them. torch's host allocator rounds a pinned allocation up to a power of two
    /// (aten/src/ATen/core/CachingHostAllocator.h, pytorch issue 95823); newer versions have a setting against it, so the
    /// lower bound is what is asked for.
    pub fn bytes(&self) -> Interval {
        let asked = self.unit * self.count;
        if !self.pinned || self.unit == Bytes::ZERO {
            return Interval::exact(asked);
        }
        let rounded = self.unit.get().checked_next_power_of_two();
        let held = Bytes::new(rounded.unwrap_or(u64::MAX)) * self.count;
        Interval::new(asked, held, held)
    }
}

/// What so many ranks of one machine need in a place: the larger of building and training.
pub fn need(entries: &[HostEntry], place: HostPlace, ranks: u64) -> Interval {
    let sum = |phase| {
        let of = entries
            .iter()
            .filter(|entry| entry.place == place && entry.phase == phase);
        of.fold(Interval::default(), |sum, entry| sum + entry.bytes())
    };
    let build = sum(HostPhase::Build);
    let training = sum(HostPhase::Training) + sum(HostPhase::Serving);
    Interval {
        low: build.low.max(training.low),
        expected: build.expected.max(training.expected),
        high: build.high.max(training.high),
    }
    .times(ranks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cite::Evidence;

    fn entry(phase: HostPhase, pinned: bool, unit: u64, count: u64) -> HostEntry {
        HostEntry {
            id: "test",
            label: "test",
            place: HostPlace::Memory,
            phase,
            pinned,
            unit: Bytes::new(unit),
            count,
            formula: "n",
            symbols: Vec::new(),
            citation: Citation::new(Evidence::Source, "test"),
        }
    }

    #[test]
    fn pinned_memory_is_rounded_to_powers_of_two() {
        let one = entry(HostPhase::Training, true, 5, 3).bytes();
        assert_eq!((one.low.get(), one.expected.get(), one.high.get()), (15, 24, 24));
        let exact = entry(HostPhase::Training, false, 5, 3).bytes();
        assert_eq!((exact.low.get(), exact.high.get()), (15, 15));
    }

    #[test]
    fn building_and_training_do_not_add_up() {
        let entries = [
            entry(HostPhase::Build, false, 100, 1),
            entry(HostPhase::Training, false, 30, 2),
        ];
        let found = need(&entries, HostPlace::Memory, 4);
        assert_eq!((found.expected.get(), found.high.get()), (400, 400));
        assert_eq!(need(&entries, HostPlace::Disk, 4), Interval::default());
    }
}
