//! The end of the network: bytes per logit of every way to compute the loss.

use super::{BF16, FP32, job, requested};
use crate::training::AttentionKernel::Flash;
use crate::training::block::Setting;
use crate::training::head::{Ending, ending};
use crate::training::ops::Types;
use crate::training::tape::Storage;
use crate::training::{LossKind, TrainingJob};

const TOKENS: u64 = 16_384;
/// Of Llama 3 8B.
const VOCABULARY: u64 = 128_256;
const HIDDEN: u64 = 4096;

fn end(types: Types, loss: LossKind, change: impl Fn(&mut TrainingJob)) -> Ending {
    let mut job = job("llama-3-8b", (4, TOKENS / 4), Flash);
    job.loss = loss;
    change(&mut job);
    ending(&job, &Setting::new(&job, types))
}

/// Bytes per logit of tensors with a row of the vocabulary.
fn per_logit(storages: &[Storage]) -> f64 {
    let wide = storages
        .iter()
        .filter(|storage| storage.shape.width == VOCABULARY);
    wide.map(requested).sum::<u64>() as f64 / (TOKENS * VOCABULARY) as f64
}

#[track_caller]
fn logits(types: Types, loss: LossKind, change: impl Fn(&mut TrainingJob), expected: [f64; 4]) {
    let end = end(types, loss, change);
    let found = [
        &end.loss_forward,
        &end.loss_backward,
        &end.head_backward,
        &end.after,
    ]
    .map(|storages| per_logit(storages));
    assert_eq!(found, expected, "{types:?} {loss:?}");
}

fn unchanged(_: &mut TrainingJob) {}

fn kept(job: &mut TrainingJob) {
    job.keep_outputs = true;
}

#[test]
fn the_loss_holds_so_many_bytes_per_logit() {
    use LossKind::{Chunked, Plain};
    logits(BF16, Plain, unchanged, [10.0, 12.0, 2.0, 0.0]);
    logits(BF16, Plain, kept, [10.0, 14.0, 4.0, 2.0]);
    logits(FP32, Plain, unchanged, [8.0, 12.0, 4.0, 0.0]);
    logits(FP32, Plain, kept, [8.0, 16.0, 8.0, 4.0]);
    let chunks = Chunked {
        chunks: 8,
        recomputed: true,
    };
    logits(BF16, chunks, unchanged, [10.0 / 8.0, 12.0 / 8.0, 2.0 / 8.0, 0.0]);
}

#[test]
fn older_versions_of_transformers_shift_the_logits_into_a_copy() {
    use LossKind::{FusedInPlace, Plain};
    let forward = |loss, version, expected: f64| {
        let end = end(BF16, loss, |job| job.transformers_version = version);
        assert_eq!(per_logit(&end.loss_forward), expected, "{loss:?} {version:?}");
    };
    forward(Plain, (4, 48), 14.0);
    forward(Plain, (5, 23), 10.0);
    forward(FusedInPlace, (4, 45), 8.0);
    forward(FusedInPlace, (4, 48), 10.0);
}

#[test]
fn liger_holds_a_few_rows_and_both_gradients() {
    let end = end(BF16, LossKind::FusedLinear, unchanged);
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
