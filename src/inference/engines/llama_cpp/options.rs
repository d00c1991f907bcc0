//! What only llama.cpp reads, with every default filled in.

use std::sync::Arc;

use super::mix::Mix;
use super::placement::{PlaceChoice, SplitMode};
use super::tensors::{FileChoice, LatentTensors};
use super::types::{F16, GgmlType};
use crate::model::Network;

/// The build that stands for the newest source that was read, of August 2026 (ggml-org/llama.cpp `src/llama-context.cpp`).
pub const NEWEST_BUILD: u64 = 10_000;
/// The build from which latent attention is computed on the latent itself (ggml-org/llama.cpp pull request 12801, an issue of April 2025).
pub const LATENT_SINCE: u64 = 5_121;
/// The build from which values of latent attention are not stored again (ggml-org/llama.cpp pull request 19067, an issue of January 2026).
pub const VALUELESS_SINCE: u64 = 7_830;
/// The build from which the output counts as the first layer that goes to a GPU (ggml-org/llama.cpp `src/llama-model.cpp`, end of 2025).
pub const OUTPUT_FIRST_SINCE: u64 = 7_400;
/// The build from which flash attention is chosen by itself (ggml-org/llama.cpp pull request 15434, an issue of August 2025).
pub const FLASH_SINCE: u64 = 6_325;
/// The build from which the server asks for logits of as many tokens as its sequences can want at once, instead of all of a batch
/// (ggml-org/llama.cpp pull request 23861, in the builds of June 2026: 9297 is of 23 May, 9592 of 11 June).
pub const OUTPUTS_SINCE: u64 = 9_450;
/// The build from which gate and up are multiplied into a tensor of their own, where before the product took the place of the gate
/// (ggml-org/llama.cpp pull request 14158, merged at the end of June 2025: `GGML_OP_GLU` is not among the operations of
/// `ggml/src/ggml-alloc.c` ggml_op_can_inplace).
pub const GATED_APART_SINCE: u64 = 5_780;
/// The build from which masks come in 16 bits with flash attention (ggml-org/llama.cpp pull request 23764, of 27 May 2026; 9297 is of
/// 23 May).
pub const NARROW_MASKS_SINCE: u64 = 9_380;
/// Tokens that are drafted where nothing is said (ggml-org/llama.cpp `common/common.h`, common_params_speculative_draft).
pub const DRAFTS: u64 = 3;
/// Tokens from which the fork makes keys and values of all heads for a prompt (ik_llama.cpp `src/graphs/build_deepseek2.cpp`; smaller
/// batches stay on the latent).
const PROMPT: u64 = 128;

/// What is cached of latent attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latent {
    /// Keys and values of every head: builds before the support of latent attention.
    PerHead,
    /// The latent as keys, and its first part again as values.
    WithValues,
    /// The latent alone.
    Alone,
}

/// The options of a start.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Whether it is ik_llama.cpp.
    pub fork: bool,
    /// The build number.
    pub build: u64,
    /// Types of the tensors.
    pub file: FileChoice,
    /// Where they are.
    pub place: PlaceChoice,
    /// Type of cached keys.
    pub type_k: GgmlType,
    /// Type of cached values.
    pub type_v: GgmlType,
    /// Whether attention is computed without scores in memory.
    pub flash: bool,
    /// Cells of all sequences together, where they are given.
    pub context: Option<u64>,
    /// Tokens of a physical batch.
    pub ubatch: u64,
    /// Tokens of a logical batch.
    pub batch: u64,
    /// Whether all sequences share one cache.
    pub unified: bool,
    /// Whether that was left to the engine, which gives several sequences caches of their own.
    pub apart: bool,
    /// Whether layers with a window have as many cells as the others.
    pub swa_full: bool,
    /// Whether the cache lies with its layer.
    pub offload_cache: bool,
    /// Whether the file is mapped into memory.
    pub mapped: bool,
    /// What is cached of latent attention.
    pub latent: Latent,
    /// `-mla` of the fork.
    pub mla: u64,
    /// `-amb` of the fork, in MiB; zero for no slices.
    pub slice: u64,
    /// Tokens of a physical batch whose logits are computed, where that is given.
    pub outputs: Option<u64>,
    /// Tokens that are drafted at once.
    pub drafts: u64,
    /// The type of the file of the model's tower, where one is loaded.
    pub projector: Option<GgmlType>,
    /// The model that drafts.
    pub drafter: Option<Arc<Network>>,
}

