//! Accelerate's YAML, with the keys that its own questionnaire writes: huggingface/accelerate 1.15.0
//! `commands/config/cluster.py`, `commands/config/config_args.py`, `utils/launch.py`.

use serde_json::{Map, Value, json};

use super::Body;
use super::common::{
    Recipe, full_recomputation, is_first_fsdp, machines, note_pure, put, recipe, reduction, reshards,
    shard_and_replicate, strategy,
};
use super::layers;
use super::sheet::Sheet;
use crate::request::{EngineId, InputId};

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    let mut root = Map::new();
    put(&mut root, "compute_environment", "LOCAL_MACHINE");
    put(&mut root, "debug", false);
    let (nodes, _) = machines(sheet);
    let gpus = sheet.facts().gpus;
    let engine = sheet.trainer();
    let kind = match engine {
        EngineId::Fsdp => "FSDP",
        EngineId::Deepspeed => "DEEPSPEED",
        EngineId::MegatronLm | EngineId::MegatronDeepspeed => "MEGATRON_LM",
        EngineId::PytorchDdp if gpus > 1 => "MULTI_GPU",
        EngineId::PytorchDdp => "NO",
    };
    put(&mut root, "distributed_type", kind);
    put(&mut root, "downcast_bf16", "no");
    put(&mut root, "enable_cpu_affinity", false);
    put(&mut root, "machine_rank", 0);
    if nodes > 1 {
        sheet.note(
            "machine_rank and main_process_ip differ on each machine: set them, or give them to accelerate launch.",
        );
        put(&mut root, "main_process_ip", "10.0.0.1");
    }
    put(&mut root, "main_process_port", 29500);
    put(&mut root, "main_training_function", "main");
    let recipe = recipe(sheet);
    note_pure(sheet, recipe);
    if recipe == (Recipe::Full { tf32: false }) {
        sheet.note("Load the model in float32 (training.dtype): the file says only that nothing is mixed.");
    }
    put(&mut root, "mixed_precision", recipe.mixed_precision());
    put(&mut root, "num_machines", nodes);
    put(&mut root, "num_processes", gpus);
    put(&mut root, "rdzv_backend", "static");
    put(&mut root, "same_network", true);
    put(&mut root, "use_cpu", false);
    if sheet.among(InputId::Compile, &["none", "model"]) == Some("model") {
        let dynamo = json!({
            "dynamo_backend": "INDUCTOR",
            "dynamo_mode": "default",
            "dynamo_use_dynamic": false,
            "dynamo_use_fullgraph": false,
            "dynamo_use_regional_compilation": true,
        });
        put(&mut root, "dynamo_config", dynamo);
    }
    match engine {
        EngineId::Fsdp => {
            put(&mut root, "fsdp_config", fsdp(sheet));
            if let Some(mesh) = mesh(sheet) {
                put(&mut root, "parallelism_config", mesh);
            }
            reduction(sheet, recipe, "Accelerate");
        }
        EngineId::Deepspeed => put(&mut root, "deepspeed_config", deepspeed(sheet)),
        EngineId::MegatronLm => put(&mut root, "megatron_lm_config", megatron(sheet)),
        EngineId::PytorchDdp | EngineId::MegatronDeepspeed => {}
    }
    sheet.note("Micro-batch, sequence length and optimizer belong to the training script.");
    Body::Yaml(Value::Object(root))
}

/// Keys of `fsdp_config`, which differ between the versions.
fn fsdp(sheet: &mut Sheet<'_>) -> Value {
    let mut config = Map::new();
    let first = is_first_fsdp(sheet);
    sheet.tell(&[InputId::FsdpVersion]);
    put(&mut config, "fsdp_version", if first { 1 } else { 2 });
    if first {
        put(&mut config, "fsdp_sharding_strategy", strategy(sheet));
        put(&mut config, "fsdp_backward_prefetch", prefetch(sheet));
        put(
            &mut config,
            "fsdp_forward_prefetch",
            sheet.toggle(InputId::ForwardPrefetch),
        );
        put(
            &mut config,
            "fsdp_use_orig_params",
            sheet.toggle(InputId::UseOrigParams),
        );
    } else {
        put(&mut config, "fsdp_reshard_after_forward", reshards(sheet));
    }
    let offload = matches!(
        sheet.among(InputId::FsdpCpuOffload, &["none", "pinned"]),
        Some("pinned")
    );
    put(&mut config, "fsdp_offload_params", offload);
    put(&mut config, "fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP");
    match layers::class(&sheet.facts().network.model_type) {
        Some(class) => put(&mut config, "fsdp_transformer_layer_cls_to_wrap", class),
        None => sheet.note(
            "The class of the layers is not known: Accelerate takes _no_split_modules of the model, or name it in fsdp_transformer_layer_cls_to_wrap.",
        ),
    }
    let whole = sheet
        .among(InputId::CheckpointSave, &["none", "sharded", "full"])
        .is_some_and(|kind| kind == "full");
    let kind = if whole {
        "FULL_STATE_DICT"
    } else {
        "SHARDED_STATE_DICT"
    };
    put(&mut config, "fsdp_state_dict_type", kind);
    put(&mut config, "fsdp_cpu_ram_efficient_loading", true);
    if first {
        put(&mut config, "fsdp_sync_module_states", true);
    }
    put(
        &mut config,
        "fsdp_activation_checkpointing",
        full_recomputation(sheet),
    );
    Value::Object(config)
}

