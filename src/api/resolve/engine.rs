//! The engine, its version and what of it is built.

use super::super::given::Given;
use super::Report;
use crate::request::{Availability, EngineId, InputId};
use crate::training::{Engine, Zero};
use crate::units::{Bytes, Count};
use crate::warn::Issue;

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineChoice {
    /// Which engine.
    pub id: EngineId,
    /// Major and minor version of torch.
    pub torch: (u16, u16),
    /// Major and minor version of transformers.
    pub transformers: (u16, u16),
}

/// Reads the engine and its versions; planned ones are refused here.
pub fn engine(given: &Given, report: &mut Report) -> EngineChoice {
    let id = given
        .choice(InputId::EngineType)
        .and_then(EngineId::from_key)
        .unwrap_or(EngineId::PytorchDdp);
    refuse_planned_choices(given, id, report);
    EngineChoice {
        id,
        torch: version(given, InputId::EngineVersion, (2, 15), report),
        transformers: version(given, InputId::TransformersVersion, (5, 23), report),
    }
}

/// Values of a choice, and inputs, that the product does not answer for yet.
fn refuse_planned_choices(given: &Given, engine: EngineId, report: &mut Report) {
    for (id, _) in given.iter() {
        let input = id.input();
        if !input.engines.to(engine) {
            continue;
        }
        let Some(choice) = given.choice_entry(id) else {
            continue;
        };
        if choice.availability == Availability::Planned {
            let built = input
                .kind
                .choices()
                .iter()
                .filter(|choice| choice.availability == Availability::Built)
                .map(|choice| choice.value);
            report.add(
                Issue::error(
                    "not_available_yet",
                    input.key,
                    format!("{} is known and not built yet.", choice.label),
                )
                .with_value(choice.value)
                .with_allowed(built),
            );
        }
    }
}

/// `2.15`, `2.8.1+cu126`, `v4.48`: major and minor.
fn version(given: &Given, id: InputId, default: (u16, u16), report: &mut Report) -> (u16, u16) {
    let Some(text) = given.text(id) else {
        return default;
    };
    let read = || {
        let mut parts = text.trim_start_matches(['v', 'V']).split('.');
        let major = parts.next()?.parse::<u16>().ok()?;
        let minor: String = parts.next()?.chars().take_while(char::is_ascii_digit).collect();
        Some((major, minor.parse::<u16>().ok()?))
    };
    let Some(found) = read() else {
        report.add(
            Issue::error(
                "unknown_value",
                id.key(),
                format!("{text:?} is no version: write it as {}.{}.", default.0, default.1),
            )
            .with_value(text),
        );
        return default;
    };
    if id == InputId::EngineVersion && found < (2, 0) {
        report.add(
            Issue::error(
                "not_available_yet",
                id.key(),
                "Versions of torch before 2.0 are not built: their memory behaviour was not read.",
            )
            .with_value(text),
        );
    }
    found
}

/// The settings of the engine on this many data-parallel ranks.
pub fn settings(given: &Given, engine: EngineId, (ranks, nodes): (u64, u64), report: &mut Report) -> Engine {
    match engine {
        EngineId::Fsdp => {
            let reshard_after_forward = reshard(given, report);
            let replicas = replicas(given, ranks, nodes, report);
            match given.choice(InputId::FsdpVersion) {
                Some("1") => Engine::Fsdp1 {
                    reshard_after_forward,
                    replicas,
                },
                _ => Engine::Fsdp2 {
                    reshard_after_forward,
                    replicas,
                },
            }
        }
        EngineId::Deepspeed => Engine::DeepSpeed(zero(given)),
        // The last two are refused before, as planned; what they would be changes nothing.
        EngineId::PytorchDdp | EngineId::MegatronLm | EngineId::MegatronDeepspeed => {
            if ranks == 1 {
                Engine::Single
            } else {
                Engine::Ddp {
                    bucket_view: given.toggle(InputId::GradientAsBucketView).unwrap_or(false),
                }
            }
        }
    }
}

