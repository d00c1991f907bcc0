//! What a node needs outside its GPUs, and whether it has it.

use super::answer::range;
use super::job::Job;
use crate::memory::{HostEntry, HostPhase, HostPlace, Interval, host_need};
use crate::request::{HostNeed, HostRow, SymbolRow, Verdict};
use crate::units::Bytes;

/// The need of a node, where anything is kept outside the GPUs.
pub fn host(job: &Job, entries: &[HostEntry]) -> Option<HostNeed> {
    if entries.is_empty() {
        return None;
    }
    let nodes = job.nodes.as_ref().map_or(1, |nodes| nodes.num_nodes);
    let ranks = job.mesh.gpus.div_ceil(nodes.max(1));
    let memory = host_need(entries, HostPlace::Memory, ranks);
    let disk = host_need(entries, HostPlace::Disk, ranks);
    let (memory_bytes, disk_bytes) = job.host;
    let judged = [("host memory", memory, memory_bytes), ("disk", disk, disk_bytes)];
    let (mut verdict, mut reason) = (None, None);
    for (what, need, stated) in judged {
        let Some(capacity) = stated else {
            continue;
        };
        let found = judge(need, capacity);
        if verdict.is_none_or(|earlier| found > earlier) {
            verdict = Some(found);
            reason = (found != Verdict::Fits).then(|| {
                format!(
                    "The {what} of a node decides: its {ranks} ranks need {:.1} to {:.1} GiB, and it has {:.1} GiB.",
                    need.low.to_gib(),
                    need.high.to_gib(),
                    capacity.to_gib()
                )
            });
        }
    }
    Some(HostNeed {
        ranks_per_node: ranks,
        memory_per_node_gb: memory.expected.to_gib(),
        memory_per_node: range(memory),
        disk_per_node: range(disk),
        memory_bytes,
        disk_bytes,
        verdict,
        reason,
        rows: entries.iter().map(row).collect(),
    })
}

/// What a process that serves keeps outside its GPUs, where it keeps anything.
pub fn serving(entries: &[HostEntry]) -> Option<HostNeed> {
    let memory = host_need(entries, HostPlace::Memory, 1);
    (!entries.is_empty()).then(|| HostNeed {
        ranks_per_node: 1,
        memory_per_node_gb: memory.expected.to_gib(),
        memory_per_node: range(memory),
        disk_per_node: range(Interval::default()),
        memory_bytes: None,
        disk_bytes: None,
        verdict: None,
        reason: None,
        rows: entries.iter().map(row).collect(),
    })
}

fn judge(need: Interval, capacity: Bytes) -> Verdict {
    if need.high <= capacity {
        Verdict::Fits
    } else if need.low <= capacity {
        Verdict::Tight
    } else {
        Verdict::DoesNotFit
    }
}

fn row(entry: &HostEntry) -> HostRow {
    HostRow {
        id: entry.id,
        label: entry.label,
        place: match entry.place {
            HostPlace::Memory => "memory",
            HostPlace::Disk => "disk",
        },
        phase: match entry.phase {
            HostPhase::Build => "build",
            HostPhase::Training => "training",
            HostPhase::Serving => "serving",
        },
        pinned: entry.pinned,
        unit_bytes: entry.unit,
        count: entry.count,
        bytes: entry.bytes().expected,
        formula: entry.formula,
        symbols: entry
            .symbols
            .iter()
            .map(|symbol| SymbolRow {
                name: symbol.name,
                meaning: symbol.meaning,
                value: symbol.value,
            })
            .collect(),
        citation: entry.citation,
    }
}
