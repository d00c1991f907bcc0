//! What a pipeline rank under FSDP2 holds beside one micro-batch's pass over its layers: the other micro-batches in flight, and the
//! hidden states that go from rank to rank.
//!
//! Read in torch 2.6, 2.10 and 2.15, distributed/pipelining/stage.py: `forward_one_chunk` keeps a micro-batch's input and output until
//! its backward (`fwd_cache`), and the outputs of the last stage for the whole step where the schedule returns them, which
//! torchtitan asked for until October 2025 (pytorch/torchtitan 1922: `return_outputs=False`). Before 2.15 each micro-batch had
//! buffers of its own for what it receives, both ways, from the first step on (`_create_act_recv_info`,
//! `_create_grad_recv_info`); later ones make them right before.

use super::block::Setting;
use super::composed::{Chunk, PipelineRank};
use super::head::Ending;
use super::names;
use super::plan::{Plan, extend};
use super::sheet::{Held, Sheet};
use super::tape::{Rows, Shape, Storage};
use super::{Engine, Recomputation};

/// The end of a stage that hands its hidden states on: they are referred to until its backward, which begins with their
/// gradient.
pub fn ending(setting: &Setting) -> Ending {
    let hidden = setting.hidden_state();
    let gradient = Storage {
        gradient: true,
        ..hidden
    };
    Ending {
        loss_forward: vec![hidden],
        loss_kept: vec![hidden],
        loss_backward: vec![hidden, gradient],
        head_backward: vec![hidden, gradient],
        ..Ending::default()
    }
}

/// For each chunk of the rank, what its micro-batches in flight hold but for the one that is computed.
pub fn waiting(plan: &Plan<'_>, rank: &PipelineRank, sheet: &mut Sheet) -> Vec<Held> {
    let hidden = sheet.storages([plan.setting.hidden_state()], "");
    let of = |chunk: &Chunk| {
        let others = chunk.in_flight.saturating_sub(1);
        let mut held = Held::new();
        for (layer, count) in plan.layers.iter().zip(plan.between(chunk.begin, chunk.end)) {
            extend(&mut held, &layer.kept, count * others);
        }
        // Its output, and its input where the first layer does not keep it.
        let checkpointed = plan.job.recomputation == Recomputation::Full;
        let ends = u64::from(!chunk.last) + u64::from(!chunk.first && !checkpointed);
        extend(&mut held, &hidden, ends * others);
        held
    };
    rank.chunks.iter().map(of).collect()
}

/// Buffers of micro-batches that are not in flight, and the logits that the schedule returns.
pub fn received(plan: &Plan<'_>, rank: &PipelineRank, sheet: &mut Sheet) -> Held {
    let (job, mut held) = (plan.job, Held::new());
    if !matches!(job.engine, Engine::Fsdp2 { .. }) {
        return held;
    }
    let batches = job.accumulation_steps;
    if job.torch_version < (2, 15) {
        let hidden = sheet.storages(
            [plan.setting.hidden_state()],
            "received from other pipeline ranks",
        );
        for chunk in &rank.chunks {
            let inputs = if chunk.first {
                0
            } else {
                batches.saturating_sub(chunk.in_flight)
            };
            let gradients = if chunk.last { 0 } else { batches };
            extend(&mut held, &hidden, inputs.saturating_add(gradients));
        }
    }
    if job.torch_version < (2, 10) && rank.has_loss() {
        let width = if plan.setting.loss_divided() {
            plan.setting.part(plan.network.vocabulary)
        } else {
            plan.network.vocabulary
        };
        let shape = Shape {
            axis: &names::VOCABULARY,
            width,
            rows: Rows::Tokens(plan.setting.tokens),
        };
        let logits = Storage::new(&names::LOGITS, shape, job.precision.compute());
        let logits = sheet.storages([logits], "outputs of the last stage");
        extend(&mut held, &logits, batches.saturating_sub(1));
    }
    held
}
