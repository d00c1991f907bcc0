//! A complete inference question: network, engine with its options, formats, requests, sharding, and the card.

use std::sync::Arc;

use super::engines::Engine;
use super::weights::Quantisation;
use crate::memory::Interval;
use crate::model::Network;
use crate::units::{Bytes, DType};

/// What the engines must know about a card.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Its name, with which some engines choose defaults.
    pub name: String,
    /// The total that `torch.cuda.mem_get_info` shows.
    pub total: Interval,
    /// The total that the driver reports, by which some engines choose defaults.
    pub driver: Bytes,
    /// What is left of it for this program.
    pub usable: Bytes,
    /// Compute capability times ten; 90 for Hopper.
    pub capability: u16,
    /// Whether it is an NVIDIA card.
    pub nvidia: bool,
    /// Whether its memory is shared with the processor.
    pub unified: bool,
}

/// A validated inference question.
#[derive(Clone, Debug, PartialEq)]
pub struct InferenceJob {
    /// The model.
    pub network: Arc<Network>,
    /// The engine and what only it reads.
    pub engine: Engine,
    /// How the weights are stored.
    pub weights: Quantisation,
    /// Type of the arithmetic and of all weights that are not quantised.
    pub compute: DType,
    /// Type of the cached keys and values.
    pub cache: CacheType,
    /// Sequences at once.
    pub sequences: u64,
    /// Tokens of each prompt.
    pub prompt: u64,
    /// Tokens of each answer.
    pub new_tokens: u64,
    /// Tokens at the start that all sequences share.
    pub shared_prefix: u64,
    /// GPUs that share each matrix.
    pub tensor: u64,
    /// GPUs among which whole layers are divided.
    pub pipeline: u64,
    /// The card.
    pub device: Device,
}

impl InferenceJob {
    /// Prompt and answer of one sequence.
    pub const fn length(&self) -> u64 {
        self.prompt.saturating_add(self.new_tokens)
    }

    /// The same question for so many sequences.
    #[must_use]
    pub fn with_sequences(&self, sequences: u64) -> Self {
        Self {
            sequences,
            ..self.clone()
        }
    }

    /// The same question for sequences of so many tokens; the answer keeps its length where the sequence is long enough.
    #[must_use]
    pub fn with_length(&self, length: u64) -> Self {
        let (prompt, new_tokens) = self.lengths_within(length);
        Self {
            prompt,
            new_tokens,
            ..self.clone()
        }
    }

    /// Prompt and answer of a sequence of so many tokens.
    pub fn lengths_within(&self, length: u64) -> (u64, u64) {
        let new_tokens = self.new_tokens.min(length.saturating_sub(1)).max(1);
        (length.saturating_sub(new_tokens).max(1), new_tokens)
    }
}

/// Type of the cached keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheType {
    /// The compute type.
    Compute,
    /// 8-bit floats.
    Fp8,
    /// 4-bit floats with a one-byte scale per 16 values (SGLang, vLLM, TensorRT-LLM).
    Fp4,
    /// Integers of so many bits: with a 16-bit scale and zero per 64 values (Transformers), or an fp32 scale per token and head
    /// (vLLM).
    Grouped(u64),
}

impl CacheType {
    /// The name that people write.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compute => "none",
            Self::Fp8 => "fp8",
            Self::Fp4 => "fp4",
            Self::Grouped(8) => "int8",
            Self::Grouped(2) => "int2",
            Self::Grouped(_) => "int4",
        }
    }
}
