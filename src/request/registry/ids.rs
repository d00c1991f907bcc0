//! The list of all inputs. An input that is not listed here does not exist; one that is listed without a specification
//! does not compile, and neither does code that decides over inputs and forgets one.

use serde::{Serialize, Serializer};

use super::{
    Input, adapter, engine, hardware, inference, inference_run, inference_vllm, model, model_details,
    offload, optimizer, parallelism, training,
};

macro_rules! registry {
    ($($name:ident => $file:ident :: $spec:ident),* $(,)?) => {
        /// Which input.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum InputId {
            $(
                #[doc = concat!("Specified in `", stringify!($file), "::", stringify!($spec), "`.")]
                $name,
            )*
        }

        impl InputId {
            /// Every input, in the order of the form.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What can be said about it.
            pub const fn input(self) -> &'static Input {
                match self {
                    $(Self::$name => &$file::$spec,)*
                }
            }
        }

        /// Every input, in the order of the form.
        pub static INPUTS: &[&Input] = &[$(&$file::$spec),*];
    };
}

registry! {
    ModelId => model::ID,
    ModelName => model::NAME,
    HfConfig => model::HF_CONFIG,
    NumParameters => model::NUM_PARAMETERS,
    NumLayers => model::NUM_LAYERS,
    HiddenSize => model::HIDDEN_SIZE,
    IntermediateSize => model::INTERMEDIATE_SIZE,
    MlpGated => model::MLP_GATED,
    HiddenAct => model::HIDDEN_ACT,
    VocabSize => model::VOCAB_SIZE,
    TieWordEmbeddings => model::TIE_WORD_EMBEDDINGS,
    Norm => model::NORM,
    MaxSeqLen => model::MAX_SEQ_LEN,
    LargestLayerParams => model::LARGEST_LAYER_PARAMS,
    NumNextnPredictLayers => model::NUM_NEXTN_PREDICT_LAYERS,
    IncludeTowers => model::INCLUDE_TOWERS,
    NumAttentionHeads => model_details::NUM_ATTENTION_HEADS,
    NumKeyValueHeads => model_details::NUM_KEY_VALUE_HEADS,
    HeadDim => model_details::HEAD_DIM,
    AttentionBias => model_details::ATTENTION_BIAS,
    SlidingWindow => model_details::SLIDING_WINDOW,
    LayerTypes => model_details::LAYER_TYPES,
    QLoraRank => model_details::Q_LORA_RANK,
    KvLoraRank => model_details::KV_LORA_RANK,
    QkNopeHeadDim => model_details::QK_NOPE_HEAD_DIM,
    QkRopeHeadDim => model_details::QK_ROPE_HEAD_DIM,
    VHeadDim => model_details::V_HEAD_DIM,
    MoeEnabled => model_details::MOE_ENABLED,
    NumExperts => model_details::NUM_EXPERTS,
    TopK => model_details::TOP_K,
    ExpertIntermediateSize => model_details::EXPERT_INTERMEDIATE_SIZE,
    NumSharedExperts => model_details::NUM_SHARED_EXPERTS,
    SharedExpertIntermediateSize => model_details::SHARED_EXPERT_INTERMEDIATE_SIZE,
    FirstKDenseReplace => model_details::FIRST_K_DENSE_REPLACE,
    MoeLayerFreq => model_details::MOE_LAYER_FREQ,
    BatchSize => training::BATCH_SIZE,
    SeqLength => training::SEQ_LENGTH,
    GradientAccumulationSteps => training::GRADIENT_ACCUMULATION_STEPS,
    BatchLayout => training::BATCH_LAYOUT,
    MeanLength => training::MEAN_LENGTH,
    Objective => adapter::OBJECTIVE,
    LogProbabilities => adapter::LOG_PROBABILITIES,
    Dtype => training::DTYPE,
    PrecisionMode => training::PRECISION_MODE,
    ReduceDtype => engine::REDUCE_DTYPE,
    Optimizer => optimizer::OPTIMIZER,
    OptimizerImplementation => optimizer::OPTIMIZER_IMPLEMENTATION,
    OptimizerInBackward => optimizer::OPTIMIZER_IN_BACKWARD,
    GaloreRank => optimizer::GALORE_RANK,
    Momentum => optimizer::MOMENTUM,
    GradientClipping => optimizer::GRADIENT_CLIPPING,
    MovingAverage => optimizer::MOVING_AVERAGE,
    Adapter => adapter::ADAPTER,
    LoraRank => adapter::LORA_RANK,
    LoraTargets => adapter::LORA_TARGETS,
    LoraDropout => adapter::LORA_DROPOUT,
    AdapterDtype => adapter::ADAPTER_DTYPE,
    BaseFormat => adapter::BASE_FORMAT,
    BaseGroupSize => adapter::BASE_GROUP_SIZE,
    KbitPrepared => adapter::KBIT_PREPARED,
    KbitNormsOnly => adapter::KBIT_NORMS_ONLY,
    ModulesToSave => adapter::MODULES_TO_SAVE,
    ActivationCheckpointing => training::ACTIVATION_CHECKPOINTING,
    ActivationOffload => offload::ACTIVATION_OFFLOAD,
    CheckpointEvery => training::CHECKPOINT_EVERY,
    Compile => training::COMPILE,
    CheckpointReentrant => adapter::CHECKPOINT_REENTRANT,
    Attention => training::ATTENTION,
    FusedKernels => training::FUSED_KERNELS,
    Loss => training::LOSS,
    LossChunks => training::LOSS_CHUNKS,
    LossChunkRecompute => training::LOSS_CHUNK_RECOMPUTE,
    KeepOutputs => training::KEEP_OUTPUTS,
    Dropout => training::DROPOUT,
    EngineType => engine::TYPE,
    EngineVersion => engine::VERSION,
    TransformersVersion => engine::TRANSFORMERS_VERSION,
    GradientAsBucketView => engine::GRADIENT_AS_BUCKET_VIEW,
    BucketCapMb => engine::BUCKET_CAP_MB,
    StaticGraph => offload::STATIC_GRAPH,
    FsdpVersion => engine::FSDP_VERSION,
    ShardingStrategy => engine::SHARDING_STRATEGY,
    ReshardAfterForward => engine::RESHARD_AFTER_FORWARD,
    ReshardRanks => offload::RESHARD_RANKS,
    FsdpCpuOffload => offload::FSDP_CPU_OFFLOAD,
    BackwardPrefetch => offload::BACKWARD_PREFETCH,
    ForwardPrefetch => offload::FORWARD_PREFETCH,
    LimitAllGathers => offload::LIMIT_ALL_GATHERS,
    UseOrigParams => offload::USE_ORIG_PARAMS,
    SyncEachMicroBatch => engine::SYNC_EACH_MICRO_BATCH,
    ZeroStage => engine::ZERO_STAGE,
    OffloadOptimizer => engine::OFFLOAD_OPTIMIZER,
    OffloadParam => engine::OFFLOAD_PARAM,
    OffloadRatio => engine::OFFLOAD_RATIO,
    ZeroInit => engine::ZERO_INIT,
    ReduceBucketSize => engine::REDUCE_BUCKET_SIZE,
    OverlapComm => engine::OVERLAP_COMM,
    ContiguousGradients => offload::CONTIGUOUS_GRADIENTS,
    HpzPartitionSize => offload::HPZ_PARTITION_SIZE,
    AllgatherBucketSize => engine::ALLGATHER_BUCKET_SIZE,
    PrefetchBucketSize => engine::PREFETCH_BUCKET_SIZE,
    MaxLiveParameters => engine::MAX_LIVE_PARAMETERS,
    ParamPersistenceThreshold => engine::PARAM_PERSISTENCE_THRESHOLD,
    UseDistributedOptimizer => engine::USE_DISTRIBUTED_OPTIMIZER,
    NumMicroBatches => engine::NUM_MICRO_BATCHES,
    DataParallelSize => parallelism::DATA,
    TensorParallelSize => parallelism::TENSOR,
    PipelineParallelSize => parallelism::PIPELINE,
    VirtualPipelineSize => parallelism::VIRTUAL_PIPELINE,
    ContextParallelSize => parallelism::CONTEXT,
    SequenceParallel => parallelism::SEQUENCE,
    TensorParallelPlan => parallelism::PLAN,
    LossParallel => parallelism::LOSS,
    ExpertParallelSize => parallelism::EXPERT,
    ExpertTensorParallelSize => parallelism::EXPERT_TENSOR,
    Gpu => hardware::GPU,
    NumGpus => hardware::NUM_GPUS,
    GpuMemoryGb => hardware::GPU_MEMORY_GB,
    UsedMemoryGb => hardware::USED_MEMORY_GB,
    Ecc => hardware::ECC,
    UnifiedMemoryGb => hardware::UNIFIED_MEMORY_GB,
    TotalGpuMemoryGb => hardware::TOTAL_GPU_MEMORY_GB,
    NumNodes => hardware::NUM_NODES,
    GpusPerNode => hardware::GPUS_PER_NODE,
    InterconnectType => hardware::INTERCONNECT_TYPE,
    InterconnectBandwidthGbps => hardware::INTERCONNECT_BANDWIDTH_GBPS,
    PortsPerNode => hardware::PORTS_PER_NODE,
    HostMemoryGb => hardware::HOST_MEMORY_GB,
    HostDiskGb => hardware::HOST_DISK_GB,
    ServerType => inference::ENGINE_TYPE,
    ServerVersion => inference::ENGINE_VERSION,
    Sequences => inference::BATCH_SIZE,
    TotalTokens => inference::MAX_SEQ_LEN,
    PromptTokens => inference::PROMPT_TOKENS,
    NewTokens => inference::NEW_TOKENS,
    SharedPrefixTokens => inference::SHARED_PREFIX_TOKENS,
    WeightFormat => inference::WEIGHT_FORMAT,
    WeightGroup => inference::WEIGHT_GROUP,
    ServerDtype => inference::DTYPE,
    KvCacheType => inference::KV_CACHE_QUANTIZATION,
    UseKvCache => inference::USE_KV_CACHE,
    ServerTensorParallel => inference::TENSOR_PARALLEL_SIZE,
    ServerPipelineParallel => inference::PIPELINE_PARALLEL_SIZE,
    OtherGpus => inference::OTHER_GPUS,
    GpuMemoryUtilization => inference::GPU_MEMORY_UTILIZATION,
    EnableStreaming => inference::ENABLE_STREAMING,
    ServerAttention => inference_run::ATTENTION,
    Padding => inference_run::PADDING,
    CacheImplementation => inference_run::CACHE_IMPLEMENTATION,
    PrefillChunk => inference_run::PREFILL_CHUNK,
    AllLogits => inference_run::ALL_LOGITS,
    NumBeams => inference_run::NUM_BEAMS,
    DoSample => inference_run::DO_SAMPLE,
    SamplingTopK => inference_run::TOP_K,
    SamplingTopP => inference_run::TOP_P,
    OutputScores => inference_run::OUTPUT_SCORES,
    ExpertsImplementation => inference_run::EXPERTS_IMPLEMENTATION,
    AssistantModel => inference_run::ASSISTANT_MODEL,
    VllmQuantization => inference_vllm::VLLM_QUANTIZATION,
    EntryPoint => inference_vllm::ENTRY_POINT,
    VllmGeneration => inference_vllm::GENERATION,
    MaxModelLen => inference_vllm::MAX_MODEL_LEN,
    MaxBatchedTokens => inference_vllm::MAX_NUM_BATCHED_TOKENS,
    MaxSequences => inference_vllm::MAX_NUM_SEQS,
    BlockSize => inference_vllm::BLOCK_SIZE,
    PrefixCaching => inference_vllm::ENABLE_PREFIX_CACHING,
    EnforceEager => inference_vllm::ENFORCE_EAGER,
    ChunkedPrefill => inference_vllm::ENABLE_CHUNKED_PREFILL,
    SamplerKernel => inference_vllm::SAMPLER,
    CacheMemory => inference_vllm::KV_CACHE_MEMORY_GB,
    SwapSpace => inference_vllm::SWAP_SPACE_GB,
    ServerDataParallel => inference_vllm::DATA_PARALLEL_SIZE,
    ServerExpertParallel => inference_vllm::ENABLE_EXPERT_PARALLEL,
    DecodeContextParallel => inference_vllm::DECODE_CONTEXT_PARALLEL_SIZE,
    MaxLoras => inference_vllm::MAX_LORAS,
    MaxLoraRank => inference_vllm::MAX_LORA_RANK,
    SpeculativeTokens => inference_vllm::NUM_SPECULATIVE_TOKENS,
    DraftModel => inference_vllm::DRAFT_MODEL,
    StateDtype => inference_vllm::MAMBA_SSM_CACHE_DTYPE,
    OtherEngines => inference_vllm::OTHER_ENGINES,
    WeightDecay => training::WEIGHT_DECAY,
    LearningRate => training::LEARNING_RATE,
    WarmupSteps => training::WARMUP_STEPS,
}

impl InputId {
    /// Its dotted path in JSON.
    pub const fn key(self) -> &'static str {
        self.input().key
    }
}

impl Serialize for InputId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.key())
    }
}
