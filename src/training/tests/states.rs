//! Weights, gradients and optimizer states of shards.

use crate::model::catalogue;
use crate::model::{Role, Split, Tensor};
use crate::training::states::{Piece, local_elements};
use crate::training::temporaries::temporaries;
use crate::training::{Optimizer, OptimizerImplementation};
use crate::units::{Bytes, DType};

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

/// The states of torchao's optimizers over a model cut to so many layers, against what a trace of the model found allocated
/// after a step less what was there before it (torchao 0.18 with its step run eagerly, which keeps the same states). Blocks
/// that are cut from larger cached ones keep what is left of them, which the sum does not know.
#[track_caller]
fn torchao(id: &str, layers: usize, (bits, tabled): (u64, bool), dtype: DType, traced: u64) {
    let network = catalogue::find(id)
        .and_then(catalogue::Entry::network)
        .expect("a model");
    let layer = network.kinds.first().expect("a layer");
    let tensors = std::iter::repeat_n(&layer.tensors, layers)
        .chain([&network.input_tensors, &network.output_tensors])
        .flatten();
    let optimizer = Optimizer::TorchAo { bits, tabled };
    let bytes = Piece::new(tensors, 1)
        .states(optimizer, OptimizerImplementation::Fused, dtype)
        .get();
    let error = bytes.abs_diff(traced) as f64 / traced as f64;
    assert!(error < 0.03, "{id} {bits} bits: {bytes}, traced {traced}");
}

#[test]
fn quantised_states_of_torchao_are_those_of_a_trace() {
    let (llama, qwen) = ("llama-3.2-1b", "qwen2.5-0.5b");
    torchao(llama, 4, (8, true), DType::Bf16, 1_027_999_744);
    torchao(llama, 4, (4, true), DType::Bf16, 538_022_912);
    torchao(llama, 4, (8, false), DType::Bf16, 1_027_940_352);
    torchao(qwen, 6, (8, true), DType::Fp32, 459_207_680);
    torchao(qwen, 6, (4, true), DType::Fp32, 246_923_264);
    torchao(qwen, 6, (8, false), DType::Fp32, 459_119_616);
}

/// Two matrices of a layer and a vector, on one rank.
fn small_layer() -> Piece {
    Piece::new(
        [
            &tensor(&[64, 32], Role::Mixer, 1),
            &tensor(&[16, 128], Role::FeedForward, 1),
            &tensor(&[128], Role::Norm, 1),
        ],
        1,
    )
}

#[test]
fn muon_and_galore_treat_the_matrices_of_layers_apart() {
    let of = |optimizer, dtype| {
        small_layer()
            .states(optimizer, OptimizerImplementation::Fused, dtype)
            .get()
    };
    // Momentum for two matrices of 2048 elements; two moments and a counter for the vector.
    assert_eq!(of(Optimizer::Muon, DType::Fp32), 2 * 8192 + 2 * 512 + 512);
    // Rank 8: moments of 64·8 and 128·8 each twice, projectors of 8·32 and 8·16 in 16 bits.
    let galore = Optimizer::GaLore { rank: 8 };
    assert_eq!(
        of(galore, DType::Bf16),
        (2 * 1024 + 512) + (2 * 2048 + 512) + 2 * 512
    );
    // In fp32 the projector keeps all singular vectors: 32·32 and 16·16.
    assert_eq!(
        of(galore, DType::Fp32),
        (2 * 2048 + 4096) + (2 * 4096 + 1024) + 2 * 512
    );
    // Transformers' Adafactor: 64 + 32, 16 + 128 and 128 values in fp32, whatever the type.
    assert_eq!(of(Optimizer::AdafactorFp32, DType::Bf16), 2 * 512 + 2 * 512 + 512);
    assert_eq!(of(Optimizer::ScheduleFree, DType::Bf16), 2 * (4096 + 4096 + 512));
}

#[test]
fn temporaries_are_those_of_the_tensor_at_hand() {
    let piece = small_layer();
    let of = |optimizer, implementation, dtype, workspace| {
        temporaries(
            optimizer,
            implementation,
            &[(&piece, dtype, 1)],
            Bytes::new(workspace),
        )
        .map(|needs| needs.bytes.get())
    };
    use OptimizerImplementation::{Foreach, Fused, Loop};
    assert_eq!(of(Optimizer::AdamW, Fused, DType::Fp32, 0), None);
    assert_eq!(of(Optimizer::AdamW, Loop, DType::Fp32, 0), Some(2 * 8192));
    assert_eq!(
        of(Optimizer::AdamW, Foreach, DType::Fp32, 0),
        Some(2 * 8192 + 512)
    );
    assert_eq!(of(Optimizer::ScheduleFree, Loop, DType::Fp32, 0), Some(8192));
    assert_eq!(
        of(Optimizer::AdafactorFp32, Fused, DType::Bf16, 0),
        Some(4 * 8192)
    );
    // The 64 × 32 matrix: its update in fp32, two in 16 bits, two Gram matrices of 32 × 32, and a workspace.
    assert_eq!(
        of(Optimizer::Muon, Fused, DType::Fp32, 1000),
        Some(8192 + 2 * 4096 + 2 * 2048 + 1000)
    );
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
    // The optimizer sees of the original tensors what lies on a rank: the second of three ranks has 280 elements of the matrix.
    let [first, second] = [tensor(&[40, 16], Role::Bias, 1), tensor(&[100], Role::Bias, 1)];
    let views = Piece::flat([&second, &first, &second], 3).with_views([&second, &first, &second]);
    assert_eq!(
        views.largest(DType::Fp32).get(),
        (280_u64 * 4).next_multiple_of(512)
    );
}
