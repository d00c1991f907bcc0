//! The engine, its version and what of it is built.

use super::super::given::Given;
use super::Report;
use crate::request::{Availability, EngineId, InputId};
use crate::training::{Engine, HostMemory, Offload, Zero};
use crate::units::Bytes;
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
        EngineId::Fsdp => fsdp(given, (ranks, nodes), report),
        EngineId::Deepspeed => Engine::DeepSpeed(zero(given, ranks, report)),
        // Megatron's settings follow from mesh and model.
        EngineId::PytorchDdp | EngineId::MegatronLm | EngineId::MegatronDeepspeed => {
            if ranks == 1 {
                Engine::Single
            } else {
                Engine::Ddp {
                    bucket_view: given.toggle(InputId::GradientAsBucketView).unwrap_or(false),
                    static_graph: static_graph(given, report),
                }
            }
        }
    }
}

/// `static_graph`, with what torch cannot run with it.
fn static_graph(given: &Given, report: &mut Report) -> bool {
    let on = given.toggle(InputId::StaticGraph).unwrap_or(false);
    if on && given.integer(InputId::GradientAccumulationSteps).unwrap_or(1) > 1 {
        report.warn(
            "does_not_start",
            InputId::StaticGraph,
            "PyTorch fails with a static graph where the first micro-batch runs under no_sync, as Accelerate's accumulation does (reducer.cpp: expect_autograd_hooks_). The figure is that of a loop that reduces after every micro-batch.",
        );
    }
    on
}

/// FSDP's settings; what is not given has the defaults of torch 2.15.
fn fsdp(given: &Given, (ranks, nodes): (u64, u64), report: &mut Report) -> Engine {
    let reshard_after_forward = reshard(given, report);
    let replicas = replicas(given, ranks, nodes, report);
    let offload = match given.choice(InputId::FsdpCpuOffload) {
        Some("pinned") => HostMemory::Pinned,
        Some("pageable") => HostMemory::Pageable,
        _ => HostMemory::None,
    };
    if given.choice(InputId::FsdpVersion) == Some("1") {
        return Engine::Fsdp1 {
            reshard_after_forward,
            replicas,
            offload,
            prefetch: !matches!(
                given.choice(InputId::BackwardPrefetch),
                Some("backward_post" | "none")
            ),
            forward_prefetch: given.toggle(InputId::ForwardPrefetch).unwrap_or(false),
            limited: given.toggle(InputId::LimitAllGathers).unwrap_or(true),
            original: given.toggle(InputId::UseOrigParams).unwrap_or(true),
        };
    }
    let shards = (ranks / replicas.max(1)).max(1);
    let among = given
        .integer(InputId::ReshardRanks)
        .filter(|_| reshard_after_forward);
    if let Some(among) = among.filter(|among| !shards.is_multiple_of(*among)) {
        report.add(
            Issue::error(
                "unsupported_combination",
                InputId::ReshardRanks.key(),
                format!("fully_shard divides gathered weights again among a number of ranks that divides the {shards} that share them."),
            )
            .with_value(among),
        );
    }
    Engine::Fsdp2 {
        // One rank keeps all of it, which is reshard_after_forward off; all ranks are what happens anyway.
        reshard_after_forward: reshard_after_forward && (among != Some(1) || shards == 1),
        replicas,
        offload,
        resharded_to: among.filter(|among| *among > 1 && *among < shards),
    }
}

/// DeepSpeed's settings; what is not given has the defaults of DeepSpeed 0.19 (runtime/zero/config.py).
fn zero(given: &Given, ranks: u64, report: &mut Report) -> Zero {
    let elements = |id, usual| given.integer(id).unwrap_or(usual);
    let place = |id| match given.choice(id) {
        Some("cpu") => Offload::Cpu,
        Some("nvme") => Offload::Nvme,
        _ => Offload::None,
    };
    let stage = given.integer(InputId::ZeroStage).unwrap_or(0);
    let ratio = given.number(InputId::OffloadRatio).unwrap_or(1.0);
    let secondary = given.integer(InputId::HpzPartitionSize).unwrap_or(1);
    if stage == 3 && secondary > 1 && !ranks.is_multiple_of(secondary) {
        report.add(
            Issue::error(
                "unsupported_combination",
                InputId::HpzPartitionSize.key(),
                format!("The ranks of a secondary partition must divide all {ranks} data-parallel ranks."),
            )
            .with_value(secondary),
        );
    }
    Zero {
        stage: u8::try_from(stage).unwrap_or(3),
        reduce_bucket: elements(InputId::ReduceBucketSize, 500_000_000),
        overlap: given.toggle(InputId::OverlapComm).unwrap_or(stage == 3),
        // stage_1_and_2.py takes it for granted with offload.
        contiguous: given.toggle(InputId::ContiguousGradients).unwrap_or(true)
            || (stage < 3 && place(InputId::OffloadOptimizer).away()),
        max_live: elements(InputId::MaxLiveParameters, 1_000_000_000),
        largest_module: given.integer(InputId::LargestLayerParams),
        prefetch: elements(InputId::PrefetchBucketSize, 50_000_000) > 0,
        persistence_threshold: elements(InputId::ParamPersistenceThreshold, 100_000),
        secondary,
        optimizer: place(InputId::OffloadOptimizer),
        offloaded_millionths: Bytes::new(1_000_000).scaled(ratio).get(),
        weights: place(InputId::OffloadParam),
        built_whole: stage == 3 && given.toggle(InputId::ZeroInit) == Some(false),
    }
}

/// Hybrid sharding divides inside a node and copies between nodes.
fn replicas(given: &Given, ranks: u64, nodes: u64, report: &mut Report) -> u64 {
    if given.choice(InputId::ShardingStrategy) == Some("no_shard") {
        if given.choice(InputId::FsdpVersion) != Some("1") {
            report.add(
                Issue::error(
                    "unsupported_combination",
                    InputId::ShardingStrategy.key(),
                    "fully_shard always divides the weights.",
                )
                .with_value("no_shard")
                .with_hint("Use DDP, or FSDP version 1."),
            );
        }
        return ranks;
    }
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
