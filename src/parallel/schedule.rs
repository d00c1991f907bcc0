//! Pipeline schedules: how many micro-batches a rank has in flight, chunk by chunk, when it has the most. The counts are closed
//! forms; `schedule_walk` in the tests walks the order of operations of every schedule and counts. What a micro-batch in
//! flight holds is the engine's business, and which layers a chunk has is in `stages`.

/// In which order a rank runs forward and backward passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Schedule {
    /// All forward passes, then all backward passes (GPipe, arXiv 1811.06965).
    GPipe,
    /// One forward, one backward (NVIDIA/Megatron-LM core/pipeline_parallel/schedules.py,
    /// `forward_backward_pipelining_without_interleaving`).
    OneForwardOneBackward,
    /// The same over several chunks per rank (`forward_backward_pipelining_with_interleaving`).
    Interleaved {
        /// Chunks of layers per rank.
        chunks: u64,
        /// Micro-batches that pass a chunk before the next chunk has its turn
        /// (`microbatch_group_size_per_vp_stage`).
        group: u64,
    },
    /// One forward, one backward, with gradients of weights computed later (ZB-H1 of arXiv 2401.10241;
    /// torch 2.15 distributed/pipelining/schedules.py, `ScheduleInterleavedZeroBubble` with one stage per rank).
    ZeroBubble,
    /// Two chunks per rank, laid as a V (torch `ScheduleZBVZeroBubble`).
    ZeroBubbleV,
    /// Both directions at once, so that a rank holds two stages (deepseek-ai/DualPipe dualpipe/dualpipe.py).
    DualPipe,
    /// The half of it with two chunks per rank, laid as a V (torch `ScheduleDualPipeV`).
    DualPipeV,
}

/// What is in flight on a rank when it has the most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Micro-batches whose activations are alive, for each chunk of the rank.
    pub chunks: Vec<u64>,
    /// Micro-batches whose backward pass is over but for the gradients of weights.
    pub delayed: u64,
}

impl InFlight {
    /// Chunks times micro-batches.
    pub fn total(&self) -> u64 {
        self.chunks
            .iter()
            .fold(0, |sum, chunk| sum.saturating_add(*chunk))
    }
}

impl Schedule {
    /// Chunks of layers that a rank holds.
    pub const fn chunks(self) -> u64 {
        match self {
            Self::GPipe | Self::OneForwardOneBackward | Self::ZeroBubble => 1,
            Self::Interleaved { chunks, .. } => chunks,
            Self::ZeroBubbleV | Self::DualPipe | Self::DualPipeV => 2,
        }
    }

    /// The fewest micro-batches with which it runs on so many ranks.
    pub const fn fewest(self, ranks: u64) -> u64 {
        match self {
            Self::DualPipe | Self::DualPipeV => ranks.saturating_mul(2),
            _ => 1,
        }
    }

    /// The stage in whose place a rank computes a chunk, from the first of all stages.
    pub const fn stage(self, ranks: u64, rank: u64, chunk: u64) -> u64 {
        match self {
            Self::ZeroBubbleV | Self::DualPipeV if chunk > 0 => (2 * ranks).saturating_sub(1 + rank),
            Self::DualPipe if chunk > 0 => ranks.saturating_sub(1 + rank),
            _ => chunk.saturating_mul(ranks).saturating_add(rank),
        }
    }

    /// All stages of the model: chunks of all ranks, but for those that hold the same layers.
    pub const fn stages(self, ranks: u64) -> u64 {
        match self {
            Self::DualPipe => ranks,
            _ => self.chunks().saturating_mul(ranks),
        }
    }

    /// What a rank has in flight when it has the most, with so many micro-batches per step.
    pub fn in_flight(self, ranks: u64, rank: u64, micro_batches: u64) -> InFlight {
        let behind = ranks.saturating_sub(rank + 1);
        let alive = |counts: &[u64], delayed| InFlight {
            chunks: counts.iter().map(|count| micro_batches.min(*count)).collect(),
            delayed,
        };
        match self {
            Self::GPipe => alive(&[micro_batches], 0),
            Self::OneForwardOneBackward => alive(&[behind + 1], 0),
            Self::Interleaved { chunks, group } => InFlight {
                chunks: interleaved((chunks, group), behind, micro_batches),
                delayed: 0,
            },
            Self::ZeroBubble => {
                let running = micro_batches.min(behind + 1);
                let delayed = micro_batches.min(ranks).saturating_sub(running);
                alive(&[running], delayed)
            }
            Self::ZeroBubbleV => alive(&[(2 * ranks).saturating_sub(1 + rank), rank + 1], 0),
            Self::DualPipeV => alive(&[(2 * ranks).saturating_sub(rank), rank + 1], 0),
            Self::DualPipe => {
                // A micro-batch goes in at either end; this is the V of half as many ranks, whose second chunk is the other
                // direction's.
                let near = rank.min(behind);
                let counts = [ranks.saturating_sub(near), near + 1];
                let half = micro_batches / 2;
                InFlight {
                    chunks: if rank <= behind {
                        counts.map(|count| half.min(count)).to_vec()
                    } else {
                        [near + 1, ranks.saturating_sub(near)]
                            .map(|count| half.min(count))
                            .to_vec()
                    },
                    delayed: 0,
                }
            }
        }
    }
}

/// The first forward passes of a rank, up to the first backward pass, by chunk.
fn interleaved((chunks, group): (u64, u64), behind: u64, micro_batches: u64) -> Vec<u64> {
    let all = micro_batches.saturating_mul(chunks);
    let warm_up = behind
        .saturating_mul(2)
        .saturating_add((chunks.saturating_sub(1)).saturating_mul(group));
    let mut left = all.min(warm_up.saturating_add(1));
    let mut counts: Vec<u64> = (0..chunks).map(|_| 0).collect();
    let mut begun = 0_u64;
    while left > 0 && begun < micro_batches {
        let in_group = group.max(1).min(micro_batches - begun);
        for count in &mut counts {
            let taken = in_group.min(left);
            *count += taken;
            left -= taken;
        }
        begun += in_group;
    }
    counts
}
