//! The ways of training that a search tries: engines with their ways of sharding, rounding, offloading and recomputing, each as
//! the inputs that it sets.

use serde_json::{Value, json};

use super::options::Options;
use crate::model::{FeedForward, Mixer, Network};
use crate::planner::{Deal, Shape, divisors};
use crate::request::{EngineId, InputId, Request};
use crate::training::{Recomputation, Recompute, RecomputedModules};

/// Values of inputs.
pub type Set = Vec<(InputId, Value)>;

/// A way of recomputing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Again {
    /// Of torch's engines.
    Torch(Recomputation),
    /// Megatron's, whatever the pipeline.
    Stages(Recompute),
    /// Megatron's first layers of each chunk: so many quarters of it.
    Quarters(u64),
}

/// A way of training.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// The engine.
    pub engine: EngineId,
    /// What distinguishes it, for a person.
    pub name: String,
    /// The inputs that make it.
    pub set: Set,
    /// Whether something waits in the memory of the host.
    pub offloads: bool,
    /// Its ways of recomputing.
    pub again: Vec<Again>,
}

/// Inputs that plans decide; what is typed for them is not kept.
pub const DECIDED: &[InputId] = &[
    InputId::DataParallelSize,
    InputId::TensorParallelSize,
    InputId::PipelineParallelSize,
    InputId::ContextParallelSize,
    InputId::ExpertParallelSize,
    InputId::ExpertTensorParallelSize,
    InputId::VirtualPipelineSize,
    InputId::NumMicroBatches,
    InputId::BatchSize,
    InputId::GradientAccumulationSteps,
    InputId::ActivationCheckpointing,
    InputId::CheckpointEvery,
    InputId::SavedProducts,
    InputId::RecomputeMethod,
    InputId::RecomputeLayers,
    InputId::RecomputeModules,
    InputId::ZeroStage,
    InputId::OffloadOptimizer,
    InputId::OffloadParam,
    InputId::FsdpCpuOffload,
    InputId::ActivationOffload,
    InputId::FsdpVersion,
    InputId::ShardingStrategy,
    InputId::ReshardAfterForward,
    InputId::ReshardRanks,
    InputId::HpzPartitionSize,
    InputId::SequenceParallel,
    InputId::UseDistributedOptimizer,
    InputId::OverlapGradReduce,
    InputId::OverlapParamGather,
    InputId::OverlapComm,
    InputId::SyncEachMicroBatch,
    InputId::FirstStageLayers,
    InputId::LastStageLayers,
    InputId::CountEmbedding,
    InputId::CountLoss,
];

/// Every way that the options allow.
pub fn ways(options: &Options, network: &Network, request: &Request, nodes: u64) -> Vec<Way> {
    let mut all = Vec::new();
    for engine in &options.engines {
        let mut own = match engine {
            EngineId::MegatronLm => vec![way(*engine, "", vec![], false)],
            EngineId::Fsdp => fsdp(options, nodes),
            EngineId::Deepspeed => deepspeed(options),
            EngineId::PytorchDdp => vec![way(*engine, "", vec![], false)],
            EngineId::MegatronDeepspeed => Vec::new(),
        };
        let again = match engine {
            EngineId::MegatronLm => staged(network, request),
            _ => flat(),
        };
        for one in &mut own {
            one.again.clone_from(&again);
        }
        if options.any_precision && *engine != EngineId::MegatronLm {
            let narrow: Vec<Way> = own
                .iter()
                .map(|wide| {
                    let mut narrow = wide.clone();
                    narrow.set.push((InputId::PrecisionMode, json!("pure")));
                    narrow.name = joined(&wide.name, "no fp32 master weights");
                    narrow
                })
                .collect();
            own.extend(narrow);
        }
        all.extend(own);
    }
    all
}

fn way(engine: EngineId, name: &str, set: Set, offloads: bool) -> Way {
    Way {
        engine,
        name: name.to_owned(),
        set,
        offloads,
        again: Vec::new(),
    }
}

fn joined(first: &str, second: &str) -> String {
    match first {
        "" => second.to_owned(),
        first => format!("{first}, {second}"),
    }
}

fn fsdp(options: &Options, nodes: u64) -> Vec<Way> {
    let mut shardings = vec![("full_shard", "full shard"), ("shard_grad_op", "weights kept")];
    if nodes > 1 {
        shardings.extend([
            ("hybrid_shard", "shards within a node"),
            ("hybrid_shard_zero2", "shards within a node, weights kept"),
        ]);
    }
    let mut all = Vec::new();
    for (value, name) in shardings {
        for each in [true, false] {
            for offload in [false, true] {
                if offload && !options.offload {
                    continue;
                }
                let mut set = vec![
                    (InputId::FsdpVersion, json!("2")),
                    (InputId::ShardingStrategy, json!(value)),
                    (InputId::SyncEachMicroBatch, json!(each)),
                ];
                let mut words = name.to_owned();
                if !each {
                    words = joined(&words, "gradients reduced once");
                }
                if offload {
                    set.push((InputId::FsdpCpuOffload, json!("pinned")));
                    words = joined(&words, "states on the host");
                }
                all.push(way(EngineId::Fsdp, &words, set, offload));
            }
        }
    }
    all
}

