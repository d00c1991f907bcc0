//! One evaluation of a job: ledger, meters and verdict.

use super::between::add_working_sets;
use super::evidence::UNSEEN;
use super::host::host;
use super::job::Job;
use super::rollout;
use crate::memory::meters::{self, Fit, Pattern};
use crate::memory::{Group, InstantId, Interval, Ledger};
use crate::model::{Layer, Mixer};
use crate::request::{BackingStatus, Component, HostNeed, Verdict};
use crate::training::compiled::Compiled;
use crate::training::{
    Engine, Layout, Megatron, Recomputation, TrainingJob, communicators, dispatcher_buffers, evaluate,
    evaluate_fullest, pools,
};
use crate::units::Bytes;
use crate::warn::Issue;

/// What one evaluation gives.
pub struct Outcome {
    /// Every tensor.
    pub ledger: Ledger,
    /// `max_memory_allocated`.
    pub allocated: Interval,
    /// Reserved on a roomy card.
    pub reserved: Interval,
    /// The device on a roomy card.
    pub device: Interval,
    /// What the verdict judges.
    pub need: Interval,
    /// What lies outside the allocator.
    pub outside: Vec<Component>,
    /// What a node needs outside its GPUs.
    pub host: Option<HostNeed>,
    /// The verdict.
    pub verdict: Verdict,
}

/// Evaluates the job with this micro-batch.
pub fn measure(job: &Job, micro_batch: u64) -> Result<Outcome, Issue> {
    let mut training = job.training.clone();
    training.micro_batch = micro_batch;
    let mut ledger = match job.rank {
        Some(rank) => {
            training.rank = rank;
            evaluate(&training)
        }
        None => {
            let (rank, ledger) = evaluate_fullest(&training);
            training.rank = rank;
            ledger
        }
    };
    add_working_sets(&training, &job.card, &mut ledger);
    rollout::add(job, &training, &mut ledger);
    let peak = ledger.peak().map_or(Bytes::ZERO, |(_, bytes)| bytes);
    if peak == Bytes::MAX {
        return Err(Issue::error(
            "out_of_range",
            "training.batch_size",
            "The sum is more than 16 EiB, which no machine has: check model and batch.",
        ));
    }
    let (below, above) = spread(job);
    let (least, most) = extremes(&training, peak);
    let high = most.scaled(1.0 + above) + unlimited(&training);
    let eager = Interval::new(least.scaled(1.0 - below), peak, high);
    let compiled = Compiled::of(&training);
    // FSDP1's gradients of the last step are gone when the next one has begun.
    let rest = match training.engine {
        Engine::Fsdp1 { .. } => {
            let gradients = ledger.group_at(Group::Gradients, InstantId::Rest);
            ledger.allocated_at(InstantId::Rest).saturating_sub(gradients)
        }
        _ => ledger.allocated_at(InstantId::Rest),
    };
    let fixed = rest + compiled.map_or(Bytes::ZERO, |_| Compiled::kept_by_policy(&training));
    let as_run = |interval: Interval| compiled.map_or(interval, |compiled| compiled.adjust(interval, fixed));
    let allocated = as_run(eager);
    let pattern = match training.engine {
        Engine::Megatron(_) => Pattern::Divided,
        Engine::Single if training.tensor.is_some() => Pattern::Divided,
        Engine::Single => Pattern::Single,
        Engine::Ddp { .. } => Pattern::Replicated,
        Engine::Fsdp2 { .. } => Pattern::Sharded,
        Engine::DeepSpeed(zero) if zero.stage == 0 => Pattern::Replicated,
        Engine::Fsdp1 { .. } | Engine::DeepSpeed(_) => Pattern::Flattened,
    };
    let context = meters::context();
    let mut outside = vec![component(
        "cuda_context",
        "CUDA context and kernels of the libraries",
        context,
        "measured: nvidia-smi less max_memory_allocated where the pool was nearly full (fms-acceleration)",
    )];
    let mut beyond = context;
    let groups = communicators(&training);
    if groups > 0 {
        let communicator = meters::communicator().times(groups);
        outside.push(component(
            "nccl",
            "NCCL's buffers, by communicator",
            communicator,
            "NVIDIA/nccl issues 964, 864 and 986",
        ));
        beyond = beyond + communicator;
    }
    let buffers = match &training.engine {
        Engine::Megatron(settings) => dispatcher_buffers(&training, settings),
        _ => Bytes::ZERO,
    };
    if buffers > Bytes::ZERO {
        let exact = Interval::exact(buffers);
        outside.push(component(
            "deep_ep",
            "DeepEP's buffers",
            exact,
            "deepseek-ai/DeepEP csrc/legacy/config.hpp",
        ));
        beyond = beyond + exact;
    }
    let reserved = as_run(match training.layout {
        Layout::Packed => {
            let recomputed = training.recomputation == Recomputation::Full;
            let beside = pools(&training, &ledger).saturating_sub(peak);
            // Graphs that hold the collectives of a divided model take their blocks on one stream (record
            // titan-3429-graph-8b-fsdp4tp2-full of tests/measured/training.jsonl); which trainer compiles is not asked.
            let one = training.compile.is_some() && training.tensor.is_some();
            let least = if one { Bytes::ZERO } else { beside };
            meters::reserved(eager, (least, beside), pattern, recomputed)
        }
        Layout::Padded | Layout::PaddingFree { .. } => meters::reserved_varying(eager, rest),
    });
    // The lines of an answer are those of eager modules and add up to its need; a compiled run may need as little as its own
    // lower bound.
    let lines = Interval::new(allocated.low, eager.expected, allocated.high);
    let need = meters::need(lines, beyond);
    let verdict = verdict(meters::fit(need, job.card.usable.expected));
    let host = host(job, &ledger.host);
    let on_host = host.as_ref().and_then(|host| host.verdict);
    Ok(Outcome {
        host,
        ledger,
        allocated,
        device: reserved + beyond,
        reserved,
        need,
        outside,
        verdict: on_host.map_or(verdict, |on_host| verdict.max(on_host)),
    })
}