fn prefetch(sheet: &mut Sheet<'_>) -> &'static str {
    match sheet.word(InputId::BackwardPrefetch) {
        "backward_post" => "BACKWARD_POST",
        "none" => "NO_PREFETCH",
        _ => "BACKWARD_PRE",
    }
}

/// The mesh of the second FSDP, where it has more than one dimension.
fn mesh(sheet: &mut Sheet<'_>) -> Option<Value> {
    let (shard, replicate) = shard_and_replicate(sheet);
    let tensor = sheet.peek_integer(InputId::TensorParallelSize).unwrap_or(1);
    if is_first_fsdp(sheet) || (tensor == 1 && replicate == 1) {
        return None;
    }
    sheet.tell(&[InputId::TensorParallelSize, InputId::DataParallelSize]);
    Some(json!({
        "parallelism_config_dp_replicate_size": replicate,
        "parallelism_config_dp_shard_size": shard,
        "parallelism_config_tp_size": tensor,
        "parallelism_config_cp_size": 1,
    }))
}

fn deepspeed(sheet: &mut Sheet<'_>) -> Value {
    let mut config = Map::new();
    let stage = sheet.integer(InputId::ZeroStage).unwrap_or(0);
    put(
        &mut config,
        "gradient_accumulation_steps",
        sheet.integer(InputId::GradientAccumulationSteps).unwrap_or(1),
    );
    put(
        &mut config,
        "gradient_clipping",
        sheet.number(InputId::GradientClipping).unwrap_or(1.0),
    );
    put(&mut config, "zero_stage", stage);
    for (id, device, path) in [
        (
            InputId::OffloadOptimizer,
            "offload_optimizer_device",
            "offload_optimizer_nvme_path",
        ),
        (
            InputId::OffloadParam,
            "offload_param_device",
            "offload_param_nvme_path",
        ),
    ] {
        let word = match sheet.word(id) {
            "" => "none",
            word => word,
        };
        put(&mut config, device, word);
        if word == "nvme" {
            sheet.note(format!("{path} is a placeholder: name a folder on a local disk."));
            put(&mut config, path, "/local_nvme");
        }
    }
    put(
        &mut config,
        "zero3_init_flag",
        stage == 3 && sheet.toggle(InputId::ZeroInit),
    );
    if stage == 3 {
        let whole = sheet
            .among(InputId::CheckpointSave, &["none", "sharded", "full"])
            .is_some_and(|kind| kind == "full");
        put(&mut config, "zero3_save_16bit_model", whole);
    }
    if sheet.facts().nodes > 1 {
        put(&mut config, "deepspeed_multinode_launcher", "standard");
    }
    let buckets = [
        InputId::ReduceBucketSize,
        InputId::OverlapComm,
        InputId::ContiguousGradients,
        InputId::PrefetchBucketSize,
        InputId::MaxLiveParameters,
        InputId::ParamPersistenceThreshold,
        InputId::HpzPartitionSize,
        InputId::OffloadRatio,
    ];
    if buckets.into_iter().any(|id| sheet.typed(id)) {
        sheet.note(
            "Buckets and thresholds have no keys here: export deepspeed and name its file in deepspeed_config_file instead of these keys.",
        );
    }
    Value::Object(config)
}

fn megatron(sheet: &mut Sheet<'_>) -> Value {
    let mut config = Map::new();
    let mut set = |key: &str, value: Value| {
        config.insert(format!("megatron_lm_{key}"), value);
    };
    let tensor = sheet.integer(InputId::TensorParallelSize).unwrap_or(1);
    let pipeline = sheet.integer(InputId::PipelineParallelSize).unwrap_or(1);
    set("tp_degree", tensor.into());
    set("pp_degree", pipeline.into());
    let micro_batches = sheet.integer(InputId::NumMicroBatches);
    let accumulation = sheet.integer(InputId::GradientAccumulationSteps);
    set(
        "num_micro_batches",
        micro_batches.or(accumulation).unwrap_or(1).into(),
    );
    set(
        "sequence_parallelism",
        sheet.toggle(InputId::SequenceParallel).into(),
    );
    set(
        "gradient_clipping",
        sheet.number(InputId::GradientClipping).unwrap_or(1.0).into(),
    );
    set(
        "use_distributed_optimizer",
        sheet.toggle(InputId::UseDistributedOptimizer).into(),
    );
    for (key, id) in [
        ("expert_model_parallel_size", InputId::ExpertParallelSize),
        ("expert_tensor_parallel_size", InputId::ExpertTensorParallelSize),
        ("context_parallel_size", InputId::ContextParallelSize),
        ("decoder_last_pipeline_num_layers", InputId::LastStageLayers),
    ] {
        if let Some(size) = sheet.typed_integer(id) {
            set(key, size.into());
        }
    }
    match sheet.among(InputId::ActivationCheckpointing, &["none", "selective", "full"]) {
        Some("full") => {
            set("recompute_granularity", "full".into());
            set("recompute_method", sheet.word(InputId::RecomputeMethod).into());
            set(
                "recompute_num_layers",
                sheet.integer(InputId::RecomputeLayers).unwrap_or(1).into(),
            );
        }
        Some("selective") => {
            set("recompute_activations", true.into());
            set("recompute_granularity", "selective".into());
        }
        _ => set("recompute_activations", false.into()),
    }
    if let Some(dropout) = sheet.typed_number(InputId::Dropout) {
        set("attention_dropout", dropout.into());
        set("hidden_dropout", dropout.into());
    }
    Value::Object(config)
}
