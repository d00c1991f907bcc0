//! The gradient of an embedding that tensor parallelism divides by rows: every rank makes all rows of it, and cuts its own
//! out where an optimizer, a reduction or the gradient of a tied head meets it.
//!
//! Read in PyTorch 2.15: distributed/tensor/_ops/_embedding_ops.py (`embedding_dense_backward` is replicated or partial,
//! never sharded) and distributed/fsdp/_fully_shard/_fsdp_param.py (`_get_grad_inner_tensor` redistributes it).

use super::{Held, Plan, Sheet, gradients_persist};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::block;
use crate::memory::{Group, Symbol};
use crate::model::Role;
use crate::parallel::Way;
use crate::training::sheet::{EntryId, Item};
use crate::training::{Engine, Optimizer, OptimizerImplementation};
use crate::units::Bytes;

const MOMENTUM: &str = "optimizer.embedding";

/// Entries of the gradient.
pub struct Embedding {
    /// All rows.
    pub whole: EntryId,
    /// This rank's rows.
    pub own: EntryId,
    /// SGD's momentum begins as a clone of the gradient (torch 2.15 optim/sgd.py), so where the gradient stays whole it has all
    /// rows, too: those that the optimizer's states of this rank do not count.
    pub momentum: Option<EntryId>,
    tied: bool,
    /// Whether its gradient is reduced, and not kept as it is.
    reduced: bool,
}

impl Embedding {
    /// Where the embedding is divided.
    pub fn new(plan: &Plan<'_>, sheet: &mut Sheet) -> Option<Self> {
        let tensor = plan.job.tensor?;
        if tensor.division.plan.embedding != Way::Divided {
            return None;
        }
        let shape = plan
            .network
            .input_tensors
            .iter()
            .find(|tensor| tensor.role == Role::Embedding)?;
        let own = shape.elements().get();
        let width = shape.shape.last().copied().unwrap_or(0);
        let dtype = plan.types.computed;
        let mut item = |id, label, elements: u64, formula| {
            let item = Item {
                id,
                label,
                group: if id == MOMENTUM {
                    Group::OptimizerStates
                } else {
                    Group::Gradients
                },
                dtype: Some(dtype),
                unit: block(Bytes::new(elements.saturating_mul(dtype.bits() / 8))),
                formula,
                terms: Vec::new(),
                symbols: vec![
                    Symbol::new("β", "bytes per element", dtype.bits() / 8),
                    Symbol::new("V", "vocabulary", plan.network.vocabulary),
                    Symbol::new("h", "width of the embedding", width),
                    Symbol::new("t", "tensor-parallel ranks", tensor.division.ranks),
                ],
                citation: Citation::new(
                    Evidence::Source,
                    "torch 2.15 distributed/tensor/_ops/_embedding_ops.py: the gradient of a row-wise embedding has all rows",
                ),
            };
            sheet.item(item, super::BEFORE)
        };
        let all = plan.network.vocabulary.saturating_mul(width);
        let tied = plan.network.head.tied;
        let reduced = matches!(plan.job.engine, Engine::Fsdp2 { .. });
        let cloned = plan.job.optimizer == Optimizer::Sgd { momentum: true } && !tied && !reduced;
        Some(Self {
            momentum: cloned.then(|| {
                item(
                    MOMENTUM,
                    "momentum of the embedding's other rows",
                    all.saturating_sub(own),
                    "β·(V·h - ⌈V/t⌉·h)",
                )
            }),
            whole: item(
                "gradients.embedding",
                "gradient of the embedding, all rows",
                all,
                "β·V·h",
            ),
            own: item(
                "gradients.embedding_own",
                "this rank's rows of the embedding's gradient",
                own,
                "β·⌈V/t⌉·h",
            ),
            tied,
            reduced,
        })
    }

    /// Whether the gradient stays whole until the optimizer has run.
    pub fn stays(&self) -> bool {
        !self.tied && !self.reduced
    }

    /// What exists when the gradient is made, beside the gradients that stay: it itself where it does not stay, this rank's
    /// rows of it and their sum with the head's where both are tied, a fresh one where it is added to an earlier one.
    pub fn made(&self, plan: &Plan<'_>) -> Held {
        match (self.tied, self.stays()) {
            (true, _) => vec![(self.whole, 1), (self.own, 2)],
            (false, true) if !gradients_persist(plan.job) => Held::new(),
            (false, _) => vec![(self.whole, 1)],
        }
    }

    /// What the optimizer's step cuts out. AdamW over lists does so before its list of square roots, which is larger.
    pub fn step(&self, plan: &Plan<'_>) -> Held {
        let lists = plan.job.implementation == OptimizerImplementation::Foreach
            && matches!(plan.job.optimizer, Optimizer::AdamW);
        let listed = plan.job.implementation == OptimizerImplementation::Foreach;
        if self.stays() && listed && plan.job.optimizer == Optimizer::ScheduleFree {
            // Divided by the denominators, all of which are there (traced: records t204 and t205).
            vec![(self.own, 1), (self.whole, 1)]
        } else if self.stays() && !lists {
            vec![(self.own, 1)]
        } else {
            Held::new()
        }
    }
}