/// The verdict as it is told.
pub const fn verdict(fit: Fit) -> Verdict {
    match fit {
        Fit::Fits => Verdict::Fits,
        Fit::Tight => Verdict::Tight,
        Fit::DoesNotFit => Verdict::DoesNotFit,
    }
}

/// The peak with the lightest and with the heaviest batch, where batches differ in tokens.
fn extremes(job: &TrainingJob, peak: Bytes) -> (Bytes, Bytes) {
    if let Engine::Megatron(settings) = job.engine {
        return routed_extremes(job, &settings, peak);
    }
    let Layout::PaddingFree { mean } = job.layout else {
        return (peak, peak);
    };
    let with = |sequence_length: u64| {
        let ledger = evaluate(&TrainingJob {
            layout: Layout::Packed,
            sequence_length,
            ..job.clone()
        });
        ledger.peak().map_or(Bytes::ZERO, |(_, bytes)| bytes)
    };
    (with(mean).min(peak), with(job.sequence_length).max(peak))
}

/// Least and most rows that a rank got of what routing would give it evenly, where nothing bounds it, in thousandths: in
/// Megatron-LM's functional tests with experts (megatron-golden-moe of tests/measured/training.jsonl) what layers kept is
/// between 0.85 and 1.23 times that of an even share.
pub(super) const ROUTED: (u64, u64) = (850, 1230);

/// The peak with the least and with the most routed rows that a rank may get.
fn routed_extremes(job: &TrainingJob, settings: &Megatron, peak: Bytes) -> (Bytes, Bytes) {
    if !job.network.has_experts() {
        return (peak, peak);
    }
    let with = |share: u64| {
        let imbalance_thousandths = settings.imbalance_thousandths.saturating_mul(share) / 1000;
        let ledger = evaluate(&TrainingJob {
            engine: Engine::Megatron(Megatron {
                imbalance_thousandths,
                ..*settings
            }),
            ..job.clone()
        });
        ledger.peak().map_or(Bytes::ZERO, |(_, bytes)| bytes)
    };
    (with(ROUTED.0).min(peak), with(ROUTED.1).max(peak))
}

/// Without the limit on all-gathers the host can allocate the gathered weights of every layer before the first are freed
/// (torch 2.15 distributed/fsdp/_limiter_utils.py); how far it comes depends on the speed of host and GPU.
fn unlimited(job: &TrainingJob) -> Bytes {
    match job.engine {
        Engine::Fsdp1 { limited: false, .. } if job.data_parallel > 1 => {
            Bytes::of(job.network.total_parameters(), job.precision.compute())
        }
        _ => Bytes::ZERO,
    }
}

/// How far the allocated peak can lie below and above what is expected, as shares of it.
///
/// Mixers of linear time have no measured run; short convolutions have traces. The gated delta rule is counted with the fused
/// kernels of flash-linear-attention: where that library is missing, torch's own operations hold more, in a traced run 30 %
/// (Qwen3-Next without recomputation, tests/measured/torch-trace-variants.jsonl). Families that the import does not know are read as gated decoders: traces of
/// such families lie between 14 % below and 13 % above, and 26 % below where the feed-forward has no gate and the file does
/// not tell. A parameter count alone leaves depth, width and vocabulary open: at equal counts the saved activations of
/// common architectures differ by half.
fn spread(job: &Job) -> (f64, f64) {
    let (below, above) = spread_of_model(job);
    let (least, most) = match job.evidence.status {
        BackingStatus::Validated => (0.0, 0.0),
        BackingStatus::NotValidated => UNSEEN,
    };
    (below.max(least), above.max(most))
}

fn spread_of_model(job: &Job) -> (f64, f64) {
    let kinds = &job.training.network.kinds;
    let delta = |layer: &Layer| matches!(layer.mixer, Mixer::GatedDelta { .. });
    let measured = |layer: &Layer| {
        matches!(
            layer.mixer,
            Mixer::Attention(_) | Mixer::Latent(_) | Mixer::ShortConvolution { .. }
        )
    };
    if job.model.nearest {
        (0.30, 0.50)
    } else if job.warnings.iter().any(|issue| issue.code == "unknown_family") {
        (0.25, 0.15)
    } else if kinds.iter().any(delta) {
        (0.15, 0.35)
    } else if !kinds.iter().all(measured) {
        (0.15, 0.25)
    } else {
        (meters::KNOWN_ERROR, meters::KNOWN_ERROR)
    }
}

fn component(id: &str, label: &str, size: Interval, source: &str) -> Component {
    Component {
        id: id.to_string(),
        label: label.to_string(),
        group: "overhead",
        bytes: size.expected,
        formula: format!(
            "between {:.1} and {:.1} GiB, {:.1} expected",
            size.low.to_gib(),
            size.high.to_gib(),
            size.expected.to_gib()
        ),
        source: source.to_string(),
    }
}
