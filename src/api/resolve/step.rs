//! What one step does: optimizer, clipping, recomputation, attention kernel, loss.

use super::super::given::Given;
use super::{EngineChoice, Report};
use crate::request::InputId;
use crate::training::{
    AttentionKernel, FusedKernels, LossKind, Optimizer, OptimizerImplementation, Recomputation,
};

/// The parts of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Sequences per rank and micro-batch.
    pub micro_batch: u64,
    /// Micro-batches per optimizer step.
    pub accumulation: u64,
    /// Optimizer.
    pub optimizer: Optimizer,
    /// How its step runs.
    pub implementation: OptimizerImplementation,
    /// Whether gradients are clipped.
    pub clipping: bool,
    /// What is recomputed.
    pub recomputation: Recomputation,
    /// How attention is computed.
    pub attention: AttentionKernel,
    /// How the loss is computed.
    pub loss: LossKind,
    /// Kernels that replace operations.
    pub kernels: FusedKernels,
    /// Whether the logits stay referenced during backward.
    pub keep_outputs: bool,
}

/// Reads the parts of a step.
pub fn step(given: &Given, engine: EngineChoice, report: &mut Report) -> Step {
    let optimizer = optimizer(given);
    let loss = loss(given);
    Step {
        micro_batch: given.integer(InputId::BatchSize).unwrap_or(1),
        accumulation: given.integer(InputId::GradientAccumulationSteps).unwrap_or(1),
        optimizer,
        implementation: implementation(given, optimizer, engine, report),
        clipping: given.number(InputId::GradientClipping).unwrap_or(0.0) > 0.0,
        recomputation: match given.choice(InputId::ActivationCheckpointing) {
            Some("selective") => Recomputation::AttentionCore,
            Some("full") => Recomputation::Full,
            Some("every_n") => Recomputation::EverySecond,
            Some("operations") => Recomputation::Operations,
            _ => Recomputation::None,
        },
        attention: match given.choice(InputId::Attention) {
            Some("eager") => AttentionKernel::Eager,
            Some("flash_attention") => AttentionKernel::Package,
            Some("masked") => AttentionKernel::Masked,
            _ => AttentionKernel::Flash,
        },
        loss,
        kernels: match given.choice(InputId::FusedKernels) {
            Some("norm_rotary" | "norm_rotary_adapter") => FusedKernels::NormRotary,
            Some("liger") => FusedKernels::NormRotaryActivation,
            _ => FusedKernels::None,
        },
        keep_outputs: given.toggle(InputId::KeepOutputs).unwrap_or(false),
    }
}

fn optimizer(given: &Given) -> Optimizer {
    match given.choice(InputId::Optimizer) {
        Some("sgd") => Optimizer::Sgd {
            momentum: given.number(InputId::Momentum).unwrap_or(0.0) > 0.0,
        },
        Some("adafactor") => Optimizer::Adafactor,
        Some("adamw_8bit") => bitsandbytes(2, true, false),
        Some("paged_adamw_32bit") => bitsandbytes(2, false, true),
        Some("paged_adamw_8bit") => bitsandbytes(2, true, true),
        Some("lion") => bitsandbytes(1, false, false),
        Some("lion_8bit") => bitsandbytes(1, true, false),
        Some("paged_lion_8bit") => bitsandbytes(1, true, true),
        Some("ademamix") => bitsandbytes(3, false, false),
        _ => Optimizer::AdamW,
    }
}

const fn bitsandbytes(states: u64, eight_bit: bool, paged: bool) -> Optimizer {
    Optimizer::BitsAndBytes {
        states,
        eight_bit,
        paged,
    }
}

fn implementation(
    given: &Given,
    optimizer: Optimizer,
    engine: EngineChoice,
    report: &mut Report,
) -> OptimizerImplementation {
    let stated = given.choice(InputId::OptimizerImplementation);
    if matches!(optimizer, Optimizer::BitsAndBytes { .. } | Optimizer::Adafactor) {
        if stated.is_some() {
            report.warn(
                "not_used",
                InputId::OptimizerImplementation,
                "This optimizer has an implementation of its own; the setting has no effect.",
            );
        }
        return OptimizerImplementation::Fused;
    }
    match stated {
        Some("fused") => return OptimizerImplementation::Fused,
        Some("foreach") => return OptimizerImplementation::Foreach,
        Some("loop") => return OptimizerImplementation::Loop,
        _ => {}
    }
    let fused = engine.torch >= (2, 8) && matches!(optimizer, Optimizer::AdamW);
    let (value, reason, found) = if fused {
        (
            "fused",
            "the default of transformers' Trainer from torch 2.8 on",
            OptimizerImplementation::Fused,
        )
    } else {
        (
            "foreach",
            "torch's default on CUDA",
            OptimizerImplementation::Foreach,
        )
    };
    report.assume(InputId::OptimizerImplementation, value, reason);
    found
}

fn loss(given: &Given) -> LossKind {
    match given.choice(InputId::Loss) {
        Some("chunked") => LossKind::Chunked {
            chunks: given.integer(InputId::LossChunks).unwrap_or(8),
        },
        Some("fused") => LossKind::FusedLinear,
        Some("fused_in_place") => LossKind::FusedInPlace,
        _ => LossKind::Plain,
    }
}
