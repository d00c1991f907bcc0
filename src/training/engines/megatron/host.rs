//! What Megatron-LM keeps on the machine when a share of the optimizer is there: master weights and moments, gradients in
//! fp32 and weights on their way, pinned (NVIDIA/Megatron-LM core/optimizer/cpu_offloading/hybrid_optimizer.py).

use super::Megatron;
use super::share::Share;
use super::states::Recipe;
use crate::cite::{Citation, Evidence};
use crate::memory::{HostEntry, HostPhase, HostPlace, Symbol};
use crate::training::sheet::Sheet;
use crate::units::Bytes;

const SOURCE: Citation = Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM core/optimizer/cpu_offloading/hybrid_optimizer.py",
);

/// Registers it.
pub fn register(
    settings: &Megatron,
    (recipe, ranks): (Recipe, (u64, u64)),
    trains: &Share,
    sheet: &mut Sheet,
) {
    let away = settings.offloaded_millionths;
    if away == 0 {
        return;
    }
    let own = trains.dense().div_ceil(ranks.0.max(1)) + trains.experts.div_ceil(ranks.1.max(1));
    let elements = Bytes::new(own).scaled(away as f64 / 1e6).get();
    for (id, label, each, pinned) in [
        ("host.master", "fp32 master weights", 4, true),
        ("host.states", "moments", recipe.moments, false),
        ("host.gradients", "gradients on their way to the host", 4, true),
    ] {
        sheet.host(HostEntry {
            id,
            label,
            place: HostPlace::Memory,
            phase: HostPhase::Training,
            pinned,
            unit: Bytes::new(elements.saturating_mul(each)),
            count: 1,
            formula: "β·φ·P/D",
            symbols: vec![
                Symbol::new("β", "bytes per parameter", each),
                Symbol::new(
                    "φ·P/D",
                    "parameters of the rank whose states are on the host",
                    elements,
                ),
            ],
            citation: SOURCE,
        });
    }
}
