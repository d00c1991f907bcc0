//! Accelerate's YAML, and the keys of FSDP that other files share with it.

use serde_json::Value;

use super::findings::Findings;
use super::keys;
use super::mapping::Kind::{Nothing, Number, Truth, Whole, Words};
use super::mapping::{Row, text, truth, whole};
use crate::request::InputId as Id;

/// Accelerate's configuration.
pub fn accelerate(findings: &mut Findings, value: &Value) {
    const TOP: &[Row] = &[
        (&["num_processes"], Some(Id::NumGpus), Whole),
        (
            &["mixed_precision"],
            Some(Id::Dtype),
            Words(&[("bf16", "bf16"), ("fp16", "fp16"), ("no", "")]),
        ),
        (
            &[
                "compute_environment",
                "debug",
                "distributed_type",
                "downcast_bf16",
                "enable_cpu_affinity",
                "machine_rank",
                "main_process_ip",
                "main_process_port",
                "main_training_function",
                "rdzv_backend",
                "same_network",
                "use_cpu",
                "fsdp_config",
                "deepspeed_config",
                "megatron_lm_config",
                "parallelism_config",
                "dynamo_config",
                "num_machines",
                "tpu_env",
                "tpu_use_cluster",
                "tpu_use_sudo",
                "gpu_ids",
            ],
            None,
            Nothing,
        ),
    ];
    keys(findings, TOP, value, &[]);
    if findings.request.get(Id::Dtype).and_then(Value::as_str) == Some("") {
        findings.forget(Id::Dtype);
        findings.assume(
            "mixed_precision is no: everything is in the type in which the script loads the model; the type in the form is kept.",
        );
    }
    let nodes = value.get("num_machines").and_then(whole).unwrap_or(1);
    if nodes > 1 {
        findings.set(Id::NumNodes, nodes, "num_machines");
    }
    if value
        .pointer("/dynamo_config/dynamo_use_regional_compilation")
        .and_then(truth)
        == Some(true)
    {
        findings.set(Id::Compile, "model", "dynamo_use_regional_compilation: true");
    }
    let kind = value.get("distributed_type").map(text).unwrap_or_default();
    match kind.as_str() {
        "FSDP" => {
            findings.set(Id::EngineType, "fsdp", "distributed_type: FSDP");
            fsdp(
                findings,
                value.get("fsdp_config").unwrap_or(&Value::Null),
                "fsdp_",
            );
            mesh(findings, value.get("parallelism_config"));
            reduction(findings);
        }
        "DEEPSPEED" => accelerate_deepspeed(findings, value.get("deepspeed_config").unwrap_or(&Value::Null)),
        "MEGATRON_LM" => megatron(findings, value.get("megatron_lm_config").unwrap_or(&Value::Null)),
        "MULTI_GPU" | "NO" => {
            findings.set(Id::EngineType, "pytorch_ddp", format!("distributed_type: {kind}"));
        }
        other => findings.strange(format!("distributed_type: {other}")),
    }
    findings.assume("Micro-batch, sequence length, optimizer and model stand in the training script.");
}

