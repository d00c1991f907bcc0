//! DeepSpeed's JSON, alone or inside another file.

use serde_json::Value;

use super::findings::Findings;
use super::keys;
use super::mapping::Kind::{Nothing, Number, Truth, Whole};
use super::mapping::{Row, number, text, truth, whole};
use crate::request::InputId as Id;

const DEEPSPEED: &[Row] = &[
    (&["train_micro_batch_size_per_gpu"], Some(Id::BatchSize), Whole),
    (
        &["gradient_accumulation_steps"],
        Some(Id::GradientAccumulationSteps),
        Whole,
    ),
    (&["gradient_clipping"], Some(Id::GradientClipping), Number),
    (
        &[
            "train_batch_size",
            "steps_per_print",
            "prescale_gradients",
            "zero_optimization",
            "bf16",
            "fp16",
            "torch_autocast",
            "optimizer",
            "scheduler",
            "wall_clock_breakdown",
            "zero_allow_untested_optimizer",
            "activation_checkpointing",
            "flops_profiler",
            "comms_logger",
            "tensorboard",
            "wandb",
            "data_types",
        ],
        None,
        Nothing,
    ),
];

const ZERO: &[Row] = &[
    (&["stage"], Some(Id::ZeroStage), Whole),
    (&["contiguous_gradients"], Some(Id::ContiguousGradients), Truth),
    (&["reduce_bucket_size"], Some(Id::ReduceBucketSize), Whole),
    (&["allgather_bucket_size"], Some(Id::AllgatherBucketSize), Whole),
    (&["overlap_comm"], Some(Id::OverlapComm), Truth),
    (
        &["stage3_prefetch_bucket_size", "prefetch_bucket_size"],
        Some(Id::PrefetchBucketSize),
        Whole,
    ),
    (
        &["stage3_max_live_parameters", "max_live_parameters"],
        Some(Id::MaxLiveParameters),
        Whole,
    ),
    (
        &[
            "stage3_param_persistence_threshold",
            "param_persistence_threshold",
        ],
        Some(Id::ParamPersistenceThreshold),
        Whole,
    ),
    (&["zero_hpz_partition_size"], Some(Id::HpzPartitionSize), Whole),
    (
        &[
            "offload_optimizer",
            "offload_param",
            "allgather_partitions",
            "reduce_scatter",
            "round_robin_gradients",
            "stage3_gather_16bit_weights_on_model_save",
            "stage3_max_reuse_distance",
            "sub_group_size",
            "cpu_offload",
        ],
        None,
        Nothing,
    ),
];

/// DeepSpeed's configuration, alone or inside another file.
pub fn deepspeed(findings: &mut Findings, value: &Value) {
    findings.set(Id::EngineType, "deepspeed", "zero_optimization");
    keys_without_auto(findings, DEEPSPEED, value);
    let zero = value.get("zero_optimization").cloned().unwrap_or_default();
    keys_without_auto(findings, ZERO, &zero);
    findings.set_if_absent(Id::ZeroStage, 0, "no zero_optimization.stage");
    for (key, id) in [
        ("offload_optimizer", Id::OffloadOptimizer),
        ("offload_param", Id::OffloadParam),
    ] {
        if let Some(block) = zero.get(key) {
            let device = block.get("device").map(text).unwrap_or_default();
            if matches!(device.as_str(), "cpu" | "nvme" | "none") {
                findings.set(id, device, format!("{key}.device"));
            }
            let ratio = block.get("ratio").and_then(number);
            if let Some(ratio) = ratio.filter(|ratio| ratio.as_f64() != Some(1.0)) {
                findings.set(Id::OffloadRatio, Value::Number(ratio), format!("{key}.ratio"));
            }
        }
    }
    if zero.get("cpu_offload").and_then(truth) == Some(true) {
        findings.set(Id::OffloadOptimizer, "cpu", "cpu_offload: true");
    }
    let gathers = "stage3_gather_16bit_weights_on_model_save";
    if zero.get(gathers).and_then(truth) == Some(true) {
        findings.set(Id::CheckpointSave, "full", format!("{gathers}: true"));
    }
    let on = |key: &str| {
        value
            .get(key)
            .and_then(|block| block.get("enabled"))
            .and_then(truth)
            == Some(true)
    };
    let bare = |key: &str| value.get("bf16").and_then(|block| block.get(key)).and_then(truth) == Some(true);
    if on("torch_autocast") {
        let narrow = value
            .get("torch_autocast")
            .and_then(|block| block.get("dtype"))
            .map(text);
        let name = if narrow.is_some_and(|name| name.contains("float16") && !name.starts_with('b')) {
            "fp16"
        } else {
            "bf16"
        };
        findings.set(Id::PrecisionMode, "autocast", "torch_autocast.enabled: true");
        findings.set(Id::Dtype, name, "torch_autocast.dtype");
        optimizer(findings, value);
        replicas(findings, value);
        return;
    }
    if on("bf16") && bare("bf16_optimizer_states") && bare("bf16_master_weights_and_grads") {
        findings.set(Id::PrecisionMode, "pure", "bf16_optimizer_states: true");
    }
    match (on("bf16"), on("fp16")) {
        (true, _) => findings.set(Id::Dtype, "bf16", "bf16.enabled: true"),
        (_, true) => findings.set(Id::Dtype, "fp16", "fp16.enabled: true"),
        _ if value.get("bf16").is_some() || value.get("fp16").is_some() => {
            let auto = ["bf16", "fp16"].iter().any(|key| {
                value
                    .get(key)
                    .and_then(|block| block.get("enabled"))
                    .map(text)
                    .as_deref()
                    == Some("auto")
            });
            if auto {
                findings.assume("bf16 or fp16 is \"auto\": the training arguments decide; bf16 is taken.");
            } else {
                findings.set(Id::Dtype, "fp32", "neither bf16 nor fp16 is enabled");
            }
        }
        _ => findings.assume("The file names no type; bf16 is taken."),
    }
    optimizer(findings, value);
    replicas(findings, value);
}

