//! The timeline of a step: at each instant what the engine holds, what the layers saved, and what the computation at hand
//! needs. The result is the ledger.

use super::block::Setting;
use super::engines::Holder;
use super::head::{Ending, ending};
use super::names;
use super::ops::Types;
use super::plan::{Moment, Plan, StateTypes, extend};
use super::sheet::{Held, Sheet};
use super::tape::{Rows, Shape, Storage};
use super::{AttentionKernel, Precision, Recomputation, TrainingJob};
use crate::memory::{InstantId, Ledger};
use crate::model::Mixer;
use crate::units::{Bytes, DType};

/// Every tensor of one training step, and when it is alive. Measured in the second step or a later one: the optimizer's
/// states exist.
pub fn evaluate(job: &TrainingJob) -> Ledger {
    let mut sheet = Sheet::default();
    let autocast = match job.precision {
        Precision::Autocast(dtype) => Some(dtype),
        Precision::Pure(_) | Precision::Master(_) | Precision::ShardedMixed { .. } => None,
    };
    let prepared = job.adapter.is_some_and(|adapter| adapter.prepared);
    let types = Types {
        weights: if prepared {
            DType::Fp32
        } else {
            StateTypes::of(job).computed
        },
        autocast,
        low: job.precision.compute(),
    };
    let setting = Setting::new(job, types);
    let plan = Plan::new(job, setting, &mut sheet);
    let holder = Holder::new(&plan, &mut sheet);
    let step = Step {
        ending: ending(job, &setting),
        shared: shared(&plan, &mut sheet),
        plan: &plan,
        holder: &holder,
    };
    step.fill(&mut sheet);
    sheet.finish()
}

struct Step<'a> {
    plan: &'a Plan<'a>,
    holder: &'a Holder,
    ending: Ending,
    /// What all layers use together: alive from the forward pass to the first layer's backward.
    shared: Shared,
}

/// Tensors that the layers share.
struct Shared {
    /// Until the forward pass of the layers is over.
    forward: Held,
    /// Until the backward pass of the layers is over.
    backward: Held,
}