/// DeepSpeed's settings; what is not given has the defaults of DeepSpeed 0.19 (runtime/zero/config.py).
fn zero(given: &Given) -> Zero {
    let elements = |id, usual| given.integer(id).unwrap_or(usual);
    let on_host = |id| matches!(given.choice(id), Some("cpu" | "nvme"));
    let stage = given.integer(InputId::ZeroStage).unwrap_or(0);
    Zero {
        stage: u8::try_from(stage).unwrap_or(3),
        reduce_bucket: elements(InputId::ReduceBucketSize, 500_000_000),
        overlap: given.toggle(InputId::OverlapComm).unwrap_or(stage == 3),
        max_live: elements(InputId::MaxLiveParameters, 1_000_000_000),
        persistence_threshold: elements(InputId::ParamPersistenceThreshold, 100_000),
        optimizer_on_host: on_host(InputId::OffloadOptimizer),
        weights_on_host: on_host(InputId::OffloadParam),
    }
}

/// What offloaded states need on the host: per rank 16 bytes for each weight of its partition (fp32 master, moments and
/// gradient), 2 for its gradients or its update buffer, 2 more for accumulated gradients below stage 3 or for offloaded
/// weights (DeepSpeed 0.19 runtime/zero, pinned by default; torch rounds a pinned buffer up to a power of two).
pub fn host(
    given: &Given,
    engine: Engine,
    (weights, ranks, nodes): (Count, u64, u64),
    accumulation: u64,
    report: &mut Report,
) {
    let Engine::DeepSpeed(zero) = engine else {
        return;
    };
    if !zero.optimizer_on_host {
        return;
    }
    let accumulated = zero.stage < 3 && accumulation > 1;
    let each = 18 + if accumulated || zero.weights_on_host { 2 } else { 0 };
    let own = weights.shared_by(ranks);
    let node = Bytes::new(own.get().saturating_mul(each)) * ranks.div_ceil(nodes.max(1));
    let id = if given.choice(InputId::OffloadOptimizer) == Some("nvme") {
        "on disk and in host memory"
    } else {
        "in host memory"
    };
    report.warn(
        "host_memory",
        InputId::OffloadOptimizer,
        format!(
            "Offloaded states need {:.1} GiB {id} on each node, up to twice that where pinned buffers are rounded up. No run with offload has been compared yet.",
            node.to_gib()
        ),
    );
}

/// Hybrid sharding divides inside a node and copies between nodes.
fn replicas(given: &Given, ranks: u64, nodes: u64, report: &mut Report) -> u64 {
    let hybrid = given
        .choice(InputId::ShardingStrategy)
        .is_some_and(|strategy| strategy.starts_with("hybrid"));
    if !hybrid {
        return 1;
    }
    if nodes <= 1 || !ranks.is_multiple_of(nodes) {
        report.add(
            Issue::error(
                "unsupported_combination",
                InputId::ShardingStrategy.key(),
                format!("Hybrid sharding copies between nodes, but {ranks} ranks are on {nodes} of them."),
            )
            .with_hint("Type the number of nodes, or take full_shard."),
        );
        return 1;
    }
    nodes
}

/// `reshard_after_forward`, and the strategy that says the same; they must not contradict each other.
fn reshard(given: &Given, report: &mut Report) -> bool {
    let by_strategy = !matches!(
        given.choice(InputId::ShardingStrategy),
        Some("shard_grad_op" | "hybrid_shard_zero2")
    );
    let Some(reshard) = given.toggle(InputId::ReshardAfterForward) else {
        return by_strategy;
    };
    if given.has(InputId::ShardingStrategy) && reshard != by_strategy {
        report.add(
            Issue::error(
                "unsupported_combination",
                InputId::ReshardAfterForward.key(),
                "The sharding strategy and reshard_after_forward contradict each other: full_shard frees gathered weights after the forward pass, shard_grad_op keeps them.",
            )
            .with_value(reshard)
            .with_hint("Give only one of the two."),
        );
    }
    reshard
}