impl Options {
    /// A start of the newest build on so many GPUs where nothing is said: the mix that people use most, a cache in 16 bits, batches
    /// of 2048 and 512 tokens (ggml-org/llama.cpp `src/llama-context.cpp`, llama_context_default_params).
    pub const fn usual(gpus: usize) -> Self {
        Self {
            fork: false,
            build: NEWEST_BUILD,
            file: FileChoice {
                mix: Mix::USUAL,
                imatrix: false,
                types: Vec::new(),
                latent: LatentTensors::Split,
                listed: None,
            },
            place: PlaceChoice {
                gpus,
                layers: None,
                output_first: true,
                split: SplitMode::Layer,
                shares: Vec::new(),
                cpu_moe: 0,
                overrides: Vec::new(),
            },
            type_k: F16,
            type_v: F16,
            flash: true,
            context: None,
            ubatch: 512,
            batch: 2048,
            unified: true,
            apart: false,
            swa_full: false,
            offload_cache: true,
            mapped: true,
            latent: Latent::Alone,
            mla: 3,
            slice: 0,
            outputs: None,
            drafts: 0,
            drafter: None,
            projector: None,
        }
    }

    /// Tokens of a physical batch whose logits are computed, where they are not all of them: of each sequence the last one and
    /// those that are drafted after it (ggml-org/llama.cpp `tools/server/server-context.cpp` server_output_limits).
    pub fn output_rows(&self, sequences: u64) -> Option<u64> {
        let bounded = !self.fork && self.build >= OUTPUTS_SINCE;
        let wanted = || sequences.max(1).saturating_mul(self.drafts.saturating_add(1));
        self.outputs.or_else(|| bounded.then(wanted))
    }

    /// The options for so many sequences: what was left to the engine follows from their number.
    #[must_use]
    pub fn for_sequences(&self, sequences: u64) -> Self {
        Self {
            unified: if self.apart { sequences <= 1 } else { self.unified },
            ..self.clone()
        }
    }

    /// Whether the product of gate and up is a tensor of its own.
    pub const fn gated_apart(&self) -> bool {
        !self.fork && self.build >= GATED_APART_SINCE
    }

    /// Whether masks come in 16 bits.
    pub const fn narrow_masks(&self) -> bool {
        self.flash && !self.fork && self.build >= NARROW_MASKS_SINCE
    }

    /// The options of the context that drafts: those of the model's, but all layers on GPUs, nothing placed by name and a cache in
    /// 16 bits; its logits are of one token per sequence (ggml-org/llama.cpp `common/speculative.cpp` common_base_params_to_speculative).
    #[must_use]
    pub fn drafting(&self) -> Self {
        Self {
            file: FileChoice {
                types: Vec::new(),
                listed: None,
                ..self.file.clone()
            },
            place: PlaceChoice {
                layers: None,
                cpu_moe: 0,
                overrides: Vec::new(),
                ..self.place.clone()
            },
            type_k: F16,
            type_v: F16,
            outputs: None,
            drafts: 0,
            drafter: None,
            projector: None,
            ..self.clone()
        }
    }

    /// Whether a batch of so many tokens makes keys and values of all heads from the latent.
    pub const fn unabsorbed(&self, tokens: u64) -> bool {
        self.fork && self.flash && self.mla >= 2 && tokens >= PROMPT
    }
}
