//! A ledger being filled: entries are registered once, and held at instants by their index.

use super::tape::Storage;
use crate::cite::{Citation, Evidence};
use crate::memory::{Entry, Group, HostEntry, Instant, InstantId, Ledger, Symbol};
use crate::units::{Bytes, DType, sort_by_key};

/// Index of an entry on a sheet.
pub type EntryId = usize;

/// What an entry is, without its lifetime.
#[derive(Clone, Debug)]
pub struct Item {
    /// Stable key.
    pub id: &'static str,
    /// For a person.
    pub label: &'static str,
    /// Group of the breakdown.
    pub group: Group,
    /// Element type.
    pub dtype: Option<DType>,
    /// Bytes of one.
    pub unit: Bytes,
    /// Formula of one.
    pub formula: &'static str,
    /// Its symbols.
    pub symbols: Vec<Symbol>,
    /// Where one is a sum over tensors: the bytes of each.
    pub terms: Vec<Bytes>,
    /// Its source.
    pub citation: Citation,
}

/// How many of which entries are alive at a moment.
pub type Held = Vec<(EntryId, u64)>;

/// Entries and their lifetimes.
#[derive(Default)]
pub struct Sheet {
    entries: Vec<Entry>,
    instants: Vec<Instant>,
    host: Vec<HostEntry>,
}

/// Where the sizes of saved and temporary tensors come from.
const TAPE: Citation = Citation::new(
    Evidence::Traced,
    "operations of the reference classes (transformers 5.23) as torch 2.15 saves and frees them; tests/measured/torch-trace.jsonl",
);

impl Sheet {
    /// Registers an item at a place (which layers); the same item at the same place has one entry.
    pub fn item(&mut self, item: Item, place: &str) -> EntryId {
        let found = self.find(item.id, item.dtype, item.unit, place);
        found.unwrap_or_else(|| {
            self.entries.push(Entry {
                id: item.id,
                label: item.label,
                group: item.group,
                dtype: item.dtype,
                place: place.to_string(),
                unit: item.unit,
                held: [0; InstantId::ALL.len()],
                formula: item.formula,
                symbols: item.symbols,
                terms: item.terms,
                citation: item.citation,
            });
            self.entries.len() - 1
        })
    }

    /// Registers a tensor of a tape.
    pub fn storage(&mut self, storage: &Storage, place: &str) -> EntryId {
        let (id, dtype, unit) = (storage.id(), Some(storage.dtype), storage.bytes());
        self.find(id, dtype, unit, place).unwrap_or_else(|| {
            let item = Item {
                id,
                label: storage.label(),
                group: storage.group(),
                dtype,
                unit,
                formula: storage.formula(),
                symbols: storage.symbols(),
                terms: Vec::new(),
                citation: TAPE,
            };
            self.item(item, place)
        })
    }

    /// Registers tensors of a tape and counts them.
    pub fn storages(&mut self, storages: impl IntoIterator<Item = Storage>, place: &str) -> Held {
        let mut held: Held = Vec::new();
        for storage in storages {
            let entry = self.storage(&storage, place);
            match held.iter_mut().find(|(id, _)| *id == entry) {
                Some((_, count)) => *count += 1,
                None => held.push((entry, 1)),
            }
        }
        held
    }

    fn find(&self, id: &str, dtype: Option<DType>, unit: Bytes, place: &str) -> Option<EntryId> {
        self.entries.iter().position(|entry| {
            entry.unit == unit && entry.dtype == dtype && entry.id == id && entry.place == place
        })
    }

    /// The group of an entry.
    pub fn group(&self, id: EntryId) -> Option<Group> {
        self.entries.get(id).map(|entry| entry.group)
    }

    /// Bytes of what is held.
    pub fn bytes(&self, held: &Held) -> Bytes {
        held.iter()
            .filter_map(|(id, count)| Some(self.entries.get(*id)?.unit * *count))
            .sum()
    }

    /// Registers what the rank keeps outside its GPU.
    pub fn host(&mut self, entry: HostEntry) {
        let same = |other: &&mut HostEntry| {
            other.id == entry.id
                && other.unit == entry.unit
                && other.formula == entry.formula
                && other.symbols == entry.symbols
        };
        match self.host.iter_mut().find(same) {
            Some(earlier) => earlier.count = earlier.count.saturating_add(entry.count),
            None if entry.unit > Bytes::ZERO && entry.count > 0 => self.host.push(entry),
            None => {}
        }
    }

    /// Records an instant with what is alive then.
    pub fn instant(&mut self, id: InstantId, label: impl Into<String>, held: &Held) {
        self.instants.push(Instant {
            id,
            label: label.into(),
        });
        for (entry, count) in held {
            let slot = self
                .entries
                .get_mut(*entry)
                .and_then(|entry| entry.held.get_mut(id.index()));
            if let Some(slot) = slot {
                *slot += count;
            }
        }
    }

    /// The ledger: entries that are alive at some instant, grouped, instants in the order of time.
    pub fn finish(self) -> Ledger {
        let mut entries = self.entries;
        entries.retain(|entry| entry.held.iter().any(|count| *count > 0) && entry.unit > Bytes::ZERO);
        sort_by_key(&mut entries, |entry| entry.group);
        let mut instants = self.instants;
        sort_by_key(&mut instants, |instant| instant.id);
        Ledger {
            entries,
            instants,
            host: self.host,
        }
    }
}
