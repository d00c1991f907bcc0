//! The end of the network: bytes per logit of every way to compute the loss.

use super::{BF16, FP32, network, requested, setting};
use crate::training::AttentionKernel::Flash;
use crate::training::LossKind;
use crate::training::head::{Ending, ending};
use crate::training::ops::Types;
use crate::training::tape::{Storage, WeightGradients};

const TOKENS: u64 = 16_384;
/// Of Llama 3 8B.
const VOCABULARY: u64 = 128_256;
const HIDDEN: u64 = 4096;

fn end(types: Types, loss: LossKind, keep: bool) -> Ending {
    let network = network("llama-3-8b");
    let setting = setting(&network, types, (4, TOKENS / 4), Flash);
    ending(&network, &setting, loss, keep, WeightGradients::Stay)
}

/// Bytes per logit of tensors with a row of the vocabulary.
fn per_logit(storages: &[Storage]) -> f64 {
    let wide = storages
        .iter()
        .filter(|storage| storage.shape.width == VOCABULARY);
    wide.map(requested).sum::<u64>() as f64 / (TOKENS * VOCABULARY) as f64
}

#[track_caller]
fn logits(types: Types, loss: LossKind, keep: bool, expected: [f64; 4]) {
    let end = end(types, loss, keep);
    let found = [
        &end.loss_forward,
        &end.loss_backward,
        &end.head_backward,
        &end.after,
    ]
    .map(|storages| per_logit(storages));
    assert_eq!(found, expected, "{types:?} {loss:?} {keep}");
}

#[test]
fn the_loss_holds_so_many_bytes_per_logit() {
    logits(BF16, LossKind::Plain, false, [10.0, 12.0, 2.0, 0.0]);
    logits(BF16, LossKind::Plain, true, [10.0, 14.0, 4.0, 2.0]);
    logits(FP32, LossKind::Plain, false, [8.0, 12.0, 4.0, 0.0]);
    logits(FP32, LossKind::Plain, true, [8.0, 16.0, 8.0, 4.0]);
    logits(BF16, LossKind::FusedInPlace, false, [8.0, 8.0, 2.0, 0.0]);
    let chunks = LossKind::Chunked { chunks: 8 };
    logits(BF16, chunks, false, [10.0 / 8.0, 12.0 / 8.0, 2.0 / 8.0, 0.0]);
}

#[test]
fn liger_holds_a_few_rows_and_both_gradients() {
    let end = end(BF16, LossKind::FusedLinear, false);
    let find = |id: &str| {
        end.loss_forward
            .iter()
            .find(|storage| storage.id() == id)
            .map(requested)
    };
    assert_eq!(find("logits.chunk"), Some(2 * 512 * VOCABULARY));
    assert_eq!(find("gradient.norm.output"), Some(2 * HIDDEN * TOKENS));
    assert_eq!(find("gradient.weight"), Some(2 * VOCABULARY * HIDDEN));
    let chunk = |storages: &[Storage]| storages.iter().any(|storage| storage.id() == "logits.chunk");
    assert!(!chunk(&end.loss_backward) && !chunk(&end.head_backward));
}
