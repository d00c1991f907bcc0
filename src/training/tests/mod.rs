//! Tests of the training room: what layers save, the tape, single operations, states, and the sheet.

mod ends;
mod ops;
mod saved;
mod sheet;
mod states;
mod tape;

use super::AttentionKernel;
use super::block::{Block, Setting, record};
use super::ops::Types;
use super::tape::{Name, Rows, Shape, Storage, StorageId, Tape};
use crate::memory::Group;
use crate::model::{Network, catalogue};
use crate::units::DType;

const BF16: Types = Types {
    weights: DType::Bf16,
    autocast: None,
    low: DType::Bf16,
};
const FP32: Types = Types {
    weights: DType::Fp32,
    autocast: None,
    low: DType::Fp32,
};
const AUTOCAST: Types = Types {
    weights: DType::Fp32,
    autocast: Some(DType::Bf16),
    low: DType::Bf16,
};

#[track_caller]
fn network(id: &str) -> Network {
    catalogue::find(id)
        .and_then(catalogue::Entry::network)
        .unwrap_or_else(|| panic!("{id} is not in the catalogue"))
}

fn setting(
    network: &Network,
    types: Types,
    (batch, sequence): (u64, u64),
    kernel: AttentionKernel,
) -> Setting {
    Setting::new(network, types, (batch, sequence), kernel, None)
}

/// The layer at this depth on its tape.
fn block(network: &Network, depth: usize, setting: &Setting) -> Block {
    record(&network.kinds[network.order[depth]], setting, true)
}

/// Bytes before the allocator's rounding.
fn requested(storage: &Storage) -> u64 {
    storage.shape.elements() * storage.dtype.bits() / 8
}

fn storages(tape: &Tape, ids: &[StorageId]) -> Vec<Storage> {
    ids.iter().map(|id| tape.storages()[*id as usize]).collect()
}

static THING: Name = Name {
    id: "thing",
    label: "a thing",
    gradient_id: "gradient.thing",
    gradient_label: "gradient of a thing",
    group: Group::Activations,
};

/// Rows of `width` elements, one per token.
fn rows(width: u64, tokens: u64) -> Shape {
    Shape {
        axis: &super::names::WIDTH,
        width,
        rows: Rows::Tokens(tokens),
    }
}

/// A tensor of so many times 512 bytes, whose block is itself.
fn blocks(count: u64) -> Storage {
    Storage::new(&THING, rows(512, count), DType::Int8)
}