fn deepspeed(options: &Options) -> Vec<Way> {
    let mut all = Vec::new();
    for stage in 0..=3 {
        for (offload, overlap) in [(0, false), (0, true), (1, true), (2, true)] {
            let (needs, overlaps) = match offload {
                0 => (stage >= 1 || !overlap, true),
                1 => (stage >= 1, options.offload),
                _ => (stage == 3, options.offload),
            };
            if !needs || !overlaps {
                continue;
            }
            let mut set = vec![(InputId::ZeroStage, json!(stage))];
            let mut words = format!("ZeRO {stage}");
            if stage > 0 {
                set.push((InputId::OverlapComm, json!(overlap)));
                if !overlap {
                    words = joined(&words, "no overlap");
                }
            }
            if offload >= 1 {
                set.push((InputId::OffloadOptimizer, json!("cpu")));
                words = joined(&words, "optimizer on the host");
            }
            if offload == 2 {
                set.push((InputId::OffloadParam, json!("cpu")));
                words = joined(&words, "weights too");
            }
            all.push(way(EngineId::Deepspeed, &words, set, offload > 0));
        }
    }
    all
}

fn flat() -> Vec<Again> {
    vec![
        Again::Torch(Recomputation::None),
        Again::Torch(Recomputation::Operations),
        Again::Torch(Recomputation::EveryNth(2)),
        Again::Torch(Recomputation::Full),
    ]
}

fn staged(network: &Network, request: &Request) -> Vec<Again> {
    let modules = |of: fn(&mut RecomputedModules)| {
        let mut modules = RecomputedModules::default();
        of(&mut modules);
        Again::Stages(Recompute::Modules(modules))
    };
    let mut all = vec![Again::Stages(Recompute::None)];
    // Fused attention keeps no scores, so recomputing them would change nothing.
    if request.get(InputId::Attention).and_then(Value::as_str) == Some("eager") {
        all.push(modules(|modules| modules.core_attention = true));
    }
    all.push(modules(|modules| modules.norms = true));
    let latent = network
        .kinds
        .iter()
        .any(|layer| matches!(layer.mixer, Mixer::Latent(_)));
    let dense = |part: &FeedForward| matches!(part, FeedForward::Dense(_));
    if latent {
        all.push(modules(|modules| {
            modules.norms = true;
            modules.up_projection = true;
        }));
    }
    if network.has_experts() {
        all.push(modules(|modules| {
            modules.norms = true;
            modules.expert_activation = true;
        }));
        if latent {
            all.push(modules(|modules| {
                modules.norms = true;
                modules.expert_activation = true;
                modules.up_projection = true;
            }));
        }
        all.push(modules(|modules| modules.experts = true));
    }
    if network.kinds.iter().any(|layer| dense(&layer.feed_forward)) {
        all.push(modules(|modules| {
            modules.norms = true;
            modules.feed_forward = true;
        }));
    }
    all.extend([1, 2, 3].map(Again::Quarters));
    all.push(Again::Stages(Recompute::Uniform(1)));
    all
}

/// The dimensions of a way.
pub fn shape(way: &Way, options: &Options, network: &Network, (gpus, sequences): (u64, u64)) -> Shape {
    let most = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    let sizes = |limit: Option<u64>| divisors(gpus, most(limit));
    let layers = network.depth().max(1);
    let staged = way.engine == EngineId::MegatronLm;
    let only = |staged: bool, all: Vec<u64>| if staged { all } else { vec![1] };
    let tensor = matches!(way.engine, EngineId::MegatronLm | EngineId::Fsdp);
    let experts = staged && network.has_experts();
    Shape {
        staged,
        tensor: only(tensor, divisors(gpus, u64::MAX)),
        context: only(staged, sizes(options.context)),
        pipeline: only(staged, sizes(options.pipeline)),
        chunks: only(staged, divisors(layers, most(options.chunks))),
        deals: if staged {
            Deal::ALL.to_vec()
        } else {
            vec![Deal::Even]
        },
        expert: only(experts, divisors(gpus, u64::MAX)),
        expert_tensor: if experts { vec![false, true] } else { vec![true] },
        distributed: if staged { vec![false, true] } else { vec![true] },
        sequence: if tensor { vec![false, true] } else { vec![false] },
        micro_batch: divisors(sequences, most(options.micro_batch)),
        recompute: way.again.len(),
    }
}
