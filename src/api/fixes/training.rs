//! The changes that are tried on a training question.

use super::super::given::Given;
use super::super::job::{Strictness, job};
use super::super::solve::smallest_card;
use super::card;
use super::change::{Change, Effect, Time};
use crate::request::{InputId, Request, Verdict};
use crate::warn::Issue;

use Effect::{Hardware, None as Same, Numerics, Quality, Workload};
use InputId::{
    ActivationCheckpointing, ActivationOffload, Adapter, Attention, BaseFormat, BatchSize,
    ContextParallelSize, EngineType, EvaluationBatchSize, FsdpCpuOffload, GradientAccumulationSteps,
    GradientAsBucketView, Loss, NumGpus, OffloadOptimizer, OffloadParam, Optimizer, OptimizerImplementation,
    OptimizerInBackward, PipelineParallelSize, PrecisionMode, ReshardAfterForward, SeqLength,
    SequenceParallel, ShardingStrategy, TensorParallelSize, UseDistributedOptimizer, ZeroStage,
};

/// Settings that leave the workload as it is: input, value, effect, time, and both in words.
const SETTINGS: [(InputId, &str, Effect, Time, &str); 20] = [
    (
        Attention,
        "fused",
        Same,
        Time::Same,
        "Scores are never written out (FlashAttention, arXiv:2205.14135).",
    ),
    (
        Loss,
        "fused",
        Same,
        Time::Same,
        "Logits are made in pieces inside the loss kernel and never kept whole (Liger Kernel, arXiv:2410.10989).",
    ),
    (
        Loss,
        "chunked",
        Same,
        Time::Little,
        "Logits are made a part of the rows at a time.",
    ),
    (
        OptimizerImplementation,
        "fused",
        Same,
        Time::Same,
        "One kernel updates in place, without the copies that foreach makes.",
    ),
    (
        EngineType,
        "fsdp",
        Same,
        Time::Little,
        "Weights, gradients and states are divided among the ranks and gathered layer by layer, half as much traffic again as DDP's (ZeRO, arXiv:1910.02054).",
    ),
    (
        ShardingStrategy,
        "full_shard",
        Same,
        Time::Little,
        "Weights are divided too, and gathered again in backward (ZeRO, arXiv:1910.02054).",
    ),
    (
        ActivationCheckpointing,
        "operations",
        Same,
        Time::Little,
        "Half of the products run again in backward.",
    ),
    (
        ActivationCheckpointing,
        "selective",
        Same,
        Time::Little,
        "The core of attention runs again in backward (arXiv:2205.05198).",
    ),
    (
        ActivationCheckpointing,
        "every_n",
        Same,
        Time::Little,
        "Every n-th layer runs forward twice.",
    ),
    (
        ActivationCheckpointing,
        "full",
        Same,
        Time::More,
        "Every layer runs forward twice: up to a third more compute (arXiv:1604.06174).",
    ),
    (
        ActivationOffload,
        "pinned",
        Same,
        Time::Much,
        "Saved tensors travel to host memory and back in each step.",
    ),
    (
        FsdpCpuOffload,
        "pinned",
        Same,
        Time::Much,
        "Shards live on the host, where the optimizer steps.",
    ),
    (
        OffloadOptimizer,
        "cpu",
        Same,
        Time::Much,
        "The optimizer steps on the host (ZeRO-Offload, arXiv:2101.06840).",
    ),
    (
        Optimizer,
        "adamw_8bit",
        Numerics,
        Time::Same,
        "Two moments in 8 bits with a scale per block (arXiv:2110.02861).",
    ),
    (
        Optimizer,
        "paged_adamw_8bit",
        Numerics,
        Time::Little,
        "The same, and pages move to the host when memory is short (arXiv:2305.14314).",
    ),
    (
        Optimizer,
        "adafactor",
        Numerics,
        Time::Same,
        "The second moment is kept as rows and columns (arXiv:1804.04235).",
    ),
    (
        PrecisionMode,
        "pure",
        Numerics,
        Time::Same,
        "No fp32 master weights: small updates are lost in rounding.",
    ),
    (
        Loss,
        "fused_in_place",
        Same,
        Time::Same,
        "The gradient of the logits is written over them.",
    ),
    (
        Adapter,
        "lora",
        Quality,
        Time::Same,
        "Only small matrices beside the frozen weights are trained (arXiv:2106.09685).",
    ),
    (
        Adapter,
        "dora",
        Quality,
        Time::Little,
        "LoRA with a trained magnitude per column (arXiv:2402.09353).",
    ),
];

