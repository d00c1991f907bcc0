//! What an engine says about one GPU: the ledger of its tensors, the parts with their bounds, the budget, the pool, and
//! the lines that it prints.

use super::vllm::tensors::Weights;
use crate::memory::meters::Fit;
use crate::memory::{Interval, Ledger};
use crate::units::Bytes;

/// The parts of what a GPU holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartId {
    /// Weights as loaded, with what the engine derives from them.
    Weights,
    /// Keys and values of the asked sequences.
    KvCache,
    /// States that do not grow with the sequence.
    State,
    /// Temporaries of the tightest moment.
    Activations,
    /// Workspaces of libraries and kernels.
    Workspaces,
    /// Captured graphs.
    Graphs,
    /// What is allocated outside torch.
    NonTorch,
    /// The CUDA context.
    Context,
}

impl PartId {
    /// The key in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::KvCache => "kv_cache",
            Self::State => "state",
            Self::Activations => "activations",
            Self::Workspaces => "workspaces",
            Self::Graphs => "graphs",
            Self::NonTorch => "non_torch",
            Self::Context => "context",
        }
    }

    /// For a person.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::KvCache => "keys and values",
            Self::State => "states of fixed size",
            Self::Activations => "temporaries of the tightest moment",
            Self::Workspaces => "workspaces",
            Self::Graphs => "captured graphs",
            Self::NonTorch => "outside torch",
            Self::Context => "CUDA context",
        }
    }
}

/// One part of what a GPU holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Which.
    pub id: PartId,
    /// Bytes.
    pub bytes: Interval,
    /// Where the number comes from.
    pub source: &'static str,
}

impl Part {
    /// Of its number and where that comes from.
    pub const fn new(id: PartId, bytes: Interval, source: &'static str) -> Self {
        Self { id, bytes, source }
    }

    /// The bytes of some parts together.
    pub fn sum(parts: &[Self]) -> Interval {
        parts
            .iter()
            .fold(Interval::default(), |sum, part| sum + part.bytes)
    }
}

/// The cache that an engine makes of what its budget leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct KvPool {
    /// Bytes on this GPU.
    pub bytes: Interval,
    /// Tokens in it.
    pub tokens: u64,
    /// Sequences of the longest length in it, as the engine prints them.
    pub max_concurrency: f64,
}

/// One GPU of a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceEstimate {
    /// Weights before rounding to blocks.
    pub weights: Bytes,
    /// Keys, values and states at the end.
    pub cache: Bytes,
    /// Peak of the pass over the prompt, in allocated blocks.
    pub prefill: Bytes,
    /// Peak of the steps of the answer.
    pub decode: Bytes,
}

/// What an engine says about the fullest GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Every tensor that torch's allocator holds, by instant; for an engine with a pool the asked cache, not the pool.
    pub ledger: Ledger,
    /// Every GPU of one copy, where they differ; else the one that stands for all. Empty where an engine's GPUs are alike.
    pub devices: Vec<DeviceEstimate>,
    /// The parts; they add up to the need.
    pub parts: Vec<Part>,
    /// `max_memory_allocated`.
    pub allocated: Interval,
    /// What the caching allocator holds on a roomy card.
    pub reserved: Interval,
    /// What the device shows: for an engine with a pool, pool included.
    pub device: Interval,
    /// What the verdict judges: the parts with the asked cache.
    pub need: Interval,
    /// What the engine may use of the card.
    pub budget: Bytes,
    /// The pool, where the engine makes one.
    pub pool: Option<KvPool>,
    /// The verdict.
    pub fit: Fit,
    /// What the engine prints when it does not start or the requests do not fit, where that is known.
    pub failure: Option<String>,
    /// The lines that it prints at its start, where they are known.
    pub start_up: Vec<String>,
    /// The weights of each stage as vLLM loads them, which further questions about the same model share; empty for other
    /// engines.
    pub loaded: Vec<Weights>,
    /// Whether a part has neither measurement nor trace behind it; its interval is wide then.
    pub unvalidated: bool,
}