impl Step<'_> {
    fn fill(&self, sheet: &mut Sheet) {
        sheet.instant(
            InstantId::Load,
            "weights loaded",
            &self.holder.at(self.plan, Moment::Load),
        );
        sheet.instant(
            InstantId::Rest,
            "between two steps",
            &self.holder.at(self.plan, Moment::Rest),
        );
        self.forward(sheet);
        self.backward(sheet);
        self.last(sheet);
    }

    /// What all layers keep, and autocast's copies.
    fn saved(&self, end: usize, casts: bool) -> Held {
        let mut held = Held::new();
        for (layer, count) in self.plan.layers.iter().zip(self.plan.below(end)) {
            extend(&mut held, &layer.kept, count);
            if casts {
                extend(&mut held, &layer.casts, count);
            }
        }
        held
    }

    fn forward(&self, sheet: &mut Sheet) {
        let depth = self.plan.order.len();
        let place = "head and loss";
        let mut body = self.holder.at(self.plan, Moment::Loss);
        body.extend(&self.shared.backward);
        let mut end = body.clone();
        end.extend(self.saved(depth, true));
        end.extend(&self.shared.forward);
        end.extend(sheet.storages([self.plan.setting.hidden_state()], ""));
        sheet.instant(InstantId::ForwardEnd, "all layers have run forward", &end);

        let mut loss = body;
        loss.extend(self.saved(depth, true));
        loss.extend(sheet.storages(self.ending.loss_forward.iter().copied(), place));
        sheet.instant(InstantId::LossForward, "loss", &loss);

        let mut back = self.holder.at(self.plan, Moment::Head);
        back.extend(&self.shared.backward);
        back.extend(self.saved(depth, false));
        let mut loss = back.clone();
        loss.extend(sheet.storages(self.ending.loss_backward.iter().copied(), place));
        sheet.instant(InstantId::LossBackward, "gradient of the loss", &loss);

        let mut head = back;
        head.extend(sheet.storages(self.ending.head_backward.iter().copied(), place));
        sheet.instant(
            InstantId::HeadBackward,
            "backward of the head and the final norm",
            &head,
        );
    }

    /// The tighter of a layer's backward and the reduction after it.
    fn layer(&self, layer: usize, hidden: &Held, kept: &Held, sheet: &Sheet) -> (Bytes, Held) {
        let mut during = self.holder.at(self.plan, Moment::Layer(layer));
        during.extend(&self.shared.backward);
        during.extend(self.saved(layer, false));
        if let Some(plan) = self.plan.kind(layer) {
            during.extend(&plan.backward);
        }
        during.extend(kept);
        let mut after = self.holder.at(self.plan, Moment::Reduced(layer));
        after.extend(&self.shared.backward);
        after.extend(self.saved(layer, false));
        after.extend(hidden);
        let (one, other) = (sheet.bytes(&during), sheet.bytes(&after));
        if one >= other {
            (one, during)
        } else {
            (other, after)
        }
    }

    fn backward(&self, sheet: &mut Sheet) {
        let depth = self.plan.order.len();
        let gradient = Storage {
            gradient: true,
            ..self.plan.setting.hidden_state()
        };
        let mut hidden = sheet.storages([gradient], "");
        let kept = self.kept_outputs(sheet);
        hidden.extend(&kept);
        let label = |layer: usize| format!("backward of layer {} of {depth}", layer + 1);
        let Some(last) = depth.checked_sub(1) else {
            return;
        };
        let mut tightest: Option<(usize, Bytes, Held)> = None;
        for layer in (0..depth).rev() {
            let (bytes, held) = self.layer(layer, &hidden, &kept, sheet);
            if layer == last {
                sheet.instant(InstantId::BackwardLast, label(layer), &held);
            } else if layer == 0 {
                sheet.instant(InstantId::BackwardFirst, label(layer), &held);
            }
            if tightest.as_ref().is_none_or(|(_, most, _)| bytes > *most) {
                tightest = Some((layer, bytes, held));
            }
        }
        if let Some((layer, _, held)) = tightest.filter(|(layer, ..)| *layer != 0 && *layer != last) {
            sheet.instant(InstantId::BackwardTightest, label(layer), &held);
        }
    }

    /// The logits, where the program still refers to them.
    fn kept_outputs(&self, sheet: &mut Sheet) -> Held {
        sheet.storages(self.ending.after.iter().copied(), "head and loss")
    }

    fn last(&self, sheet: &mut Sheet) {
        let kept = self.kept_outputs(sheet);
        let gradient = Storage {
            gradient: true,
            ..self.plan.setting.whole_hidden_state()
        };
        let mut embedding = self.holder.at(self.plan, Moment::Embedding);
        embedding.extend(sheet.storages([gradient], ""));
        let reduced = self.holder.at(self.plan, Moment::EndsReduced);
        let mut end = if sheet.bytes(&embedding) >= sheet.bytes(&reduced) {
            embedding
        } else {
            reduced
        };
        end.extend(&kept);
        sheet.instant(InstantId::BackwardEnd, "backward of the embedding", &end);
        let with_outputs = |moment| {
            let mut held = self.holder.at(self.plan, moment);
            held.extend(&kept);
            held
        };
        if self.plan.job.gradient_clipping {
            sheet.instant(InstantId::Clip, "gradient clipping", &with_outputs(Moment::Clip));
        }
        sheet.instant(
            InstantId::OptimizerStep,
            "optimizer step",
            &with_outputs(Moment::Step),
        );
    }
}

/// Token ids, rotary tables, and the attention mask that the layers share. Recomputed layers hold the mask until they have
/// run again.
fn shared(plan: &Plan<'_>, sheet: &mut Sheet) -> Shared {
    let setting = &plan.setting;
    let one = |axis, width, dtype, name, rows| {
        Storage::new(
            name,
            Shape {
                axis,
                width,
                rows: Rows::Tokens(rows),
            },
            dtype,
        )
    };
    let mut backward = vec![one(
        &names::IDS,
        3,
        DType::Int64,
        &names::TOKEN_IDS,
        setting.tokens,
    )];
    let attention = plan.network.layers().find_map(|layer| match &layer.mixer {
        Mixer::Attention(attention) if attention.rotary => Some(attention.rotary_dim),
        Mixer::Latent(latent) => Some(latent.rope_dim),
        _ => None,
    });
    if let Some(width) = attention {
        let table = one(
            &names::ROTATED_PART,
            width,
            setting.stream(),
            &names::ROTARY_TABLE,
            setting.sequence,
        );
        backward.extend([table, table]);
    }
    if plan.network.embedding_dropout > 0.0 {
        let mask = one(
            &names::WIDTH,
            setting.hidden,
            DType::Int8,
            &names::DROPOUT_MASK,
            setting.tokens,
        );
        backward.push(mask);
    }
    let dense = match setting.kernel {
        AttentionKernel::Eager => Some(setting.stream()),
        AttentionKernel::Masked => Some(DType::Int8),
        AttentionKernel::Flash => None,
    };
    let mut forward = Vec::new();
    if let Some(dtype) = dense {
        let mask = one(
            &names::MASK_ROW,
            setting.sequence,
            dtype,
            &names::SHARED_MASK,
            setting.tokens,
        );
        if plan.job.recomputation == Recomputation::None {
            forward.push(mask);
        } else {
            backward.push(mask);
        }
    }
    Shared {
        forward: sheet.storages(forward, ""),
        backward: sheet.storages(backward, ""),
    }
}