/// Switches to turn on.
const SWITCHES: [(InputId, Effect, Time, &str); 5] = [
    (
        GradientAsBucketView,
        Same,
        Time::Same,
        "Gradients live in the buckets of the reduction and not beside them.",
    ),
    (
        ReshardAfterForward,
        Same,
        Time::Little,
        "Gathered weights are freed after forward and gathered again in backward.",
    ),
    (
        SequenceParallel,
        Same,
        Time::Same,
        "Norms and dropout work on a part of the sequence per tensor-parallel rank (arXiv:2205.05198).",
    ),
    (
        UseDistributedOptimizer,
        Same,
        Time::Same,
        "The optimizer's states are divided among the data-parallel ranks.",
    ),
    (
        OptimizerInBackward,
        Numerics,
        Time::Same,
        "Each gradient is used and freed as soon as it is there; norms over all of them cannot be clipped.",
    ),
];

/// Degrees of parallelism that are doubled on the same GPUs.
const DEGREES: [(InputId, &str); 3] = [
    (
        TensorParallelSize,
        "Matrices are divided among twice the ranks, which exchange activations in every layer.",
    ),
    (
        PipelineParallelSize,
        "Layers are divided among twice the stages; the schedule's bubble grows.",
    ),
    (
        ContextParallelSize,
        "Sequences are divided among twice the ranks, which exchange keys and values.",
    ),
];

/// All changes that make sense for the question.
pub fn changes(request: &Request) -> Result<Vec<Change>, Vec<Issue>> {
    let job = job(request, Strictness::default())?;
    // What is wrong with the request was reported with the job.
    let given = Given::read(request, &mut Vec::new());
    let mut all = smaller_batches(&given);
    let alone = job.mesh.gpus == 1;
    for (id, value, effect, time, words) in SETTINGS {
        // Nothing is divided on one GPU.
        if alone && id == EngineType {
            continue;
        }
        all.push(Change::one(id, value, effect, time, words));
    }
    for (id, effect, time, words) in SWITCHES {
        all.push(Change::one(id, true, effect, time, words));
    }
    for stage in 1..=3 {
        let words =
            "Stages divide states, then gradients, then weights among the ranks (ZeRO, arXiv:1910.02054).";
        let time = if stage == 3 { Time::Little } else { Time::Same };
        all.push(Change::one(ZeroStage, stage, Same, time, words));
    }
    all.push(
        Change::one(
            OffloadParam,
            "cpu",
            Same,
            Time::Much,
            "Weights come from the host layer by layer (ZeRO-Infinity, arXiv:2104.07857).",
        )
        .and(OffloadOptimizer, "cpu"),
    );
    all.push(Change::one(
        EvaluationBatchSize,
        1,
        Same,
        Time::Little,
        "Evaluation takes one sequence at a time.",
    ));
    let steps = given.integer(GradientAccumulationSteps).unwrap_or(1);
    for (id, words) in DEGREES {
        let more = given.integer(id).unwrap_or(1).saturating_mul(2);
        if job.mesh.gpus.is_multiple_of(more) {
            // Half the replicas: twice the micro-batches keep the global batch.
            all.push(
                Change::one(id, more, Same, Time::More, words)
                    .and(GradientAccumulationSteps, steps.saturating_mul(2)),
            );
        }
    }
    all.push(
        Change::one(
            Adapter,
            "lora",
            Quality,
            Time::Little,
            "The frozen weights are kept in 4 bits (QLoRA, arXiv:2305.14314).",
        )
        .and(BaseFormat, "nf4"),
    );
    let doubled = job.mesh.gpus.saturating_mul(2);
    all.push(Change::one(
        NumGpus,
        doubled,
        Hardware,
        Time::Same,
        "Twice the GPUs, and twice the global batch.",
    ));
    let half = job.training.sequence_length / 2;
    if half > 0 {
        all.push(Change::one(
            SeqLength,
            half,
            Workload,
            Time::Same,
            "Half the sequence: longer texts are cut.",
        ));
    }
    let fitting = smallest_card(request).map_or_else(|_| Vec::new(), |cards| cards.cards);
    let sure = fitting.iter().filter(|card| card.verdict == Verdict::Fits);
    all.extend(card::smallest(
        request,
        sure.map(|card| (card.usable_bytes, card.gpu.as_str())),
    ));
    Ok(all)
}

/// The same global batch in smaller pieces: half of the micro-batch, and one sequence.
fn smaller_batches(given: &Given) -> Vec<Change> {
    let batch = given.integer(BatchSize).unwrap_or(1);
    let steps = given.integer(GradientAccumulationSteps).unwrap_or(1);
    let mut sizes: Vec<u64> = [batch / 2, 1]
        .into_iter()
        .filter(|size| *size > 0 && *size < batch)
        .collect();
    sizes.retain(|size| batch.is_multiple_of(*size));
    sizes.dedup();
    sizes
        .into_iter()
        .map(|size| {
            Change::one(
                BatchSize,
                size,
                Same,
                Time::Little,
                "The same global batch in more micro-batches; small ones use the GPU less well.",
            )
            .and(GradientAccumulationSteps, steps.saturating_mul(batch / size))
        })
        .collect()
}
