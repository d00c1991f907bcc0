//! The ledger of one rank: its entries, the instants that occur, and views of them.

use serde::Serialize;

use super::entry::{Entry, Group};
use super::host::HostEntry;
use super::instant::{Instant, InstantId};
use crate::units::Bytes;

/// Every tensor of one rank over one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ledger {
    /// The entries, in the order weights, gradients, optimizer, activations, overhead.
    pub entries: Vec<Entry>,
    /// The instants that occur, in the order of time.
    pub instants: Vec<Instant>,
    /// What the rank keeps on its machine outside the GPU.
    #[serde(skip)]
    pub host: Vec<HostEntry>,
}

impl Ledger {
    /// Bytes in allocated blocks at an instant.
    pub fn allocated_at(&self, instant: InstantId) -> Bytes {
        self.entries.iter().map(|entry| entry.at(instant)).sum()
    }

    /// The instant at which the most is allocated (the earliest of equal ones), and how much that is.
    pub fn peak(&self) -> Option<(&Instant, Bytes)> {
        let mut peak: Option<(&Instant, Bytes)> = None;
        for instant in &self.instants {
            let allocated = self.allocated_at(instant.id);
            if peak.is_none_or(|(_, largest)| allocated > largest) {
                peak = Some((instant, allocated));
            }
        }
        peak
    }

    /// Bytes of one group at an instant.
    pub fn group_at(&self, group: Group, instant: InstantId) -> Bytes {
        self.entries
            .iter()
            .filter(|entry| entry.group == group)
            .map(|entry| entry.at(instant))
            .sum()
    }
}
