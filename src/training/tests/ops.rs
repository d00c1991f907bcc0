//! Single operations with tensors of 64 rows of 8: what each keeps, and in which type it runs.

use super::{AUTOCAST, BF16, FP32, THING, requested, rows, storages};
use crate::model::NormKind;
use crate::training::names;

use crate::training::ops::{Recorder, Types};
use crate::training::tape::{Storage, Tape, Var};
use crate::training::{FusedKernels, Projection};
use crate::units::DType;

const TOKENS: u64 = 64;
const WIDTH: u64 = 8;
/// Elements of the input.
const ALL: u64 = TOKENS * WIDTH;

/// An empty tape, and its input in the type of the weights.
fn recorder(types: Types) -> (Recorder, Var) {
    let (tape, input) = Tape::new(Storage::new(&THING, rows(WIDTH, TOKENS), types.weights), true);
    let recorder = Recorder {
        tape,
        types,
        tokens: TOKENS,
        kernels: FusedKernels::None,
        adapter: None,
        outside: false,
        sequences: 1,
        passing_workspace: false,
        ring: (1, false),
        of_patches: false,
        frozen: false,
    };
    (recorder, input)
}

fn kept(recorder: &Recorder) -> u64 {
    let alive = recorder.tape.alive_after_forward();
    storages(&recorder.tape, &alive).iter().map(requested).sum()
}

/// What one operation on the input keeps, and the type of its output.
#[track_caller]
fn keeps(types: Types, bytes: u64, output: DType, operation: impl Fn(&mut Recorder, Var) -> Var) {
    let (mut recorder, input) = recorder(types);
    let made = operation(&mut recorder, input);
    assert_eq!(kept(&recorder), bytes, "{types:?}");
    assert_eq!(made.dtype, output, "{types:?}");
}

fn linear(recorder: &mut Recorder, input: Var) -> Var {
    recorder.linear(input, rows(4, TOKENS), &THING, Projection::Other)
}

#[test]
fn a_linear_layer_keeps_its_input_and_under_autocast_its_copied_weights() {
    keeps(BF16, 2 * ALL, DType::Bf16, linear);
    keeps(FP32, 4 * ALL, DType::Fp32, linear);
    keeps(AUTOCAST, 2 * ALL + 2 * WIDTH * 4, DType::Bf16, linear);
}

#[test]
fn two_linear_layers_share_their_input_but_not_its_casts() {
    let twice = |recorder: &mut Recorder, input| {
        linear(recorder, input);
        linear(recorder, input)
    };
    keeps(BF16, 2 * ALL, DType::Bf16, twice);
    keeps(AUTOCAST, 2 * (2 * ALL + 2 * WIDTH * 4), DType::Bf16, twice);
}

#[test]
fn dropout_keeps_a_mask_of_bytes_where_it_drops() {
    for types in [BF16, FP32, AUTOCAST] {
        keeps(types, 0, types.weights, |recorder, input| {
            recorder.dropout(input, 0.0)
        });
        keeps(types, ALL, types.weights, |recorder, input| {
            recorder.dropout(input, 0.1)
        });
    }
}

#[test]
fn a_softmax_keeps_its_result_in_its_own_type() {
    let fp16 = Types {
        weights: DType::Fp16,
        autocast: None,
        low: DType::Fp16,
        norms: DType::Fp16,
    };
    for types in [BF16, FP32, AUTOCAST, fp16] {
        keeps(types, 4 * ALL, DType::Fp32, |recorder, input| {
            recorder.softmax(input, DType::Fp32, [&names::SCORES, &names::PROBABILITIES])
        });
    }
    keeps(BF16, 2 * ALL, DType::Bf16, |recorder, input| {
        recorder.softmax(input, DType::Bf16, [&names::SCORES, &names::PROBABILITIES])
    });
}

#[test]
fn sums_and_scaling_keep_nothing_products_keep_both_factors() {
    keeps(BF16, 0, DType::Bf16, |recorder, input| {
        recorder.add(input, input, &THING)
    });
    keeps(BF16, 0, DType::Bf16, |recorder, input| {
        recorder.scale(input, None, &THING)
    });
    keeps(BF16, 0, DType::Fp32, |recorder, input| {
        recorder.scale(input, Some(DType::Fp32), &THING)
    });
    keeps(BF16, 0, DType::Fp32, |recorder, input| {
        recorder.cast(input, DType::Fp32, &THING)
    });
    keeps(BF16, 2 * ALL, DType::Bf16, |recorder, input| {
        recorder.multiply(input, input, &THING)
    });
    keeps(BF16, 6 * ALL, DType::Fp32, |recorder, input| {
        let wide = recorder.cast(input, DType::Fp32, &THING);
        recorder.multiply(input, wide, &THING)
    });
}

#[test]
fn activations_keep_input_or_result_or_every_part() {
    let activated = |function: &'static str| {
        move |recorder: &mut Recorder, input| recorder.activation(input, function, &THING)
    };
    keeps(BF16, 2 * ALL, DType::Bf16, activated("silu"));
    keeps(BF16, 2 * ALL, DType::Bf16, activated("gelu"));
    keeps(BF16, 2 * ALL, DType::Bf16, activated("relu"));
    // Half of it, its power's input, the hyperbolic tangent, and that plus one.
    keeps(BF16, 8 * ALL, DType::Bf16, activated("gelu_new"));
    keeps(FP32, 16 * ALL, DType::Fp32, activated("gelu_new"));
    // The result of the ReLU is what is squared; under autocast as a copy in fp32.
    keeps(BF16, 2 * ALL, DType::Bf16, activated("relu2"));
    keeps(AUTOCAST, 4 * ALL, DType::Fp32, activated("relu2"));
    // The input, its first product, the exponential, the difference, and which side of zero it is on.
    keeps(BF16, (4 * 2 + 1) * ALL, DType::Bf16, activated("xielu"));
    keeps(AUTOCAST, (4 * 4 + 1) * ALL, DType::Fp32, activated("xielu"));
}

#[test]
fn norms_keep_wide_copies_and_one_or_two_numbers_per_row() {
    let norm = |kind| move |recorder: &mut Recorder, input| recorder.norm(input, kind, 1);
    keeps(BF16, (4 + 2) * ALL + 4 * TOKENS, DType::Bf16, norm(NormKind::Rms));
    keeps(FP32, (4 + 4) * ALL + 4 * TOKENS, DType::Fp32, norm(NormKind::Rms));
    keeps(
        BF16,
        (4 + 4) * ALL + 4 * TOKENS,
        DType::Bf16,
        norm(NormKind::RmsPlusOne),
    );
    keeps(BF16, 2 * ALL + 8 * TOKENS, DType::Bf16, norm(NormKind::Layer));
    keeps(AUTOCAST, 4 * ALL + 8 * TOKENS, DType::Fp32, norm(NormKind::Layer));
    keeps(
        BF16,
        (4 + 2) * ALL + 4 * 2 * TOKENS,
        DType::Bf16,
        |recorder, input| recorder.norm(input, NormKind::Rms, 2),
    );
}
