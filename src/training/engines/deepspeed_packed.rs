//! Frozen weights in few bits under ZeRO stage 3: they are divided and gathered as they are stored, in elements of 16 bits.
//!
//! bitsandbytes' product keeps a view of the packed matrix that it used in its autograd context and not among the saved
//! tensors (autograd/_functions.py, `MatMul4Bit`: `ctx.tensors`), so no hook of a checkpoint replaces it. ZeRO-3 gives a
//! parameter another storage with each gathering, so the view holds the gathered copy until the graph is gone: at the end of
//! the forward pass every packed matrix is whole on every rank. Backward gathers those anew that are not available still; the
//! window of the coordinator (`stage3_max_live_parameters`) moves down with it. Only under a checkpoint that runs forward
//! without a graph (`use_reentrant`) nothing is held. What is gathered ahead comes in one buffer for several
//! parameters (`stage3_prefetch_bucket_size`), of which each is a view, so the adapters beside a matrix stay with it. Read in bitsandbytes 0.50 and DeepSpeed 0.19.8,
//! partitioned_param_coordinator.py.

use super::{Held, Moment, Plan, Sheet};
use crate::memory::Group;
use crate::training::Recomputation;
use crate::training::engines::buffer;
use crate::training::parts::Part;
use crate::training::sheet::{EntryId, Item};
use crate::training::states::Piece;

/// Entries of gathered weights by kind of layer.
pub struct Packed {
    /// Packed matrices that the graph holds, by kind of layer.
    held: Vec<EntryId>,
    /// Packed matrices of a layer that are gathered again in backward.
    again: Vec<EntryId>,
    /// Adapters of a layer that are gathered.
    adapters: Vec<EntryId>,
    /// What else of a layer is gathered: what is neither packed nor trains.
    plain: Vec<EntryId>,
    /// Whether adapters stay with the packed matrices that they were gathered with.
    together: bool,
    head: EntryId,
    embedding: EntryId,
    /// Layers below the one that runs, with it, that are gathered at once in backward.
    window: usize,
    /// The lowest layer whose gathered copy is available still when forward ends.
    available: usize,
    /// The highest layer below which all are gathered and the limit is not reached, so that the embedding, last in the
    /// order, is gathered too; what is gathered last may exceed the limit.
    embedding_up_to: Option<usize>,
}

impl Packed {
    /// The entries, where weights are packed and the graph holds them; `live`: elements that may be gathered at once,
    /// and whether any are gathered ahead.
    pub fn new(plan: &Plan<'_>, (live, ahead): (u64, bool), sheet: &mut Sheet) -> Option<Self> {
        let reentrant = plan.job.recomputation == Recomputation::Full && plan.job.reentrant;
        let packed = plan
            .layers
            .iter()
            .any(|layer| layer.part.packed_elements(plan.job) > 0);
        if !packed || reentrant {
            return None;
        }
        let low = plan.types.computed;
        let ids = ["zero.held_packed", "zero.gathered_packed"];
        let labels = [
            "packed weights that the graph holds",
            "packed weights gathered again",
        ];
        let [held, again] = [0, 1].map(|which: usize| {
            let layers = plan.layers.iter();
            let (id, label) = (ids.get(which).copied(), labels.get(which).copied());
            layers
                .filter_map(|layer| {
                    let item = layer.part.packed_item(plan.job)?;
                    let item = Item {
                        id: id?,
                        label: label?,
                        ..item
                    };
                    Some(sheet.item(item, &layer.place))
                })
                .collect::<Vec<_>>()
        });
        let name = buffer("zero.gathered", "gathered weights", Group::ModelParams);
        let mut pieces = |of: fn(&Part) -> &Piece| -> Vec<EntryId> {
            let layers = plan.layers.iter();
            layers
                .map(|layer| sheet.item(of(&layer.part).item(name, low, 1), &layer.place))
                .collect()
        };
        let adapters = pieces(|part| &part.trained);
        let plain = pieces(|part| &part.plain);
        let mut end = |part: &Part, place| sheet.item(part.plain.item(name, low, 1), place);
        let (head, embedding) = (end(&plan.output, super::AFTER), end(&plan.input, super::BEFORE));
        let of = |kind: &usize| {
            plan.layers
                .get(*kind)
                .map_or(0, |layer| elements(plan, &layer.part))
        };
        let depth = plan.order.len();
        let layers: u64 = plan.order.iter().map(of).sum();
        let each = layers.checked_div(depth as u64).unwrap_or(0).max(1);
        let count = |elements: u64| usize::try_from(elements.div_ceil(each)).unwrap_or(usize::MAX);
        let ends = plan.output.plain.elements;
        let window = count(live);
        Some(Self {
            held,
            again,
            adapters,
            plain,
            together: ahead,
            head,
            embedding,
            window: window.clamp(1, depth.max(1)),
            available: depth.saturating_sub(count(live.saturating_sub(ends)).max(1)),
            embedding_up_to: window.checked_sub(2),
        })
    }

    /// What of the weights is whole at a moment.
    pub fn at(&self, plan: &Plan<'_>, moment: Moment) -> Held {
        let depth = plan.order.len();
        let layers = |all: &mut Held, entries: &[EntryId], from: usize, to: usize| {
            all.extend(entries.iter().copied().zip(plan.between(from, to)));
        };
        let held = |all: &mut Held, to: usize, available: usize| {
            layers(all, &self.held, 0, to);
            let adapters = if self.together { 0 } else { available };
            layers(all, &self.adapters, adapters, to);
        };
        let mut all = Held::new();
        match moment {
            Moment::ForwardStart => {
                all.push((self.embedding, 1));
                held(&mut all, 1, 0);
                layers(&mut all, &self.plain, 0, 1);
            }
            Moment::ForwardEnd
            | Moment::Loss
            | Moment::ReferenceLayers
            | Moment::ReferenceHead
            | Moment::BackwardStart
            | Moment::Head => {
                held(&mut all, depth, self.available);
                layers(&mut all, &self.plain, self.available, depth);
                all.push((self.head, 1));
            }
            Moment::Layer(layer) | Moment::Reduced(layer) => {
                let bottom = (layer + 1).saturating_sub(self.window);
                let top = (layer + 1).min(self.available).max(bottom);
                held(&mut all, depth, depth);
                layers(&mut all, &self.again, bottom, top);
                layers(
                    &mut all,
                    &self.adapters,
                    bottom,
                    if self.together { top } else { layer + 1 },
                );
                layers(&mut all, &self.plain, bottom, layer + 1);
                if self.embedding_up_to.is_some_and(|highest| layer <= highest) {
                    all.push((self.embedding, 1));
                }
            }
            Moment::Tower(_) | Moment::Embedding => {
                held(&mut all, depth, depth);
                all.push((self.embedding, 1));
            }
            Moment::Load | Moment::Rest | Moment::EndsReduced | Moment::Clip | Moment::Step => {}
        }
        all
    }
}

/// Elements of a layer as the coordinator counts them.
fn elements(plan: &Plan<'_>, part: &Part) -> u64 {
    part.packed_elements(plan.job)
        .saturating_add(part.plain.elements)
        .saturating_add(part.trained.elements)
}