fn optimizer(findings: &mut Findings, value: &Value) {
    let Some(block) = value.get("optimizer").filter(|block| block.is_object()) else {
        return;
    };
    let kind = block.get("type").map(text).unwrap_or_default();
    let parameters = block.get("params").cloned().unwrap_or_default();
    let ours = match kind.to_ascii_lowercase().as_str() {
        "adamw" => Some("adamw"),
        "adam" if parameters.get("adam_w_mode").and_then(truth) == Some(false) => Some("adam"),
        // Adam of DeepSpeed is AdamW unless that is switched off.
        "adam" => Some("adamw"),
        "lion" => Some("lion"),
        _ => None,
    };
    match ours {
        Some(ours) => findings.set(Id::Optimizer, ours, format!("optimizer.type: {kind}")),
        None => findings.strange(format!("optimizer.type: {kind}")),
    }
    for (key, id) in [("lr", Id::LearningRate), ("weight_decay", Id::WeightDecay)] {
        if let Some(number) = parameters.get(key).and_then(number) {
            findings.set(id, Value::Number(number), format!("optimizer.params.{key}"));
        }
    }
    let steps = value
        .pointer("/scheduler/params/warmup_num_steps")
        .and_then(whole);
    if let Some(steps) = steps {
        findings.set(Id::WarmupSteps, steps, "scheduler.params.warmup_num_steps");
    }
}

/// How many GPUs the batch sizes ask for.
fn replicas(findings: &mut Findings, value: &Value) {
    let size = |key: &str| value.get(key).and_then(whole);
    let (Some(all), Some(micro)) = (size("train_batch_size"), size("train_micro_batch_size_per_gpu")) else {
        return;
    };
    let each = micro.saturating_mul(size("gradient_accumulation_steps").unwrap_or(1));
    match all.checked_div(each) {
        Some(gpus) if gpus > 0 && gpus.saturating_mul(each) == all => {
            findings.set(
                Id::NumGpus,
                gpus,
                "train_batch_size over micro-batch and accumulation",
            );
        }
        _ => findings.strange(format!("train_batch_size: {all}, which is no multiple of {each}")),
    }
}

/// Values that say `auto` are left to whoever fills them in.
fn keys_without_auto(findings: &mut Findings, table: &[Row], value: &Value) {
    let mut own = value.clone();
    if let Some(fields) = own.as_object_mut() {
        let auto: Vec<String> = fields
            .iter()
            .filter(|(_, value)| value.as_str() == Some("auto"))
            .map(|(key, _)| key.clone())
            .collect();
        for key in auto {
            fields.shift_remove(&key);
            findings.assume(format!("{key} is \"auto\": the default holds."));
        }
    }
    keys(findings, table, &own, &[]);
}
