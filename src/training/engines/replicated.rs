//! One GPU, and DistributedDataParallel: everything whole on every rank, and DDP's buckets.

use super::{Held, Moment, Plan, Sheet, States, buffer};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::block;
use crate::memory::{Group, Symbol};
use crate::training::Engine;
use crate::training::plan::{extend, gradients_persist, keeps_buckets};
use crate::training::sheet::Item;
use crate::units::Bytes;

/// Entries of this engine.
pub struct Replicated {
    states: States,
    /// DDP's flat copies of all gradients.
    buckets: Held,
    persist: bool,
}

impl Replicated {
    pub(super) fn new(plan: &Plan<'_>, states: States, sheet: &mut Sheet) -> Self {
        let ddp = matches!(plan.job.engine, Engine::Ddp { .. });
        let copies = ddp && !keeps_buckets(plan.job);
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
        buckets.extend(used_map(plan, sheet));
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
        let view = keeps_buckets(plan.job);
        // Gradients set to None after the step are gone at rest, unless they are views of DDP's buckets.
        let persists = self.persist && (moment != Moment::Rest || view);
        if persists {
            held.extend(self.states.all_gradients(plan));
            held.extend(self.states.fresh(plan, moment));
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

/// What a static graph keeps on the device to learn which gradients come.
fn used_map(plan: &Plan<'_>, sheet: &mut Sheet) -> Held {
    if !matches!(
        plan.job.engine,
        Engine::Ddp {
            static_graph: true,
            ..
        }
    ) {
        return Held::new();
    }
    let layers = plan.layers.iter().enumerate();
    let layers = layers.map(|(kind, layer)| layer.part.trained.tensors() * plan.layers_of(kind));
    let tower = plan
        .tower
        .parts()
        .map(|(kind, count)| kind.part.trained.tensors() * count);
    let ends = [&plan.input, &plan.output].map(|part| part.trained.tensors());
    let tensors: u64 = layers.chain(tower).chain(ends).sum();
    let item = Item {
        id: "ddp.used_map",
        label: "static graph: a counter for each tensor that trains",
        group: Group::Overhead,
        dtype: None,
        unit: block(Bytes::new(tensors.saturating_mul(4))),
        formula: "4·t",
        symbols: vec![Symbol::new("t", "tensors that train", tensors)],
        terms: Vec::new(),
        citation: Citation::new(
            Evidence::Traced,
            "torch 2.15 torch/csrc/distributed/c10d/reducer.cpp: initialize_local_used_map, 32 bits each; records st001 to st005",
        ),
    };
    vec![(sheet.item(item, ""), 1)]
}
