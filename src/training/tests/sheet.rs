//! The sheet: one entry for equal things, counts by instant, and what becomes of it.

use super::{THING, blocks};
use crate::cite::{Citation, Evidence};
use crate::memory::{Group, InstantId, Ledger};
use crate::training::sheet::{Held, Item, Sheet};
use crate::training::tape::Storage;
use crate::units::{Bytes, DType};

fn item(id: &'static str, group: Group, unit: u64) -> Item {
    Item {
        id,
        label: id,
        group,
        dtype: None,
        unit: Bytes::new(unit),
        formula: "",
        symbols: Vec::new(),
        terms: Vec::new(),
        citation: Citation::new(Evidence::Derived, "a test"),
    }
}

fn ledger(sheet: Sheet) -> (Ledger, Vec<&'static str>) {
    let ledger = sheet.finish();
    let ids = ledger.entries.iter().map(|entry| entry.id).collect();
    (ledger, ids)
}

#[test]
fn equal_things_at_one_place_are_one_entry() {
    let mut sheet = Sheet::default();
    let first = sheet.item(item("a", Group::Overhead, 512), "here");
    assert_eq!(sheet.item(item("a", Group::Overhead, 512), "here"), first);
    assert_ne!(sheet.item(item("a", Group::Overhead, 512), "there"), first);
    assert_ne!(sheet.item(item("a", Group::Overhead, 1024), "here"), first);
    assert_ne!(sheet.item(item("b", Group::Overhead, 512), "here"), first);
}

#[test]
fn equal_storages_are_counted() {
    let mut sheet = Sheet::default();
    let wide = Storage {
        dtype: DType::Fp32,
        ..blocks(3)
    };
    let gradient = Storage {
        gradient: true,
        ..blocks(3)
    };
    let held = sheet.storages([blocks(3), wide, blocks(3), gradient], "");
    let counts: Vec<u64> = held.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [2, 1, 1]);
    assert_eq!(sheet.bytes(&held).get(), 512 * (2 * 3 + 4 * 3 + 3));
    sheet.instant(InstantId::Rest, "rest", &held);
    let (ledger, ids) = ledger(sheet);
    assert_eq!(ids, [THING.id, THING.id, THING.gradient_id]);
    assert_eq!(
        ledger.group_at(Group::Activations, InstantId::Rest).get(),
        512 * 18
    );
    assert_eq!(ledger.group_at(Group::Overhead, InstantId::Rest).get(), 512 * 3);
}

#[test]
fn a_ledger_lists_what_lives_grouped_and_its_instants_in_time() {
    let mut sheet = Sheet::default();
    let late = sheet.item(item("overhead", Group::Overhead, 10), "");
    let early = sheet.item(item("weights", Group::ModelParams, 7), "");
    sheet.item(item("never", Group::Gradients, 1), "");
    let nothing = sheet.item(item("nothing", Group::Gradients, 0), "");
    let held: Held = vec![(late, 1), (early, 2), (nothing, 5)];
    sheet.instant(InstantId::OptimizerStep, "step", &held);
    sheet.instant(InstantId::Load, "load", &vec![(early, 1), (early, 1), (early, 2)]);
    let (ledger, ids) = ledger(sheet);
    assert_eq!(ids, ["weights", "overhead"]);
    let instants: Vec<InstantId> = ledger.instants.iter().map(|instant| instant.id).collect();
    assert_eq!(instants, [InstantId::Load, InstantId::OptimizerStep]);
    assert_eq!(ledger.allocated_at(InstantId::Load).get(), 28);
    assert_eq!(ledger.allocated_at(InstantId::OptimizerStep).get(), 24);
    let (binding, bytes) = ledger.peak().expect("a peak");
    assert_eq!((binding.id, bytes.get()), (InstantId::Load, 28));
}

#[test]
fn of_equal_peaks_the_earliest_binds() {
    let mut sheet = Sheet::default();
    let thing = sheet.item(item("a", Group::ModelParams, 5), "");
    for instant in [InstantId::Clip, InstantId::Rest] {
        sheet.instant(instant, "", &vec![(thing, 1)]);
    }
    let (ledger, _) = ledger(sheet);
    assert_eq!(
        ledger.peak().map(|(instant, _)| instant.id),
        Some(InstantId::Rest)
    );
    assert_eq!(Ledger::default().peak(), None);
}
