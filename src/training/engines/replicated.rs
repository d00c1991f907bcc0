//! One GPU, and DistributedDataParallel: everything whole on every rank, and DDP's buckets.

use super::{Held, Moment, Plan, Sheet, States, buffer};
use crate::memory::Group;
use crate::training::Engine;
use crate::training::plan::{extend, gradients_persist};

/// Entries of this engine.
pub struct Replicated {
    states: States,
    /// DDP's flat copies of all gradients.
    buckets: Held,
    persist: bool,
}

impl Replicated {
    pub(super) fn new(plan: &Plan<'_>, states: States, sheet: &mut Sheet) -> Self {
        let copies = matches!(plan.job.engine, Engine::Ddp { bucket_view: false });
        let mut buckets = Held::new();
        if copies {
            let bucket = buffer(
                "ddp.buckets",
                "DDP's buckets: a flat copy of all gradients",
                Group::Gradients,
            );
            for (index, layer) in plan.layers.iter().enumerate() {
                let entry = sheet.item(
                    layer.part.trained.item(bucket, layer.part.dtype, 1),
                    &super::layer_place(&layer.place),
                );
                buckets.push((entry, plan.layers_of(index)));
            }
            for (kind, count) in plan.tower.parts() {
                let item = kind.part.trained.item(bucket, kind.part.dtype, 1);
                buckets.push((sheet.item(item, &kind.place), count));
            }
            for (part, place) in [(&plan.input, super::BEFORE), (&plan.output, super::AFTER)] {
                buckets.push((sheet.item(part.trained.item(bucket, part.dtype, 1), place), 1));
            }
        }
        Self {
            states,
            buckets,
            persist: gradients_persist(plan.job),
        }
    }

    /// What every engine keeps.
    pub(super) const fn states(&self) -> &States {
        &self.states
    }

    pub(super) fn at(&self, plan: &Plan<'_>, moment: Moment) -> Held {
        let mut held = self.states.always(moment);
        if moment == Moment::Load {
            return held;
        }
        extend(&mut held, &self.buckets, 1);
        let view = matches!(plan.job.engine, Engine::Ddp { bucket_view: true });
        // Gradients set to None after the step are gone at rest, unless they are views of DDP's buckets.
        let persists = self.persist && (moment != Moment::Rest || view);
        if persists {
            held.extend(self.states.all_gradients(plan));
        } else {
            held.extend(self.states.gradients(plan, moment));
        }
        match moment {
            Moment::Embedding => held.extend(&self.states.tied),
            Moment::Clip => held.extend(&self.states.clip),
            Moment::Step => held.extend(&self.states.step),
            _ => {}
        }
        held
    }
}