/// FSDP's keys with or without their prefix.
pub fn fsdp(findings: &mut Findings, value: &Value, prefix: &str) {
    let mut own = serde_json::Map::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        own.insert(key.strip_prefix(prefix).unwrap_or(key).to_owned(), value.clone());
    }
    let version = own
        .get("version")
        .or_else(|| own.get("fsdp_version"))
        .and_then(whole);
    let first = version == Some(1) || (version.is_none() && own.contains_key("sharding_strategy"));
    findings.set(
        Id::FsdpVersion,
        if first { "1" } else { "2" },
        format!("{prefix}version"),
    );
    let own = Value::Object(own);
    const TABLE: &[Row] = &[
        (
            &["offload_params", "cpu_offload"],
            Some(Id::FsdpCpuOffload),
            Words(&[("true", "pinned"), ("false", "none")]),
        ),
        (&["forward_prefetch"], Some(Id::ForwardPrefetch), Truth),
        (&["limit_all_gathers"], Some(Id::LimitAllGathers), Truth),
        (&["use_orig_params"], Some(Id::UseOrigParams), Truth),
        (
            &["backward_prefetch"],
            Some(Id::BackwardPrefetch),
            Words(&[
                ("BACKWARD_PRE", "backward_pre"),
                ("BACKWARD_POST", "backward_post"),
                ("NO_PREFETCH", "none"),
            ]),
        ),
        (
            &["activation_checkpointing"],
            Some(Id::ActivationCheckpointing),
            Words(&[("true", "full"), ("false", "none")]),
        ),
        (
            &["state_dict_type"],
            Some(Id::CheckpointSave),
            Words(&[
                ("FULL_STATE_DICT", "full"),
                ("SHARDED_STATE_DICT", "sharded"),
                ("LOCAL_STATE_DICT", "sharded"),
            ]),
        ),
        (
            &[
                "version",
                "fsdp_version",
                "sharding_strategy",
                "reshard_after_forward",
                "auto_wrap_policy",
                "transformer_layer_cls_to_wrap",
                "cpu_ram_efficient_loading",
                "sync_module_states",
                "min_num_params",
                "final_state_dict_type",
                "cpu_offload_pin_memory",
                "mixed_precision_policy",
                "ignored_modules",
                "xla",
            ],
            None,
            Nothing,
        ),
    ];
    keys(findings, TABLE, &own, &[]);
    let pinned = own.get("cpu_offload_pin_memory").and_then(truth);
    let offloads = findings.request.get(Id::FsdpCpuOffload).and_then(Value::as_str) == Some("pinned");
    if offloads && pinned == Some(false) {
        findings.set(Id::FsdpCpuOffload, "pageable", "cpu_offload_pin_memory: false");
    }
    // A checkpoint that nobody asked for is no part of the question.
    findings.forget(Id::CheckpointSave);
    let strategy = own
        .get("sharding_strategy")
        .or_else(|| own.get("reshard_after_forward").filter(|value| value.is_string()))
        .map(|value| text(value).to_ascii_lowercase());
    let numbered = strategy.as_deref().and_then(|word| {
        [
            "full_shard",
            "shard_grad_op",
            "no_shard",
            "hybrid_shard",
            "hybrid_shard_zero2",
        ]
        .get(word.parse::<usize>().ok()?.checked_sub(1)?)
        .copied()
    });
    let reshards = own.get("reshard_after_forward").and_then(truth);
    match (numbered.or(strategy.as_deref()), reshards) {
        (
            Some(
                word @ ("full_shard" | "shard_grad_op" | "no_shard" | "hybrid_shard" | "hybrid_shard_zero2"),
            ),
            _,
        ) => findings.set(Id::ShardingStrategy, word, "sharding_strategy"),
        (_, Some(true)) => findings.set(Id::ShardingStrategy, "full_shard", "reshard_after_forward: true"),
        (_, Some(false)) => findings.set(
            Id::ShardingStrategy,
            "shard_grad_op",
            "reshard_after_forward: false",
        ),
        (Some(other), None) => findings.strange(format!("sharding strategy {other}")),
        (None, None) => {}
    }
}

/// Accelerate, and all that runs on it, reduces FSDP's gradients in the compute type.
pub fn reduction(findings: &mut Findings) {
    let dtype = findings.request.get(Id::Dtype).and_then(Value::as_str);
    let dtype = dtype
        .filter(|dtype| matches!(*dtype, "bf16" | "fp16"))
        .map(str::to_owned);
    let mixed = findings.request.get(Id::PrecisionMode).and_then(Value::as_str) != Some("pure");
    if let Some(dtype) = dtype.filter(|_| mixed) {
        findings.set(
            Id::ReduceDtype,
            dtype,
            "gradients are reduced in the compute type",
        );
    }
}

/// Two dimensions of sharding and tensor parallelism.
fn mesh(findings: &mut Findings, value: Option<&Value>) {
    let Some(value) = value.filter(|value| value.is_object()) else {
        return;
    };
    let size = |key: &str| {
        value
            .get(format!("parallelism_config_{key}"))
            .or_else(|| value.get(key))
            .and_then(whole)
            .unwrap_or(1)
    };
    hybrid(findings, size("dp_replicate_size"), "dp_replicate_size");
    if size("tp_size") > 1 {
        findings.set(Id::TensorParallelSize, size("tp_size"), "tp_size");
    }
    if size("cp_size") > 1 {
        findings.strange(format!("cp_size: {}", size("cp_size")));
    }
}

/// Copies of the shards: hybrid sharding, one copy on each machine.
pub fn hybrid(findings: &mut Findings, replicas: u64, from: &str) {
    if replicas <= 1 {
        return;
    }
    let kept = findings.request.get(Id::ShardingStrategy).and_then(Value::as_str) == Some("shard_grad_op");
    let word = if kept {
        "hybrid_shard_zero2"
    } else {
        "hybrid_shard"
    };
    findings.set(Id::ShardingStrategy, word, from);
    findings.set_if_absent(Id::NumNodes, replicas, from);
}

