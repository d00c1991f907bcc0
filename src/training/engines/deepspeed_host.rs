//! What DeepSpeed keeps on the machine: offloaded optimizer states, gradients and weights, with the buffers of the way there.
//!
//! Read in DeepSpeed 0.19.8: zero/stage_1_and_2.py (`cpu_offload`), zero/stage3.py (`_create_fp32_partitions`,
//! `_create_param_groups_fp16_flat_cpu_memory`), zero/offload_config.py, swap_tensor/*. DeepSpeed's own estimates
//! (`estimate_zero2/3_model_states_mem_needs`) multiply by 1.5 and know neither buffers nor the rounding of pinned memory.

use super::deepspeed::SUB_GROUP;
use super::deepspeed_step::{named, states_of, states_types};
use super::{Plan, Sheet};
use crate::cite::{Citation, Evidence};
use crate::memory::{HostEntry, HostPhase, HostPlace, Symbol};
use crate::training::job::{Offload, Zero};
use crate::units::Bytes;

/// Buffers of the optimizer's states on their way to disk and back (offload_config.py, `buffer_count`).
const OPTIMIZER_BUFFERS: u64 = 4;
/// Buffers of weights on their way, and their elements (offload_config.py, `buffer_count`, `buffer_size`).
const WEIGHT_BUFFERS: (u64, u64) = (5, 100_000_000);
/// Elements of weights that stay in memory although the disk is their place (offload_config.py, `max_in_cpu`).
const WEIGHTS_IN_MEMORY: u64 = 1_000_000_000;

const SOURCE: Citation = Citation::new(
    Evidence::Source,
    "DeepSpeed 0.19.8 runtime/zero/stage_1_and_2.py, stage3.py, offload_config.py, swap_tensor",
);

/// Elements of this rank's part whose optimizer states stay on the GPU. A ratio below one leaves the first sub-groups
/// there, whole ones: int((1 - ratio) x sub-groups) (stage3.py, `_create_fp32_partitions`).
pub fn on_gpu(zero: Zero, own: u64) -> u64 {
    if !zero.optimizer.away() {
        return own;
    }
    if zero.stage < 3 {
        return 0;
    }
    let groups = own.div_ceil(SUB_GROUP);
    let staying = groups.saturating_mul(1_000_000 - zero.offloaded_millionths.min(1_000_000)) / 1_000_000;
    own.min(staying.saturating_mul(SUB_GROUP))
}

struct Host<'a> {
    sheet: &'a mut Sheet,
    place: HostPlace,
}

impl Host<'_> {
    fn add(
        &mut self,
        (id, label): (&'static str, &'static str),
        pinned: bool,
        (bytes, elements, count): (u64, u64, u64),
    ) {
        self.sheet.host(HostEntry {
            id,
            label,
            place: self.place,
            phase: HostPhase::Training,
            pinned,
            unit: Bytes::new(elements.saturating_mul(bytes)),
            count,
            formula: "β·n",
            symbols: vec![
                Symbol::new("β", "bytes per element", bytes),
                Symbol::new("n", "elements", elements),
            ],
            citation: SOURCE,
        });
    }

    /// Per sub-group, of all of which this many elements are away.
    fn groups(&mut self, name: (&'static str, &'static str), pinned: bool, (bytes, elements): (u64, u64)) {
        let whole = elements / SUB_GROUP;
        self.add(name, pinned, (bytes, SUB_GROUP, whole));
        self.add(
            name,
            pinned,
            (bytes, elements % SUB_GROUP, u64::from(elements % SUB_GROUP > 0)),
        );
    }
}

/// Registers what is outside the GPU, of `weights` that train and `own` on this rank, and of `frozen` ones beside adapters.
pub fn register(plan: &Plan<'_>, zero: Zero, (weights, own, frozen): (u64, u64, u64), sheet: &mut Sheet) {
    let low = plan.types.computed.bits() / 8;
    let types = states_types(plan);
    let [wide, kept] = types.map(|dtype| dtype.bits() / 8);
    let [[masters, _, gradients], [_, moments, _]] = types.map(named);
    let away = own.saturating_sub(on_gpu(zero, own));
    let states = states_of(plan.job.optimizer);
    let accumulating = plan.job.accumulation_steps > 1;
    let mut host = Host {
        sheet,
        place: HostPlace::Memory,
    };
    match (zero.optimizer, zero.stage) {
        (Offload::None, _) => {}
        (_, 0..=2) => {
            let largest = plan.largest_trained();
            host.add(("host.master", masters), true, (wide, own, 1));
            host.add(("host.moments", moments), false, (kept, own, states));
            host.add(("host.gradients", gradients), true, (wide, own, 1));
            host.add(("host.update", "updated 16-bit weights"), true, (low, own, 1));
            host.add(("host.staging", "gradient on its way"), true, (low, largest, 1));
            if accumulating {
                let name = ("host.accumulated", "gradients accumulated between micro-batches");
                host.add(name, true, (low, own, 1));
            }
        }
        (Offload::Cpu, _) => {
            host.groups(("host.master", masters), false, (wide, away));
            host.groups(("host.moments", moments), false, (kept * states, away));
            host.groups(("host.gradients", gradients), true, (wide, away));
            host.add(
                ("host.partition", "16-bit gradients of the partition"),
                true,
                (low, own, 1),
            );
        }
        (Offload::Nvme, _) => {
            let buffer = own.min(SUB_GROUP);
            let name = ("host.swap_buffers", "buffers of optimizer states on their way");
            host.add(name, true, (wide, buffer, OPTIMIZER_BUFFERS));
            host.add(
                ("host.partition", "16-bit gradients of the partition"),
                true,
                (low, own, 1),
            );
            host.place = HostPlace::Disk;
            host.add(("disk.master", masters), false, (wide, away, 1));
            host.add(("disk.moments", moments), false, (kept, away, states));
            host.add(("disk.gradients", gradients), false, (wide, away, 1));
            host.place = HostPlace::Memory;
        }
    }
    let held = own.saturating_add(frozen.div_ceil(plan.job.data_parallel.max(1)));
    match zero.weights {
        Offload::None => {}
        Offload::Cpu => host.add(("host.weights", "16-bit weights"), true, (low, held, 1)),
        Offload::Nvme => {
            let (count, size) = WEIGHT_BUFFERS;
            host.add(
                ("host.weight_buffers", "buffers of weights on their way"),
                true,
                (low, size, count),
            );
            let name = ("host.weights", "16-bit weights that stay in memory");
            host.add(name, true, (low, held.min(WEIGHTS_IN_MEMORY), 1));
            host.place = HostPlace::Disk;
            host.add(("disk.weights", "16-bit weights"), false, (low, held, 1));
        }
    }
    built(zero, weights.saturating_add(frozen), low, sheet);
}

/// The whole model, where every process builds it before it is divided.
fn built(zero: Zero, weights: u64, low: u64, sheet: &mut Sheet) {
    if zero.built_whole {
        sheet.host(HostEntry {
            id: "host.model",
            label: "the whole model, built by each process",
            place: HostPlace::Memory,
            phase: HostPhase::Build,
            pinned: false,
            unit: Bytes::new(weights.saturating_mul(low)),
            count: 1,
            formula: "β·P",
            symbols: vec![
                Symbol::new("β", "bytes per weight as loaded", low),
                Symbol::new("P", "weights", weights),
            ],
            citation: SOURCE,
        });
    }
}
