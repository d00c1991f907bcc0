//! Tensor parallelism: what a layer keeps on one rank, by hand. Llama 3 8B: h = 4096, q = 4096, k = v = 1024, f = 14336,
//! 32 heads.

use std::sync::Arc;

use super::{BF16, job, requested, storages};
use crate::parallel::{Division, Plan, PlanKind};
use crate::training::AttentionKernel::Flash;
use crate::training::block::{Setting, record};
use crate::training::head::ending;
use crate::training::{TensorParallel, TrainingJob};

const TOKENS: u64 = 4096;
const RANKS: u64 = 4;
const HIDDEN: u64 = 4096;

fn divided(kind: PlanKind, sequence: bool, loss: bool) -> TrainingJob {
    let mut job = job("llama-3-8b", (1, TOKENS), Flash);
    let division = Division {
        plan: Plan::of(kind, &job.network).expect("a plan"),
        ranks: RANKS,
        rank: 0,
    };
    job.network = Arc::new(division.local(&job.network));
    job.tensor = Some(TensorParallel {
        division,
        sequence,
        loss,
    });
    job
}

/// Bytes per token that a layer keeps.
#[track_caller]
fn kept(job: &TrainingJob, expected: u64) {
    let setting = Setting::new(job, BF16);
    let block = record(job.network.kinds.first().expect("a layer"), &setting, true);
    let alive = block.tape.alive_after_forward();
    let bytes: u64 = storages(&block.tape, &alive).iter().map(requested).sum();
    assert_eq!(bytes / TOKENS, expected);
}

/// Rotated queries, the attention output, rotated keys and values, log-sum-exp, and gate, activated gate, up and product.
const DIVIDED: u64 = (2 * 4096 + 2 * 4096 + 2 * 1024 + 2 * 1024 + 4 * 32 + 8 * 14_336) / RANKS;

#[test]
fn whole_hidden_states_keep_their_norms_whole() {
    // fp32 input, root, normalised input and output of two norms.
    let norms = 2 * (4 * HIDDEN + 4 + 2 * HIDDEN + 2 * HIDDEN);
    assert_eq!(norms + DIVIDED, 99_368);
    kept(&divided(PlanKind::Transformers, false, false), 99_368);
    kept(&divided(PlanKind::Torch, false, false), 99_368);
}

#[test]
fn hidden_states_along_the_sequence_divide_norms_and_keep_what_was_gathered() {
    let norms = 2 * (4 * HIDDEN + 4 + 2 * HIDDEN) / RANKS;
    let gathered = 2 * 2 * HIDDEN;
    assert_eq!(norms + gathered + DIVIDED, 62_498);
    kept(&divided(PlanKind::Torch, true, true), 62_498);
}

/// Bytes per local logit: in the loss, in its backward, and in the head's.
#[track_caller]
fn logits(job: &TrainingJob, width: u64, expected: [u64; 2]) {
    let end = ending(job, &Setting::new(job, BF16));
    let per_logit = [&end.loss_forward, &end.loss_backward].map(|storages| {
        let wide = storages.iter().filter(|storage| storage.shape.width == width);
        wide.map(requested).sum::<u64>() / (TOKENS * width)
    });
    assert_eq!(per_logit, expected);
}

#[test]
fn the_loss_over_a_part_of_the_vocabulary_takes_fourteen_and_sixteen_bytes_per_logit() {
    // Logits in bf16 and fp32, shifted, exponentials or result; result, zeros, and two steps of the gradient.
    logits(&divided(PlanKind::Torch, true, true), 128_256 / RANKS, [14, 16]);
}

#[test]
fn gathered_logits_cost_what_they_cost_on_one_gpu() {
    logits(&divided(PlanKind::Transformers, false, false), 128_256, [10, 12]);
}
