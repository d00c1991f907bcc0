//! Weights, gradients and optimizer states of shards.

use crate::model::{Role, Split, Tensor};
use crate::training::states::{Piece, local_elements};
use crate::training::{Optimizer, OptimizerImplementation};
use crate::units::DType;

fn tensor(shape: &[u64], role: Role, copies: u64) -> Tensor {
    Tensor {
        name: "weight".into(),
        shape: shape.to_vec(),
        role,
        split: Split::Replicated,
        copies,
    }
}

#[track_caller]
fn local(shape: &[u64], (role, copies): (Role, u64), ranks: u64, expected: u64) {
    assert_eq!(
        local_elements(&tensor(shape, role, copies), ranks),
        expected,
        "{shape:?} {copies} times on {ranks}"
    );
}

#[test]
fn shards_are_whole_slices_along_the_first_axis() {
    let matrix = (Role::Bias, 1);
    local(&[10, 3], matrix, 1, 30);
    local(&[10, 3], matrix, 2, 15);
    local(&[10, 3], matrix, 4, 9);
    local(&[10, 3], matrix, 64, 3);
    local(&[1000, 7], matrix, 64, 16 * 7);
    local(&[5], matrix, 8, 1);
    local(&[0, 4], matrix, 8, 0);
}

#[test]
fn experts_are_dealt_out_whole() {
    let experts = |copies| (Role::RoutedExpert, copies);
    local(&[6, 4], experts(8), 1, 8 * 24);
    local(&[6, 4], experts(8), 4, 2 * 24);
    local(&[6, 4], experts(6), 4, 2 * 24);
    local(&[6, 4], experts(8), 64, 24);
    // Stored as one tensor whose first axis counts the experts.
    local(&[8, 6, 4], experts(1), 4, 2 * 24);
}

#[track_caller]
fn states(elements: u64, optimizer: Optimizer, implementation: OptimizerImplementation, expected: u64) {
    let piece = Piece::new([&tensor(&[elements], Role::Bias, 1)], 1);
    assert_eq!(
        piece.states(optimizer, implementation, DType::Fp32).get(),
        expected,
        "{elements} {optimizer:?}"
    );
}

#[test]
fn optimizers_keep_what_their_source_says() {
    use OptimizerImplementation::{Foreach, Fused};
    let (plain, momentum) = (
        Optimizer::Sgd { momentum: false },
        Optimizer::Sgd { momentum: true },
    );
    states(1024, Optimizer::AdamW, Foreach, 8 * 1024);
    // The step counters lie on the device only in the fused kernel.
    states(1024, Optimizer::AdamW, Fused, 8 * 1024 + 512);
    states(1024, momentum, Foreach, 4 * 1024);
    states(1024, plain, Foreach, 0);
    let bitsandbytes = |states, eight_bit, paged| Optimizer::BitsAndBytes {
        states,
        eight_bit,
        paged,
    };
    let adam = bitsandbytes(2, true, false);
    states(4096 * 14336, adam, Foreach, 119_275_520);
    states(4096, adam, Foreach, 2 * (4096 + 512));
    states(4095, adam, Foreach, 2 * 16_384);
    states(8192, bitsandbytes(1, true, false), Foreach, 8192 + 512);
    states(8192, bitsandbytes(1, false, false), Foreach, 4 * 8192);
    // Paged from 100,000 elements on; the scales stay.
    states(1 << 17, bitsandbytes(2, true, true), Foreach, 2 * 4 * (1 << 9));
    states(1 << 17, bitsandbytes(2, false, true), Foreach, 0);
    states(1 << 16, bitsandbytes(2, false, true), Foreach, 2 * 4 * (1 << 16));
}

#[test]
fn a_gathered_piece_is_as_long_as_all_its_padded_shards() {
    let piece = Piece::new(
        [&tensor(&[10, 256], Role::Bias, 1), &tensor(&[3], Role::Norm, 1)],
        4,
    );
    assert_eq!(piece.elements, 2563);
    assert_eq!(piece.tensors(), 2);
    assert_eq!(piece.local(DType::Bf16).get(), 3 * 512 + 512);
    assert_eq!(piece.whole(DType::Bf16).get(), 4 * 3 * 512 + 512);
    assert_eq!(piece.largest(DType::Bf16).get(), 3 * 512);
    // FSDP1 joins them to one flat parameter, padded once.
    let flat = Piece::flat(
        [&tensor(&[10, 256], Role::Bias, 1), &tensor(&[3], Role::Norm, 1)],
        4,
    );
    assert_eq!(flat.tensors(), 1);
    assert_eq!(flat.elements, 2563);
    assert_eq!(flat.local(DType::Fp32).get(), (641u64 * 4).next_multiple_of(512));
}
