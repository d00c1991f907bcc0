//! Which inputs a job uses. Nothing that is given is ignored in silence: an input that means nothing to the job is
//! reported as `not_used`, one that is not built yet is refused.

use super::super::given::Given;
use super::super::read::Typed;
use super::{Report, megatron, offload, rollout};
use serde_json::Value;

use crate::request::{Availability, EngineId, Input, InputId, Section, Task};
use crate::warn::Issue;

/// What a job does with an input.
enum Use {
    /// It changes the answer, or has its own warning elsewhere.
    Used,
    /// It changes nothing here; the text says why.
    Not(&'static str),
}

/// Every given input that the job does not use, and every planned one that it would need.
pub fn unused(given: &Given, engine: EngineId, ranks: u64, nodes: u64, report: &mut Report) {
    for (id, typed) in given.iter() {
        let input = id.input();
        if !given.differs_from_default(id) || is_mesh_size(id) {
            continue;
        }
        if !input.section.belongs_to(Task::Training) {
            report.add(other_question(input, typed.to_json()));
            continue;
        }
        if !input.engines.to(engine) {
            let zero_stage = id == InputId::ZeroStage && given.integer(id) == Some(0);
            if !zero_stage && id != InputId::SequenceParallel {
                report.add(
                    Issue::warning(
                        "not_used",
                        input.key,
                        format!("{} means nothing to {}.", input.label, engine.name()),
                    )
                    .with_value(typed.to_json()),
                );
            }
            continue;
        }
        match input.availability {
            Availability::ExportsOnly => report.add(
                Issue::warning(
                    "not_used",
                    input.key,
                    format!("{} has no effect on memory.", input.label),
                )
                .with_value(typed.to_json()),
            ),
            Availability::Planned => planned(id, given, report),
            Availability::Built => {
                if let Use::Not(why) = usage(id, given, engine, ranks, nodes) {
                    report.add(Issue::warning("not_used", input.key, why).with_value(typed.to_json()));
                }
            }
        }
    }
}

/// An input of the other kind of question.
pub fn other_question(input: &Input, value: Value) -> Issue {
    let question = match input.section {
        Section::Inference => "inference",
        Section::Hybrid => "plans",
        _ => "training",
    };
    Issue::warning(
        "not_used",
        input.key,
        format!("{} belongs to questions on {question}.", input.label),
    )
    .with_value(value)
}

fn is_mesh_size(id: InputId) -> bool {
    matches!(
        id,
        InputId::TensorParallelSize
            | InputId::PipelineParallelSize
            | InputId::ContextParallelSize
            | InputId::ExpertParallelSize
            | InputId::VirtualPipelineSize
            | InputId::ExpertTensorParallelSize
    )
}

/// Planned inputs are refused.
fn planned(id: InputId, given: &Given, report: &mut Report) {
    let input = id.input();
    let issue = Issue::error(
        "not_available_yet",
        input.key,
        format!("{} is known and not built yet.", input.label),
    );
    report.add(match given.get(id).map(Typed::to_json) {
        Some(value) => issue.with_value(value),
        None => issue,
    });
}

/// Whether the job uses an input.
pub fn is_used(id: InputId, given: &Given, engine: EngineId, ranks: u64, nodes: u64) -> bool {
    matches!(usage(id, given, engine, ranks, nodes), Use::Used)
}

/// Decides over every input; a new one does not compile until it is decided here.
fn usage(id: InputId, given: &Given, engine: EngineId, ranks: u64, nodes: u64) -> Use {
    let when = |used: bool, why: &'static str| if used { Use::Used } else { Use::Not(why) };
    if let Some(why) = matches!(engine, EngineId::MegatronLm | EngineId::MegatronDeepspeed)
        .then(|| megatron::usage(id, given))
        .flatten()
    {
        return Use::Not(why);
    }
    let pipeline = given.integer(InputId::PipelineParallelSize).unwrap_or(1) > 1;
    match id {
        InputId::PipelineSchedule | InputId::PipelineLayout => {
            when(pipeline, "Without a pipeline there is one stage.")
        }
        InputId::SyncEachMicroBatch | InputId::ReshardRanks if pipeline && engine == EngineId::Fsdp => {
            Use::Not(
                "Gradients of a pipeline are reduced, and its weights given up, when the last micro-batch is over.",
            )
        }
        InputId::Momentum => when(
            given.choice(InputId::Optimizer) == Some("sgd"),
            "Only SGD has a momentum of its own.",
        ),
        InputId::GaloreRank => when(
            given.choice(InputId::Optimizer) == Some("galore"),
            "Only GaLore projects gradients to a rank.",
        ),
        InputId::SavedProducts => when(
            given.choice(InputId::ActivationCheckpointing) == Some("full"),
            "Only full recomputation leaves chosen products as they are.",
        ),
        InputId::CheckpointEvery => when(
            given.choice(InputId::ActivationCheckpointing) == Some("every_n"),
            "Only recomputation of every n-th layer counts layers.",
        ),
        InputId::MeanLength => when(
            given.choice(InputId::BatchLayout) == Some("padding_free"),
            "Padded and packed batches are as large as their longest sequences; the mean length changes nothing.",
        ),
        InputId::LossChunks => when(
            given.choice(InputId::Loss) == Some("chunked"),
            "Only the chunked loss is divided into chunks.",
        ),
        InputId::LossChunkRecompute => when(
            given.choice(InputId::Loss) == Some("chunked"),
            "Only the chunked loss has chunks to recompute.",
        ),
        InputId::ReshardRanks
        | InputId::BackwardPrefetch
        | InputId::ForwardPrefetch
        | InputId::LimitAllGathers
        | InputId::UseOrigParams
        | InputId::ContiguousGradients
        | InputId::HpzPartitionSize
        | InputId::PrefetchBucketSize
        | InputId::OffloadRatio
        | InputId::ZeroInit
        | InputId::HostMemoryGb
        | InputId::HostDiskGb => offload::usage(id, given, engine).map_or(Use::Used, Use::Not),
        InputId::ImageHeight | InputId::ImageWidth | InputId::TowerTraining => when(
            given.integer(InputId::ImagesPerSample).unwrap_or(0) > 0,
            "There are no images.",
        ),
        InputId::EvaluationBatchSize => when(
            matches!(given.choice(InputId::Evaluation), Some("loss" | "generate")),
            "Nothing is evaluated.",
        ),
        InputId::GeneratedTokens => when(
            given.choice(InputId::Evaluation) == Some("generate"),
            "Nothing is generated in an evaluation.",
        ),
        InputId::AdapterDtype | InputId::KbitPrepared | InputId::KbitNormsOnly
            if engine == EngineId::Deepspeed =>
        {
            Use::Not("DeepSpeed casts the whole module, adapters and norms with it, to the compute type.")
        }
        InputId::LoraRank
        | InputId::LoraTargets
        | InputId::LoraDropout
        | InputId::AdapterDtype
        | InputId::BaseFormat
        | InputId::KbitPrepared
        | InputId::ModulesToSave => when(
            matches!(given.choice(InputId::Adapter), Some("lora" | "dora")),
            "All weights train, so there are no adapters.",
        ),
        InputId::BaseGroupSize => when(
            matches!(
                given.choice(InputId::BaseFormat),
                Some("gptq_int4" | "gptq_int8" | "awq_int4")
            ),
            "Only GPTQ and AWQ have groups of a chosen size.",
        ),
        InputId::KbitNormsOnly => when(
            given.toggle(InputId::KbitPrepared) == Some(true),
            "Nothing was cast to fp32, so nothing is cast back.",
        ),
        InputId::Rollout | InputId::RolloutUtilization | InputId::RolloutSleep | InputId::RolloutTensor => {
            rollout::usage(id, given).map_or(Use::Used, Use::Not)
        }
        InputId::LogProbabilities => when(
            !matches!(
                given.choice(InputId::Objective),
                None | Some("next_token" | "reward")
            ),
            "Only preference training computes log-probabilities of its own.",
        ),
        InputId::Loss | InputId::KeepOutputs => when(
            !given.differs_from_default(InputId::Objective),
            "Preference training computes its loss from log-probabilities of all tokens.",
        ),
        InputId::CheckpointReentrant => when(
            matches!(
                given.choice(InputId::ActivationCheckpointing),
                Some("full" | "every_n" | "operations" | "products")
            ),
            "Nothing is recomputed layer by layer.",
        ),
        InputId::SyncEachMicroBatch => when(
            given.integer(InputId::GradientAccumulationSteps).unwrap_or(1) > 1,
            "Without accumulation every micro-batch ends with a reduction.",
        ),
        InputId::OverlapComm => when(
            matches!(given.integer(InputId::ZeroStage), Some(1 | 2)),
            "Only stages 1 and 2 have a second bucket for the overlap.",
        ),
        InputId::ReduceBucketSize => when(
            given.integer(InputId::ZeroStage).is_some_and(|stage| stage > 0),
            "Stage 0 reduces without a bucket of its own.",
        ),
        InputId::MaxLiveParameters | InputId::ParamPersistenceThreshold | InputId::LargestLayerParams => {
            when(
                given.integer(InputId::ZeroStage) == Some(3),
                "Only stage 3 gathers weights.",
            )
        }
        InputId::StaticGraph => when(ranks > 1, "On one GPU there are no gradient buckets."),
        InputId::GradientAsBucketView if ranks > 1 => when(
            given.toggle(InputId::OptimizerInBackward) != Some(true),
            "A step inside backward leaves the gradients in the buckets either way.",
        ),
        InputId::GradientAsBucketView => Use::Not("On one GPU there are no gradient buckets."),
        InputId::TensorParallelPlan | InputId::LossParallel => when(
            given.integer(InputId::TensorParallelSize).unwrap_or(1) > 1,
            "Without tensor parallelism nothing is divided by a plan.",
        ),
        InputId::ReduceDtype => when(
            engine == EngineId::Fsdp,
            "Only FSDP has a reduction type of its own.",
        ),
        InputId::InterconnectType
        | InputId::InterconnectBandwidthGbps
        | InputId::PortsPerNode
        | InputId::NetworkEfficiency => when(nodes > 1, "On one node nothing passes between nodes."),
        InputId::Collectives => when(
            sums(given, engine, ranks),
            "Nothing is all-reduced: gradients are scattered and weights gathered.",
        ),
        InputId::OverlapParamGather => when(
            given.toggle(InputId::UseDistributedOptimizer) == Some(true)
                && given.toggle(InputId::OverlapGradReduce) == Some(true),
            "Weights are gathered beside forward only with the distributed optimizer and overlapped reduction.",
        ),
        InputId::TpCommOverlap => when(
            given.toggle(InputId::SequenceParallel) == Some(true)
                && given.integer(InputId::TensorParallelSize).unwrap_or(1) > 1,
            "Only collectives of sequence parallelism are cut up.",
        ),
        InputId::ModelId => when(
            !given.has(InputId::HfConfig),
            "The pasted config.json is the source of the architecture.",
        ),
        InputId::SlidingWindow => window(given),
        InputId::LayerTypes => layer_types(given),
        InputId::NumNextnPredictLayers => Use::Not(
            "Next-token prediction layers are counted apart; the training engines built so far do not load them.",
        ),
        // Read by the resolution of the model, which reports what it does not use.
        InputId::ModelName
        | InputId::HfConfig
        | InputId::NumParameters
        | InputId::NumLayers
        | InputId::HiddenSize
        | InputId::IntermediateSize
        | InputId::MlpGated
        | InputId::HiddenAct
        | InputId::VocabSize
        | InputId::TieWordEmbeddings
        | InputId::Norm
        | InputId::MaxSeqLen
        | InputId::IncludeTowers
        | InputId::NumAttentionHeads
        | InputId::NumKeyValueHeads
        | InputId::HeadDim
        | InputId::AttentionBias
        | InputId::QLoraRank
        | InputId::KvLoraRank
        | InputId::QkNopeHeadDim
        | InputId::QkRopeHeadDim
        | InputId::VHeadDim
        | InputId::MoeEnabled
        | InputId::NumExperts
        | InputId::TopK
        | InputId::ExpertIntermediateSize
        | InputId::NumSharedExperts
        | InputId::SharedExpertIntermediateSize
        | InputId::FirstKDenseReplace
        | InputId::MoeLayerFreq => Use::Used,
        // Read by the step, precision, engine, mesh and hardware.
        InputId::BatchSize
        | InputId::SeqLength
        | InputId::ImagesPerSample
        | InputId::GradientAccumulationSteps
        | InputId::Dtype
        | InputId::PrecisionMode
        | InputId::Optimizer
        | InputId::OptimizerImplementation
        | InputId::GradientClipping
        | InputId::MovingAverage
        | InputId::Evaluation
        | InputId::CheckpointSave
        | InputId::ZeroStage
        | InputId::OffloadOptimizer
        | InputId::OffloadParam
        | InputId::ActivationOffload
        | InputId::FsdpCpuOffload
        | InputId::FusedKernels
        | InputId::Adapter
        | InputId::Objective
        | InputId::ActivationCheckpointing
        | InputId::Attention
        | InputId::Dropout
        | InputId::Compile
        | InputId::BatchLayout
        | InputId::OptimizerInBackward
        | InputId::EngineType
        | InputId::EngineVersion
        | InputId::TransformersVersion
        | InputId::FsdpVersion
        | InputId::ShardingStrategy
        | InputId::ReshardAfterForward
        | InputId::DataParallelSize
        | InputId::SequenceParallel
        | InputId::TensorParallelSize
        | InputId::PipelineParallelSize
        | InputId::ContextParallelSize
        | InputId::VirtualPipelineSize
        | InputId::ExpertParallelSize
        | InputId::ExpertTensorParallelSize
        | InputId::Gpu
        | InputId::NumGpus
        | InputId::GpuMemoryGb
        | InputId::UsedMemoryGb
        | InputId::Ecc
        | InputId::UnifiedMemoryGb
        | InputId::TotalGpuMemoryGb
        | InputId::UseDistributedOptimizer
        | InputId::NumMicroBatches
        | InputId::MicrobatchGroup
        | InputId::FirstStageLayers
        | InputId::LastStageLayers
        | InputId::CountEmbedding
        | InputId::CountLoss
        | InputId::RecomputeMethod
        | InputId::RecomputeLayers
        | InputId::RecomputeModules
        | InputId::CrossEntropyFusion
        | InputId::AccumulationFusion
        | InputId::SoftmaxFusion
        | InputId::WgradDeferral
        | InputId::DeterministicMode
        | InputId::GroupedExperts
        | InputId::TokenDispatcher
        | InputId::VocabularyMultiple
        | InputId::ExpertImbalance
        | InputId::ExpertCapacity
        | InputId::PadToCapacity
        | InputId::FurtherLayers
        | InputId::NarrowRecipe
        | InputId::NarrowPrimary
        | InputId::MegatronSharding
        | InputId::OffloadFraction
        | InputId::MomentDtype
        | InputId::LayerWiseLayout
        | InputId::NodeShape
        | InputId::ComputeEfficiency
        | InputId::AttentionKernels
        | InputId::PeakTflops
        | InputId::TokenBudget
        | InputId::GpuHourPrice
        | InputId::GpuPrices
        | InputId::OverlapGradReduce
        | InputId::NumNodes
        | InputId::GpusPerNode => Use::Used,
        // Not built, or for exports only: decided by their availability.
        InputId::BucketCapMb
        | InputId::AllgatherBucketSize
        | InputId::WeightDecay
        | InputId::LearningRate
        | InputId::WarmupSteps => Use::Used,
        // Of questions on plans and on inference, which are told apart before.
        InputId::GlobalBatchTokens
        | InputId::TargetUtilization
        | InputId::PlanEngines
        | InputId::PlanPrecisions
        | InputId::PlanOffload
        | InputId::MaxTensorParallel
        | InputId::MaxPipelineParallel
        | InputId::MaxContextParallel
        | InputId::MaxPipelineChunks
        | InputId::MaxMicroBatch
        | InputId::EnableSequenceParallel
        | InputId::SequenceParallelThreshold
        | InputId::PreferPipeline
        | InputId::PlanRank
        | InputId::PlanCount
        | InputId::AutoOptimize
        | InputId::ServerType
        | InputId::ServerVersion
        | InputId::Sequences
        | InputId::TotalTokens
        | InputId::PromptTokens
        | InputId::NewTokens
        | InputId::SharedPrefixTokens
        | InputId::WeightFormat
        | InputId::WeightGroup
        | InputId::ServerDtype
        | InputId::KvCacheType
        | InputId::UseKvCache
        | InputId::ServerTensorParallel
        | InputId::ServerPipelineParallel
        | InputId::GpuMemoryUtilization
        | InputId::EnableStreaming
        | InputId::ServerAttention
        | InputId::Padding
        | InputId::CacheImplementation
        | InputId::PrefillChunk
        | InputId::AllLogits
        | InputId::NumBeams
        | InputId::DoSample
        | InputId::SamplingTopK
        | InputId::SamplingTopP
        | InputId::OutputScores
        | InputId::ExpertsImplementation
        | InputId::AssistantModel
        | InputId::AssistantTokens
        | InputId::VllmQuantization
        | InputId::EntryPoint
        | InputId::VllmGeneration
        | InputId::MaxModelLen
        | InputId::MaxBatchedTokens
        | InputId::MaxSequences
        | InputId::BlockSize
        | InputId::PrefixCaching
        | InputId::EnforceEager
        | InputId::ChunkedPrefill
        | InputId::SamplerKernel
        | InputId::CacheMemory
        | InputId::SwapSpace
        | InputId::ServerDataParallel
        | InputId::ServerExpertParallel
        | InputId::DecodeContextParallel
        | InputId::MaxLoras
        | InputId::MaxLoraRank
        | InputId::SpeculativeTokens
        | InputId::DraftModel
        | InputId::OtherEngines
        | InputId::GgufType
        | InputId::TensorTypes
        | InputId::GgufTensors
        | InputId::Mmproj
        | InputId::Imatrix
        | InputId::LatentTensors
        | InputId::CacheTypeK
        | InputId::CacheTypeV
        | InputId::LlamaFork
        | InputId::ContextSize
        | InputId::PhysicalBatch
        | InputId::LogicalBatch
        | InputId::OutputsMax
        | InputId::FlashAttention
        | InputId::GpuLayers
        | InputId::CpuMoe
        | InputId::SplitMode
        | InputId::TensorSplit
        | InputId::OverrideTensor
        | InputId::KvUnified
        | InputId::SwaFull
        | InputId::KvOffload
        | InputId::Mmap
        | InputId::Mla
        | InputId::AttentionSlice
        | InputId::RequestsPerSecond
        | InputId::ConcurrentUsers
        | InputId::P95PromptTokens
        | InputId::P95NewTokens
        | InputId::MaxTtft
        | InputId::MaxTpot
        | InputId::BandwidthEfficiency
        | InputId::OtherGpus
        | InputId::StateDtype
        | InputId::ChunkSize
        | InputId::MaxRunningRequests
        | InputId::MaxPrefillTokens
        | InputId::DisableRadixCache
        | InputId::AttentionBackend
        | InputId::CudaGraphMaxBatch
        | InputId::PiecewiseCudaGraph
        | InputId::MaxPoolTokens
        | InputId::WindowTokensRatio
        | InputId::DisableWindowPool
        | InputId::StateMemoryRatio
        | InputId::StateSlots
        | InputId::DpAttention
        | InputId::SpeculativeAlgorithm
        | InputId::MultiLora
        | InputId::DisableCustomAllReduce
        | InputId::EnableP2p
        | InputId::ServerCompile
        | InputId::RadixCacheLength
        | InputId::TrtBackend
        | InputId::TrtMaxBatchSize
        | InputId::TrtMaxInputLen
        | InputId::TrtMaxSeqLen
        | InputId::TrtMaxBeamWidth
        | InputId::TrtMaxNumTokens
        | InputId::TrtRemovePadding
        | InputId::TgiMaxTotalTokens
        | InputId::TgiMaxInputTokens
        | InputId::TgiPrefillTokens
        | InputId::TgiBatchTotalTokens
        | InputId::TgiWiggleRoom
        | InputId::TgiAttention
        | InputId::TgiQuantize
        | InputId::TgiDtype
        | InputId::TgiSharded
        | InputId::TgiShards => Use::Used,
    }
}

/// Whether a job has all-reduces.
fn sums(given: &Given, engine: EngineId, ranks: u64) -> bool {
    let divided = given.integer(InputId::TensorParallelSize).unwrap_or(1) > 1;
    match engine {
        EngineId::PytorchDdp => ranks > 1 || divided,
        EngineId::Deepspeed => ranks > 1 && given.integer(InputId::ZeroStage).unwrap_or(0) == 0,
        EngineId::Fsdp => {
            let strategy = given.choice(InputId::ShardingStrategy);
            divided
                || strategy.is_some_and(|strategy| strategy.starts_with("hybrid") || strategy == "no_shard")
        }
        EngineId::MegatronLm | EngineId::MegatronDeepspeed => true,
    }
}

/// A window matters where the fused kernel needs a mask for it.
fn window(given: &Given) -> Use {
    let beyond = given.has(InputId::SlidingWindow)
        && given.integer(InputId::SeqLength) < given.integer(InputId::SlidingWindow)
        && given.has(InputId::SeqLength);
    if given.choice(InputId::Attention) == Some("eager") {
        Use::Not("Plain attention computes all scores, whatever the window.")
    } else if beyond {
        Use::Not("The window is longer than the training sequence: every layer sees all of it.")
    } else {
        Use::Used
    }
}

/// Full, sliding and chunked layers differ by their window alone; others are other layers.
fn layer_types(given: &Given) -> Use {
    let softmax = ["full_attention", "sliding_attention", "chunked_attention"];
    let windows_only = match given.get(InputId::LayerTypes) {
        Some(Typed::List(words)) => words.iter().all(|word| softmax.contains(&word.as_str())),
        _ => false,
    };
    let own = !given.has(InputId::ModelId) && !given.has(InputId::HfConfig);
    if !windows_only {
        Use::Used
    } else if own && !given.has(InputId::SlidingWindow) {
        Use::Not("No sliding window is given, so every layer sees the whole sequence.")
    } else {
        window(given)
    }
}
