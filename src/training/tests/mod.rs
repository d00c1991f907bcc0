//! Tests of the training room: what layers save, the tape, single operations, states, and the sheet.

mod divided;
mod ends;
mod ops;
mod saved;
mod shards;
mod sheet;
mod states;
mod tape;

use std::sync::Arc;

use super::block::{Block, Setting, record};
use super::ops::Types;
use super::tape::{Name, Rows, Shape, Storage, StorageId, Tape};
use super::{
    AttentionKernel, Engine, FusedKernels, Layout, LossKind, Objective, Optimizer, OptimizerImplementation,
    Precision, Recomputation, Save, TrainingJob,
};
use crate::memory::Group;
use crate::model::catalogue;
use crate::units::DType;

const BF16: Types = Types {
    weights: DType::Bf16,
    autocast: None,
    low: DType::Bf16,
    norms: DType::Bf16,
};
const FP32: Types = Types {
    weights: DType::Fp32,
    autocast: None,
    low: DType::Fp32,
    norms: DType::Fp32,
};
const AUTOCAST: Types = Types {
    weights: DType::Fp32,
    autocast: Some(DType::Bf16),
    low: DType::Bf16,
    norms: DType::Fp32,
};

/// A job on one GPU with nothing out of the ordinary.
#[track_caller]
pub(in crate::training) fn job(
    id: &str,
    (batch, sequence): (u64, u64),
    attention: AttentionKernel,
) -> TrainingJob {
    let network = catalogue::find(id)
        .and_then(catalogue::Entry::network)
        .unwrap_or_else(|| panic!("{id} is not in the catalogue"));
    let network = Arc::new(network);
    TrainingJob {
        network: network.clone(),
        micro_batch: batch,
        sequence_length: sequence,
        accumulation_steps: 1,
        precision: Precision::Pure(DType::Bf16),
        optimizer: Optimizer::AdamW,
        implementation: OptimizerImplementation::Fused,
        gradient_clipping: false,
        saved: crate::training::HostMemory::None,
        recomputation: Recomputation::None,
        attention,
        loss: LossKind::Plain,
        kernels: FusedKernels::None,
        transformers_version: (5, 23),
        keep_outputs: false,
        engine: Engine::Single,
        data_parallel: 1,
        torch_version: (2, 15),
        layout: Layout::Packed,
        compile: None,
        optimizer_in_backward: false,
        moving_average: None,
        sync_each_micro_batch: true,
        adapter: None,
        tensor: None,
        composed: crate::training::Composed::default(),
        objective: Objective::NextToken,
        reentrant: false,
        images: None,
        evaluation: None,
        save: Save::None,
        rank: 0,
        whole: network,
        compute_capability: 90,
    }
}

/// The layer at this depth on its tape.
fn block(job: &TrainingJob, depth: usize, types: Types) -> Block {
    let network = &job.network;
    record(
        &network.kinds[network.order[depth]],
        &Setting::new(job, types),
        true,
    )
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