fn accelerate_deepspeed(findings: &mut Findings, value: &Value) {
    const DEVICES: &[(&str, &str)] = &[("none", "none"), ("cpu", "cpu"), ("nvme", "nvme")];
    const TABLE: &[Row] = &[
        (&["zero_stage"], Some(Id::ZeroStage), Whole),
        (
            &["gradient_accumulation_steps"],
            Some(Id::GradientAccumulationSteps),
            Whole,
        ),
        (&["gradient_clipping"], Some(Id::GradientClipping), Number),
        (
            &["offload_optimizer_device"],
            Some(Id::OffloadOptimizer),
            Words(DEVICES),
        ),
        (&["offload_param_device"], Some(Id::OffloadParam), Words(DEVICES)),
        (
            &[
                "zero3_init_flag",
                "zero3_save_16bit_model",
                "deepspeed_multinode_launcher",
                "offload_optimizer_nvme_path",
                "offload_param_nvme_path",
                "deepspeed_hostfile",
            ],
            None,
            Nothing,
        ),
    ];
    findings.set(Id::EngineType, "deepspeed", "distributed_type: DEEPSPEED");
    if value.get("deepspeed_config_file").is_some() {
        findings
            .assume("The settings are in the file that deepspeed_config_file names: import that file, too.");
    }
    keys(findings, TABLE, value, &["deepspeed_config_file"]);
    if findings.request.get(Id::ZeroStage) == Some(&Value::from(3)) {
        if value.get("zero3_init_flag").and_then(truth) == Some(false) {
            findings.set(Id::ZeroInit, false, "zero3_init_flag: false");
        }
        if value.get("zero3_save_16bit_model").and_then(truth) == Some(true) {
            findings.set(Id::CheckpointSave, "full", "zero3_save_16bit_model: true");
        }
    }
}

fn megatron(findings: &mut Findings, value: &Value) {
    const TABLE: &[Row] = &[
        (&["megatron_lm_tp_degree"], Some(Id::TensorParallelSize), Whole),
        (&["megatron_lm_pp_degree"], Some(Id::PipelineParallelSize), Whole),
        (
            &["megatron_lm_num_micro_batches"],
            Some(Id::GradientAccumulationSteps),
            Whole,
        ),
        (
            &["megatron_lm_sequence_parallelism"],
            Some(Id::SequenceParallel),
            Truth,
        ),
        (
            &["megatron_lm_gradient_clipping"],
            Some(Id::GradientClipping),
            Number,
        ),
        (
            &["megatron_lm_use_distributed_optimizer"],
            Some(Id::UseDistributedOptimizer),
            Truth,
        ),
        (
            &["megatron_lm_expert_model_parallel_size"],
            Some(Id::ExpertParallelSize),
            Whole,
        ),
        (
            &["megatron_lm_expert_tensor_parallel_size"],
            Some(Id::ExpertTensorParallelSize),
            Whole,
        ),
        (
            &["megatron_lm_context_parallel_size"],
            Some(Id::ContextParallelSize),
            Whole,
        ),
        (
            &["megatron_lm_decoder_last_pipeline_num_layers"],
            Some(Id::LastStageLayers),
            Whole,
        ),
        (
            &["megatron_lm_recompute_granularity"],
            Some(Id::ActivationCheckpointing),
            Words(&[("full", "full"), ("selective", "selective")]),
        ),
        (
            &["megatron_lm_recompute_method"],
            Some(Id::RecomputeMethod),
            Words(&[("uniform", "uniform"), ("block", "block")]),
        ),
        (
            &["megatron_lm_recompute_num_layers"],
            Some(Id::RecomputeLayers),
            Whole,
        ),
        (
            &["megatron_lm_attention_dropout", "megatron_lm_hidden_dropout"],
            Some(Id::Dropout),
            Number,
        ),
        (&["megatron_lm_recompute_activations"], None, Nothing),
    ];
    findings.set(Id::EngineType, "megatron_lm", "distributed_type: MEGATRON_LM");
    keys(findings, TABLE, value, &[]);
    let selective = value.get("megatron_lm_recompute_activations").and_then(truth) == Some(true);
    if selective {
        findings.set_if_absent(
            Id::ActivationCheckpointing,
            "selective",
            "megatron_lm_recompute_activations",
        );
    }
}
