//! What FSDP keeps on the machine with CPU offload: shards of weights, gradients and optimizer states.
//!
//! Read in PyTorch 2.15: distributed/fsdp/_fully_shard/_fsdp_param.py (`offload_to_cpu`, one tensor per parameter),
//! _fsdp_collectives.py (`foreach_reduce` copies each gradient shard), fsdp/_flat_param.py (one flat tensor per unit).

use super::{Plan, Sheet};
use crate::cite::{Citation, Evidence};
use crate::memory::{HostEntry, HostPhase, HostPlace, Symbol};
use crate::training::job::HostMemory;
use crate::training::parts::Part;
use crate::units::{Bytes, DType};

const SOURCE: Citation = Citation::new(
    Evidence::Source,
    "torch 2.15 distributed/fsdp/_fully_shard/_fsdp_param.py, fsdp/_flat_param.py",
);

/// Registers the shards of this rank. Weights and gradients are pinned where asked; the optimizer's states are made by the
/// optimizer on the host and are not.
pub fn register(plan: &Plan<'_>, sheet: &mut Sheet) {
    let layers = plan.layers.iter().enumerate();
    let mut parts: Vec<(&Part, u64)> = layers
        .map(|(kind, layer)| (&layer.part, plan.layers_of(kind)))
        .collect();
    parts.extend([(&plan.input, 1), (&plan.output, 1), (&plan.tower.frozen, 1)]);
    let pinned = plan.job.engine.states() == HostMemory::Pinned;
    for (part, count) in parts {
        let mut shards = |name, dtype: DType, sizes: &[u64]| {
            for elements in sizes {
                one(name, pinned, (dtype, *elements, count), sheet);
            }
        };
        shards(
            ("host.weights", "shards of the weights"),
            plan.types.stored,
            part.plain.local_sizes(),
        );
        if plan.job.adapter.is_some() {
            let adapters = ("host.adapters", "shards of the adapters");
            shards(adapters, part.dtype, part.trained.local_sizes());
        }
        let gradients = ("host.gradients", "shards of the gradients");
        shards(gradients, part.dtype, part.trained.local_sizes());
        let states = part.trained.states_item(
            plan.job.optimizer,
            plan.job.implementation,
            part.dtype,
            plan.shards,
        );
        sheet.host(HostEntry {
            id: "host.states",
            label: "optimizer states",
            place: HostPlace::Memory,
            phase: HostPhase::Training,
            pinned: false,
            unit: states.unit,
            count,
            formula: states.formula,
            symbols: states.symbols,
            citation: SOURCE,
        });
    }
}

fn one(
    (id, label): (&'static str, &'static str),
    pinned: bool,
    (dtype, elements, count): (DType, u64, u64),
    sheet: &mut Sheet,
) {
    let bytes = dtype.bits() / 8;
    sheet.host(HostEntry {
        id,
        label,
        place: HostPlace::Memory,
        phase: HostPhase::Training,
        pinned,
        unit: Bytes::new(elements.saturating_mul(bytes)),
        count,
        formula: "β·n/N",
        symbols: vec![
            Symbol::new("β", "bytes per element", bytes),
            Symbol::new("n/N", "elements on this rank", elements),
        ],
        citation: SOURCE,
    });
}
