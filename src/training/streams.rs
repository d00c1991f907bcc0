//! Streams of an engine: memory of torch's caching allocator that was taken on one stream serves requests of that stream only
//! (c10/cuda/CUDACachingAllocator.cpp, `BlockComparatorSize` orders free blocks by stream and `get_free_block` takes none of
//! another). What an engine gathers and reduces on streams of its own therefore stays reserved beside the computation's, also
//! where both are never alive together. Here is which entry is whose, and what all streams hold at least; when entries are
//! alive is told by the engines.

use super::{Engine, TrainingJob, trained_parameters};
use crate::memory::{Entry, Ledger};
use crate::units::{Bytes, Count};

/// A stream on which blocks are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    /// Where the model and its optimizer run.
    Computation,
    /// Where weights are gathered.
    Gathering,
    /// Where gradients are reduced.
    Reduction,
}

/// The stream on which an entry's blocks are taken.
///
/// FSDP2 (torch 2.15, distributed/fsdp/_fully_shard/_fsdp_collectives.py): outputs of all-gathers on the stream of the copy
/// in; `foreach_reduce` makes its input on the stream of the computation, its output, which becomes the gradient's shard, on
/// its own. FSDP1 (distributed/fsdp/_runtime_utils.py): `_unshard` makes the flat parameter on its stream,
/// `_post_backward_hook` everything of the reduction. DeepSpeed 0.19 with `overlap_comm`: partitioned_param_coordinator.py
/// gathers, stage_1_and_2.py and stage3.py reduce on streams of their own; the buckets are the computation's.
fn stream(engine: Engine, entry: &Entry) -> Stream {
    match (engine, entry.id) {
        (Engine::Fsdp2 { .. }, "fsdp.all_gather") | (Engine::Fsdp1 { .. }, "fsdp.gathered") => {
            Stream::Gathering
        }
        (Engine::Fsdp1 { .. } | Engine::Fsdp2 { .. }, "gradients" | "fsdp.reduced")
        | (Engine::Fsdp1 { .. }, "fsdp.reduce_scatter") => Stream::Reduction,
        (Engine::DeepSpeed(zero), "zero.gathered" | "zero.reference_ahead" | "zero.reference_head")
            if zero.overlap =>
        {
            Stream::Gathering
        }
        (Engine::DeepSpeed(zero), "zero.flattened_bucket") if zero.overlap => Stream::Reduction,
        _ => Stream::Computation,
    }
}

/// What all streams need together: the sum of the most that each of them holds at any instant.
pub fn pools(job: &TrainingJob, ledger: &Ledger) -> Bytes {
    let all = [Stream::Computation, Stream::Gathering, Stream::Reduction];
    let pools: Bytes = all.into_iter().map(|one| most(job.engine, ledger, one)).sum();
    pools + scattered(job)
}

/// The most that a stream holds at any instant.
fn most(engine: Engine, ledger: &Ledger, of: Stream) -> Bytes {
    let at = |instant| {
        let own = ledger.entries.iter().filter(|entry| stream(engine, entry) == of);
        own.map(|entry| entry.at(instant)).sum()
    };
    let instants = ledger.instants.iter().map(|instant| at(instant.id));
    instants.max().unwrap_or(Bytes::ZERO)
}

/// Stage 3 copies a full bucket once more on the stream that reduces it (DeepSpeed 0.19 runtime/comm/coalesced_collectives.py,
/// `reduce_scatter_coalesced`), at instants that are never the tightest.
fn scattered(job: &TrainingJob) -> Bytes {
    match job.engine {
        Engine::DeepSpeed(zero) if zero.stage == 3 && zero.overlap && job.data_parallel > 1 => {
            let reduced = trained_parameters(job).get().min(zero.reduce_bucket);
            Bytes::of(Count::new(reduced), job.precision.compute())
        }
        _ => Bytes::ZERO,
    }
}
