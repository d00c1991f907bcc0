//! What one step does: optimizer, clipping, recomputation, attention kernel, loss.

use super::super::given::Given;
use super::super::read::Typed;
use super::{EngineChoice, Report};
use crate::request::{EngineId, InputId};
use crate::training::{
    AttentionKernel, Chosen, FusedKernels, LossKind, Optimizer, OptimizerImplementation, Recomputation,
};
use crate::warn::Issue;

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
    /// Whether each weight is updated inside backward.
    pub in_backward: bool,
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
    let in_backward = in_backward(given, engine.id, report);
    check_engine(optimizer, engine.id, given, report);
    Step {
        micro_batch: given.integer(InputId::BatchSize).unwrap_or(1),
        accumulation: given.integer(InputId::GradientAccumulationSteps).unwrap_or(1),
        optimizer,
        implementation: implementation(given, optimizer, engine, report),
        in_backward,
        clipping: !in_backward && given.number(InputId::GradientClipping).unwrap_or(0.0) > 0.0,
        recomputation: match given.choice(InputId::ActivationCheckpointing) {
            Some("selective") => Recomputation::AttentionCore,
            Some("full") => full(given, report),
            Some("products") => Recomputation::Products,
            Some("every_n") => Recomputation::EveryNth(given.integer(InputId::CheckpointEvery).unwrap_or(2)),
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

/// Words for products that full recomputation may leave as they are.
const PRODUCTS: [&str; 3] = ["router", "attention_output", "latent"];

/// Full recomputation, but for the products that are named.
fn full(given: &Given, report: &mut Report) -> Recomputation {
    let Some(Typed::List(words)) = given.get(InputId::SavedProducts) else {
        return Recomputation::Full;
    };
    for word in words.iter().filter(|word| !PRODUCTS.contains(&word.as_str())) {
        let issue = Issue::error(
            "unknown_value",
            InputId::SavedProducts.key(),
            format!("{word} is no product that can be kept."),
        );
        report.add(issue.with_value(word.as_str()).with_allowed(PRODUCTS));
    }
    let has = |name: &str| words.iter().any(|word| word == name);
    let chosen = Chosen {
        router: has("router"),
        attention_output: has("attention_output"),
        latent: has("latent"),
    };
    if chosen == Chosen::default() {
        Recomputation::Full
    } else {
        Recomputation::Chosen(chosen)
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
        Some("ademamix_8bit") => bitsandbytes(3, true, false),
        Some("adamw_32bit") => bitsandbytes(2, false, false),
        Some("paged_lion_32bit") => bitsandbytes(1, false, true),
        Some("paged_ademamix") => bitsandbytes(3, false, true),
        Some("paged_ademamix_8bit") => bitsandbytes(3, true, true),
        Some("adamw_8bit_torchao") => torchao(8, true),
        Some("adamw_4bit_torchao") => torchao(4, true),
        Some("adamw_fp8_torchao") => torchao(8, false),
        Some("adafactor_transformers") => Optimizer::AdafactorFp32,
        Some("muon") => Optimizer::Muon,
        Some("galore") => Optimizer::GaLore {
            rank: given.integer(InputId::GaloreRank).unwrap_or(128),
        },
        Some("schedule_free") => Optimizer::ScheduleFree,
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

const fn torchao(bits: u64, tabled: bool) -> Optimizer {
    Optimizer::TorchAo { bits, tabled }
}

/// Optimizers that look at the shape of each tensor need tensors of their own, and those that know nothing of sharded
/// tensors need whole ones.
fn check_engine(optimizer: Optimizer, engine: EngineId, given: &Given, report: &mut Report) {
    let version = given.choice(InputId::FsdpVersion);
    let torch = matches!(engine, EngineId::Fsdp | EngineId::PytorchDdp);
    let tensor = torch && given.integer(InputId::TensorParallelSize).unwrap_or(1) > 1;
    let divided = engine == EngineId::Fsdp && version != Some("1") || tensor;
    if divided && matches!(optimizer, Optimizer::Adafactor | Optimizer::AdafactorFp32) {
        report.error(
            "unsupported_combination",
            InputId::Optimizer,
            "Adafactor does not run on DTensors: torch's squares a partial norm in place, transformers' adds sharded means to plain tensors (traced with torch 2.15 and transformers 5.23).",
        );
    }
    let shaped = matches!(
        optimizer,
        Optimizer::Muon
            | Optimizer::GaLore { .. }
            | Optimizer::AdafactorFp32
            | Optimizer::ScheduleFree
            | Optimizer::TorchAo { .. }
    );
    if engine == EngineId::Deepspeed && shaped {
        report.error(
            "unsupported_combination",
            InputId::Optimizer,
            "DeepSpeed gives the optimizer flat partitions in fp32; this optimizer needs the tensors themselves.",
        );
    }
    let flat = engine == EngineId::Fsdp && version == Some("1");
    if flat && matches!(optimizer, Optimizer::Muon | Optimizer::AdafactorFp32) {
        report.error(
            "unsupported_combination",
            InputId::Optimizer,
            "FSDP1 joins the tensors of a unit to a flat one, which has no rows and columns for this optimizer.",
        );
    }
    let mixes = matches!(optimizer, Optimizer::BitsAndBytes { .. });
    if tensor && mixes {
        report.error(
            "unsupported_combination",
            InputId::Optimizer,
            "Matrices that tensor parallelism divides are DTensors, for which bitsandbytes has no kernels: its step fails (traced with torch 2.15 and bitsandbytes 0.50).",
        );
    } else if engine == EngineId::Fsdp && !flat && mixes {
        // torch 2.15 and bitsandbytes 0.50: the step raises "got mixed torch.Tensor and DTensor", or finds no sharding strategy.
        report.error(
            "unsupported_combination",
            InputId::Optimizer,
            "FSDP2's shards are DTensors, for which bitsandbytes has no kernels: its step fails. Use torchao's 8-bit AdamW, or FSDP version 1.",
        );
    }
    if tensor && matches!(optimizer, Optimizer::TorchAo { .. }) {
        report.error(
            "unsupported_combination",
            InputId::Optimizer,
            "torchao compiles the optimizer's step, and over the DTensors of tensor parallelism that fails: its quantised states have no view as another type (tried with torch 2.15). Choose AdamW.",
        );
    }
    if (engine == EngineId::Fsdp || tensor) && matches!(optimizer, Optimizer::GaLore { .. }) {
        report.error(
            "unsupported_combination",
            InputId::Optimizer,
            "GaLore multiplies whole gradients with its projector and does not run on sharded ones.",
        );
    }
}

/// Whether weights are updated inside backward, and what it excludes.
fn in_backward(given: &Given, engine: EngineId, report: &mut Report) -> bool {
    if given.toggle(InputId::OptimizerInBackward) != Some(true) {
        return false;
    }
    let mut refuse = |id: InputId, message: &str| report.error("unsupported_combination", id, message);
    if given.integer(InputId::GradientAccumulationSteps).unwrap_or(1) > 1 {
        refuse(
            InputId::GradientAccumulationSteps,
            "A step inside backward frees each gradient at once, so nothing can be accumulated.",
        );
    }
    if given.has(InputId::GradientClipping) && given.number(InputId::GradientClipping) > Some(0.0) {
        refuse(
            InputId::GradientClipping,
            "Clipping needs the norm of all gradients, which a step inside backward never has together.",
        );
    }
    let first = engine == EngineId::Fsdp && given.choice(InputId::FsdpVersion) == Some("1");
    if engine == EngineId::Deepspeed {
        refuse(
            InputId::OptimizerInBackward,
            "DeepSpeed's own optimizer holds the weights and steps when backward is over, so gradients cannot be used up inside it.",
        );
    } else if first && given.toggle(InputId::UseOrigParams) == Some(false) {
        refuse(
            InputId::UseOrigParams,
            "FSDP1 runs an optimizer inside backward on the original parameters only (_runtime_utils.py: supported with use_orig_params=True).",
        );
    }
    if first
        && given
            .choice(InputId::FsdpCpuOffload)
            .is_some_and(|place| place != "none")
    {
        report.unproven(InputId::OptimizerInBackward, "true", "engine.fsdp_cpu_offload");
    }
    if !given.has(InputId::GradientClipping) {
        report.assume(
            InputId::GradientClipping,
            0.0,
            "a step inside backward cannot clip",
        );
    }
    true
}

fn implementation(
    given: &Given,
    optimizer: Optimizer,
    engine: EngineChoice,
    report: &mut Report,
) -> OptimizerImplementation {
    if matches!(engine.id, EngineId::MegatronLm | EngineId::MegatronDeepspeed) {
        return OptimizerImplementation::Fused;
    }
    let stated = given.choice(InputId::OptimizerImplementation);
    let own = !matches!(
        optimizer,
        Optimizer::AdamW | Optimizer::Sgd { .. } | Optimizer::ScheduleFree
    );
    if own {
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
            recomputed: given.toggle(InputId::LossChunkRecompute).unwrap_or(true),
        },
        Some("fused") => LossKind::FusedLinear,
        Some("fused_in_place") => LossKind::FusedInPlace,
        _ => LossKind::Plain,
    }
}
