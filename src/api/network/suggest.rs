//! Changes that would save time: each is a question of its own, calculated like any other and kept if it is valid, fits, and is
//! faster per token.

use serde_json::{Map, Value, json};

use super::super::job::{Job, Strictness, job};
use super::super::measure::measure;
use super::answer::node_traffic;
use super::{Estimate, estimate};
use crate::request::{Alternative, EngineId, InputId, Request, Verdict};
use crate::units::Bytes;

/// The most that are told.
const MOST: usize = 6;
/// What must be saved to be told, as a share of the step.
const LEAST: f64 = 0.005;

/// Inputs with the values that a change gives them.
type Change = (&'static str, Vec<(InputId, Value)>);

/// Changes worth trying, by engine and by what is set.
fn candidates(job: &Job) -> Vec<Change> {
    let mesh = job.mesh;
    let per_node = job.nodes.as_ref().map_or(mesh.gpus, |nodes| nodes.gpus_per_node);
    let accumulation = job.training.accumulation_steps;
    let batch = job.training.micro_batch / job.training.objective.sequences_per_row();
    let mut all: Vec<Change> = Vec::new();
    let mut add = |label, values: &[(InputId, Value)]| all.push((label, values.to_vec()));
    if accumulation > 1 && accumulation.is_multiple_of(2) && mesh.pipeline == 1 {
        add(
            "a micro-batch twice as large, half as many of them",
            &[
                (InputId::BatchSize, json!(batch * 2)),
                (InputId::GradientAccumulationSteps, json!(accumulation / 2)),
                (InputId::NumMicroBatches, Value::Null),
            ],
        );
    }
    add(
        "twice the micro-batch",
        &[(InputId::BatchSize, json!(batch.saturating_mul(2)))],
    );
    add(
        "nothing recomputed",
        &[(InputId::ActivationCheckpointing, json!("none"))],
    );
    match job.engine.id {
        EngineId::MegatronLm => {
            let optimizer = (InputId::UseDistributedOptimizer, json!(true));
            let gradients = (InputId::OverlapGradReduce, json!(true));
            add(
                "gradients reduced while backward runs",
                std::slice::from_ref(&gradients),
            );
            add(
                "distributed optimizer, gradients and weights sent beside arithmetic",
                &[optimizer, gradients, (InputId::OverlapParamGather, json!(true))],
            );
            if mesh.tensor > 1 {
                add(
                    "sequence parallelism with tensor-parallel collectives cut up beside their products",
                    &[
                        (InputId::SequenceParallel, json!(true)),
                        (InputId::TpCommOverlap, json!(true)),
                    ],
                );
                let half = mesh.tensor / 2;
                add(
                    "half the tensor-parallel ranks, twice the data-parallel ones",
                    &[
                        (InputId::TensorParallelSize, json!(half)),
                        (InputId::DataParallelSize, Value::Null),
                    ],
                );
                add(
                    "half the tensor-parallel ranks, twice the pipeline stages",
                    &[
                        (InputId::TensorParallelSize, json!(half)),
                        (InputId::PipelineParallelSize, json!(mesh.pipeline * 2)),
                    ],
                );
            }
            if mesh.pipeline > 1 {
                add(
                    "two chunks of layers per pipeline rank",
                    &[(InputId::VirtualPipelineSize, json!(2))],
                );
                add(
                    "twice as many micro-batches",
                    &[
                        (InputId::GradientAccumulationSteps, json!(accumulation * 2)),
                        (InputId::NumMicroBatches, Value::Null),
                    ],
                );
            }
        }
        EngineId::Fsdp => {
            if job.nodes.is_some() {
                add(
                    "shards within a node, replicas across nodes",
                    &[(InputId::ShardingStrategy, json!("hybrid_shard"))],
                );
            }
            add(
                "weights kept after forward",
                &[
                    (InputId::ShardingStrategy, json!("shard_grad_op")),
                    (InputId::ReshardAfterForward, Value::Null),
                ],
            );
            add(
                "gradients reduced once per step",
                &[(InputId::SyncEachMicroBatch, json!(false))],
            );
            add("compiled", &[(InputId::Compile, json!("model_and_loss"))]);
        }
        EngineId::Deepspeed => {
            add("ZeRO stage 1", &[(InputId::ZeroStage, json!(1))]);
            add("ZeRO stage 2", &[(InputId::ZeroStage, json!(2))]);
            add(
                "communication beside backward",
                &[(InputId::OverlapComm, json!(true))],
            );
            if job.nodes.is_some() {
                add(
                    "a second copy of the weights within a node",
                    &[(InputId::HpzPartitionSize, json!(per_node))],
                );
            }
            add(
                "nothing offloaded",
                &[
                    (InputId::OffloadOptimizer, json!("none")),
                    (InputId::OffloadParam, json!("none")),
                ],
            );
        }
        EngineId::PytorchDdp => add("states divided by FSDP", &[(InputId::EngineType, json!("fsdp"))]),
        EngineId::MegatronDeepspeed => {}
    }
    if job
        .nodes
        .as_ref()
        .is_some_and(|nodes| nodes.interconnect_type.starts_with("ethernet"))
    {
        add(
            "a port of InfiniBand NDR per GPU",
            &[
                (InputId::InterconnectType, json!("infiniband_ndr")),
                (InputId::InterconnectBandwidthGbps, Value::Null),
                (InputId::PortsPerNode, Value::Null),
            ],
        );
    }
    all
}

/// The changes that save the most, the best first.
pub fn alternatives(request: &Request, current: &Job, found: &Estimate, need: Bytes) -> Vec<Alternative> {
    let [_, now, _] = &found.cases;
    let (tokens, time) = (found.work.tokens_per_step(), now.total().get());
    if !found.timed || tokens <= 0.0 || time <= 0.0 {
        return Vec::new();
    }
    let sent = node_traffic(found);
    let mut kept: Vec<Alternative> = Vec::new();
    for (label, values) in candidates(current) {
        let mut changed = request.clone();
        for (id, value) in &values {
            changed.set(*id, value.clone());
        }
        if changed == *request {
            continue;
        }
        let Ok(job) = job(&changed, Strictness::default()) else {
            continue;
        };
        if job.training == current.training && job.speed == current.speed && job.nodes == current.nodes {
            continue;
        }
        let Ok(outcome) = measure(&job, job.training.micro_batch) else {
            continue;
        };
        if outcome.verdict == Verdict::DoesNotFit {
            continue;
        }
        let other = estimate(&job);
        let [_, then, _] = &other.cases;
        let per = tokens / other.work.tokens_per_step().max(1.0);
        let saved = time - then.total().get() * per;
        if saved < LEAST * time {
            continue;
        }
        kept.push(Alternative {
            label: label.to_owned(),
            changes: values
                .into_iter()
                .map(|(id, value)| (id.key().to_owned(), value))
                .collect::<Map<_, _>>(),
            saved_ms: saved * 1e3,
            saved_percent: 100.0 * saved / time,
            saved_node_bytes: sent - node_traffic(&other) * per,
            need_change_gb: outcome.need.expected.to_gib() - need.to_gib(),
            changes_batch: (other.work.tokens_per_step() - tokens).abs() > 0.5,
        });
    }
    kept.sort_by(|left, right| right.saved_ms.total_cmp(&left.saved_ms));
    kept.truncate(MOST);
    kept
}

/// In words.
pub fn words(one: &Alternative) -> String {
    let mut text = format!(
        "{}: saves {:.1} ms of a step ({:.1} %)",
        capitalised(&one.label),
        one.saved_ms,
        one.saved_percent
    );
    let gib = one.saved_node_bytes / f64::from(1 << 30);
    if gib.abs() >= 0.01 {
        let word = if gib > 0.0 { "less" } else { "more" };
        text.push_str(&format!("; a node sends {:.2} GiB {word}", gib.abs()));
    }
    if one.need_change_gb.abs() >= 0.01 {
        text.push_str(&format!("; memory {:+.2} GiB per GPU", one.need_change_gb));
    }
    if one.changes_batch {
        text.push_str("; another global batch");
    }
    text.push('.');
    text
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
